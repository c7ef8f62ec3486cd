"""Draws the document in a hand: a sheet in space, seen through the lens, with the lamp's reflection and two fingers.

In: a `DocumentArt` and, for each frame, a `Held`. Out: the document composed into the frame.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Image
from device.vision.camera.emulation.document_art import DocumentArt
from device.vision.camera.emulation.person import Held

_LENS: Final = 1.15
"""Focal length as a share of the frame's width: about 47 degrees of horizontal field, as box cameras have."""
_LEVELS: Final = (1.0, 0.75, 0.56, 0.42, 0.32, 0.24, 0.18)
"""Scales at which the print is kept ready, so that shrinking it does not alias."""
_SKIN: Final = ((150, 104, 82), (178, 126, 100), (196, 144, 117), (208, 158, 131), (216, 168, 142))
"""RGB of the fingers from their shaded edge to where the light falls on them."""
_NAIL: Final = (226, 186, 170)


class HeldDocument:
    """One document that can be drawn.

    Args:
        art: what is printed.
    """

    def __init__(self, art: DocumentArt) -> None:
        self._size = art.size
        self._sides = {False: _levels(art.front), True: _levels(art.front if art.back is None else art.back)}

    def draw(self, frame: Image, held: Held) -> None:
        """Draws into `frame` (H x W x 3 uint8 RGB, changed in place)."""
        rows, columns = frame.shape[:2]
        corners = self.corners(held, (columns, rows))
        spread = 0.12 * float(np.ptp(corners[:, 1]))
        left, top = np.maximum(0, np.floor(corners.min(axis=0) - spread)).astype(int).tolist()
        right, bottom = np.ceil(corners.max(axis=0) + spread).astype(int).tolist()
        right, bottom = min(right, columns), min(bottom, rows)
        if right - left < 4 or bottom - top < 4:
            return
        part = frame[top:bottom, left:right]
        local = (corners - (left, top)).astype(np.float32)
        _shadow(part, local)
        art = self._level(held.back, local)
        height, width = art.shape[:2]
        sheet = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32) - 0.5
        matrix = cv2.getPerspectiveTransform(sheet, local)
        size = (part.shape[1], part.shape[0])
        warped = cv2.warpPerspective(art, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        seen = np.asarray(warped, np.uint8)
        self._glare(seen, local, held)
        if held.blur > 0.2:
            seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), held.blur), np.uint8)
        mask = np.zeros(part.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.round(local * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
        soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.6, held.blur)), np.uint8)
        _blend(part, seen, soft)
        _fingers(frame, corners)

    def corners(self, held: Held, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """(4, 2) float32 pixels of the document's corners in a frame of `size` (width, height): of the side that is
        seen, top left, top right, bottom right, bottom left as printed."""
        columns, rows = size
        width, height = self._size
        about_x, about_y, about_z = (math.radians(angle) for angle in (held.tilt_x, held.tilt_y, held.turn))
        sheet = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], float) * (width / height, 1) / 2
        points = np.column_stack([sheet, np.zeros(4)])
        points = points @ _turn(about_x, 0).T @ _turn(about_y, 1).T @ _turn(about_z, 2).T
        focal = _LENS * columns
        distance = focal / (held.height * rows)  # in document heights
        depth = distance + points[:, 2]
        centre = np.array([columns / 2 + (held.x - 0.5) * columns, held.y * rows])
        return (centre + points[:, :2] / depth[:, None] * focal).astype(np.float32)

    def _level(self, back: bool, corners: npt.NDArray[np.float32]) -> Image:
        shown = float(np.linalg.norm(corners[2] - corners[3]))
        levels = self._sides[back]
        fitting = [art for art in levels if art.shape[1] >= shown]
        return fitting[-1] if fitting else levels[0]

    def _glare(self, seen: Image, corners: npt.NDArray[np.float32], held: Held) -> None:
        """A soft highlight that wanders over the laminate as the document tilts, opposite to the tilt."""
        if held.glare <= 0:
            return
        across = 0.62 + 0.055 * held.tilt_y
        down = 0.30 - 0.065 * held.tilt_x
        top = corners[0] + (corners[1] - corners[0]) * across
        bottom = corners[3] + (corners[2] - corners[3]) * across
        centre = top + (bottom - top) * down
        reach = 0.20 * float(np.linalg.norm(corners[1] - corners[0]))
        rows, columns = seen.shape[0] // 8 + 1, seen.shape[1] // 8 + 1
        x = (np.arange(columns, dtype=np.float32) * 8 + 4 - centre[0]) / reach
        y = (np.arange(rows, dtype=np.float32) * 8 + 4 - centre[1]) / (0.6 * reach)
        spot = 120 * held.glare * np.exp(-0.5 * (x[None, :] ** 2 + y[:, None] ** 2))
        layer = cv2.resize(spot.astype(np.uint8), (columns * 8, rows * 8), interpolation=cv2.INTER_LINEAR)
        cv2.add(seen, cv2.cvtColor(layer[: seen.shape[0], : seen.shape[1]], cv2.COLOR_GRAY2RGB), seen)


def _levels(art: Image) -> list[Image]:
    sizes = [(round(art.shape[1] * scale), round(art.shape[0] * scale)) for scale in _LEVELS]
    return [np.asarray(cv2.resize(art, size, interpolation=cv2.INTER_AREA), np.uint8) for size in sizes]


def _turn(angle: float, axis: int) -> npt.NDArray[np.float64]:
    cos, sin = math.cos(angle), math.sin(angle)
    one, two = ((1, 2), (2, 0), (0, 1))[axis]
    matrix = np.eye(3)
    matrix[one, one], matrix[one, two], matrix[two, one], matrix[two, two] = cos, -sin, sin, cos
    return matrix


def _shadow(part: Image, corners: npt.NDArray[np.float32]) -> None:
    """The sheet keeps some light from what is behind it."""
    small = (part.shape[1] // 8 + 1, part.shape[0] // 8 + 1)
    mask = np.zeros((small[1], small[0]), np.uint8)
    shifted = corners / 8 + 0.015 * float(np.ptp(corners[:, 1])) / 8
    cv2.fillConvexPoly(mask, np.round(shifted).astype(np.int32), 90)
    lit = cv2.bitwise_not(cv2.GaussianBlur(mask, (0, 0), 2.0))
    lit = cv2.resize(lit, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_LINEAR)
    cv2.multiply(part, cv2.cvtColor(lit, cv2.COLOR_GRAY2RGB), part, 1 / 255)


def _fingers(frame: Image, corners: npt.NDArray[np.float32]) -> None:
    """A thumb on each side edge, round in the light, with its nail; the arm goes down and out of the picture."""
    height = float(np.linalg.norm(corners[3] - corners[0]))
    outer, inner = (1, 2, 0, 0.42), (0, 3, 1, 0.46)
    # Near the lens it takes both hands; beside the face the other arm would be in the way.
    for near, far, other, at in (outer, inner) if height > 0.5 * frame.shape[0] else (outer,):
        edge = corners[near] + (corners[far] - corners[near]) * at
        inwards = (corners[other] - corners[near]) / np.linalg.norm(corners[other] - corners[near])
        tip = edge + inwards * 0.02 * height
        knuckle = edge - inwards * 0.13 * height + (0, 0.055 * height)
        down = 1.25 * frame.shape[0] - knuckle[1]
        wrist = knuckle + np.array([-0.55 * inwards[0] * min(down, height), down])
        for share, tone in zip(np.linspace(1, 0.35, len(_SKIN)), _SKIN, strict=True):
            lift = np.array([0, -0.018 * height * (1 - share)])
            _limb(frame, knuckle + lift, wrist + lift, 0.21 * height * share, tone)
        for share, tone in zip(np.linspace(1, 0.3, len(_SKIN)), _SKIN, strict=True):
            lift = np.array([0, -0.012 * height * (1 - share)])
            _limb(frame, tip + lift, knuckle + lift, 0.085 * height * share, tone)
        along = knuckle - tip
        nail = tip + along * 0.12 + (0, -0.010 * height)
        _limb(frame, nail, nail + along * 0.16, 0.036 * height, _NAIL)


def _limb(
    frame: Image,
    one: npt.NDArray[np.floating],
    other: npt.NDArray[np.floating],
    width: float,
    tone: tuple[int, int, int],
) -> None:
    ends = [tuple(np.round(end * 16).astype(int).tolist()) for end in (one, other)]
    cv2.line(frame, ends[0], ends[1], tone, max(1, round(width)), cv2.LINE_AA, 4)


def _blend(part: Image, over: Image, mask: npt.NDArray[np.uint8]) -> None:
    """`over` where `mask` is 255, `part` where it is 0."""
    alpha = cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB)
    under = cv2.multiply(part, cv2.bitwise_not(alpha), scale=1 / 255)
    cv2.add(under, cv2.multiply(over, alpha, scale=1 / 255), part)
