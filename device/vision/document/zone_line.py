"""One line of a machine readable zone as it was read: where it lies, what it says, and whether that is all of it.

In: a strip's map and its `StripReading`. Out: `ZoneLine`, with its box in the image and its `LineEvidence`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.vision.document.evidence import LineEvidence
from device.vision.document.geometry import StripMap, TextBox
from device.vision.document.textline import HEIGHT, StripReading

SLACK: Final = 2  # characters at a line's ends that may have been missed
ENDS: Final = 3  # places beyond a line's end that are looked at; two characters there are no accident
SURE: Final = 0.5  # presence times the likeliest character's probability, of a character that is there for sure
MOST_GROWTH: Final = 10  # places at either end


@dataclass(frozen=True, eq=False)
class ZoneLine:
    """One line as it was read: where it lies, and what it says."""

    place: StripMap
    reading: StripReading
    seen: NDArray[np.float32] | None = None
    """(T, 37) probabilities of its characters where it was looked at more than once."""

    @cached_property
    def box(self) -> TextBox:
        """The straight box around its characters, in the image."""
        ends = self._image(np.array([-0.5, len(self.reading) - 0.5]))
        middle, across = ends.mean(axis=0), ends[1] - ends[0]
        height = float(np.median(self.reading.height)) * float(np.median(np.linalg.norm(self.place.step, axis=1)))
        angle = float(np.arctan2(across[1], across[0]))
        return TextBox((float(middle[0]), float(middle[1])), angle, float(np.hypot(*across)), height)

    @property
    def pitch(self) -> float:
        """Distance of neighbouring characters in the image, px."""
        return self.box.length / len(self.reading)

    @property
    def evidence(self) -> LineEvidence:
        """What a decoder needs of it."""
        probabilities = self.reading.probabilities if self.seen is None else self.seen
        return LineEvidence(probabilities, self.box.quad(rise=0.75), self.cut_off)

    @property
    def cut_off(self) -> bool:
        """Whether clear characters go on beyond one of its ends."""
        count = len(self.reading)
        return any(int(_clear(self.reading.window(at, ENDS)).sum()) >= 2 for at in (-ENDS, count))

    def grown(self) -> ZoneLine:
        """The same line with the clear characters that go on beyond its ends."""
        around, count = self.window(-MOST_GROWTH, len(self.reading) + 2 * MOST_GROWTH), len(self.reading)
        clear = _clear(around.reading)
        left, right = _run(clear[:MOST_GROWTH][::-1]), _run(clear[MOST_GROWTH + count :])
        return self.window(-left, count + left + right) if left or right else self

    def window(self, start: int, count: int) -> ZoneLine:
        """The same line, `count` characters from number `start`."""
        return replace(self, reading=self.reading.window(start, count), seen=None)

    def _image(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        y = np.interp(numbers, np.arange(len(self.reading)), self.reading.middle)
        return self.place.to_image(self.reading.x(numbers), y, HEIGHT)


def _clear(reading: StripReading) -> NDArray[np.bool_]:
    """Which places hold a character for sure."""
    clear: NDArray[np.bool_] = reading.presence * reading.probabilities.max(axis=1) > SURE
    return clear


def _run(clear: NDArray[np.bool_]) -> int:
    """How many places from the first on are clear, gaps of one counted in."""
    last = -1
    for at in np.flatnonzero(clear):
        if at > last + 2:
            break
        last = int(at)
    return last + 1


def clearness(reading: StripReading, length: int) -> NDArray[np.float64]:
    """For the windows of `length` places that begin at -SLACK, …: how much clearer than doubtful their places are."""
    room = max(SLACK, length - len(reading) - SLACK)
    clear = np.pad(reading.presence * reading.probabilities.max(axis=1) - 0.5, (SLACK, room), constant_values=-0.5)
    total = np.concatenate([[0.0], np.cumsum(clear)])
    sums: NDArray[np.float64] = total[length:] - total[:-length]
    return sums
