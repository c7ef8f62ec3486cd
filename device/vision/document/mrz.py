"""Machine readable zones: from the characters' probabilities, or from text, to what was printed and whether it holds.

In: `LineEvidence` of the lines (`decode`), or lines of text (`parse`). Out: an `MrzReading`.

Reading and judging are kept apart. The text is what the pixels say; the standard only settles what they leave open.
    1. Choose the layout by the number and length of the lines and by what fits.
    2. Take the best text that the layout's alphabets allow, and the best that also satisfies every check digit.
    3. If the second costs no more than `repair_gap`, it is what was printed. If it costs more, the zone is
       printed with a wrong check digit, and is read as it is printed; elements that are open by themselves are
       settled by their own check digit.
    4. A text whose rules hold is `consistent` only if the pixels carry it: neither much was changed against them nor
       is another text likely.
ICAO Doc 9303 parts 3 to 7; ISO/IEC 18013-3; the record is docs/decisions/0040.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from device.protocol import Reason, Result
from device.vision.document import mrz_search as search
from device.vision.document.evidence import ALPHABET, INDEX, LineEvidence
from device.vision.document.mrz_checks import PASSED, Answer, digit_holds, judge
from device.vision.document.mrz_fields import DocumentFields
from device.vision.document.mrz_fit import fit_lines
from device.vision.document.mrz_layouts import FILLER, LAYOUTS, Layout, long_number
from device.vision.document.mrz_search import Array, Cell
from device.vision.document.parameters import parameters

MAX_TAIL: Final = 6
"""Longest tail of a document number that is looked for; 15 characters are more than any issuer prints."""

CODE_WEIGHT: Final = 4.0
"""The first letter names the document's kind (Doc 9303-3 section 4.4), so it says more of the layout than other
characters: a passport whose last check digit is forged must not be taken for a visa, which has none."""

LOOK_ALIKES: Final = frozenset(
    frozenset(pair) for pair in ("O0", "Q0", "D0", "U0", "I1", "L1", "T1", "Z2", "Z7", "A4", "S5", "G6", "B8", "E3")
)
"""A letter and a digit that worn print and other fonts than OCR-B make one of; the layout says which it is."""


@dataclass(frozen=True)
class MrzReading:
    """A zone as printed, its fields, and the answer of each of its rules.

    `consistent`: every rule holds and the evidence carries the text. `reason` says why not (None if it is).
    `gap`: how many nats the text costs against the likeliest characters; `surprise`: -log of the probability that
    all of it is right, given the standard. Both are 0 for `parse`.
    """

    layout: str
    lines: tuple[str, ...]
    fields: DocumentFields
    checks: Mapping[str, Answer] = field(default_factory=dict)
    gap: float = 0.0
    surprise: float = 0.0

    @property
    def consistent(self) -> bool:
        """Whether every rule holds."""
        return self.reason is None

    @property
    def reason(self) -> Reason | None:
        """The first rule that does not hold."""
        return next((reason for result, reason in self.checks.values() if result is not Result.PASS), None)


def parse(lines: Sequence[str], today: datetime.date) -> MrzReading | None:
    """Judge a zone given as text, exactly as it stands. None if no layout has lines of these lengths."""
    lengths = tuple(len(line) for line in lines)
    candidates = [layout for layout in LAYOUTS.values() if layout.lengths == lengths]
    readings = [
        (_fit_of_text(layout, lines, answers), MrzReading(layout.name, tuple(lines), fields, answers))
        for layout in candidates
        for variant in _number_variants(layout, lines)
        for fields, answers in [judge(variant, lines, today)]
    ]
    return max(readings, key=lambda item: item[0])[1] if readings else None


def _fit_of_text(layout: Layout, lines: Sequence[str], answers: Mapping[str, Answer]) -> tuple[bool, bool, int]:
    """How well a layout explains a text: its document code, its state, then how few of its rules are broken."""
    code = layout.element("document_code")
    state = layout.element("issuing_state")
    codes = code is None or code.span.of(lines)[:1] in layout.document_codes
    states = layout.issuing_state != "" and state is not None and state.span.of(lines) == layout.issuing_state
    failed = sum(result is not Result.PASS for result, _ in answers.values())
    return codes, not layout.issuing_state or states, -failed


def _number_variants(layout: Layout, lines: Sequence[str]) -> list[Layout]:
    """The layout itself, or with the document number's tail in the optional data if a filler says so."""
    number, optional = layout.element("document_number"), layout.element("optional_data")
    if layout.name not in ("TD1", "TD2") or number is None or optional is None:
        return [layout]
    place = layout.checks[0].at.of(lines)
    tail = len(optional.span.of(lines).split(FILLER)[0]) - 1
    if place != FILLER or not 1 <= tail <= MAX_TAIL or FILLER in number.span.of(lines):
        return [layout]
    return [long_number(layout, tail, skip_filler) for skip_filler in (True, False)]


# --- From probabilities ----------------------------------------------------------------------------------------------


def decode(lines: Sequence[LineEvidence], today: datetime.date) -> MrzReading | None:
    """Read a zone from the evidence of its lines, top to bottom. None if no layout has such lines.

    A line may be up to `mrz_fit.LENGTH_TOLERANCE` characters too short or too long: positions are then inserted as
    unknown or left out where that fits the layout best.
    """
    limits = parameters("mrz")
    best: tuple[float, _Decoder] | None = None
    for layout in LAYOUTS.values():
        rows = fit_lines(layout, lines, limits["floor"])
        if rows is None:
            continue
        for variant in _evidence_variants(layout, rows):
            decoder = _Decoder(variant, rows, limits)
            if best is None or decoder.score > best[0]:
                best = decoder.score, decoder
    return best[1].reading(today) if best else None


def _evidence_variants(layout: Layout, rows: list[Array]) -> list[Layout]:
    if layout.name not in ("TD1", "TD2"):
        return [layout]
    text = ["".join(ALPHABET[index] for index in row.argmax(axis=1)) for row in rows]
    return [layout, *(variant for variant in _number_variants(layout, text) if variant is not layout)]


class _Decoder:
    """One layout's account of the evidence."""

    def __init__(self, layout: Layout, lines: list[Array], limits: Mapping[str, float]) -> None:
        self._layout, self._lines, self._limits = layout, lines, limits
        self._allowed = search.alphabets(layout, lines)
        self._rows: dict[Cell, Array] = {
            cell: np.where(search.mask(characters), lines[cell[0]][cell[1]], -np.inf)
            for cell, characters in self._allowed.items()
        }
        self._walks = search.walks(layout)
        self._free = self._without_check_digits()
        self._bound, self._bound_gap = self._with_check_digits()
        self.score = self._score()

    def _without_check_digits(self) -> dict[Cell, str]:
        """Best text under the alphabets; a character that they do not allow stays if it is too clear to give way."""
        text: dict[Cell, str] = {}
        for cell, row in self._rows.items():
            seen = self._lines[cell[0]][cell[1]]
            best = int(row.argmax())
            printed = int(seen.argmax())
            alike = frozenset((ALPHABET[best], ALPHABET[printed])) in LOOK_ALIKES
            if float(seen.max() - row[best]) > self._limits["look_alike_gap" if alike else "alphabet_gap"]:
                best = printed
            text[cell] = ALPHABET[best]
        for element in self._layout.elements:
            if element.name == "names":
                span = element.span
                cells = [(span.line, index) for index in range(span.start, span.stop)]
                if all(text[cell] in self._allowed[cell] for cell in cells):
                    name, _ = search.best_name(
                        np.array([self._rows[cell] for cell in cells]), self._limits["name_restart"]
                    )
                    text |= dict(zip(cells, name, strict=True))
        return text

    def _with_check_digits(self) -> tuple[dict[Cell, str], float]:
        """Best text that satisfies every check digit, and what it costs against the best without them."""
        text, gap = dict(self._free), 0.0
        lines = self._joined(text)
        if all(digit_holds(check, lines) for check in self._layout.checks) and self._all_allowed(text):
            return text, gap  # nothing can be likelier than the likeliest text
        for walk in self._walks:
            bound, total = search.best_text(walk, self._rows)
            if not bound:
                return text, np.inf
            gap += sum(self._at(step.cell, self._free[step.cell]) for step in walk) - total
            text |= bound
        return text, gap

    def _joined(self, text: Mapping[Cell, str]) -> tuple[str, ...]:
        lengths = enumerate(self._layout.lengths)
        return tuple("".join(text[line, index] for index in range(length)) for line, length in lengths)

    def _all_allowed(self, text: Mapping[Cell, str]) -> bool:
        return all(character in self._allowed[cell] for cell, character in text.items())

    def _at(self, cell: Cell, character: str) -> float:
        return float(self._lines[cell[0]][cell[1]][INDEX[character]])

    def _score(self) -> float:
        """Log-probability of the text as it will be given out, and a nod to check digits that hold: chance makes ten
        texts of a wrong layout for each that satisfies one of its digits."""
        codes = "".join(self._layout.document_codes)
        code = self._layout.element("document_code")
        total = sum(self._at(cell, self._free[cell]) for cell in self._free)
        if code is not None:
            row = self._lines[code.span.line][code.span.start]
            total += CODE_WEIGHT * float(row[search.mask(codes)].max() - row.max())
        for number, character in enumerate(self._layout.issuing_state):
            total += self._at((0, 2 + number), character) - float(self._lines[0][2 + number].max())
        held = len(self._layout.checks) if self._bound_gap <= self._limits["repair_gap"] else 0
        return total + held * float(np.log(10)) - self._broken()

    def _broken(self) -> float:
        """What characters cost that stand where the layout has none of their kind."""
        return sum(float(self._lines[cell[0]][cell[1]].max() - self._rows[cell].max()) for cell in self._rows)

    def reading(self, today: datetime.date) -> MrzReading:
        """The text as printed, judged."""
        accepted = self._bound_gap <= self._limits["repair_gap"]
        text = self._bound if accepted else self._settle_elements()
        lines = tuple(
            "".join(text[number, index] for index in range(length))
            for number, length in enumerate(self._layout.lengths)
        )
        fields, answers = judge(self._layout, lines, today)
        gap = sum(float(self._lines[cell[0]][cell[1]].max()) - self._at(cell, text[cell]) for cell in text)
        surprise = self._surprise(text) if accepted else self._doubt(text)
        weak = gap > self._limits["repair_gap"] or surprise > self._limits["surprise_limit"]
        answers["evidence"] = (Result.FAIL, Reason.EVIDENCE_WEAK) if weak else PASSED
        return MrzReading(self._layout.name, lines, fields, answers, gap, surprise)

    def _settle_elements(self) -> dict[Cell, str]:
        """As printed, but each element whose own check digit settles it at no great cost is settled by it."""
        text = dict(self._free)
        for check in self._layout.checks:
            if check.composite:
                continue
            walk = search.element_walk(check)
            bound, total = search.best_text(walk, self._rows)
            if (
                bound
                and sum(self._at(step.cell, text[step.cell]) for step in walk) - total <= self._limits["repair_gap"]
            ):
                text |= bound
        return text

    def _doubt(self, text: Mapping[Cell, str]) -> float:
        """-log of the probability of the text among all that can be printed, whatever the standard says of it: a zone
        is said to be printed wrong only if it is clear that this is what is printed."""
        return float(sum(-self._at(cell, character) for cell, character in text.items()))

    def _name_tail(self, text: Mapping[Cell, str]) -> set[Cell]:
        """The fillers at the end of the name field, but for the first two of them."""
        tail: set[Cell] = set()
        names = self._layout.element("names")
        if names is not None:
            cells = [(names.span.line, index) for index in range(names.span.start, names.span.stop)]
            while cells and text[cells[-1]] == FILLER:
                tail.add(cells.pop())
            tail -= {(line, index + offset) for line, index in cells[-1:] for offset in (1, 2)}
        return tail

    def _surprise(self, text: Mapping[Cell, str]) -> float:
        """-log of the probability of the text among all that alphabets and check digits allow."""
        bound: set[Cell] = set()
        total = 0.0
        for walk in self._walks:
            total += search.log_probability(walk, self._rows) - sum(
                self._at(step.cell, text[step.cell]) for step in walk
            )
            bound |= {step.cell for step in walk}
        tail = self._name_tail(text)
        for cell, row in self._rows.items():
            if cell not in bound:
                chosen = self._at(cell, text[cell])
                others = np.exp(row[np.isfinite(row)]).sum() - np.exp(chosen)
                if cell in tail:  # a letter there would be a name beginning anew
                    others *= np.exp(-self._limits["name_restart"])
                total += float(np.log(np.exp(chosen) + max(0.0, others))) - chosen
        return max(0.0, total)
