"""One layout's account of the evidence: what is printed, what it costs, and how likely it is to be all of it.

In: a layout and log-probabilities of its positions. Out: `Decoded`, the text as printed, and `Decoder.score` by which
layouts are compared. docs/decisions/0040 says when a text is settled by its check digits and when it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.vision.document import mrz_search as search
from device.vision.document.evidence import ALPHABET, INDEX
from device.vision.document.mrz_checks import digit_holds
from device.vision.document.mrz_grammar import Layout
from device.vision.document.mrz_search import BLANK, Array

Text = NDArray[np.intp]
"""(N,) columns of the alphabet."""

CODE_WEIGHT: Final = 4.0
"""The first letter names the document's kind (Doc 9303-3 section 4.4), so it says more of the layout than other
characters: a passport whose last check digit is forged must not be taken for a visa, which has none."""

LOOK_ALIKES: Final = frozenset(
    frozenset(pair) for pair in ("O0", "Q0", "D0", "U0", "I1", "L1", "T1", "Z2", "Z7", "A4", "S5", "G6", "B8", "E3")
)
"""A letter and a digit that worn print and other fonts than OCR-B make one of; the layout says which it is."""
_ALIKE: Final = np.zeros((len(ALPHABET), len(ALPHABET)), bool)
for _pair in LOOK_ALIKES:
    _one, _other = (INDEX[_character] for _character in _pair)
    _ALIKE[_one, _other] = _ALIKE[_other, _one] = True


@dataclass(frozen=True)
class Decoded:
    """A text as printed. `gap`: nats that it costs against the likeliest characters; `settled`: those of them that
    check digits cost. `surprise`: -log of the probability that all of it is right, given what the standard allows, or
    that what breaks a check digit is. `unaided`: the same of the characters under check digits, by the pixels alone."""

    lines: tuple[str, ...]
    gap: float
    settled: float
    surprise: float
    unaided: float


class Decoder:
    """Weighs one layout against the evidence.

    Args:
        layout: what the zone is taken to be.
        logs: (N, 37) log-probabilities of its positions.
        limits: the table [mrz] of `models/document.toml`.
    """

    def __init__(self, layout: Layout, logs: Array, limits: Mapping[str, float]) -> None:
        self.layout, self._logs, self._limits = layout, logs, limits
        self._allowed = search.alphabets_seen(layout, logs)
        self._rows = np.where(self._allowed, logs, -np.inf)
        self._tops = logs.max(axis=1)
        self._walks = search.walks(layout)
        self._free = self._without_check_digits()
        self.ceiling = self._score(held=True)

    @cached_property
    def score(self) -> float:
        """By which layouts are compared; `ceiling` is what it is at most, and cheaper to know."""
        return self._score(held=self._bound[1] <= self._limits["repair_gap"])

    def decode(self) -> Decoded:
        """The text as printed."""
        bound, price = self._bound
        settled = price <= self._limits["repair_gap"]
        text = bound if settled else self._settle_elements()
        surprise = self._surprise(text) if settled else self._doubt(text)
        gap = float((self._tops - self._at(text)).sum())
        return Decoded(self._lines(text), gap, price if settled else 0.0, surprise, self._unaided(text))

    def _at(self, text: Text) -> Array:
        """(N,) log-probabilities of the text's characters."""
        picked: Array = self._logs[np.arange(len(text)), text]
        return picked

    def _lines(self, text: Text) -> tuple[str, ...]:
        return self.layout.split("".join(ALPHABET[column] for column in text))

    def _names(self) -> range:
        element = self.layout.element("names")
        return search.places(self.layout, element.span) if element else range(0)

    def _without_check_digits(self) -> Text:
        """Best text under the alphabets; a character that they do not allow stays if it is too clear to give way."""
        printed, best = self._logs.argmax(axis=1), self._rows.argmax(axis=1)
        price = self._tops - self._rows.max(axis=1)
        limit = np.where(_ALIKE[printed, best], self._limits["look_alike_gap"], self._limits["alphabet_gap"])
        text: Text = np.where(price > limit, printed, best)
        names = self._names()
        if names and self._allowed[names, text[names]].all():
            text[names] = search.best_name(self._rows[names], self._limits["name_restart"])
        return text

    @cached_property
    def _bound(self) -> tuple[Text, float]:
        """Best text that satisfies every check digit, and what it costs against the best without them."""
        lines = self._lines(self._free)
        right = all(digit_holds(check, lines) for check in self.layout.checks)
        if right and self._allowed[np.arange(len(self._free)), self._free].all():
            return self._free, 0.0  # nothing can be likelier than the likeliest text
        text, gap = self._free.copy(), 0.0
        picked = self._at(self._free)
        for walk in self._walks:
            bound, total = search.best_text(walk, self._rows)
            if not bound:
                return text, np.inf
            gap += float(picked[list(bound)].sum()) - total
            text[list(bound)] = list(bound.values())
        return text, gap

    def _score(self, held: bool) -> float:
        """Log-probability of the text as it will be given out, and a nod to check digits that hold: chance makes ten
        texts of a wrong layout for each that satisfies one of its digits."""
        layout = self.layout
        total = float(self._at(self._free).sum()) - float((self._tops - self._rows.max(axis=1)).sum())
        code = layout.element("document_code")
        if code is not None:
            row = self._logs[search.places(layout, code.span)[0]]
            letters = [INDEX[letter] for letter in "".join(layout.document_codes)]
            total += CODE_WEIGHT * float(row[letters].max() - row.max())
        for at, letter in enumerate(layout.issuing_state, start=2):  # national layouts have it on the first line
            total += float(self._logs[at, INDEX[letter]] - self._tops[at])
        return total + (len(layout.checks) * float(np.log(10)) if held else 0.0)

    def _settle_elements(self) -> Text:
        """As printed, but each element whose own check digit settles it at no great cost is settled by it."""
        text = self._free.copy()
        for check in self.layout.checks:
            if check.composite:
                continue
            bound, total = search.best_text(search.element_walk(self.layout, check), self._rows)
            cells = list(bound)
            if bound and float(self._at(text)[cells].sum()) - total <= self._limits["settle_gap"]:
                text[cells] = list(bound.values())
        return text

    def _doubt(self, text: Text) -> float:
        """-log of the probability, among all that can be printed, of what breaks a check digit: a zone is said to be
        printed wrong only if that is clear, whatever the rest of it is."""
        lines = self._lines(text)
        broken = [check for check in self.layout.checks if not digit_holds(check, lines)]
        simple = [check for check in broken if not check.composite]
        if simple:
            cells = {step.at for check in simple for step in search.element_walk(self.layout, check)}
        else:
            cells = {step.at for walk in self._walks for step in walk}
        return float(-self._at(text)[sorted(cells)].sum())

    def _unaided(self, text: Text) -> float:
        """-log of the probability of what check digits bind, among all that the alphabets allow."""
        cells = [step.at for walk in self._walks for step in walk]
        picked = self._at(text)[cells]
        chosen = np.exp(picked)
        others = np.maximum(0.0, np.exp(self._rows[cells]).sum(axis=1) - chosen)
        return float((np.log(chosen + others) - picked).sum())

    def _surprise(self, text: Text) -> float:
        """-log of the probability of the text among all that alphabets and check digits allow."""
        picked = self._at(text)
        open_ = np.ones(len(text), bool)
        total = 0.0
        for walk in self._walks:
            cells = [step.at for step in walk]
            total += search.log_probability(walk, self._rows) - float(picked[cells].sum())
            open_[cells] = False
        chosen = np.exp(picked)
        others = np.maximum(0.0, np.exp(self._rows).sum(axis=1) - chosen)
        # A letter among the fillers that end the name, but for the first two of them, would be a name beginning anew.
        names = self._names()
        end = next((at for at in reversed(names) if text[at] != BLANK), names.stop) + 3
        others[end : names.stop] *= np.exp(-self._limits["name_restart"])
        return max(0.0, total + float((np.log(chosen + others) - picked)[open_].sum()))
