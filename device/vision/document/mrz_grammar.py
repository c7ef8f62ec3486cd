"""The words in which the layouts of machine readable zones are written: spans, elements, check digits, layouts.

In: nothing. Out: the types that `mrz_layouts.py` fills, the alphabets, and `check_digit` (ICAO Doc 9303-3 section 4).
Positions are counted from 0 here, from 1 in the standards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

FILLER: Final = "<"
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS: Final = "0123456789"
ALPHA: Final = LETTERS + FILLER
ANY: Final = LETTERS + DIGITS + FILLER
SEX: Final = "MFX<"
"""Doc 9303-3 section 4.7 writes unspecified as a filler; X is printed by issuers that copied the visual zone."""
DATE: Final = (DIGITS + FILLER, DIGITS + FILLER, "01<", DIGITS + FILLER, "0123<", DIGITS + FILLER)
"""YYMMDD: what each position may hold, fillers standing for unknown parts."""

WEIGHTS: Final = (7, 3, 1)
"""Doc 9303-3 section 4.9."""
VALUES: Final[Mapping[str, int]] = {
    **{character: index for index, character in enumerate(DIGITS)},
    **{character: index + 10 for index, character in enumerate(LETTERS)},
    FILLER: 0,
}


@dataclass(frozen=True)
class Span:
    """Positions `start` to `stop` (exclusive) of one line."""

    line: int
    start: int
    stop: int

    def of(self, lines: Sequence[str]) -> str:
        """The characters there."""
        return lines[self.line][self.start : self.stop]

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Element:
    """One data element: `alphabet` has one entry for all of its positions, or one for each."""

    name: str
    span: Span
    alphabet: tuple[str, ...] = (ANY,)

    def allowed(self, offset: int) -> str:
        """What the position `offset` of the element may hold."""
        return self.alphabet[offset] if len(self.alphabet) > 1 else self.alphabet[0]


@dataclass(frozen=True)
class CheckDigit:
    """One check digit. `optional` lets a filler stand for the digit of an element that is all fillers."""

    name: str
    at: Span
    over: tuple[Span, ...]
    optional: bool = False
    composite: bool = False


@dataclass(frozen=True)
class Layout:
    """One way to arrange a machine readable zone.

    `document_codes` are the first letters that it begins with. In a layout with a long document number the number's
    check digit stands behind its tail in the optional data, and `number_tail` says where that tail is.
    """

    name: str
    lengths: tuple[int, ...]
    elements: tuple[Element, ...]
    checks: tuple[CheckDigit, ...] = ()
    document_codes: tuple[str, ...] = ()
    issuing_state: str = ""
    number_tail: Span | None = None

    def element(self, name: str) -> Element | None:
        """The element of that name, if the layout has it."""
        return next((element for element in self.elements if element.name == name), None)

    def split(self, text: str) -> tuple[str, ...]:
        """The lines of a text that has them one behind the other."""
        ends = [sum(self.lengths[: number + 1]) for number in range(len(self.lengths))]
        return tuple(text[end - length : end] for end, length in zip(ends, self.lengths, strict=True))

    @property
    def composite(self) -> CheckDigit | None:
        """The check digit over the others, if the layout has one."""
        return next((check for check in self.checks if check.composite), None)


def check_digit(text: str) -> str:
    """Modulus 10 with weights 7, 3, 1 (Doc 9303-3 section 4.9)."""
    return str(sum(VALUES[character] * WEIGHTS[index % 3] for index, character in enumerate(text)) % 10)
