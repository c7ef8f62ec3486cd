"""Answers of the depth check on tracks that `parallax_study --save` kept: thresholds can be tried without rendering.

In: a folder of track files: landmarks, and the face cut out of each frame. Out: one line a kind of sequence: answers
counted, wrong ones with their 95 % bound.

    python -m models.training.parallax_tracks TRACKS
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from device.evaluation.attack_metrics import Rate
from device.vision.face.landmarks import Landmarks, head_pose
from device.vision.liveness.parallax import Parallax

WRONG = {"head": "moves_as_plane", "puppet": "moves_as_plane"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tracks", type=Path)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    answers: dict[str, list[str]] = {}
    for path in sorted(arguments.tracks.glob("*.npz")):
        with np.load(path) as track:
            points, corners, source = track["points"], track["corners"], str(track["source"])
            frames = [np.zeros((*track["size"], 3), np.uint8) for _ in points]
            for number, (frame, (left, top)) in enumerate(zip(frames, corners, strict=True)):
                face = track[f"picture_{number:03d}"]
                frame[top : top + face.shape[0], left : left + face.shape[1]] = face
        kind = path.stem.rpartition("-")[0]
        parallax = Parallax()
        for frame, there in zip(frames, points, strict=True):
            found = Landmarks(there, 1.0)
            parallax.add(frame, found, head_pose(found))
        report = parallax.report()
        answers.setdefault(kind, []).append(str(report.reason or report.result))
        if arguments.verbose:
            print(kind, source, answers[kind][-1], parallax.evidence())
    for kind, given in sorted(answers.items()):
        counts = {answer: given.count(answer) for answer in sorted(set(given))}
        wrong = Rate(counts.get(WRONG.get(kind, "pass"), 0), len(given))
        print(f"{kind}: {len(given)} sequences {counts}; wrong {wrong.wrong}, at most {wrong.interval[1]:.1%} (95 %)")


if __name__ == "__main__":
    main()
