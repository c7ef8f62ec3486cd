"""A photograph of one face made ready: enlarged, cut out from its background, its landmarks found.

In: a picture (H x W x 3 uint8 RGB). Out: a `Portrait`. The landmarks come from the box's own model, the cut-out from
GrabCut (Rother et al., SIGGRAPH 2004) started from where the landmarks say that the head and the shoulders are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.errors import ConfigurationError
from device.vision.camera.base import Image
from device.vision.camera.emulation.resources import load_picture
from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker, Landmarks
from device.vision.inference.manifest import load_manifest

INTER_EYE: Final = 104.0
"""Pixels between the eyes of every portrait after scaling: about what a face has at arm's length in 1280 x 720."""

FACE_OVAL: Final = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Indices of the face's outline in the topology of MediaPipe's face mesh, in order around it."""

_CUT_SCALE: Final = 0.25  # GrabCut runs on a picture this much smaller


@dataclass(frozen=True, eq=False)
class Portrait:
    """A person's picture, ready to be animated.

    Attributes:
        image: H x W x 3 uint8 RGB, enlarged so that the eyes are `INTER_EYE` apart.
        alpha: H x W uint8, 255 where the person is.
        points: (468, 3) float32 landmarks in pixels of `image`; z in the same scale, smaller is nearer.
        original: the person in the picture as it came.
        scale: how much larger `image` is than `original`.
    """

    image: Image
    alpha: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float32]
    original: Image
    scale: float

    @property
    def face_width(self) -> float:
        """Pixels from one side of the face's outline to the other."""
        outline = self.points[list(FACE_OVAL), 0]
        return float(outline.max() - outline.min())

    @property
    def face_height(self) -> float:
        """Pixels from the hairline to the chin."""
        return float(self.points[152, 1] - self.points[10, 1])

    def document_picture(self) -> Image:
        """Head and shoulders in 35:45, crown to chin 70 to 80 % of the height (ISO/IEC 19794-5)."""
        height = self.face_height / self.scale / 0.53  # hairline to chin; crown to chin is a third longer
        width = height * 35 / 45
        centre = self.points[[10, 152]].mean(axis=0)[:2] / self.scale
        left, top = round(float(centre[0]) - width / 2), round(float(centre[1]) - height * 0.57)
        right, bottom = round(left + width), round(top + height)
        rows, columns = self.original.shape[:2]
        border = max(0, -left, -top, right - columns, bottom - rows)
        padded = cv2.copyMakeBorder(self.original, border, border, border, border, cv2.BORDER_REPLICATE)
        return np.asarray(padded[top + border : bottom + border, left + border : right + border], np.uint8)


@functools.cache
def load_portrait(named: str) -> Portrait:
    """The portrait of a face named as in a scenario.

    Raises:
        ConfigurationError: there is no such picture, or no single large face in it.
    """
    picture = load_picture(named)
    found = _landmarks(picture)
    if found is None:
        raise ConfigurationError(
            f"face {named!r}: no face is found in that picture; use one of one face, looking ahead"
        )
    original, found = _surroundings(picture, found)
    scale = INTER_EYE / found.inter_eye
    image = cv2.resize(
        original, None, fx=scale, fy=scale, interpolation=cv2.INTER_LANCZOS4 if scale > 1 else cv2.INTER_AREA
    )
    sharp = np.asarray(cv2.addWeighted(image, 1.35, cv2.GaussianBlur(image, (0, 0), scale), -0.35, 0), np.uint8)
    finer = _landmarks(sharp) or found
    points = finer.points if finer is not found else found.points * scale
    image = _with_skin_grain(sharp)
    return Portrait(image, _cut_out(image, points), points.astype(np.float32), original, scale)


def _surroundings(picture: Image, found: Landmarks) -> tuple[Image, Landmarks]:
    """As much of the picture as a camera at arm's length sees of a person, and the landmarks in it."""
    left, top, right, bottom = found.box
    width, height = right - left, bottom - top
    x0, x1 = max(0, round(left - 1.9 * width)), round(right + 1.9 * width)
    y0, y1 = max(0, round(top - 1.0 * height)), round(bottom + 1.9 * height)
    moved = found.points - np.array([x0, y0, 0], np.float32)
    return np.ascontiguousarray(picture[y0:y1, x0:x1]), Landmarks(moved, found.presence)


def _landmarks(image: Image) -> Landmarks | None:
    detector, landmarker = _models()
    detections = detector.detect(image)
    return landmarker.find(image, detections[0]) if detections else None


@functools.cache
def _models() -> tuple[FaceDetector, FaceLandmarker]:
    manifest = load_manifest()
    return FaceDetector(manifest), FaceLandmarker(manifest)


def _with_skin_grain(image: Image) -> Image:
    """Enlarging leaves surfaces too smooth: a fixed fine grain that moves with the face stands in for pores."""
    grain = np.random.default_rng(5).normal(0, 1, image.shape[:2]).astype(np.float32)
    grain = grain - cv2.GaussianBlur(grain, (0, 0), 2.0)
    return np.clip(image + 1.8 * grain[:, :, None], 0, 255).astype(np.uint8)


def _cut_out(image: Image, points: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    small = cv2.resize(image, None, fx=_CUT_SCALE, fy=_CUT_SCALE, interpolation=cv2.INTER_AREA)
    mask = _first_guess(small.shape[:2], points * _CUT_SCALE)
    cv2.setRNGSeed(1)
    unused = (0, 0, 1, 1)
    cv2.grabCut(small, mask, unused, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    person = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    opened = np.asarray(cv2.morphologyEx(person, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    person = 1 - _largest(1 - _largest(opened))  # no holes
    alpha = cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1.0)
    alpha = cv2.resize(alpha, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip((alpha - 0.45) / 0.5, 0, 1) * 255, np.uint8)


def _first_guess(shape: tuple[int, ...], points: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """GrabCut's mask: the face is surely person, hair and shoulders probably are, the upper corners surely not."""
    outline = points[list(FACE_OVAL), :2]
    width = float(outline[:, 0].max() - outline[:, 0].min())
    top, chin = points[10, :2], points[152, :2]
    height = float(chin[1] - top[1])
    centre = (top + chin) / 2
    mask = np.full(shape, cv2.GC_BGD, np.uint8)
    rows, columns = shape
    middle = (round(float(centre[0])), round(float(centre[1]) - round(height * 0.15)))

    def shoulders(top_half: float, bottom_half: float, begin: float) -> npt.NDArray[np.int32]:
        x, y = float(chin[0]), float(chin[1]) + begin * height
        corners = [
            (x - top_half * width, y),
            (x + top_half * width, y),
            (x + bottom_half * width, rows),
            (x - bottom_half * width, rows),
        ]
        return np.round(corners).astype(np.int32)

    cv2.ellipse(mask, middle, (round(width * 0.95), round(height * 1.05)), 0, 0, 360, cv2.GC_PR_BGD, -1)
    cv2.fillPoly(mask, [shoulders(0.6, 2.6, 0.05)], cv2.GC_PR_BGD)
    cv2.ellipse(mask, middle, (round(width * 0.72), round(height * 0.86)), 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.fillPoly(mask, [shoulders(0.5, 1.6, 0.25)], cv2.GC_PR_FGD)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], cv2.GC_FGD)
    cv2.fillPoly(mask, [shoulders(0.25, 0.7, 0.0)], cv2.GC_FGD)
    mask[:, [0, columns - 1]] = np.where(np.arange(rows) < chin[1], cv2.GC_BGD, mask[:, [0, columns - 1]].T).T
    return mask


def _largest(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA])), np.uint8)
