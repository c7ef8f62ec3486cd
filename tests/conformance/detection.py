"""How many faces the detector and the landmark model find, and how long they take: the figures of the model card.

    python -m tests.conformance.detection ../shared/data [--count N]

In: the data that are not part of the project. Out: for each set, in how many images a face is found, is confirmed by
its landmarks, and (LFW, whose images are centred on the person) is the right one; median milliseconds of one thread.
LFW is only ever measured, never tuned on.
"""

import argparse
import json
import random
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker, head_pose
from device.vision.face.quality import assess
from device.vision.inference.manifest import load_manifest

SETS = {
    "lfw": "faces/lfw/images",
    "utkface": "faces/utkface/images",
    "replay_attack": "attacks/replay_attack",
    "documents": "documents/mrz_images",
}
CENTRED = 0.25
"""LFW: the right face's middle lies within this share of the side from the image's middle."""


class Tally:
    def __init__(self, manifest):
        self.detector = FaceDetector(manifest)
        self.landmarker = FaceLandmarker(manifest)
        self.counts = {"images": 0, "found": 0, "confirmed": 0, "centred": 0}
        self.times = {"detect": [], "landmarks": [], "quality": []}
        self.lost = []

    def look(self, path, exhaustive):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            return
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        self.counts["images"] += 1
        start = time.perf_counter()
        faces = self.detector.search(image) if exhaustive else self.detector.detect(image)
        self.times["detect"].append(time.perf_counter() - start)
        self.counts["found"] += bool(faces)
        for face in faces if exhaustive else faces[:1]:
            start = time.perf_counter()
            landmarks = self.landmarker.find(image, face)
            self.times["landmarks"].append(time.perf_counter() - start)
            if landmarks is not None:
                self.confirm(image, landmarks)
                break
        else:
            self.lost.append(path.name)

    def confirm(self, image, landmarks):
        self.counts["confirmed"] += 1
        start = time.perf_counter()
        assess(image, landmarks, head_pose(landmarks, image.shape))
        self.times["quality"].append(time.perf_counter() - start)
        middle = landmarks.points[:, :2].mean(axis=0) / image.shape[1::-1]
        self.counts["centred"] += bool(np.abs(middle - 0.5).max() < CENTRED)

    def report(self, name):
        spent = {f"{part}_ms": round(1e3 * statistics.median(times), 2) for part, times in self.times.items() if times}
        total = max(self.counts["images"], 1)
        return {
            "set": name,
            **self.counts,
            "found_share": round(self.counts["found"] / total, 5),
            "confirmed_share": round(self.counts["confirmed"] / total, 5),
            "centred_share": round(self.counts["centred"] / total, 5),
            **spent,
            "lost": self.lost[:20],
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--count", type=int, default=4000, help="at most so many images of a set")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    manifest = load_manifest()
    for name in options.sets:
        files = sorted(
            path for path in (options.data / SETS[name]).rglob("*") if path.suffix.lower() not in (".txt", ".json")
        )
        random.Random(1).shuffle(files)
        tally = Tally(manifest)
        for path in (path for path in files[: options.count] if path.is_file()):
            tally.look(path, exhaustive=name == "documents")
        print(json.dumps(tally.report(name)), flush=True)


if __name__ == "__main__":
    main()
