"""Finds the faces of the attack detector's training data with the box's own detector, once, and remembers them.

In: folders of face images and of Replay-Attack frames (one folder a clip). Out: `Sample`s, and a cache of them in JSON
lines (file, square, label, species, subject, group), so that later steps need no face detection.

    python -m models.training.attack_data --utkface DIR --replay DIR --out /path/to/faces.jsonl
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker
from device.vision.inference.manifest import load_manifest
from device.vision.liveness.crops import Square, face_square

REPLAY_CLIP = re.compile(
    r"(?P<split>train|devel|test)__(?P<kind>real|attack)__(?P<support>real|fixed|hand)__.*?client(?P<client>\d+)_(?P<rest>.*)"
)


@dataclass(frozen=True)
class Sample:
    """One image with its face. `group` is `utkface` or `replay/<split>`; `species` is empty for bona fide."""

    file: str
    x: float
    y: float
    side: float
    label: str
    species: str
    subject: str
    group: str

    @property
    def square(self) -> Square:
        return Square(self.x, self.y, self.side)


def replay_species(folder: str) -> tuple[str, str, str, str]:
    """(split, label, species, subject) of a Replay-Attack clip's folder name.

    The species is the instrument: print, mobile_photo, mobile_video, highdef_photo or highdef_video.
    """
    match = REPLAY_CLIP.fullmatch(folder)
    if match is None:
        raise ValueError(f"{folder}: not the name of a Replay-Attack clip")
    subject = f"client{match['client']}"
    if match["kind"] == "real":
        return match["split"], "bona_fide", "", subject
    # A print is of a photo taken with the high-definition camera, and its clip's name says both.
    species = re.search(r"attack_print", folder) or re.search(r"(mobile|highdef)_(photo|video)", match["rest"])
    if species is None:
        raise ValueError(f"{folder}: names no known instrument")
    return match["split"], "attack", species.group(0).removeprefix("attack_"), subject


def utkface_files(folder: Path) -> Iterator[tuple[Path, str, str, str, str]]:
    """(file, label, species, subject, group) of every UTKFace image; without identities, each is its own subject."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".webp", ".jpg", ".png"):
            yield path, "bona_fide", "", path.stem, "utkface"


def replay_files(folder: Path) -> Iterator[tuple[Path, str, str, str, str]]:
    """The same of every frame under `folder`/<split>/<clip>/."""
    for path in sorted(folder.rglob("*.jpg")):
        split, label, species, subject = replay_species(path.parent.name)
        yield path, label, species, subject, f"replay/{split}"


def find_faces(files: Iterable[tuple[Path, str, str, str, str]]) -> Iterator[Sample]:
    """Samples of the images in which a face is found; the others are left out, as the box would not score them."""
    manifest = load_manifest()
    detector, landmarker = FaceDetector(manifest), FaceLandmarker(manifest)
    for path, label, species, subject, group in files:
        image = cv2.imread(str(path))
        if image is None:
            continue
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        detections = detector.detect(rgb)
        landmarks = landmarker.find(rgb, detections[0]) if detections else None
        if landmarks is None:
            continue
        square = face_square(landmarks)
        numbers = (round(value, 2) for value in (square.x, square.y, square.side))
        yield Sample(str(path), *numbers, label, species, subject, group)


def load_samples(path: Path) -> list[Sample]:
    """What `main` wrote."""
    return [Sample(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utkface", type=Path)
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", encoding="utf-8") as out:
        for folder, files in ((arguments.replay, replay_files), (arguments.utkface, utkface_files)):
            found = 0
            for sample in find_faces(files(folder)) if folder else ():
                out.write(json.dumps(asdict(sample)) + "\n")
                found += 1
            print(f"{folder}: {found} faces", flush=True)


if __name__ == "__main__":
    main()
