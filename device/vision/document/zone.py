"""Reads a band of print as a machine readable zone: which way up, each line cut twice, all lines of one length.

In: an image pyramid, a `Band` that `locate.py` proposes, the text-line reader. Out: the band's lines from top to
bottom as `ZoneLine`s, or none if it is other print. Which of their characters are a zone is said by zone_align.py.

A first cut by the proposed box tells how the line really lies (offset, height, pitch, bend); the second cut follows
that, so that every character is 17 px wide and 16 px high whatever the perspective was. Further lines are cut as the
first one lies, and only cut again where they do not lie so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from device.vision.document.geometry import Pyramid, StripMap, TextBox
from device.vision.document.locate import Band
from device.vision.document.textline import (
    CAPITAL,
    HEIGHT,
    PITCH,
    StripReading,
    TextLineReader,
    fit_polynomial,
    softmax,
)
from device.vision.document.zone_align import LENGTHS
from device.vision.document.zone_line import SLACK, ZoneLine, clearness

MAX_LINES: Final = 6
MAX_COUNT: Final = 47  # characters that fit into a strip at the nominal pitch
SIZES: Final = (0.94, 1.0, 1.06)  # of the strips in which a line is looked at again
NEARLY_STRAIGHT: Final = 1.2  # px of the strip, from its middle
NEARLY_AS_HIGH: Final = 0.06  # ln of the height of capitals, and of the pitch, to the nominal ones
MARGIN: Final = 18.0  # px of the strip left free at each end of the first cut


@dataclass(frozen=True, eq=False)
class Start:
    """A band's best line as it was read, the box that it was looked for in, and whether the band stands on its head."""

    line: ZoneLine
    box: TextBox
    turned: bool


class ZoneReader:
    """Cuts and reads the lines of bands; `limits` is the table `zone` of `models/document.toml`."""

    def __init__(self, lines: TextLineReader, limits: Mapping[str, float]) -> None:
        self._lines, self._limits = lines, limits

    def read(self, pyramid: Pyramid, band: Band) -> list[ZoneLine]:
        """The lines of one zone in reading order, each as long as it was seen; empty if this is other print."""
        start = self.start(pyramid, band)
        return self.around(pyramid, band, start) if start is not None else []

    def around(self, pyramid: Pyramid, band: Band, start: Start) -> list[ZoneLine]:
        """The same, where the band's best line is known."""
        boxes = [other.turned() if start.turned else other for other in band.lines]
        found = [start.line]
        for other in boxes:
            if len(found) < MAX_LINES and other != start.box and not _known(other, found):
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
        return line.window(int(clearness(line.reading, length).argmax()) - SLACK, length)

    def start(self, pyramid: Pyramid, band: Band) -> Start | None:
        """The band's best line, whichever way up it stands; None if this is other print."""
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
        return Start(line, best[3], best[4])

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
                best = best.window(int(clearness(best.reading, LENGTHS[-1]).argmax()) - SLACK, LENGTHS[-1])
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
        line = self._like(pyramid, max(found, key=lambda each: each.reading.score), box)
        if line is None:
            place, reading = self._first_cut(pyramid, box)
            if reading is None or reading.score < 0.5 * self._limits["characters"]:
                return False
            line = self._second_cut(pyramid, place, reading)
        if line is None or _known(line.box, found):
            return False
        found.append(line)
        return True

    def _like(self, pyramid: Pyramid, model: ZoneLine, box: TextBox) -> ZoneLine | None:
        """The line at `box` if it lies as another line of its zone does, so that one cut is as good as two."""
        down = float((np.array(box.centre) - np.array(model.box.centre)) @ model.box.down)
        place = follow(model, self._lines.width).moved(model.box.down * down)
        reading = self._lines.read(place.cut(pyramid, HEIGHT))
        if reading is None or reading.score < self._limits["characters"] or not _nominal(reading):
            return None
        return ZoneLine(place, reading)

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


def _nominal(reading: StripReading) -> bool:
    """Whether the line lies in its strip as exactly as a second cut would make it."""
    off = np.abs(reading.middle - HEIGHT / 2)
    size = np.abs(np.log(np.array([reading.height.mean() / CAPITAL, np.diff(reading.centres).mean() / PITCH])))
    return bool(np.quantile(off, 0.9) < NEARLY_STRAIGHT and size.max() < NEARLY_AS_HIGH)


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
    bend = fit_polynomial(reading.centres, reading.middle, degree, weights)
    y = np.polyval(bend, inside) + np.polyval(np.polyder(bend), inside) * (x - inside)
    height = np.polyval(fit_polynomial(reading.centres, reading.height, 1, weights), inside)
    middle = line.place.to_image(x, y, HEIGHT)
    tangent = np.gradient(middle, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    columns = np.clip(x, 0, len(line.place.step) - 1).astype(int)
    scale = np.linalg.norm(line.place.step[columns], axis=1) * np.clip(height, 6, 30) / (CAPITAL * size)
    return StripMap(middle, normal * scale[:, None])


def _known(box: TextBox, found: Sequence[ZoneLine]) -> bool:
    """Whether a line was already read at this place."""
    for line in found:
        known = line.box
        offset = np.array(box.centre) - np.array(known.centre)
        if abs(float(offset @ known.down)) < 0.7 * known.height and abs(float(offset @ known.along)) < known.length:
            return True
    return False
