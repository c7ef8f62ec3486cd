"""What the border of a tightly cut picture does to an embedder (docs/decisions/0093).

    python -m models.training.face_borders ../shared/data --teacher omz-face-0095

In: faces of UTKFace held back from training, whose pictures end at the brow; live frames of Replay-Attack's devel split
(never trained on, whole heads). Out: for each way to fill what a crop shows beyond a picture, how well the default
embedder agrees with its teacher, and how alike two strangers look to each of them.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import cv2
import numpy as np

from device.evaluation.calibration import held_back, old_enough
from device.evaluation.faces import find_face
from device.vision.face.align import RETAIL_0095_TEMPLATE, similarity
from device.vision.face.detector import FaceDetector
from device.vision.face.embedder import FaceEmbedder
from device.vision.face.landmarks import FaceLandmarker
from device.vision.inference.manifest import load_manifest
from device.vision.stills import load_still

BORDERS = {
    "repeated": cv2.BORDER_REPLICATE,
    "mirrored": cv2.BORDER_REFLECT_101,
    "black": cv2.BORDER_CONSTANT,
}
SIZE = 128


def crops(files: list[Path], count: int, border: int) -> list[np.ndarray]:
    """Aligned (128, 128, 3) uint8 RGB crops of up to `count` of the files, `border` beyond their pictures."""
    manifest = load_manifest()
    detector, landmarker = FaceDetector(manifest), FaceLandmarker(manifest)
    found = []
    for path in random.Random(0).sample(files, min(count, len(files))):
        image = load_still(path)
        if landmarks := find_face(image, detector, landmarker):
            target = RETAIL_0095_TEMPLATE.astype(np.float64) * SIZE
            matrix = similarity(landmarks.five.astype(np.float64), target)
            found.append(cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=border))
    return found


def told(name: str, pictures: list[np.ndarray], student: FaceEmbedder, teacher: FaceEmbedder) -> None:
    """One line."""
    ours, theirs = (np.stack([model.embed_crop(crop) for crop in pictures]) for model in (student, teacher))
    pairs = np.triu_indices(len(pictures), 1)
    alike = [float((each @ each.T)[pairs].mean()) for each in (ours, theirs)]
    print(
        f"{name}: {len(pictures)} faces, cosine with the teacher {(ours * theirs).sum(1).mean():.3f}; "
        f"mean cosine of two faces {alike[0]:.3f}, to the teacher {alike[1]:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--teacher", default="omz-face-0095")
    parser.add_argument("--count", type=int, default=150)
    options = parser.parse_args()
    manifest = load_manifest()
    student, teacher = FaceEmbedder(manifest), FaceEmbedder(manifest, options.teacher)
    tight = sorted((options.data / "faces/utkface/images").iterdir())
    tight = [path for path in tight if held_back(path.name) and old_enough(path.name)]
    for name, border in BORDERS.items():
        told(f"utkface held back, border {name}", crops(tight, options.count, border), student, teacher)
    live = sorted((options.data / "attacks/replay_attack/devel").glob("*real*/*.jpg"))
    told("replay_attack devel, live", crops(live, options.count, cv2.BORDER_REFLECT_101), student, teacher)


if __name__ == "__main__":
    main()
