"""Where the points of a face went between a straight look and a turn, by the picture itself.

In: `Shot`s, a face's brightness and its landmarks, straight and turned. Out: `Tracks`, points that were found again in
every turned shot. The network that finds landmarks draws a head's even on a sheet of paper; what is printed there, and
the relief of a nose, move as they do. Landmarks only say roughly where to look: each turned shot is pulled over the
straight one by a smooth map between their landmarks, and what is then left between the two is followed by pyramidal
Lucas-Kanade (Bouguet 2001), there and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Image
from device.vision.face.landmarks import Landmarks
from device.vision.liveness.depth_fit import Array, eye_distance

EYES: Final = 60.0
"""Pixels between the eyes at which shots are kept and followed."""
_MARGIN: Final = 0.15
_POINTS, _STRENGTH, _APART, _BLOCK = 160, 0.001, 3, 5
_WINDOW, _LEVELS, _STOP = (13, 13), 2, (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)
_BACK: Final = 0.7
"""Pixels from where it began within which a point has to come back."""
_LEAST_SHARE: Final = 0.35
_LEAST_SHOTS: Final = 3
_NEIGHBOURS: Final = 5
_INWARD: Final = 0.86
_AROUND_EYES: Final = 1.25

_OUTLINE: Final = np.array(
    [
        *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
        *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
    ]
)
_LIDS: Final = (
    np.array([33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]),
    np.array([263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466]),
)
_UPPER_LIP: Final = np.array([185, 40, 39, 37, 0, 267, 269, 270, 409])


@dataclass(frozen=True, eq=False)
class Shot:
    """A face: (H, W) uint8 brightness with `EYES` pixels between the eyes, and its (468, 3) landmarks there."""

    grey: npt.NDArray[np.uint8]
    points: Array


@dataclass(frozen=True, eq=False)
class Tracks:
    """(P, 3) places and depths in the straight shot, (F, P, 2) places in `F` turned ones, in pixels of the shots."""

    reference: Array
    frames: Array


def shot(image: Image, landmarks: Landmarks) -> Shot | None:
    """The face's part of an H x W x 3 uint8 RGB image; None if too little of it is in the picture."""
    points = landmarks.points.astype(np.float64)
    scale = EYES / max(eye_distance(points), 1e-9)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    rim = _MARGIN * (high - low)
    height, width = image.shape[:2]
    left, top = np.maximum(0, np.floor(low - rim)).astype(int)
    right, bottom = np.minimum((width, height), np.ceil(high + rim)).astype(int)
    if right - left < _WINDOW[0] or bottom - top < _WINDOW[1]:
        return None
    grey = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    kept = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    factors = np.array([size[0] / (right - left), size[1] / (bottom - top), scale])
    return Shot(np.asarray(kept, np.uint8), (points - (left, top, 0)) * factors)


def follow(straight: Shot, turned: Sequence[Shot], least: int) -> Tracks | None:
    """The tracks of at least `least` points through three turned shots or more; None where they cannot be followed."""
    begun = cv2.goodFeaturesToTrack(
        straight.grey, _POINTS, _STRENGTH, _APART, mask=_rigid_part(straight), blockSize=_BLOCK
    )
    if begun is None or len(begun) < least:
        return None
    places = np.asarray(begun, np.float32).reshape(-1, 2)
    found = [_found_again(straight, other, places) for other in turned]
    found = [each for each in found if each[0].mean() >= _LEAST_SHARE]
    if len(found) < _LEAST_SHOTS:
        return None
    held = np.all([good for good, _ in found], axis=0)
    if held.sum() < least:
        found = sorted(found, key=lambda each: -int(each[0].sum()))[:_LEAST_SHOTS]
        held = np.all([good for good, _ in found], axis=0)
    if held.sum() < least:
        return None
    kept = places[held].astype(np.float64)
    reference = np.column_stack([kept, _depth(straight, kept)])
    return Tracks(reference, np.stack([went[held] for _, went in found]))


def _rigid_part(straight: Shot) -> npt.NDArray[np.uint8]:
    """Where points move with the skull: within the outline, above the lips, outside the lids."""
    mask = np.zeros(straight.grey.shape, np.uint8)
    outline = straight.points[_OUTLINE, :2]
    middle = outline.mean(axis=0)
    cv2.fillPoly(mask, [np.rint((outline - middle) * _INWARD + middle).astype(np.int32)], 255)
    mask[max(0, int(straight.points[_UPPER_LIP, 1].min()) - 2) :] = 0
    for lids in _LIDS:
        eye = straight.points[lids, :2]
        wider = (eye - eye.mean(axis=0)) * _AROUND_EYES + eye.mean(axis=0)
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(wider).astype(np.int32)), 0)
    return mask


def _found_again(straight: Shot, other: Shot, begun: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.bool_], Array]:
    """Which of the points (P, 2) came back to where they began, and where each is in the `other` shot."""
    middle = straight.points[_OUTLINE, :2].mean(axis=0)

    def terms(places: Array) -> Array:
        return _cubic((places - middle) / EYES)

    smooth = np.linalg.lstsq(terms(straight.points[:, :2]), other.points[:, :2], rcond=None)[0]
    height, width = straight.grey.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    mapped = (terms(np.column_stack([columns.ravel(), rows.ravel()])) @ smooth).astype(np.float32)
    x, y = mapped.T.reshape(2, height, width)
    pulled = np.asarray(cv2.remap(other.grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    there, seen = _flow(straight.grey, pulled, begun)
    back, again = _flow(pulled, straight.grey, there)
    good = seen & again & (np.linalg.norm(back - begun, axis=1) < _BACK)
    return good, np.asarray(terms(there.astype(np.float64)) @ smooth)


def _flow(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], places: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Where the points (P, 2) went, and which were found."""
    begun = places[:, None]
    went, seen, _ = cv2.calcOpticalFlowPyrLK(
        *(first, second, begun, begun.copy()),
        winSize=_WINDOW,
        maxLevel=_LEVELS,
        criteria=_STOP,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(went, np.float32).reshape(-1, 2), np.asarray(seen).ravel() == 1


def _cubic(places: Array) -> Array:
    x, y = places.T
    powers = [x**i * y**j for i in range(4) for j in range(4 - i)]
    return np.column_stack(powers)


def _depth(straight: Shot, places: Array) -> Array:
    """The landmarks' depth at (P, 2) places: of the nearest few, weighted by nearness."""
    squared = ((places[:, None] - straight.points[None, :, :2]) ** 2).sum(axis=2)
    near = np.argpartition(squared, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    weights = 1.0 / (np.take_along_axis(squared, near, axis=1) + 1e-6)
    return np.asarray((straight.points[near, 2] * weights).sum(axis=1) / weights.sum(axis=1))
