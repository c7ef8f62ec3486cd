"""The ways in which lines that were read could be a zone: each line as long as the others and as a layout's are.

In: the `ZoneLine`s of a band, top to bottom. Out: the same lines cut or grown to one standard length, likeliest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from device.vision.document.evidence import ALPHABET
from device.vision.document.national import RESIDENT_NUMBER
from device.vision.document.zone_line import SLACK, ZoneLine, clearness

IS_DIGIT: Final = np.array([character.isdigit() for character in ALPHABET])
MOSTLY_DIGITS: Final = 14  # of a resident number's 17 or 18; a smudge or the X may be taken for a letter
LENGTHS: Final = (30, 36, 44)  # characters a line: Doc 9303-5 (TD1), -6 (TD2), -4 (TD3); visas -7 have 36 and 44


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
    other standard length, since print beside a zone is often read as more of it, and a bent line as less."""
    first = align(lines)
    yield first
    taken = {len(line.reading) for line in first}
    if any(line.evidence.cut_off for line in first):  # bent lines are sometimes seen in part at first
        lines = [line.grown() for line in lines]
    longest = max((len(line.reading) for line in lines), default=0)
    for length in reversed(LENGTHS):
        if length <= longest + 2 and {length} != taken:
            yield _cut_to(lines, length)


def _cut_to(lines: Sequence[ZoneLine], length: int) -> list[ZoneLine]:
    """Each line's `length` places from one common left edge on, where the characters of all lines are clearest."""
    along = max(lines, key=lambda line: line.reading.score).box.along
    starts = [float(np.array(line.box.centre) @ along) - line.box.length / 2 for line in lines]
    sums = [clearness(line.reading, length) for line in lines]

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


def number_lines(lines: Sequence[ZoneLine]) -> Iterator[ZoneLine]:
    """Where a resident card's number could be: the clearest places of each line, if they stand alone."""
    for line in lines:
        start = int(clearness(line.reading, RESIDENT_NUMBER).argmax()) - SLACK
        seen = line.reading.probabilities[max(start, 0) : start + RESIDENT_NUMBER].argmax(axis=1)
        if int(IS_DIGIT[seen].sum()) < MOSTLY_DIGITS:  # said at once of nearly every line of a zone
            continue
        number = line.window(start, RESIDENT_NUMBER)
        if not number.cut_off:
            yield number
