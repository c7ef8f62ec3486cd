"""Derives the mean rigid face that `device.vision.face.landmarks.head_pose` turns to fit what it sees.

In: a folder of faces (any; UTKFace was used), the installed detection and landmark models. Out: the Python table
`device/vision/face/canonical.py`: for a few dozen points that expressions move little, their mean place and a weight.

    python -m models.training.canonical_face ../shared/data/faces/utkface/images --count 6000

How: landmarks of every face; near-frontal ones kept; generalised Procrustes analysis in three dimensions (similarity);
the mean made symmetric by averaging it with its mirror image; weights are the inverse residual variances. Frontal is
thereby defined as the mean pose of people who look at a photographer.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker
from device.vision.inference.manifest import load_manifest

Array = npt.NDArray[np.float64]

MIDLINE = (10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 2, 164)
PAIRS = (
    (33, 263), (133, 362), (98, 327), (67, 297), (109, 338), (54, 284), (103, 332), (21, 251), (162, 389), (127, 356),
    (234, 454), (93, 323), (116, 345), (117, 346), (118, 347), (123, 352), (50, 280), (101, 330), (36, 266), (129, 358),
    (122, 351), (245, 465),
)  # fmt: skip
"""Image left and image right of the same place: brow-free forehead, temples, cheekbones, eye corners, nose."""

HEADER = '''"""The mean rigid face in its own frame; written by models/training/canonical_face.py, do not edit.

Made from {used} near-frontal of {seen} faces (UTKFace, as seen by face_landmark): index in the face mesh, x (image
right), y (down), z (away from the camera), weight. Unit: the distance between the outer eye
corners. Origin: weighted centre.
"""

from typing import Final

CANONICAL: Final[tuple[tuple[int, float, float, float, float], ...]] = (
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=Path, default=Path("device/vision/face/canonical.py"))
    options = parser.parse_args()
    files = sorted(path for path in options.folder.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))
    random.Random(options.seed).shuffle(files)
    shapes = np.stack(list(see(files[: options.count])))
    indices = sorted({*MIDLINE, *(index for pair in PAIRS for index in pair)})
    chosen = shapes[:, indices]
    frontal = chosen[near_frontal(chosen, indices)]
    mean, weights = generalised_procrustes(frontal, mirror_of(indices))
    span = mean[indices.index(263), 0] - mean[indices.index(33), 0]
    mean /= span
    rows = "".join(
        f"    ({index}, {x:.4f}, {y:.4f}, {z:.4f}, {weight:.3f}),\n"
        for index, (x, y, z), weight in zip(indices, mean, weights, strict=True)
    )
    options.to.write_text(HEADER.format(used=len(frontal), seen=len(shapes)) + rows + ")\n")
    print(f"{len(frontal)} of {len(shapes)} faces, {len(indices)} points -> {options.to}")


def see(files: list[Path]) -> Any:
    """(468, 3) landmarks of each file in which a face is found, refined once."""
    manifest = load_manifest()
    detector, landmarker = FaceDetector(manifest), FaceLandmarker(manifest)
    for path in files:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        for detection in detector.detect(np.asarray(image, dtype=np.uint8))[:1]:
            first = landmarker.find(image, detection)
            landmarks = first and landmarker.track(image, first)
            if landmarks is not None:
                yield landmarks.points.astype(np.float64)


def near_frontal(shapes: Array, indices: list[int]) -> npt.NDArray[np.bool_]:
    """Those whose nose tip lies midway between the outer eye corners, and whose nose is of middling length."""
    left, right, tip, root = (shapes[:, indices.index(index), :2] for index in (33, 263, 1, 168))
    across = right - left
    span = np.linalg.norm(across, axis=1)
    along = ((tip - left) * across).sum(axis=1) / span**2
    length = (across[:, 0] * (tip - root)[:, 1] - across[:, 1] * (tip - root)[:, 0]) / span**2
    low, high = np.percentile(length, [25, 75])
    result: npt.NDArray[np.bool_] = (np.abs(along - 0.5) < 0.06) & (length > low) & (length < high)
    return result


def mirror_of(indices: list[int]) -> list[int]:
    """For each position in `indices` the position of its mirror image."""
    other = {index: index for index in MIDLINE} | dict(PAIRS) | {right: left for left, right in PAIRS}
    return [indices.index(other[index]) for index in indices]


def generalised_procrustes(shapes: Array, mirror: list[int], rounds: int = 10) -> tuple[Array, Array]:
    """Symmetric mean shape and weights (mean 1) of (N, K, 3) shapes."""
    flip = np.array([-1.0, 1.0, 1.0])
    mean = shapes[0] - shapes[0].mean(axis=0)
    weights = np.ones(shapes.shape[1])
    aligned = shapes
    for _ in range(rounds):
        aligned = np.stack([align(shape, mean, weights) for shape in shapes])
        average = aligned.mean(axis=0)
        average -= np.average(average, axis=0, weights=weights)
        mirrored = align(average[mirror] * flip, average, weights)
        mean = (average + mirrored) / 2
        mean = upright(mean, mirror, weights)
        mean /= np.sqrt((mean**2).sum() / len(mean))
        variance = ((aligned - average) ** 2).sum(axis=2).mean(axis=0)
        weights = 1 / (variance + np.median(variance))
        weights += weights[mirror]
        weights *= len(weights) / weights.sum()
    # Pitch zero: how the frontal faces stood on average before they were aligned.
    turns = np.stack([rotation(mean, shape, weights) for shape in shapes])
    pitch = float(np.median(np.arctan2(turns[:, 2, 1], turns[:, 2, 2])))
    cos, sin = np.cos(pitch), np.sin(pitch)
    return mean @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]).T, weights


def upright(mean: Array, mirror: list[int], weights: Array) -> Array:
    """Turns a symmetric shape so that its plane of symmetry is x = 0."""
    across = np.average(mean - mean[mirror], axis=0, weights=weights * (mean[:, 0] > 0))
    across /= np.linalg.norm(across)
    away = np.array([0.0, 0.0, 1.0]) - across * across[2]
    away /= np.linalg.norm(away)
    centred = mean - np.average(mean, axis=0, weights=weights)
    return centred @ np.stack([across, np.cross(away, across), away], axis=1)


def rotation(source: Array, target: Array, weights: Array) -> Array:
    """The 3 x 3 rotation that brings (K, 3) `source` nearest to `target` (Kabsch), both centred by `weights`."""
    a = source - np.average(source, axis=0, weights=weights)
    b = target - np.average(target, axis=0, weights=weights)
    u, _, vt = np.linalg.svd((a * weights[:, None]).T @ b)
    sign = np.sign(np.linalg.det(u @ vt))
    return vt.T @ np.diag([1, 1, sign]) @ u.T


def align(shape: Array, target: Array, weights: Array) -> Array:
    """`shape` moved, turned and scaled onto `target`."""
    turn = rotation(shape, target, weights)
    moved = (shape - np.average(shape, axis=0, weights=weights)) @ turn.T
    centre = np.average(target, axis=0, weights=weights)
    wanted = target - centre
    scale = (weights[:, None] * moved * wanted).sum() / (weights[:, None] * moved**2).sum()
    return moved * scale + centre


if __name__ == "__main__":
    main()
