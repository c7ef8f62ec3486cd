"""Finds where a machine readable zone may be: classical geometry that proposes, for the reader to dispose.

In: a grey image of any size. Out: `Band`s, groups of parallel text lines of one size, the likeliest first. Every
direction is looked for; which way up a band is, only reading it can say.

Dense print is found as black-hat energy (dark strokes narrower than the kernel) with strong gradients along the line,
smoothed a little along it, and compared with the strongest nearby, so that contrast does not matter. This is done on
an image pyramid, since it answers for capitals between about 5 and 13 px. The coarse levels come first, and of them
the half level along the image's rows: it costs a tenth of all, and holds the zone of most pictures that a person takes.

What stands in a zone has one pitch (Doc 9303-3 section 4.4): a line whose ink comes and goes in one rhythm is likelier
to be one than other print.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from device.vision.document.geometry import Grey, TextBox

WORK_SIDE: Final = 1024  # px, long side of the largest level; smaller images are enlarged to it (up to MAX_ENLARGE)
MAX_ENLARGE: Final = 4.0
STAGES: Final = (
    ((0.5, True),),
    ((0.5, False), (0.25, True), (0.25, False)),
    ((1.0, True), (1.0, False)),
)
"""What is searched together, the cheap and likely first: a level's scale, and whether along its rows or its columns."""
MAX_TILT: Final = np.deg2rad(40)
MIN_ASPECT: Final = 7.0  # of a line's length to its height; thirty characters in one line have about 31
MAX_BANDS: Final = 8
MAX_PIECES: Final = 150  # of print on one level; more is texture
MAX_SEEDS: Final = 40  # the longest pieces; a line has at least one that is not short
MAX_LINES: Final = 12  # of one level and orientation, the longest
PARTS: Final = 4  # of a line, in which its rhythm is looked for
PART: Final = 96  # samples in each
ROWS: Final = 7  # of samples, over the line's height
WINDOW: Final = np.hanning(PART)
HARMONICS: Final = np.arange(PART + 1) / (2 * PART)  # cycles a sample
PLAIN: Final = 0.1  # what a line counts that has no rhythm at all: it may be worn


@dataclass(frozen=True)
class Band:
    """Parallel lines, from top to bottom if it is read in the direction of `lines[0].angle`."""

    lines: tuple[TextBox, ...]
    score: float


def find_bands(image: Grey) -> list[Band]:
    """Candidates in an H×W uint8 grey image, in its pixels; at most `MAX_BANDS`."""
    *_, last = stages(image)
    return last


def stages(image: Grey) -> Iterator[list[Band]]:
    """The same with every stage of the search: what is known after each of `STAGES`."""
    lines: list[_Line] = []
    levels: dict[float, tuple[Grey, float]] = {}
    for views in STAGES:
        for factor, upright in views:
            if factor not in levels:
                levels[factor] = _level(image, factor)
            level, scale = levels[factor]
            view = level if upright else np.ascontiguousarray(level.T)
            lines.extend(line.placed(scale, upright) for line in _lines(view))
        bands = sorted(_group(_distinct(lines)), key=lambda band: -band.score)
        yield bands[:MAX_BANDS]


@dataclass(frozen=True)
class _Line:
    """A line and how regular its ink is, 0…1."""

    box: TextBox
    rhythm: float

    def placed(self, scale: float, upright: bool) -> _Line:
        """In the image's pixels, if this is in those of a level."""
        return _Line(_to_image(self.box, scale, upright), self.rhythm)


def _level(image: Grey, factor: float) -> tuple[Grey, float]:
    """The scaled image with its scale."""
    scale = min(WORK_SIDE / max(image.shape), MAX_ENLARGE) * factor
    size = (max(8, round(image.shape[1] * scale)), max(8, round(image.shape[0] * scale)))
    level: Grey = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)  # type: ignore[assignment]
    return level, size[0] / image.shape[1]


def _to_image(box: TextBox, scale: float, upright: bool) -> TextBox:
    x, y = ((value + 0.5) / scale - 0.5 for value in box.centre)
    if upright:
        return TextBox((x, y), box.angle, box.length / scale, box.height / scale)
    return TextBox((y, x), np.pi / 2 - box.angle, box.length / scale, box.height / scale)


def _energy(hat: Grey) -> NDArray[np.float32]:
    """How much dense dark print there is around each pixel, smoothed along rows."""
    gradient = cv2.convertScaleAbs(cv2.Sobel(hat, cv2.CV_16S, 1, 0, ksize=3))
    return cv2.boxFilter(gradient, cv2.CV_32F, (15, 3))  # type: ignore[return-value]


def _lines(view: Grey) -> list[_Line]:
    """Elongated pieces of print along the rows of `view`, in its pixels."""
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (9, 9))
    hat = np.asarray(cv2.morphologyEx(view, cv2.MORPH_BLACKHAT, square), np.uint8)
    energy = _energy(hat)
    small = cv2.resize(energy, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    local = cv2.dilate(small, np.ones((9, 21), np.uint8))
    local = cv2.GaussianBlur(local, (0, 0), 3)
    peak = cv2.resize(local, (view.shape[1], view.shape[0]), interpolation=cv2.INTER_LINEAR)
    mask = (energy > np.maximum(0.5 * peak, 12.0)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((1, 9), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 9), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    pieces = [piece for contour in contours if len(contour) >= 4 and (piece := _piece(contour)) is not None]
    long = [box for box in _joined(pieces) if box.length >= MIN_ASPECT * box.height and box.length > 60]
    long = sorted(long, key=lambda box: -box.length)[:MAX_LINES]
    return [_Line(line, _rhythm(hat, line)) for box in long for line in _rows(energy, box)]


def _piece(contour: cv2.typing.MatLike) -> TextBox | None:
    """The rotated rectangle of one blob, if it lies along the rows and could be part of a line."""
    (x, y), (width, height), degrees = cv2.minAreaRect(contour)
    if width < height:
        width, height, degrees = height, width, degrees - 90
    angle = float(np.deg2rad((degrees + 90) % 180 - 90))
    if width < 14 or height < 3 or width < 1.5 * height or abs(angle) > MAX_TILT:
        return None
    return TextBox((float(x), float(y)), angle, float(width), float(height))


def _joined(pieces: list[TextBox]) -> list[TextBox]:
    """Collinear pieces joined: fillers and worn ink break a line into several."""
    pieces = sorted(pieces, key=lambda box: -box.length)[:MAX_PIECES]
    table = np.array([(*box.centre, box.angle, box.length, box.height) for box in pieces]).reshape(-1, 5)
    free = np.ones(len(pieces), bool)
    joined = []
    for index, box in enumerate(pieces[:MAX_SEEDS]):
        if not free[index]:
            continue
        free[index] = False
        while len(found := np.flatnonzero(free & _collinear(box, table))):
            for other in found:
                box = _union(box, pieces[other])
            free[found] = False
        joined.append(box)
    return joined


def _collinear(box: TextBox, table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows (x, y, angle, length, height) of the table go on where the box ends."""
    offset = table[:, :2] - np.array(box.centre)
    along, down = np.abs(offset @ box.along), np.abs(offset @ box.down)
    gap = along - (box.length + table[:, 3]) / 2
    ratio = table[:, 4] / box.height
    allowed = np.where(table[:, 3] > 6 * table[:, 4], np.deg2rad(4), np.deg2rad(12))
    aligned = np.abs(table[:, 2] - box.angle) < allowed
    close: NDArray[np.bool_] = (gap < 4 * box.height) & (down < 0.45 * box.height) & aligned
    return close & (ratio > 0.5) & (ratio < 2.0)


def _union(box: TextBox, other: TextBox) -> TextBox:
    corners = np.concatenate([box.quad(), other.quad()])
    ends = corners @ box.along
    sides = corners @ box.down
    if other.length > 3 * other.height:  # a long piece far away says more about the direction than either alone
        offset = np.array(other.centre) - np.array(box.centre)
        if abs(offset @ box.along) > 2 * box.height:
            offset = offset * np.sign(offset @ box.along)
            angle = float(np.arctan2(offset[1], offset[0]))
            angle = box.angle + 0.5 * (angle - box.angle)
        else:
            angle = box.angle
    else:
        angle = box.angle
    middle = box.along * (ends.min() + ends.max()) / 2 + box.down * (sides.min() + sides.max()) / 2
    height = max(box.height, other.height)
    return TextBox((float(middle[0]), float(middle[1])), angle, float(np.ptp(ends)), height)


def _sampled(image: NDArray[Any], box: TextBox, length: float, columns: int, height: float, rows: int) -> NDArray[Any]:
    """(rows, columns) samples of a rectangle of `length` by `height` px around the box's centre, turned as it is."""
    across, down = length / max(columns - 1, 1), height / max(rows - 1, 1)
    to_image = np.empty((2, 3))
    to_image[:, 0], to_image[:, 1] = box.along * across, box.down * down
    to_image[:, 2] = np.array(box.centre) - to_image[:, :2] @ ((columns - 1) / 2, (rows - 1) / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, to_image, (columns, rows), flags=flags)


def _rows(energy: NDArray[np.float32], box: TextBox) -> list[TextBox]:
    """The text lines in a box that may hold one or several: runs of its profile across the direction of reading."""
    margin = 0.6 * box.height + 4
    columns, rows = max(8, round(box.length / 3)), round(2 * margin + box.height)
    patch = _sampled(energy, box, 0.96 * box.length, columns, rows - 1, rows)
    profile = patch.mean(axis=1)
    inside = profile > 0.45 * float(profile.max())
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
    lines = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        thick = float(stop - start)
        if start == 0 or stop == rows or thick < 4:
            continue
        height = max(thick - 1.5, 3.0)  # the energy is smoothed over three rows
        lines.append(
            TextBox(box.centre, box.angle, box.length, height).moved(0, (start + stop - 1) / 2 - (rows - 1) / 2)
        )
    return [line for line in lines if line.length > MIN_ASPECT * line.height]


def _rhythm(hat: Grey, box: TextBox) -> float:
    """How much of the line's ink comes and goes at one pitch, 0…1: the share of the strongest frequency that a pitch
    between 0.65 and 1.5 heights has, in the mean over the line's quarters (perspective changes it along the line)."""
    ink = _sampled(hat, box, box.length * (1 - 1 / (PARTS * PART)), PARTS * PART, box.height, ROWS)
    parts = ink.sum(axis=0, dtype=np.float64).reshape(PARTS, PART)
    parts = (parts - parts.mean(axis=1, keepdims=True)) * WINDOW
    power = np.abs(np.fft.rfft(parts, 2 * PART, axis=1)) ** 2
    cycles = HARMONICS * (PARTS * PART / box.length * box.height)  # a height
    pitches = (cycles > 1 / 1.5) & (cycles < 1 / 0.65)
    total = power[:, cycles > 0.25].sum(axis=1)
    at_best = np.where(pitches, power, 0).argmax(axis=1)
    around = np.clip(at_best[:, None] + np.arange(-2, 3), 0, power.shape[1] - 1)
    share = np.take_along_axis(power, around, axis=1).sum(axis=1) / np.maximum(total, 1e-9)
    return float(np.where(total > 0, np.minimum(share, 1), 0).mean())


def _distinct(lines: list[_Line]) -> list[_Line]:
    """Without those that are nearly the same as a longer one (found on two levels)."""
    lines = sorted(lines, key=lambda line: -line.box.length / np.sqrt(line.box.height))
    table = np.array([(*line.box.centre, line.box.length, line.box.height) for line in lines]).reshape(-1, 4)
    free = np.ones(len(lines), bool)
    kept: list[_Line] = []
    for index, line in enumerate(lines):
        if not free[index]:
            continue
        kept.append(line)
        box = line.box
        offset = table[:, :2] - np.array(box.centre)
        beside = np.abs(offset @ box.along) < (box.length + table[:, 2]) / 2
        near = np.abs(offset @ box.down) < 0.5 * np.maximum(box.height, table[:, 3])
        ratio = table[:, 3] / box.height
        free &= ~(beside & near & (ratio > 0.6) & (ratio < 1.7))
    return kept[:60]


def _group(found: list[_Line]) -> list[Band]:
    """Lines with the neighbours that they could form a zone with."""
    bands = []
    taken: set[int] = set()
    boxes = [line.box for line in found]
    for index, box in enumerate(boxes):
        if index in taken:
            continue
        members = [other for other in range(len(boxes)) if other not in taken and _neighbours(box, boxes[other])]
        taken.update(members)
        members.sort(key=lambda member: float(np.array(boxes[member].centre) @ box.down))
        lines = [boxes[member] for member in members]
        worth = [
            _promise(boxes[member]) * _likeness(boxes[member], lines) * (PLAIN + found[member].rhythm)
            for member in members
        ]
        bands.append(Band(tuple(lines), sum(sorted(worth, reverse=True)[:3])))
    return bands


def _neighbours(box: TextBox, other: TextBox) -> bool:
    offset = np.array(other.centre) - np.array(box.centre)
    along, down = abs(float(offset @ box.along)), abs(float(offset @ box.down))
    similar = 0.55 < other.height / box.height < 1.8 and 0.5 < other.length / box.length < 2.0
    aligned = abs(other.angle - box.angle) < np.deg2rad(4)
    return bool(similar and aligned and down < 5.0 * box.height and along < 0.3 * box.length)


def _likeness(box: TextBox, lines: list[TextBox]) -> float:
    """How much another line of the band begins and ends where this one does, as the lines of a zone do."""
    best = 0.5
    for other in lines:
        if other is not box:
            shift = abs(float((np.array(other.centre) - np.array(box.centre)) @ box.along))
            ends = (shift + abs(other.length - box.length) / 2) / box.length
            best = max(best, float(np.exp(-((ends / 0.15) ** 2))))
    return best


def _promise(box: TextBox) -> float:
    """More for what is as long as 30 to 44 characters of its height."""
    aspect = box.length / box.height
    return float(np.exp(-0.5 * (np.log(min(aspect, 33.0) / 33.0) / 0.4) ** 2))
