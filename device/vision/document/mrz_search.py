"""The likeliest text of a machine readable zone under a layout's alphabets and check digits.

In: one row of log-probabilities for each position, and a layout. Out: the best text with and without the check
digits, and how sure the pixels are of it.

All check digits of a zone are sums modulo 10, and the composite is a sum over the others' characters and digits.
A state (sum of the element at hand, sum of the composite) therefore makes an exact search of the whole zone a walk
over about sixty positions and a hundred states: with maxima it finds the best text (Viterbi), with sums the
probability of all texts that the standard allows (forward algorithm).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.vision.document.evidence import ALPHABET, INDEX
from device.vision.document.mrz_layouts import ANY, DIGITS, FILLER, VALUES, WEIGHTS, CheckDigit, Layout

Array = NDArray[np.float64]
Cell = tuple[int, int]
"""Line and position."""

RESIDUES: Final = np.array([VALUES[character] % 10 for character in ALPHABET])
_MEMBERS: Final = tuple(np.flatnonzero(residue == RESIDUES) for residue in range(10))
_FREE, _ELEMENT, _DIGIT = 0, 1, 2


@dataclass(frozen=True)
class Step:
    """One position of a walk: what it is to the element at hand and how much it weighs in the composite."""

    cell: Cell
    role: int
    weight: int
    composite_weight: int


@cache
def mask(characters: str) -> NDArray[np.bool_]:
    """(37,) which of the alphabet's characters these are."""
    allowed = np.zeros(len(ALPHABET), bool)
    allowed[[INDEX[character] for character in characters]] = True
    return allowed


def alphabets(layout: Layout, lines: list[Array]) -> dict[Cell, str]:
    """What each cell may hold. Where a filler may stand for a check digit, the pixels at the digit say which it is:
    if it is a filler, its element is all fillers."""
    allowed = {
        (line, index): FILLER for line, length in enumerate(layout.lengths) for index in range(length)
    }  # fmt: skip
    for element in layout.elements:
        for offset in range(len(element.span)):
            allowed[element.span.line, element.span.start + offset] = element.allowed(offset)
    for check in layout.checks:
        at = (check.at.line, check.at.start)
        allowed[at] = DIGITS
        if check.optional and lines[at[0]][at[1]].argmax() == INDEX[FILLER]:
            allowed[at] = FILLER
            for span in check.over:
                allowed |= {(span.line, index): FILLER for index in range(span.start, span.stop)}
    return allowed


def walks(layout: Layout) -> list[list[Step]]:
    """The positions that check digits bind, in the order of the composite; one walk for each element without it."""
    return [list(walk) for walk in _walks(layout)]


def element_walk(check: CheckDigit) -> list[Step]:
    """The positions of one element and its check digit alone."""
    cells = [(span.line, index) for span in check.over for index in range(span.start, span.stop)]
    steps = [Step(cell, _ELEMENT, WEIGHTS[offset % 3], 0) for offset, cell in enumerate(cells)]
    return [*steps, Step((check.at.line, check.at.start), _DIGIT, 0, 0)]


@cache
def _walks(layout: Layout) -> tuple[tuple[Step, ...], ...]:
    simple = {step.cell: step for check in layout.checks if not check.composite for step in element_walk(check)}
    composite = layout.composite
    if composite is None:
        return tuple(tuple(element_walk(check)) for check in layout.checks)
    steps: list[Step] = []
    cells = [(span.line, index) for span in composite.over for index in range(span.start, span.stop)]
    for offset, cell in enumerate(cells):
        own = simple.get(cell, Step(cell, _FREE, 0, 0))
        steps.append(Step(cell, own.role, own.weight, WEIGHTS[offset % 3]))
    # The composite digit is checked like an element's digit, once the sum of the composite is that element's.
    return ((*steps, Step((composite.at.line, composite.at.start), _DIGIT, 0, -1)),)


@cache
def _before(role: int, weight: int, composite_weight: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each residue r and state (f, c) after it: the state before it, as indices (10, 10, 10)."""
    residue, element, composite = np.meshgrid(np.arange(10), np.arange(10), np.arange(10), indexing="ij")
    if role == _ELEMENT:
        before = (element - weight * residue) % 10
    elif role == _DIGIT and composite_weight >= 0:
        before = residue  # the digit is the sum; the next element begins at 0 (others are cut off in `_advance`)
    else:
        before = element
    if composite_weight < 0:
        return np.zeros_like(residue), residue
    return before, (composite - composite_weight * residue) % 10


def best_text(steps: list[Step], rows: Mapping[Cell, Array]) -> tuple[dict[Cell, str], float]:
    """The likeliest characters that satisfy the walk's check digits, and their log-probability (-inf: there are none).

    rows: for each cell (37,) log-probabilities, -inf where the alphabet does not allow the character.
    """
    state = np.full((10, 10), -np.inf)
    state[0, 0] = 0.0
    back: list[NDArray[np.intp]] = []
    for step in steps:
        row = rows[step.cell]
        best = np.array([row[members].max() for members in _MEMBERS])
        element, composite = _before(step.role, step.weight, step.composite_weight)
        scores = state[element, composite] + best[:, None, None]
        back.append(scores.argmax(axis=0))
        state = _cut(step, scores.max(axis=0))
    at = np.unravel_index(int(state.argmax()), state.shape)
    total = float(state[at])
    if not np.isfinite(total):
        return {}, -np.inf
    text: dict[Cell, str] = {}
    position = (int(at[0]), int(at[1]))
    for step, residues in zip(reversed(steps), reversed(back), strict=True):
        residue = int(residues[position])
        members = _MEMBERS[residue]
        text[step.cell] = ALPHABET[int(members[rows[step.cell][members].argmax()])]
        element, composite = _before(step.role, step.weight, step.composite_weight)
        index = (residue, *position)
        position = (int(element[index]), int(composite[index]))
    return text, total


def log_probability(steps: list[Step], rows: Mapping[Cell, Array]) -> float:
    """Logarithm of the probability of all texts that satisfy the walk's check digits."""
    state = np.zeros((10, 10))
    state[0, 0] = 1.0
    total = 0.0
    for step in steps:
        row = rows[step.cell]
        top = float(row.max())
        if not np.isfinite(top):
            return -np.inf
        mass = np.bincount(RESIDUES, np.exp(row - top), minlength=10)
        element, composite = _before(step.role, step.weight, step.composite_weight)
        state = (state[element, composite] * mass[:, None, None]).sum(axis=0)
        if step.role == _DIGIT:
            keep = np.zeros_like(state)
            columns = slice(None) if step.composite_weight >= 0 else slice(0, 1)
            keep[0, columns] = state[0, columns]
            state = keep
        scale = float(state.sum())
        if scale <= 0.0:
            return -np.inf
        state /= scale
        total += top + float(np.log(scale))
    return total


def _cut(step: Step, state: Array) -> Array:
    """After a check digit only the beginning of the next element is left; after the composite, only the end."""
    if step.role != _DIGIT:
        return state
    kept = np.full_like(state, -np.inf)
    columns = slice(None) if step.composite_weight >= 0 else slice(0, 1)
    kept[0, columns] = state[0, columns]
    return kept


def best_name(rows: Array, restart: float) -> tuple[str, float]:
    """The likeliest name field and the log-probability of its characters.

    rows: (T, 37) log-probabilities, -inf where the alphabet does not allow the character. Doc 9303-3 section 4.6: one
    filler between components, two before the given names, fillers only at the end. A letter after three fillers, or
    after a second double filler, costs `restart` on top of what the pixels say.
    """
    fillers = rows[:, INDEX[FILLER]]
    letters = rows.copy()
    letters[:, INDEX[FILLER]] = -np.inf
    best, choice = letters.max(axis=1), letters.argmax(axis=1)
    # States: letters before the double filler with 0, 1, 2 fillers behind; after it with 0, 1; the end.
    moves_letter = {0: (0, 0.0), 1: (0, 0.0), 2: (3, 0.0), 3: (3, 0.0), 4: (3, 0.0), 5: (3, -restart)}
    moves_filler = {0: 1, 1: 2, 2: 5, 3: 4, 4: 5, 5: 5}
    state = [0.0, *[-np.inf] * 5]
    back: list[list[tuple[int, bool]]] = []
    for letter, filler in zip(best, fillers, strict=True):
        following, origin = [-np.inf] * 6, [(0, False)] * 6
        for at, score in enumerate(state):
            to, cost = moves_letter[at]
            for target, value, is_letter in (
                (to, score + letter + cost, True),
                (moves_filler[at], score + filler, False),
            ):
                if value > following[target]:
                    following[target], origin[target] = value, (at, is_letter)
        state = following
        back.append(origin)
    at, text = int(np.argmax(state)), ""
    for index in range(len(rows) - 1, -1, -1):
        at, is_letter = back[index][at]
        text = (ALPHABET[int(choice[index])] if is_letter else FILLER) + text
    picked = rows[np.arange(len(rows)), [INDEX[character] for character in text]]
    return text, float(picked.sum())


__all__ = [
    "ANY",
    "Array",
    "Cell",
    "alphabets",
    "best_name",
    "best_text",
    "element_walk",
    "log_probability",
    "mask",
    "walks",
]
