"""The likeliest text of a machine readable zone under a layout's alphabets and check digits.

In: one row of log-probabilities for each position, and a layout. Out: the best text with and without the check
digits, and how sure the pixels are of it.

All check digits of a zone are sums modulo 10, and the composite is a sum over the others' characters and digits.
A state (sum of the element at hand, sum of the composite) therefore makes an exact search of the whole zone a walk
over about sixty positions and a hundred states: with maxima it finds the best text (Viterbi), with sums the
probability of all texts that the standard allows (forward algorithm).

Positions are counted through all lines of a zone; characters are columns of `evidence.ALPHABET`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.vision.document.evidence import ALPHABET, INDEX
from device.vision.document.mrz_grammar import DIGITS, FILLER, VALUES, WEIGHTS, CheckDigit, Layout, Span

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Columns = dict[int, int]
"""Position to column."""

BLANK: Final = INDEX[FILLER]
_RESIDUES: Final = np.array([VALUES[character] % 10 for character in ALPHABET])
_MEMBERS: Final = tuple(np.flatnonzero(residue == _RESIDUES) for residue in range(10))
_BY_RESIDUE: Final = np.concatenate(_MEMBERS)
_STARTS: Final = np.cumsum([0, *(len(members) for members in _MEMBERS[:-1])])
_FREE, _ELEMENT, _DIGIT = 0, 1, 2


@dataclass(frozen=True)
class Step:
    """One position of a walk: what it is to the element at hand and how much it weighs in the composite (-1: it is the
    composite's own digit)."""

    at: int
    role: int
    weight: int
    composite_weight: int


def places(layout: Layout, span: Span) -> range:
    """The positions of a span."""
    start = sum(layout.lengths[: span.line])
    return range(start + span.start, start + span.stop)


@cache
def alphabets(layout: Layout) -> Mask:
    """(N, 37) which characters each position may hold."""
    allowed = np.zeros((sum(layout.lengths), len(ALPHABET)), bool)
    allowed[:, BLANK] = True
    for element in layout.elements:
        for offset, at in enumerate(places(layout, element.span)):
            allowed[at] = _mask(element.allowed(offset))
    for check in layout.checks:
        allowed[places(layout, check.at)[0]] = _mask(DIGITS)
    allowed.flags.writeable = False
    return allowed


def alphabets_seen(layout: Layout, logs: Array) -> Mask:
    """The same, for evidence: where a filler may stand for a check digit, the pixels at the digit say which it is; if
    it is a filler, its element is all fillers."""
    allowed = alphabets(layout)
    for check in layout.checks:
        at = places(layout, check.at)[0]
        if check.optional and int(logs[at].argmax()) == BLANK:
            allowed = allowed.copy()
            for span in (check.at, *check.over):
                allowed[list(places(layout, span))] = _mask(FILLER)
    return allowed


@cache
def _mask(characters: str) -> Mask:
    allowed = np.zeros(len(ALPHABET), bool)
    allowed[[INDEX[character] for character in characters]] = True
    return allowed


@cache
def element_walk(layout: Layout, check: CheckDigit) -> tuple[Step, ...]:
    """The positions of one element and its check digit alone."""
    cells = [at for span in check.over for at in places(layout, span)]
    steps = [Step(at, _ELEMENT, WEIGHTS[offset % 3], 0) for offset, at in enumerate(cells)]
    return (*steps, Step(places(layout, check.at)[0], _DIGIT, 0, 0))


@cache
def walks(layout: Layout) -> tuple[tuple[Step, ...], ...]:
    """The positions that check digits bind, in the order of the composite; one walk for each element without it."""
    composite = layout.composite
    if composite is None:
        return tuple(element_walk(layout, check) for check in layout.checks)
    simple = {step.at: step for check in layout.checks if not check.composite for step in element_walk(layout, check)}
    cells = [at for span in composite.over for at in places(layout, span)]
    steps: list[Step] = []
    for offset, at in enumerate(cells):
        own = simple.get(at, Step(at, _FREE, 0, 0))
        steps.append(Step(at, own.role, own.weight, WEIGHTS[offset % 3]))
    return ((*steps, Step(places(layout, composite.at)[0], _DIGIT, 0, -1)),)


@cache
def _before(role: int, weight: int, composite_weight: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each residue r and state (f, c) after it: the state before it, as indices (10, 10, 10)."""
    residue, element, composite = np.meshgrid(np.arange(10), np.arange(10), np.arange(10), indexing="ij")
    if composite_weight < 0:
        return np.zeros_like(residue), residue
    if role == _ELEMENT:
        element = (element - weight * residue) % 10
    elif role == _DIGIT:
        element = residue  # the digit is the sum; the next element begins at 0 (`_ended` cuts the others off)
    return element, (composite - composite_weight * residue) % 10


def _ended(step: Step, state: Array, nothing: float) -> Array:
    """After a check digit only the beginning of the next element is left; after the composite, only the end."""
    if step.role == _DIGIT:
        state[1:] = nothing
        if step.composite_weight < 0:
            state[:, 1:] = nothing
    return state


def best_text(steps: tuple[Step, ...], rows: Array) -> tuple[Columns, float]:
    """The likeliest characters that satisfy the walk's check digits, and their log-probability (-inf: there are none).

    rows: (N, 37) log-probabilities, -inf where the alphabet does not allow the character.
    """
    seen = rows[[step.at for step in steps]]
    best = np.maximum.reduceat(seen[:, _BY_RESIDUE], _STARTS, axis=1)
    state = np.full((10, 10), -np.inf)
    state[0, 0] = 0.0
    back: list[NDArray[np.intp]] = []
    for step, likeliest in zip(steps, best, strict=True):
        scores = state[_before(step.role, step.weight, step.composite_weight)] + likeliest[:, None, None]
        back.append(scores.argmax(axis=0))
        state = _ended(step, scores.max(axis=0), -np.inf)
    at = np.unravel_index(int(state.argmax()), state.shape)
    total = float(state[at])
    if not np.isfinite(total):
        return {}, -np.inf
    text: Columns = {}
    position = (int(at[0]), int(at[1]))
    for step, row, residues in zip(reversed(steps), reversed(seen), reversed(back), strict=True):
        residue = int(residues[position])
        members = _MEMBERS[residue]
        text[step.at] = int(members[row[members].argmax()])
        element, composite = _before(step.role, step.weight, step.composite_weight)
        position = (int(element[(residue, *position)]), int(composite[(residue, *position)]))
    return text, total


def log_probability(steps: tuple[Step, ...], rows: Array) -> float:
    """Logarithm of the probability of all texts that satisfy the walk's check digits."""
    seen = rows[[step.at for step in steps]]
    tops = seen.max(axis=1)
    if not np.isfinite(tops).all():
        return -np.inf
    masses = np.add.reduceat(np.exp(seen - tops[:, None])[:, _BY_RESIDUE], _STARTS, axis=1)
    state = np.zeros((10, 10))
    state[0, 0] = 1.0
    total = float(tops.sum())
    for step, mass in zip(steps, masses, strict=True):
        before = state[_before(step.role, step.weight, step.composite_weight)]
        state = _ended(step, np.einsum("rfc,r->fc", before, mass), 0.0)
        scale = float(state.sum())
        if scale <= 0.0:
            return -np.inf
        state /= scale
        total += float(np.log(scale))
    return total


def best_name(rows: Array, restart: float) -> list[int]:
    """The likeliest name field, as columns.

    rows: (T, 37) log-probabilities, -inf where the alphabet does not allow the character. Doc 9303-3 section 4.6: one
    filler between components, two before the given names, fillers only at the end. A letter after three fillers, or
    after a second double filler, costs `restart` on top of what the pixels say.
    """
    letters = rows.copy()
    letters[:, BLANK] = -np.inf
    choice = letters.argmax(axis=1)
    # States: letters before the double filler with 0, 1, 2 fillers behind; after it with 0, 1; the end.
    after_letter = ((0, 0.0), (0, 0.0), (3, 0.0), (3, 0.0), (3, 0.0), (3, -restart))
    after_filler = (1, 2, 5, 4, 5, 5)
    state = [0.0, *[-np.inf] * 5]
    back: list[list[tuple[int, bool]]] = []
    for letter, filler in zip(letters.max(axis=1).tolist(), rows[:, BLANK].tolist(), strict=True):
        following, origin = [-np.inf] * 6, [(0, False)] * 6
        for at, score in enumerate(state):
            to, cost = after_letter[at]
            if score + letter + cost > following[to]:
                following[to], origin[to] = score + letter + cost, (at, True)
            to = after_filler[at]
            if score + filler > following[to]:
                following[to], origin[to] = score + filler, (at, False)
        state = following
        back.append(origin)
    at, text = int(np.argmax(state)), [BLANK] * len(rows)
    for index in range(len(rows) - 1, -1, -1):
        at, is_letter = back[index][at]
        if is_letter:
            text[index] = int(choice[index])
    return text
