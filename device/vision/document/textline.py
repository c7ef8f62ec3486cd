"""Reads one strip of a grey image as a line of OCR-B.

In: a uint8 strip of `HEIGHT` rows with one text line along its middle (capitals about `CAPITAL` px high). Out: a
`StripReading`: the characters' places on an even grid, their class probabilities, and how the line lies in the strip,
so that the caller can cut it again more exactly. The network is `models/text-line.tflite`; it is fully convolutional
and says for every `COLUMN` px which character is there, whether this is a character's centre, and the line's offset,
height and pitch at this place (models/cards/text-line.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from device.vision.inference.manifest import Manifest, Task
from device.vision.inference.model import load_model

# The network's geometry: what it was trained on (models/training/textline_render.py imports these).
HEIGHT: Final = 32  # px, rows of a strip
COLUMN: Final = 4  # px of width per column of the answer
CAPITAL: Final = 16.0  # px, nominal height of a capital letter
PITCH: Final = 17.0  # px, nominal distance of neighbouring characters
OFFSET: Final = 8.0  # px, unit of the offset output

Grey = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]


class StripReading:
    """A line found in a strip: what the network said of every column, and the even grid of characters in it.

    Character number 0 is the first one found, `len(self) - 1` the last; `window` looks at others on the same grid.
    """

    def __init__(self, columns: Columns, grid: Floats, first: int, count: int) -> None:
        self._columns, self._grid = columns, grid
        self._first = first
        number = np.arange(first, first + count)
        self.centres: Floats = np.polyval(grid, number)
        """(T,) float64, x of each character's centre in the strip, px, increasing."""
        place = np.clip(self.centres / COLUMN - 0.5, 0, len(columns.heat) - 1.001)
        outside = (self.centres < 0) | (self.centres > len(columns.heat) * COLUMN)
        self.presence: Floats = np.where(outside, 0.0, _at(_widened(columns.heat), place))
        """(T,) 0…1, how surely the network sees a character's centre there."""
        self.probabilities = softmax(_at(columns.classes, place))
        """(T, 37) float32 over `ALPHABET`, rows summing to 1."""
        self.middle: Floats = HEIGHT / 2 + OFFSET * _at(columns.shape[:, 0], place)
        """(T,) y of the line's middle at each centre, px in the strip."""
        self.height: Floats = CAPITAL * np.exp(_at(columns.shape[:, 1], place))
        """(T,) height of capitals at each centre, px."""

    @property
    def score(self) -> float:
        """Sum of `presence`: about how many characters are surely there."""
        return float(self.presence.sum())

    @property
    def clarity(self) -> float:
        """Mean over the characters of how surely one is there and which it is, 0…1. Low for other print."""
        return float((self.presence * self.probabilities.max(axis=1)).mean())

    def __len__(self) -> int:
        return len(self.centres)

    def window(self, start: int, count: int) -> StripReading:
        """The `count` places of the grid from number `start`, which may be negative."""
        return StripReading(self._columns, self._grid, self._first + start, count)

    def x(self, number: Floats) -> Floats:
        """x (px) of numbers (also fractional) on the grid; beyond the line's ends it goes on straight."""
        last = len(self) - 1
        inner = np.clip(number, 0, last)
        slope = np.polyval(np.polyder(self._grid), self._first + inner)
        place: Floats = np.polyval(self._grid, self._first + inner) + slope * (number - inner)
        return place


@dataclass(frozen=True, eq=False)
class Columns:
    """The network's answer: classes (C, 37) logits, heat (C,) 0…1, shape (C, 3) offset, ln height, ln pitch."""

    classes: Floats
    heat: Floats
    shape: Floats


class TextLineReader:
    """The text-line network and what turns its columns into characters."""

    def __init__(self, manifest: Manifest, threads: int = 1) -> None:
        entry = manifest.default(Task.TEXT_LINE)
        self._model = load_model(manifest, entry, threads)
        self.measurement = self._model.measurement
        self.name = entry.name
        self.width = entry.input.width
        self._scale, self._offset = np.float32(entry.input.scale), np.float32(entry.input.offset)
        self._present = entry.threshold("present")

    def read(self, strip: Grey) -> StripReading | None:
        """The line in a (HEIGHT, width) uint8 strip, or None if there are fewer than four characters."""
        columns = self._columns(strip)
        found = fit_grid(columns.heat, PITCH * np.exp(columns.shape[:, 2]), self._present)
        return StripReading(columns, *found) if found is not None else None

    def read_at(self, strip: Grey, x: Floats) -> NDArray[np.float32]:
        """(T, 37) probabilities of characters whose (T,) centres in the strip, px, are known."""
        columns = self._columns(strip)
        return softmax(_at(columns.classes, np.clip(x / COLUMN - 0.5, 0, len(columns.heat) - 1.001)))

    def _columns(self, strip: Grey) -> Columns:
        tensor = normalise(strip).astype(np.float32) * self._scale + self._offset
        classes, centre, shape = self._model.run(tensor[None, :, :, None])
        return Columns(classes[0], 1 / (1 + np.exp(-centre[0, :, 0])), shape[0])


def normalise(grey: Grey) -> Grey:
    """The strip with its contrast stretched, as the network is trained on."""
    below = np.bincount(grey.ravel(), minlength=256).cumsum()
    low, high = (int(np.searchsorted(below, share * grey.size)) for share in (0.02, 0.98))
    stretched = (grey.astype(np.float32) - low) * (255 / max(high - low, 24))
    whole: Grey = np.clip(stretched, 0, 255).astype(np.uint8)
    return whole


def softmax(logits: Floats) -> NDArray[np.float32]:
    """Probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float32] = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return shares


def fit_grid(heat: Floats, pitch: Floats, present: float) -> tuple[Floats, int, int] | None:
    """The even grid of a line: coefficients of x(number) in px, the first number and the count of characters.

    None if there are fewer than four.

    Args:
        heat: (C,) probability that a column is a character's centre.
        pitch: (C,) the network's estimate of the pitch in px at each column.
        present: heat from which a peak counts.

    OCR-B in a machine readable zone has one pitch (Doc 9303-3 section 4.4), so peaks are numbered by their distances
    and a second-degree polynomial (perspective) is fitted through them; places without a peak (missing ink, glare)
    are filled in by it.
    """
    peaks, strengths = _peaks(heat, present)
    if len(peaks) < 4:
        return None
    columns = np.clip((peaks / COLUMN).astype(int), 0, len(heat) - 1)
    expected = float(np.median(pitch[columns]))
    step = _regular_step(np.diff(peaks), expected)
    steps = np.maximum(np.rint(np.diff(peaks) / step), 0)
    number = np.concatenate([[0], np.cumsum(steps)])
    coefficients = _fit(number, peaks, strengths)
    for _ in range(2):  # renumber with what the whole line says, then fit again without the stray peaks
        number = np.rint(_invert(coefficients, peaks))
        error = np.abs(np.polyval(coefficients, number) - peaks)
        good = error < 0.25 * step
        if good.sum() < 4:
            return None
        coefficients = _fit(number[good], peaks[good], strengths[good])
    first, last = _extent(number[good])
    grid = np.polyval(coefficients, np.arange(first, last + 1))
    return (coefficients, first, last - first + 1) if len(grid) >= 4 and bool(np.all(np.diff(grid) > 0)) else None


def _peaks(heat: Floats, present: float) -> tuple[Floats, Floats]:
    """Local maxima of the heat, refined to a fraction of a column by a parabola: x in px, and their heat."""
    padded = np.concatenate([[0.0], heat, [0.0]])
    left, here, right = padded[:-2], padded[1:-1], padded[2:]
    at = np.flatnonzero((here >= left) & (here > right) & (here + np.maximum(left, right) > 1.3 * present))
    bend = left[at] - 2 * here[at] + right[at]
    shift = np.where(bend < -1e-6, 0.5 * (left[at] - right[at]) / np.minimum(bend, -1e-6), 0.0)
    return (at + 0.5 + np.clip(shift, -0.5, 0.5)) * COLUMN, np.clip(here[at], 0, 1)


def _regular_step(distances: Floats, expected: float) -> float:
    """The pitch: median of the distances that are near the network's estimate."""
    near = distances[(distances > 0.75 * expected) & (distances < 1.25 * expected)]
    return float(np.median(near)) if len(near) >= 3 else expected


def _fit(number: Floats, x: Floats, weight: Floats) -> Floats:
    degree = 2 if np.ptp(number) >= 12 else 1
    full: Floats = np.concatenate([np.zeros(2 - degree), fit_polynomial(number, x, degree, weight)])
    return full


def fit_polynomial(x: Floats, y: Floats, degree: int, weight: Floats) -> Floats:
    """What `numpy.polyfit` gives, in a fifth of its time: by normal equations, scaled as there. The slight ridge
    answers for points that leave the polynomial open."""
    powers = np.vander(x, degree + 1) * weight[:, None]
    scale = np.maximum(np.sqrt((powers**2).sum(axis=0)), 1e-12)
    powers /= scale
    normal = powers.T @ powers + 1e-12 * np.eye(degree + 1)
    coefficients: Floats = np.linalg.solve(normal, powers.T @ (y * weight)) / scale
    return coefficients


def _invert(coefficients: Floats, x: Floats) -> Floats:
    """Number (not rounded) at each x, by Newton's method from the linear part."""
    bend, step, start = coefficients
    number: Floats = (x - start) / max(step, 1e-3)
    for _ in range(4):
        slope = np.maximum(2 * bend * number + step, 0.2 * max(step, 1e-3))
        number = number - (np.polyval(coefficients, number) - x) / slope
    return number


def _extent(number: Floats) -> tuple[int, int]:
    """First and last number of the longest run without a gap of more than four missing characters."""
    number = np.unique(number).astype(int)
    breaks = np.flatnonzero(np.diff(number) > 5)
    runs = np.split(number, breaks + 1)
    longest = max(runs, key=len)
    return int(longest[0]), int(longest[-1])


def _widened(heat: Floats) -> Floats:
    """A column's heat or its stronger neighbour's: centres between two columns leave a little in both."""
    padded = np.concatenate([[0.0], heat, [0.0]])
    wide: Floats = np.maximum(np.maximum(padded[:-2], padded[2:]) * 0.9, padded[1:-1])
    return wide


def _at(values: Floats, place: Floats) -> Floats:
    """Rows of `values` at fractional indices, linearly interpolated."""
    low = place.astype(int)
    share = (place - low).reshape(-1, *([1] * (values.ndim - 1)))
    result: Floats = values[low] * (1 - share) + values[low + 1] * share
    return result
