"""Reads a band of print as a machine readable zone: which way up, each line cut twice, all lines of one length.

In: an image pyramid, a `Band` that `locate.py` proposes, the text-line reader. Out: the band's lines from top to
bottom as `ZoneLine`s, or none if it is other print; and the ways in which they could be a zone (`alignments`).

A first cut by the proposed box tells how the line really lies (offset, height, pitch, bend); the second cut follows
that, so that every character is 17 px wide and 16 px high whatever the perspective was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.vision.document.evidence import LineEvidence
from device.vision.document.geometry import Pyramid, StripMap, TextBox
from device.vision.document.locate import Band
from device.vision.document.textline import CAPITAL, HEIGHT, PITCH, StripReading, TextLineReader, softmax

LENGTHS: Final = (30, 36, 44)  # characters a line: Doc 9303-5 (TD1), -6 (TD2), -4 (TD3); visas -7 have 36 and 44
MAX_LINES: Final = 6
MAX_COUNT: Final = 47  # characters that fit into a strip at the nominal pitch
SIZES: Final = (0.94, 1.0, 1.06)  # of the strips in which a line is looked at again
SLACK: Final = 2  # characters at a line's ends that may have been missed
MARGIN: Final = 18.0  # px of the strip left free at each end of the first cut


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
        return LineEvidence(probabilities, self.box.quad(rise=0.75))

    def window(self, start: int, count: int) -> ZoneLine:
        """The same line, `count` characters from number `start`."""
        return replace(self, reading=self.reading.window(start, count), seen=None)

    def _image(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        y = np.interp(numbers, np.arange(len(self.reading)), self.reading.middle)
        return self.place.to_image(self.reading.x(numbers), y, HEIGHT)


class ZoneReader:
    """Cuts and reads the lines of bands; `limits` is the table `zone` of `models/document.toml`."""

    def __init__(self, lines: TextLineReader, limits: Mapping[str, float]) -> None:
        self._lines, self._limits = lines, limits

    def read(self, pyramid: Pyramid, band: Band) -> list[ZoneLine]:
        """The lines of one zone in reading order, each as long as it was seen; empty if this is other print."""
        first = self._way_up(pyramid, band)
        if first is None:
            return []
        line, box, turned = first
        boxes = [other.turned() if turned else other for other in band.lines]
        found = [line]
        for other in boxes:
            if len(found) < MAX_LINES and other != box and not _known(other, found):
                self._add(pyramid, found, other)
        self._beside(pyramid, found)
        clearest = max(each.reading.clarity for each in found)
        found = [each for each in found if each.reading.clarity > self._limits["beside"] * clearest]
        down = found[0].box.down
        return sorted(found, key=lambda each: float(np.array(each.box.centre) @ down))

    def again(self, pyramid: Pyramid, line: ZoneLine) -> ZoneLine:
        """The line looked at in several sizes: what depends on how its pixels fell into the strip cancels out.

        Log-probabilities of the n cuts are added and divided by the square root of n, as for frames (fusion.py).
        """
        number = np.arange(len(line.reading)) - (len(line.reading) - 1) / 2
        total = np.zeros(line.reading.probabilities.shape)
        for size in SIZES:
            strip = follow(line, self._lines.width, size).cut(pyramid, HEIGHT)
            seen = self._lines.read_at(strip, number * PITCH * size + (self._lines.width - 1) / 2)
            total += np.log(np.maximum(seen, 1e-6)) / np.sqrt(len(SIZES))
        return replace(line, seen=softmax(total))

    def above(self, pyramid: Pyramid, lines: Sequence[ZoneLine], length: int) -> ZoneLine | None:
        """A line of `length` characters, fewer than any other has, over those found; None if there is none."""
        guess = lines[0].box.moved(0, -self._spacings(list(lines))[0])
        place, reading = self._first_cut(pyramid, guess)
        if reading is None:
            return None
        line = self._second_cut(pyramid, place, reading, least=0.6 * length)
        if line is None:
            return None
        return line.window(int(_sums(line.reading, length).argmax()) - SLACK, length)

    def _way_up(self, pyramid: Pyramid, band: Band) -> tuple[ZoneLine, TextBox, bool] | None:
        """The band's best line, its box, and whether the band stands on its head."""
        boxes = sorted(band.lines, key=lambda box: -box.length)[:2]
        best: tuple[float, StripMap, StripReading, TextBox, bool] | None = None
        enough = 2 * self._limits["characters"]
        for box, turned in ((box, turned) for box in boxes for turned in (False, True)):
            candidate = box.turned() if turned else box
            place, reading = self._first_cut(pyramid, candidate)
            if reading is not None and (best is None or reading.score > best[0]):
                best = reading.score, place, reading, candidate, turned
            if best is not None and best[0] >= enough:
                break
        limits = self._limits
        if best is None or best[0] < 0.6 * limits["characters"] or best[2].clarity < limits["first_clarity"]:
            return None
        line = self._second_cut(pyramid, best[1], best[2])
        if line is None or line.reading.clarity < limits["clarity"]:
            return None
        return line, best[3], best[4]

    def _first_cut(self, pyramid: Pyramid, box: TextBox) -> tuple[StripMap, StripReading | None]:
        room = self._lines.width - 2 * MARGIN
        smallest = box.length * CAPITAL / room  # so that the whole box is in the strip
        largest = box.length * CAPITAL / (PITCH * 20)
        place = StripMap.of_box(
            replace(box, height=float(np.clip(box.height, smallest, max(smallest, largest)))),
            self._lines.width,
            CAPITAL,
        )
        return place, self._lines.read(place.cut(pyramid, HEIGHT))

    def _second_cut(
        self, pyramid: Pyramid, place: StripMap, reading: StripReading, least: float | None = None
    ) -> ZoneLine | None:
        """The line cut again along itself, as often as it gets better; None if it has too few characters."""
        best = ZoneLine(place, reading)
        for _ in range(2):
            if len(best.reading) > MAX_COUNT:  # other print beside the zone was taken for more of it
                best = best.window(int(_sums(best.reading, LENGTHS[-1]).argmax()) - SLACK, LENGTHS[-1])
            again = follow(best, self._lines.width)
            second = self._lines.read(again.cut(pyramid, HEIGHT))
            if second is None:
                break
            gain = second.score - best.reading.score
            if gain > -1.0:
                best = ZoneLine(again, second)
            if gain < 1.0:
                break
        return best if best.reading.score >= (self._limits["characters"] if least is None else least) else None

    def _add(self, pyramid: Pyramid, found: list[ZoneLine], box: TextBox) -> bool:
        place, reading = self._first_cut(pyramid, box)
        if reading is None or reading.score < 0.5 * self._limits["characters"]:
            return False
        line = self._second_cut(pyramid, place, reading)
        if line is None or _known(line.box, found):
            return False
        found.append(line)
        return True

    def _beside(self, pyramid: Pyramid, found: list[ZoneLine]) -> None:
        """Looks for lines that the proposal missed, above and below those that were found."""
        wanted = 3 if np.median([len(line.reading) for line in found]) < 33 else 2
        model = max(found, key=lambda line: line.reading.score).box
        for spacing in self._spacings(found):
            for side in (1, -1):
                for steps in (1, 2):
                    if len(found) >= wanted:
                        return
                    guess = model.moved(0, side * steps * spacing)
                    if not _known(guess, found) and not self._add(pyramid, found, guess):
                        break

    def _spacings(self, found: list[ZoneLine]) -> list[float]:
        if len(found) >= 2:
            down = found[0].box.down
            heights = sorted(float(np.array(line.box.centre) @ down) for line in found)
            return [float(np.min(np.diff(heights)))]
        pitch = found[0].pitch
        return [2.0 * pitch, 2.5 * pitch, 1.67 * pitch]


def follow(line: ZoneLine, width: int, size: float = 1.0) -> StripMap:
    """The strip in which the line's characters are evenly `PITCH` apart and `CAPITAL` high, along a straight middle; or
    so many times that."""
    reading = line.reading
    count = len(reading)
    number = (np.arange(width) - (width - 1) / 2) / (PITCH * size) + (count - 1) / 2
    x = reading.x(number)
    sure = reading.presence > 0.3
    weights = np.where(sure, reading.presence, 0.02)
    degree = 2 if sure.sum() >= 12 else 1
    inside = np.clip(x, reading.centres[0], reading.centres[-1])
    bend = np.polyfit(reading.centres, reading.middle, degree, w=weights)
    y = np.polyval(bend, inside) + np.polyval(np.polyder(bend), inside) * (x - inside)
    height = np.polyval(np.polyfit(reading.centres, reading.height, 1, w=weights), inside)
    middle = line.place.to_image(x, y, HEIGHT)
    tangent = np.gradient(middle, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    columns = np.clip(x, 0, len(line.place.step) - 1).astype(int)
    scale = np.linalg.norm(line.place.step[columns], axis=1) * np.clip(height, 6, 30) / (CAPITAL * size)
    return StripMap(middle, normal * scale[:, None])


def align(lines: Sequence[ZoneLine]) -> list[ZoneLine]:
    """The lines with the same number of characters, if they are nearly those of a standard layout."""
    if not lines:
        return []
    typical = float(np.median([len(line.reading) for line in lines]))
    length = min(LENGTHS, key=lambda each: abs(each - typical))
    if abs(length - typical) > 4:
        return list(lines)
    model = max(lines, key=lambda line: line.reading.score - 2 * abs(len(line.reading) - length)).box
    starts = [float((np.array(line.box.centre) - np.array(model.centre)) @ model.along) for line in lines]
    starts = [start - line.box.length / 2 for start, line in zip(starts, lines, strict=True)]
    exact = [start for start, line in zip(starts, lines, strict=True) if len(line.reading) == length]
    common = float(np.median(exact)) if exact else None
    return [_window(line, length, start, common) for line, start in zip(lines, starts, strict=True)]


def _window(line: ZoneLine, length: int, start: float, common: float | None) -> ZoneLine:
    """The `length` places that hold the most characters, and begin where the others do."""
    surplus = len(line.reading) - length
    if surplus == 0:
        return line
    best = (-np.inf, line)
    for shift in range(min(0, surplus) - 1, max(0, surplus) + 2):
        candidate = line.window(shift, length)
        worth = candidate.reading.score
        if common is not None:
            worth -= 2.0 * abs((start + shift * line.pitch - common) / line.pitch)
        best = max(best, (worth, candidate), key=lambda pair: pair[0])
    return best[1]


def alignments(lines: Sequence[ZoneLine]) -> Iterator[list[ZoneLine]]:
    """The ways in which the lines could be a zone: first by how many characters were seen, then as lines of each
    shorter standard length, since print beside a zone is often read as more of it."""
    first = align(lines)
    yield first
    longest = max((len(line.reading) for line in lines), default=0)
    taken = {len(line.reading) for line in first}
    for length in reversed(LENGTHS):
        if length <= longest + 2 and {length} != taken:
            yield _cut_to(lines, length)


def _cut_to(lines: Sequence[ZoneLine], length: int) -> list[ZoneLine]:
    """Each line's `length` places from one common left edge on, where the characters of all lines are clearest."""
    along = max(lines, key=lambda line: line.reading.score).box.along
    starts = [float(np.array(line.box.centre) @ along) - line.box.length / 2 for line in lines]
    sums = [_sums(line.reading, length) for line in lines]

    def shifts(edge: float) -> list[int]:
        wanted = (round((edge - start) / line.pitch) for start, line in zip(starts, lines, strict=True))
        return [min(max(shift, -SLACK), len(run) - 1 - SLACK) for shift, run in zip(wanted, sums, strict=True)]

    edges = [
        start + shift * line.pitch
        for start, line, run in zip(starts, lines, sums, strict=True)
        for shift in range(-SLACK, len(run) - SLACK)
    ]
    best = max(edges, key=lambda edge: sum(run[at + SLACK] for at, run in zip(shifts(edge), sums, strict=True)))
    return [line.window(shift, length) for line, shift in zip(lines, shifts(best), strict=True)]


def _sums(reading: StripReading, length: int) -> NDArray[np.float64]:
    """For the windows of `length` places that begin at -SLACK, …: how much clearer than doubtful their places are."""
    room = max(SLACK, length - len(reading) - SLACK)
    clear = np.pad(reading.presence * reading.probabilities.max(axis=1) - 0.5, (SLACK, room), constant_values=-0.5)
    total = np.concatenate([[0.0], np.cumsum(clear)])
    sums: NDArray[np.float64] = total[length:] - total[:-length]
    return sums


def _known(box: TextBox, found: Sequence[ZoneLine]) -> bool:
    """Whether a line was already read at this place."""
    for line in found:
        known = line.box
        offset = np.array(box.centre) - np.array(known.centre)
        if abs(float(offset @ known.down)) < 0.7 * known.height and abs(float(offset @ known.along)) < known.length:
            return True
    return False
