"""Fits an embedder's template to the box's own landmarks.

In: a folder of faces (any; no identities needed) and YuNet, whose five points are of the kind that the embedder was
made for. Out: five [x, y] pairs for `parameters.template` in the manifest: where the box's own five points lie, on
average, in crops that YuNet's points have aligned to the embedder's own template. Printed beside them: how far the
crops of the two landmarkers lie apart with the old template and with the fitted one, on faces not fitted.

    python -m models.training.face_template ../shared/data/faces/utkface --yunet yunet_n_dynamic.onnx
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.face.align import TEMPLATES, similarity
from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker
from device.vision.inference.manifest import load_manifest
from models.training.face_data import held_back

Array = npt.NDArray[np.float64]
BORDER = 48
"""Pixels put round every picture: the faces of UTKFace fill theirs."""


def points_of(files: list[Path], yunet: Path) -> tuple[Array, Array]:
    """(N, 5, 2) points of YuNet and of the box, of the faces that both find where the other does."""
    manifest = load_manifest()
    detector, landmarker = FaceDetector(manifest), FaceLandmarker(manifest)
    other = cv2.FaceDetectorYN.create(str(yunet), "", (320, 320), 0.8)
    theirs, ours = [], []
    for path in files:
        picture = cv2.imread(str(path))
        if picture is None:
            continue
        picture = cv2.copyMakeBorder(picture, *([BORDER] * 4), cv2.BORDER_REPLICATE)
        other.setInputSize(picture.shape[1::-1])
        _, found = other.detect(picture)
        image = np.ascontiguousarray(picture[..., ::-1])
        detections = detector.detect(image)
        landmarks = landmarker.find(image, detections[0]) if detections else None
        if found is None or len(found) != 1 or landmarks is None:
            continue
        five = found[0, 4:14].reshape(5, 2).astype(np.float64)  # the person's right eye, which is at image left, first
        if np.linalg.norm(five.mean(axis=0) - landmarks.five.mean(axis=0)) < 0.5 * landmarks.inter_eye:
            theirs.append(five)
            ours.append(landmarks.five.astype(np.float64))
    return np.array(theirs), np.array(ours)


def moved(points: Array, matrix: Array) -> Array:
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def fit(theirs: Array, ours: Array, template: Array) -> Array:
    """The (5, 2) median place of `ours` where `theirs` lie on `template`, made symmetric; fractions of the side."""
    found = np.median([moved(b, similarity(a, template)) for a, b in zip(theirs, ours, strict=True)], axis=0)
    mirrored = found[[1, 0, 2, 4, 3]] * [-1.0, 1.0] + [1.0, 0.0]
    return np.asarray((found + mirrored) / 2)


def apart(theirs: Array, ours: Array, template: Array, fitted: Array) -> float:
    """Median over faces of how far (fractions of the side) the corners of the two crops lie apart."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    distances = []
    for a, b in zip(theirs, ours, strict=True):
        back = cv2.invertAffineTransform(similarity(b, fitted))
        distances.append(np.linalg.norm(moved(moved(corners, back), similarity(a, template)) - corners, axis=1).mean())
    return float(np.median(distances))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--template", default="retail-0095", choices=sorted(TEMPLATES))
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    files = sorted(
        p for p in options.folder.rglob("*") if p.suffix in (".jpg", ".png", ".webp") and not held_back(p.name)
    )
    random.Random(options.seed).shuffle(files)
    theirs, ours = points_of(files[: options.count], options.yunet)
    template = TEMPLATES[options.template].astype(np.float64)
    half = len(ours) // 2
    fitted = fit(theirs[:half], ours[:half], template)
    print(f"{len(ours)} faces, the first {half} fitted, the others measured")
    print("template = [" + ", ".join(f"[{x:.5f}, {y:.5f}]" for x, y in fitted) + "]")
    for name, used in (("as published", template), ("fitted", fitted)):
        print(f"crops {name}: {apart(theirs[half:], ours[half:], template, used):.4f} of the side apart")


if __name__ == "__main__":
    main()
