"""Machine readable zones: from the characters' probabilities, or from text, to what was printed and whether it holds.

In: `LineEvidence` of the lines (`decode`), or lines of text (`parse`). Out: an `MrzReading`.

Reading and judging are kept apart. The text is what the pixels say; the standard only settles what they leave open.
    1. Choose the layout by the number and length of the lines and by what fits.
    2. Take the best text that the layout's alphabets allow, and the best that also satisfies every check digit.
    3. If the second costs no more than `repair_gap`, it is what was printed. If it costs more, the zone is
       printed with a wrong check digit, and is read as it is printed; elements that are open by themselves are
       settled by their own check digit.
    4. A text whose rules hold is `consistent` only if the pixels carry it: neither much was changed against them nor
       is another text likely, nor does the print go on beyond a line's end (a part of a zone is not one).
ICAO Doc 9303 parts 3 to 7; ISO/IEC 18013-3; the record is docs/decisions/0040.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from device.protocol import Reason, Result
from device.vision.document.evidence import ALPHABET, LineEvidence
from device.vision.document.mrz_checks import PASSED, Answer, judge
from device.vision.document.mrz_decoder import Decoder
from device.vision.document.mrz_fields import DocumentFields
from device.vision.document.mrz_fit import fit_lines
from device.vision.document.mrz_grammar import FILLER, Layout
from device.vision.document.mrz_layouts import LAYOUTS, long_number
from device.vision.document.mrz_search import Array
from device.vision.document.parameters import parameters

DIGITS: Final = frozenset(check.name for layout in LAYOUTS.values() for check in layout.checks)
"""Rules of `MrzReading.checks` that are check digits."""
MAX_TAIL: Final = 6
"""Longest tail of a document number that is looked for; 15 characters are more than any issuer prints."""


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

    @property
    def digits_held(self) -> int:
        """How many of its check digits hold; by chance one in ten does."""
        return sum(name in DIGITS and result is Result.PASS for name, (result, _) in self.checks.items())

    @property
    def certain(self) -> bool:
        """Whether this is a zone for sure, whatever it says: no check digit is wrong, and the pixels carry the text."""
        rules = {*DIGITS, "characters", "evidence"}
        return all(result is Result.PASS for name, (result, _) in self.checks.items() if name in rules)


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
    logs = [np.log(np.maximum(line.probabilities.astype(np.float64), limits["floor"])) for line in lines]
    decoders = [
        Decoder(variant, fitted, limits)
        for layout in LAYOUTS.values()
        if (fitted := fit_lines(layout, logs)) is not None
        for variant in _evidence_variants(layout, fitted)
    ]
    best: Decoder | None = None
    for decoder in sorted(decoders, key=lambda each: -each.ceiling):
        if best is None or (decoder.ceiling > best.score and decoder.score > best.score):
            best = decoder
    if best is None:
        return None
    decoded = best.decode()
    fields, answers = judge(best.layout, decoded.lines, today)
    weak = (
        decoded.gap > limits["repair_gap"]
        or decoded.settled > limits["settled_limit"]
        or decoded.surprise > limits["surprise_limit"]
        or decoded.unaided > limits["unaided_limit"]
        or any(line.cut_off for line in lines)
    )
    answers["evidence"] = (Result.FAIL, Reason.EVIDENCE_WEAK) if weak else PASSED
    return MrzReading(best.layout.name, decoded.lines, fields, answers, decoded.gap, decoded.surprise)


def _evidence_variants(layout: Layout, logs: Array) -> list[Layout]:
    if layout.name not in ("TD1", "TD2"):
        return [layout]
    variants = _number_variants(layout, layout.split("".join(ALPHABET[column] for column in logs.argmax(axis=1))))
    return [layout, *(variant for variant in variants if variant is not layout)]
