"""Compares our landmarks with those of mediapipe's Face Mesh on the same images; `run.sh` runs both halves.

    python -m tests.conformance.landmarks choose ../shared/data images.txt
    python -m tests.conformance.landmarks compare images.txt reference.npz

Out: a JSON line with the distances as shares of the distance between the eyes. Exit 1 if the median is above `LIMIT`,
or if either side finds a face where the other does not in more than `DISAGREE` of the images.
"""

import json
import random
import sys
from pathlib import Path

import cv2
import numpy as np

from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker
from device.vision.inference.manifest import load_manifest

CHOSEN = {"faces/lfw/images": 80, "faces/utkface/images": 60, "attacks/replay_attack": 60}
LIMIT = 0.015
DISAGREE = 0.02
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def choose(data, target):
    chosen = []
    for folder, count in CHOSEN.items():
        files = sorted(path for path in (Path(data) / folder).rglob("*") if path.suffix.lower() in PICTURES)
        chosen += random.Random(1).sample(files, min(count, len(files)))
    if not chosen:
        sys.exit(f"no images in {data}")
    Path(target).write_text("".join(f"{path.resolve()}\n" for path in chosen))


def compare(listed, reference):
    manifest = load_manifest()
    detector, landmarker = FaceDetector(manifest), FaceLandmarker(manifest)
    theirs = np.load(reference)
    distances, depths, only_one = [], [], 0
    files = Path(listed).read_text().splitlines()
    for number, path in enumerate(files):
        image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
        ours = [found for face in detector.detect(image) if (found := landmarker.find(image, face)) is not None]
        faces = theirs[str(number)]
        if not ours or not len(faces):
            only_one += bool(ours) != bool(len(faces))
            continue
        main = ours[0]
        nearest = min(faces, key=lambda face: np.abs(face[:, :2] - main.points[:, :2]).mean())
        error = np.linalg.norm(nearest[:, :2] - main.points[:, :2], axis=1) / main.inter_eye
        distances.append(error)
        depths.append(np.abs(nearest[:, 2] - main.points[:, 2]) / main.inter_eye)
    per_image = np.median(distances, axis=1)
    result = {
        "images": len(files),
        "compared": len(distances),
        "only_one_found_a_face": only_one,
        "median": round(float(np.median(distances)), 5),
        "median_of_worst_image": round(float(per_image.max()), 5),
        "p95": round(float(np.percentile(distances, 95)), 5),
        "median_depth": round(float(np.median(depths)), 5),
        "limit": LIMIT,
    }
    print(json.dumps(result))
    return result["median"] <= LIMIT and only_one <= DISAGREE * len(files)


if __name__ == "__main__":
    if sys.argv[1] == "choose":
        choose(*sys.argv[2:4])
    else:
        sys.exit(not compare(*sys.argv[2:4]))
