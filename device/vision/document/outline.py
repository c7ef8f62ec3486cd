"""Where the document itself is, and its picture cut out straight, for the portrait and for how genuine it looks.

In: an RGB image, and the machine readable zone's lines if there are any. Out: the document's corners and a rectified
image of `DOTS_PER_MM` px a millimetre.

With a zone, the corners follow from the standard sizes: a zone of 30, 36 or 44 characters at 10 characters an inch is
76.2, 91.4 or 111.8 mm wide and stands at the foot of a card or page of known size. Without one, the largest
quadrilateral outline with a card's proportions is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from device.vision.document.geometry import TextBox

DOTS_PER_MM: Final = 6.0
CHARACTER_MM: Final = 2.54  # Doc 9303-3 section 4.4: ten characters an inch
WORK_SIDE: Final = 400  # px, long side of the image in which outlines are looked for

Image = NDArray[np.uint8]
Quad = NDArray[np.float32]


@dataclass(frozen=True)
class Format:
    """A document's size in mm, and how far its last line's middle is above its lower edge."""

    width: float
    height: float
    foot: float


FORMATS: Final = {
    30: Format(85.60, 53.98, 6.0),  # TD1, ISO/IEC 7810 ID-1; Doc 9303-5 section 4
    36: Format(105.0, 74.0, 8.5),  # TD2, ID-2; Doc 9303-6 section 4
    44: Format(125.0, 88.0, 9.0),  # TD3, ID-3; Doc 9303-4 section 4
}


def from_zone(lines: Sequence[tuple[TextBox, int]]) -> Quad | None:
    """(4, 2) float32 corners (top left, top right, bottom right, bottom left), px, from the zone's lines in reading
    order and their numbers of characters; None where these are no standard layout's."""
    if not lines or lines[0][1] not in FORMATS:
        return None
    form = FORMATS[lines[0][1]]
    quads = [box.quad(rise=0.0) for box, _ in lines]
    width = lines[0][1] * CHARACTER_MM
    pitch = float(np.median([box.length / count for box, count in lines]))
    spacing = 2.4 * CHARACTER_MM
    if len(lines) > 1:
        middles = [np.array(box.centre) for box, _ in lines]
        steps = [float(np.linalg.norm(after - before)) for before, after in pairwise(middles)]
        spacing = float(np.median(steps)) / pitch * CHARACTER_MM
    left = (form.width - width) / 2
    source, target = [], []
    for index, quad in enumerate(quads):
        y = form.height - form.foot - (len(lines) - 1 - index) * spacing
        source += [(left, y), (left + width, y)]
        target += [quad[0], quad[1]]
    map_: NDArray[np.float64] | None = cv2.estimateAffinePartial2D(
        np.array(source, np.float32), np.array(target, np.float32)
    )[0]  # type: ignore[assignment]
    if map_ is None:
        return None
    corners = np.array([(0, 0), (form.width, 0), (form.width, form.height), (0, form.height)], np.float32)
    placed: Quad = (corners @ map_[:, :2].T + map_[:, 2]).astype(np.float32)
    return placed


def from_edges(image: Image) -> Quad | None:
    """(4, 2) float32 corners, px, of the largest outline with a card's or a page's proportions; None if there is none.

    Its upper edge is one of the two long sides; which one, only reading can say.
    """
    scale = min(1.0, WORK_SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (5, 5), 0)
    best: tuple[float, Quad] | None = None
    for channel in cv2.split(small):
        middle = float(np.median(channel))
        edges = cv2.Canny(channel, 0.3 * middle + 10, 0.8 * middle + 30)
        edges = cv2.dilate(edges, np.ones((3, 3), np.uint8))
        contours, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        for contour in contours:
            area = abs(cv2.contourArea(contour))
            if area < 0.06 * size[0] * size[1] or (best is not None and area <= best[0]):
                continue
            hull = cv2.convexHull(contour)
            corners = cv2.approxPolyDP(hull, 0.03 * cv2.arcLength(hull, True), True)[:, 0]
            quad = _ordered(corners.astype(np.float32)) if len(corners) == 4 else None
            if quad is not None and area > 0.85 * cv2.contourArea(quad):
                best = area, (quad + 0.5) / np.float32(scale) - np.float32(0.5)
    return best[1] if best else None


def _ordered(corners: Quad) -> Quad | None:
    """Corners clockwise from the left end of an upper long side; None if the proportions are no card's."""
    if cv2.contourArea(corners, oriented=True) < 0:
        corners = corners[::-1]
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    across, down = (sides[0] + sides[2]) / 2, (sides[1] + sides[3]) / 2
    if not 1.2 < max(across, down) / max(min(across, down), 1e-3) < 1.85:
        return None
    first = 0 if across >= down else 1
    rolled = np.roll(corners, -first, axis=0)
    if rolled[:2, 1].sum() > rolled[2:, 1].sum():
        rolled = np.roll(rolled, 2, axis=0)
    return np.ascontiguousarray(rolled, np.float32)


def rectify(image: Image, quad: Quad) -> Image | None:
    """The document straight, H×W×3 uint8 RGB, at most 125 mm × `DOTS_PER_MM` wide; None if most is out of view."""
    sides = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    across, down = float(sides[0] + sides[2]) / 2, float(sides[1] + sides[3]) / 2
    if across < 60 or down < 40:
        return None
    height, width = image.shape[:2]
    inside = cv2.intersectConvexConvex(quad, np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32))[
        0
    ]
    if inside < 0.6 * abs(cv2.contourArea(quad)):
        return None
    shrink = min(1.0, 125 * DOTS_PER_MM / across)
    size = (max(2, round(across * shrink)), max(2, round(down * shrink)))
    target = np.array([(0, 0), (size[0] - 1, 0), (size[0] - 1, size[1] - 1), (0, size[1] - 1)], np.float32)
    if shrink < 0.5:
        factor = 2 * shrink
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        quad = quad * np.float32(factor)
    map_ = cv2.getPerspectiveTransform(quad, target)
    flat: Image = cv2.warpPerspective(image, map_, size, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    return flat
