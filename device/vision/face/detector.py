"""Where the faces are: MediaPipe's two BlazeFace models, run raw.

In: an RGB image. Out: `Detection`s with six keypoints, the largest face first. The short-range model looks first; the
full-range one only where that one was not sure of anything. Anchors, decoding and weighted non-maximum
suppression follow MediaPipe's face detection graphs (Bazarevsky et al., BlazeFace, arXiv:1907.05047).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Image
from device.vision.inference.manifest import Manifest, ModelEntry
from device.vision.inference.model import Model, load_model, prepare

Points = npt.NDArray[np.float32]

SHORT_RANGE: Final = "blazeface-short-range"
FULL_RANGE: Final = "blazeface-full-range"
SMALLEST_TILE: Final = 64
KEYPOINTS: Final = 6
"""Eye at image left, eye at image right, nose tip, mouth centre, ear at image left, ear at image right."""


@dataclass(frozen=True)
class Detection:
    """One face. `box` is (left, top, right, bottom) in pixels of the image and may reach outside it; `score` is 0..1;
    `keypoints` is (6, 2) float32 pixels in BlazeFace's order (`KEYPOINTS`); `sure` is False where the score is one that
    patterns reach too."""

    box: tuple[float, float, float, float]
    score: float
    keypoints: Points
    sure: bool = True

    @property
    def size(self) -> float:
        """The longer side of the box in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    def moved(self, right: float, down: float) -> Detection:
        """The same face in an image of which this one was a part, that far from its left and top."""
        left, top, far, bottom = self.box
        box = (left + right, top + down, far + right, bottom + down)
        return replace(self, box=box, keypoints=self.keypoints + np.array([right, down], dtype=np.float32))


class BlazeFace:
    """One of the two models with its anchors. Raises `ModelError` as `Model` does."""

    def __init__(self, manifest: Manifest, entry: ModelEntry, threads: int = 1):
        self._model: Model = load_model(manifest, entry, threads)
        self._entry = entry
        self._sure = entry.threshold("sure")
        self.suppression_iou = entry.number("suppression_iou")
        self._anchors = _anchors(entry.input.width, entry.parameters["anchors"])

    @property
    def measurement(self) -> bytes:
        return self._model.measurement

    def detect(self, image: Image, margin: float = 1.0) -> list[Detection]:
        """Faces in an H x W x 3 uint8 RGB image, best score first; with a `margin` above 1 it is shown that much
        smaller, amid black, which is how a face that fills the picture is found."""
        square, scale, left, top = letterbox(image, self._entry.input.width, margin)
        raw, logits = self._model.run(prepare(self._entry, square))
        scores = _sigmoid(logits[0, :, 0])
        chosen = scores >= self._entry.threshold("score")
        # Every pair of the sixteen numbers is an (x, y): box centre, box size, six keypoints; all in input pixels.
        pairs = raw[0, chosen].reshape(-1, 2 + KEYPOINTS, 2)
        anchors = self._anchors[chosen]
        centres = pairs[:, 0] + anchors
        corners = np.concatenate([centres - pairs[:, 1] / 2, centres + pairs[:, 1] / 2], axis=1)
        keypoints = (pairs[:, 2:] + anchors[:, None]).reshape(-1, 2 * KEYPOINTS)
        kept = weighted_suppression(np.concatenate([corners, keypoints], axis=1), scores[chosen], self.suppression_iou)
        offset = np.array([left, top], dtype=np.float32)
        return [
            _detection((points.reshape(-1, 2) - offset) / scale, score, score >= self._sure) for points, score in kept
        ]


class FaceDetector:
    """The short-range model first; the full-range one, and closer looks, where they are needed.

    Raises:
        ModelError: a model is missing or is not what the manifest says.
    """

    def __init__(self, manifest: Manifest, threads: int = 1):
        self._short = BlazeFace(manifest, manifest.entry(SHORT_RANGE), threads)
        self._full = BlazeFace(manifest, manifest.entry(FULL_RANGE), threads)
        self._close_margin = manifest.entry(SHORT_RANGE).number("close_margin")

    @property
    def measurements(self) -> dict[str, bytes]:
        return {SHORT_RANGE: self._short.measurement, FULL_RANGE: self._full.measurement}

    def detect(self, image: Image) -> list[Detection]:
        """Faces of people in front of the camera in an H x W x 3 uint8 RGB image, largest first; [] if there is none.

        One look is enough for almost every frame. Only where it shows no sure face follow a look for a face that fills
        the picture, and one for a small face.
        """
        found = self._short.detect(image)
        if not any(face.sure for face in found):
            found += self._short.detect(image, self._close_margin)
        if not any(face.sure for face in found):
            found += self._full.detect(image)
        return settle(found, self._short.suppression_iou)

    def search(self, image: Image) -> list[Detection]:
        """Every face down to about a twentieth of the picture's short side, such as the portrait on a card in hand.

        Largest first.

        Looks with both models at the whole and into overlapping squares: some fifty times the work of `detect`, and
        more that is no face after all, so that whoever asks has to confirm each with its landmarks.
        """
        found = self._short.detect(image) + self._full.detect(image)
        for left, top, side in tiles(image.shape[1], image.shape[0]):
            part = np.ascontiguousarray(image[top : top + side, left : left + side])
            model = self._short if min(image.shape[:2]) // 2 < side < min(image.shape[:2]) else self._full
            found += [face.moved(left, top) for face in model.detect(part)]
        return settle(found, self._short.suppression_iou, keep_unsure=True)


def settle(found: list[Detection], iou_limit: float, *, keep_unsure: bool = False) -> list[Detection]:
    """One detection for each face out of several looks, largest first. Where there is a sure face, the unsure ones go,
    unless somebody confirms them: most of them are patterns, and a large one must not pass for the person."""
    ranked = sorted(found, key=lambda face: (face.sure, face.score), reverse=True)
    kept: list[Detection] = []
    for face in ranked:
        if not keep_unsure and kept and kept[0].sure and not face.sure:
            break
        boxes = np.array([other.box for other in kept], dtype=np.float32).reshape(-1, 4)
        if not (_iou(np.array(face.box, dtype=np.float32), boxes) > iou_limit).any():
            kept.append(face)
    return sorted(kept, key=lambda face: face.size, reverse=True)


def tiles(width: int, height: int) -> list[tuple[int, int, int]]:
    """(left, top, side) of squares that overlap by half: of the short side, of half the long, of half the short."""
    squares = []
    short, long = sorted((width, height))
    for side in sorted({short, min(long // 2, short), short // 2}, reverse=True):
        if side < SMALLEST_TILE:
            continue
        for top in _steps(height, side):
            squares += [(left, top, side) for left in _steps(width, side)]
    return squares


def _steps(length: int, side: int) -> list[int]:
    count = math.ceil((length - side) / (side / 2)) + 1
    return [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]


def letterbox(image: Image, size: int, margin: float = 1.0) -> tuple[Image, float, float, float]:
    """The image fitted into a black size x size square: (square, scale, left, top), all in square pixels."""
    height, width = image.shape[:2]
    scale = size / (max(height, width) * margin)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image, (new_width, new_height), interpolation=interpolation)
    left, top = (size - new_width) // 2, (size - new_height) // 2
    square = np.zeros((size, size, 3), dtype=np.uint8)
    square[top : top + new_height, left : left + new_width] = resized
    return square, scale, float(left), float(top)


def weighted_suppression(rows: Points, scores: Points, iou_limit: float) -> list[tuple[Points, float]]:
    """Non-maximum suppression that averages what overlaps, weighted by score, as BlazeFace section 3.3 describes.

    Args:
        rows: (N, 4 + K) float32; the first four columns are left, top, right, bottom, the rest is averaged along.
        scores: (N,) float32.
        iou_limit: boxes that overlap the best one by more belong to the same face.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[tuple[Points, float]] = []
    while order.size:
        best = order[0]
        overlapping = _iou(rows[best, :4], rows[order, :4]) > iou_limit
        overlapping[0] = True  # a degenerate box does not even overlap itself
        group = order[overlapping]
        weights = scores[group] / scores[group].sum()
        kept.append(((rows[group] * weights[:, None]).sum(axis=0), float(scores[best])))
        order = order[~overlapping]
    return kept


def _detection(points: Points, score: float, sure: bool) -> Detection:
    (left, top), (right, bottom) = points[:2].tolist()
    return Detection((left, top, right, bottom), score, np.ascontiguousarray(points[2:], dtype=np.float32), sure)


def _anchors(size: int, layout: list[list[Any]]) -> Points:
    """Anchor centres in input pixels, (N, 2); the anchors of one cell coincide (MediaPipe's fixed_anchor_size)."""
    maps = []
    for stride, per_cell in layout:
        axis = (np.arange(size // int(stride), dtype=np.float32) + 0.5) * float(stride)
        x, y = np.meshgrid(axis, axis)
        maps.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), int(per_cell), axis=0))
    return np.concatenate(maps).astype(np.float32)


def _iou(box: Points, boxes: Points) -> Points:
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    union = np.prod(np.maximum(box[2:] - box[:2], 0)) + areas - shared
    result: Points = (shared / np.maximum(union, 1e-9)).astype(np.float32)
    return result


def _sigmoid(logits: Points) -> Points:
    limited = np.clip(logits, -80.0, 80.0)  # beyond, float32 overflows
    result: Points = (1.0 / (1.0 + np.exp(-limited))).astype(np.float32)
    return result
