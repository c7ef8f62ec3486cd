"""How many faces the detector and the landmark model find, and how long they take: the figures of the model card.

    python -m tests.conformance.detection ../shared/data [--count N]

In: the data that are not part of the project. Out: for each set, in how many images a face is found, is confirmed by
its landmarks, and (LFW, whose images are centred on the person) is the right one; median CPU
milliseconds of one thread.
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
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
CENTRED = 0.25
"""LFW: the right face's middle lies within this share of the side from the image's middle."""


class Tally:
    def __init__(self, manifest):
        self.detector = FaceDetector(manifest)
        self.landmarker = FaceLandmarker(manifest)
        self.counts = {"images": 0, "found": 0, "confirmed": 0, "right_found": 0, "right_is_largest": 0}
        self.times = {"detect": [], "landmarks": [], "quality": []}
        self.lost = []

    def look(self, path, exhaustive):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            return
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        self.counts["images"] += 1
        faces = self.timed("detect", self.detector.search if exhaustive else self.detector.detect, image)
        self.counts["found"] += bool(faces)
        seen = [self.timed("landmarks", self.landmarker.find, image, face) for face in faces]
        seen = [landmarks for landmarks in seen if landmarks is not None]
        if not seen:
            self.lost.append(path.name)
            return
        self.counts["confirmed"] += 1
        self.timed("quality", assess, image, seen[0], head_pose(seen[0]))
        self.counts["right_found"] += any(centred(landmarks, image) for landmarks in seen)
        self.counts["right_is_largest"] += centred(seen[0], image)

    def timed(self, name, function, *arguments):
        start = time.process_time()
        result = function(*arguments)
        self.times[name].append(time.process_time() - start)
        return result

    def report(self, name):
        spent = {f"{part}_ms": round(1e3 * statistics.median(times), 2) for part, times in self.times.items() if times}
        counts = dict(self.counts)
        if name != "lfw":  # only there is it known where the right face is
            del counts["right_found"], counts["right_is_largest"]
        shares = {f"{key}_share": round(value / max(counts["images"], 1), 5) for key, value in counts.items()}
        del shares["images_share"]
        return {"set": name, **counts, **shares, **spent, "lost": self.lost[:20]}


def centred(landmarks, image):
    middle = landmarks.points[:, :2].mean(axis=0) / image.shape[1::-1]
    return bool(np.abs(middle - 0.5).max() < CENTRED)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--count", type=int, default=4000, help="at most so many images of a set")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    manifest = load_manifest()
    for name in options.sets:
        files = sorted(path for path in (options.data / SETS[name]).rglob("*") if path.suffix.lower() in PICTURES)
        random.Random(1).shuffle(files)
        tally = Tally(manifest)
        for path in files[: options.count]:
            tally.look(path, exhaustive=name == "documents")
        print(json.dumps(tally.report(name)), flush=True)


if __name__ == "__main__":
    main()
