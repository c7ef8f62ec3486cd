"""Looks for the machine readable zone in one picture: proposals are read, likeliest first, until one is a zone.

In: a grey image. Out: a `Zone`, its lines and what the standard makes of them; an empty one if nothing looks like it.
The number of a Chinese resident identity card, a line of 18 that stands alone, counts as a zone too.

The coarse levels of the picture are searched first (locate.py), and what is found on the first of them is read at once
only if it looks very much like a zone. A zone whose rules hold ends the search at once, one that is seen
as a whole ends it too; the limits on bands and time end it otherwise, with the likeliest of what was read.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from device.protocol import Reason, Result
from device.vision.document import mrz
from device.vision.document.geometry import Grey, Pyramid, TextBox
from device.vision.document.locate import Band, stages
from device.vision.document.mrz import MrzReading
from device.vision.document.mrz_layouts import LAYOUTS
from device.vision.document.national import CardReading, read_resident_card
from device.vision.document.zone import ZoneReader
from device.vision.document.zone_align import LENGTHS, alignments, number_lines
from device.vision.document.zone_line import ZoneLine

LINES_OF: Final = {30: 3, 36: 2, 44: 2}
"""How many lines a zone has by their length; a single line of 30 is a driving licence's (ISO/IEC 18013-2)."""
SWISS: Final = "FA"
"""With it begins the second of three lines of a Swiss licence, of which the first is short (mrz_layouts.py)."""
DIGIT_WORTH: Final = 2.3
"""A check digit that holds is worth as much as ten to one, in the measure of `Zone.rank`."""


@dataclass(frozen=True, eq=False)
class Zone:
    """Lines that could be a zone, top to bottom, and what the standard makes of them; or the line that could be a
    resident card's number, and the card."""

    lines: list[ZoneLine] = field(default_factory=list)
    reading: MrzReading | None = None
    card: CardReading | None = None

    @property
    def holds(self) -> bool:
        """Whether it was read for sure: its rules hold, or all that speaks against it is the calendar."""
        if self.card is not None:
            return self.card.consistent
        return self.reading is not None and self.reading.reason in (None, Reason.DOCUMENT_EXPIRED)

    @property
    def digits_held(self) -> int:
        """How many of its check digits hold; by chance one in ten does."""
        if self.card is not None:
            return sum(result is Result.PASS for result, _ in self.card.number.checks.values())
        return self.reading.digits_held if self.reading is not None else 0

    @property
    def plausible(self) -> bool:
        """Whether it is a zone, right or wrong, and no pattern that looks like characters."""
        if self.card is not None:
            return self.card.plausible
        if self.reading is None:
            return False
        return self.reading.checks["characters"][0] is Result.PASS or self.digits_held > 1

    @property
    def rank(self) -> tuple[bool, float]:
        """By which the likeliest is chosen where none holds. Print beside a zone is about as clear as it is unclear."""
        if not self.lines:
            return False, float("-inf")
        readings = [line.reading for line in self.lines]
        clear = sum(float((one.presence * one.probabilities.max(axis=1) - 0.5).sum()) for one in readings)
        return self.plausible, clear + DIGIT_WORTH * self.digits_held


class ZoneSearch:
    """Searches pictures; `limits` is the table `reader` of `models/document.toml`."""

    def __init__(self, zones: ZoneReader, limits: Mapping[str, float]) -> None:
        self._zones, self._limits = zones, limits
        coarse = int(limits["coarse_bands"])
        self._stages = ((coarse, limits["likely"]), (coarse, 0.0), (int(limits["bands"]), 0.0))

    def find(self, grey: Grey, today: datetime.date) -> Zone:
        """The first zone whose rules hold, else the one that is seen best, looked at again. `grey` is H×W uint8, dark
        print on light."""
        pyramid = Pyramid(grey)
        zone = self._first(pyramid, grey, today)
        if zone.holds or not zone.plausible:
            return zone
        lines = [self._zones.again(pyramid, line) for line in zone.lines]
        return _decoded(lines, today) if zone.card is None else _card(lines[0], today)

    def _first(self, pyramid: Pyramid, grey: Grey, today: datetime.date) -> Zone:
        ends = time.thread_time() + self._limits["budget_ms"] / 1000
        best, tried = Zone(), set[TextBox]()
        for (count, least), bands in zip(self._stages, stages(grey), strict=True):
            for band in _untried([band for band in bands if band.score >= least], tried)[:count]:
                tried.update(band.lines)
                for zone in self._of_band(pyramid, band, today):
                    if zone.holds:
                        return zone
                    best = max(best, zone, key=lambda each: each.rank)
                if self._complete(best) or time.thread_time() > ends:
                    return best
        return best

    def _of_band(self, pyramid: Pyramid, band: Band, today: datetime.date) -> Iterator[Zone]:
        """What the lines of one band could be."""
        start = self._zones.start(pyramid, band)
        if start is None:
            return
        yield from _cards([start.line], today)
        read = self._zones.around(pyramid, band, start)
        yield from _cards([line for line in read if line is not start.line], today)
        for aligned in alignments(read):
            for lines in _candidates(aligned):
                yield _decoded(lines, today)
                if len(lines) == 2 and lines[0].evidence.text.startswith(SWISS):
                    short = self._zones.above(pyramid, lines, LAYOUTS["SWISS-LICENCE"].lengths[0])
                    if short is not None:
                        yield _decoded([short, *lines], today)

    def _complete(self, zone: Zone) -> bool:
        """Whether these are all lines of a zone, seen throughout: then no other band can be it."""
        clarity = min((line.reading.clarity for line in zone.lines), default=0.0)
        return zone.plausible and clarity >= self._limits["complete"]


def _untried(bands: list[Band], tried: set[TextBox]) -> list[Band]:
    """Those with a line that was not read yet."""
    return [band for band in bands if not tried.issuperset(band.lines)]


def _decoded(lines: list[ZoneLine], today: datetime.date) -> Zone:
    return Zone(lines, mrz.decode([line.evidence for line in lines], today))


def _card(line: ZoneLine, today: datetime.date) -> Zone:
    return Zone([line], None, read_resident_card(line.evidence, today))


def _cards(lines: list[ZoneLine], today: datetime.date) -> Iterator[Zone]:
    """Those of the lines that could be a resident card's number."""
    for line in number_lines(lines):
        zone = _card(line, today)
        if zone.card is not None:
            yield zone


def _candidates(lines: list[ZoneLine]) -> list[list[ZoneLine]]:
    """Which of the lines could be a zone together: neighbours of one standard length; the lowest first."""
    found: list[list[ZoneLine]] = []
    for length in LENGTHS:
        same = [line for line in lines if len(line.reading) == length]
        count = LINES_OF[length]
        found.extend(same[start : start + count] for start in range(len(same) - count, -1, -1))
        if length == 30 and len(same) in (1, 2):
            found.extend([line] for line in same)
            found.extend([same] if len(same) == 2 else [])
    return found or ([lines] if lines else [])
