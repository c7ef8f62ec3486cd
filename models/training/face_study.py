"""The measurements behind the choices in face detection and face quality (docs/decisions/0011 and 0013).

    python -m models.training.face_study looks|small|patterns|sharpness|masks|quality ../shared/data

In: UTKFace and Replay-Attack frames (never LFW), matrix codes (pictures without a face). Out: tables to read.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Image
from device.vision.face.detector import FULL_RANGE, SHORT_RANGE, BlazeFace, FaceDetector, tiles
from device.vision.face.landmarks import FaceLandmarker, Landmarks, head_pose
from device.vision.face.quality import assess, covering, face_patch, load_gates, sharpness
from device.vision.inference.manifest import load_manifest
from models.training.face_masks import COLOURS, masked

MANIFEST = load_manifest()
SHORT, FULL = (BlazeFace(MANIFEST, MANIFEST.entry(name)) for name in (SHORT_RANGE, FULL_RANGE))
DETECTOR, LANDMARKER = FaceDetector(MANIFEST), FaceLandmarker(MANIFEST)
LOOKS = {
    "short": SHORT.detect,
    "short, margin 1.25": lambda image: SHORT.detect(image, 1.25),
    "short, margin 1.5": lambda image: SHORT.detect(image, 1.5),
    "short, margin 2": lambda image: SHORT.detect(image, 2.0),
    "full": FULL.detect,
}
SETS = {"utkface": "faces/utkface/images", "replay_attack": "attacks/replay_attack", "codes": "documents/barcodes"}


def images(data: Path, name: str, count: int, part: str = "") -> Iterator[Image]:
    files = sorted(path for path in (data / SETS[name]).rglob("*") if path.suffix in (".jpg", ".png", ".webp"))
    files = [path for path in files if part in str(path)]
    for path in random.Random(2).sample(files, min(count, len(files))):
        yield np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def landmarks_of(image: Image) -> Landmarks | None:
    return next((found for face in DETECTOR.detect(image) if (found := LANDMARKER.find(image, face))), None)


def looks(data: Path) -> None:
    """In how many images each look misses: no detection whose landmarks confirm a face."""
    for name, count in (("utkface", 3000), ("replay_attack", 300)):
        missed: Counter[str] = Counter()
        lowest = dict.fromkeys(LOOKS, 1.0)
        total = 0
        for image in images(data, name, count):
            total += 1
            for look, detect in LOOKS.items():
                confirmed = [face.score for face in detect(image) if LANDMARKER.find(image, face)]
                missed[look] += not confirmed
                lowest[look] = min([lowest[look], *confirmed])
        for look in LOOKS:
            print(f"{name}: {look}: missed {missed[look]} of {total}, lowest confirmed score {lowest[look]:.2f}")


def patterns(data: Path) -> None:
    """Scores of detections that the landmarks do not confirm, in pictures of matrix codes, whole and in tiles."""
    scores: dict[str, list[float]] = {"whole": [], "tiles": []}
    for image in images(data, "codes", 10_000):
        parts = [
            image[top : top + side, left : left + side] for left, top, side in tiles(image.shape[1], image.shape[0])
        ]
        for kind, seen in (("whole", [image]), ("tiles", [np.ascontiguousarray(part) for part in parts])):
            for part in seen:
                scores[kind] += [face.score for face in SHORT.detect(part) if LANDMARKER.find(part, face) is None]
    for kind, values in scores.items():
        print(
            f"{kind}: {len(values)} patterns taken for faces, {sum(value >= 0.75 for value in values)} at 0.75 or more"
        )


def small(data: Path) -> None:
    """Share of faces found by their size, pasted into a 640 x 640 picture of a wall."""
    wall = cv2.resize(next(images(data, "replay_attack", 1))[:100, :100], (640, 640))
    faces = list(images(data, "utkface", 300))
    for side in (30, 40, 50, 60, 80, 100, 120):
        hits = {"short": 0, "full": 0}
        for face in faces:
            scene = wall.copy()
            scene[300 : 300 + side, 200 : 200 + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
            for name, model in (("short", SHORT), ("full", FULL)):
                noses = [found.keypoints[2] - (200 + side / 2, 300 + side / 2) for found in model.detect(scene)]
                hits[name] += any(np.abs(nose).max() < side / 2 for nose in noses)
        print(f"{side / 640:.3f} of the picture: " + ", ".join(f"{k} {v / len(faces):.2f}" for k, v in hits.items()))


def blur(share: float) -> Callable[[Image, float], Image]:
    return lambda image, eye: np.asarray(cv2.GaussianBlur(image, (0, 0), share * eye), dtype=np.uint8)


def motion(share: float, vertical: bool) -> Callable[[Image, float], Image]:
    def apply(image: Image, eye: float) -> Image:
        length = max(2, round(share * eye))
        return np.asarray(cv2.blur(image, (1, length) if vertical else (length, 1)), dtype=np.uint8)

    return apply


SPOILT: dict[str, Callable[[Image, float], Image]] = {
    "as it is": lambda image, _: image,
    "Gaussian, sigma 0.03 eye distances": blur(0.03),
    "Gaussian, 0.06": blur(0.06),
    "moved 0.1 across": motion(0.1, vertical=False),
    "moved 0.2 across": motion(0.2, vertical=False),
    "moved 0.2 down": motion(0.2, vertical=True),
}


def sharpness_table(data: Path) -> None:
    """Percentiles of the sharpness measure under blur, and the share that the live gate refuses."""
    gate = load_gates(MANIFEST).live.sharpness
    for name, part in (("utkface", ""), ("replay_attack", "real")):
        seen = [(image, found) for image in images(data, name, 240, part) if (found := landmarks_of(image))]
        for kind, spoil in SPOILT.items():
            values = [sharpness(face_patch(spoil(image, found.inter_eye), found)) for image, found in seen]
            table = " ".join(f"{value:6.2f}" for value in np.percentile(values, [1, 5, 50, 95]))
            print(f"{name}: {kind:36s} p1 p5 p50 p95 {table}  refused {np.mean(np.array(values) < gate):.3f}")


def masks(data: Path) -> None:
    """Share that the live gate takes for covered: faces as they are, and with an even mask of each colour."""
    gate = load_gates(MANIFEST).live
    for name, part in (("utkface", ""), ("replay_attack", "real")):
        seen = [(image, found) for image in images(data, name, 400, part) if (found := landmarks_of(image))]
        plain = [covering(image, found) for image, found in seen]
        print(f"{name}: bare faces refused {np.mean(np.array(plain) > gate.covered):.3f}")
        for colour, value in COLOURS.items():
            refused = 0
            for image, found in seen:
                worn = cv2.GaussianBlur(masked(image, found, value), (0, 0), 0.8)
                again = landmarks_of(np.asarray(worn, dtype=np.uint8))
                refused += again is None or again.presence < gate.presence or covering(worn, again) > gate.covered
            print(f"{name}: {colour} masks refused {refused / len(seen):.3f}")


def quality(data: Path) -> None:
    """What the live gate says of bona fide frames, and percentiles of each measure."""
    for name, part in (("utkface", ""), ("replay_attack", "real")):
        found: list[dict[str, float]] = []
        said: Counter[str] = Counter()
        for image in images(data, name, 600, part):
            landmarks = landmarks_of(image)
            if landmarks is not None:
                judged = assess(image, landmarks, head_pose(landmarks))
                said[str(judged.guidance)] += 1
                found.append({k: v for k, v in vars(judged).items() if isinstance(v, float)})
        print(f"{name}: {dict(said)}")
        for key in found[0]:
            values: npt.NDArray[np.float64] = np.percentile([one[key] for one in found], [1, 5, 50, 95, 99])
            print(f"  {key:11s} p1 p5 p50 p95 p99 " + " ".join(f"{value:7.3f}" for value in values))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("looks", "small", "patterns", "sharpness", "masks", "quality"))
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    {
        "looks": looks,
        "small": small,
        "patterns": patterns,
        "sharpness": sharpness_table,
        "masks": masks,
        "quality": quality,
    }[options.what](options.data)
