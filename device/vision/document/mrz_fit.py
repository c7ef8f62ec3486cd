"""Evidence brought to the length that a layout has.

In: log-probabilities of lines whose characters may be miscounted. Out: one row of them for each position of the
layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.vision.document import mrz_search as search
from device.vision.document.mrz_grammar import Layout
from device.vision.document.mrz_search import Array

LENGTH_TOLERANCE: Final = 2
"""A reader that counts characters may miss or invent this many in a line; more is another layout."""


def fit_lines(layout: Layout, lines: Sequence[Array]) -> Array | None:
    """(N, 37) log-probabilities of the layout's positions; None if the lines are not as many, or not about as long."""
    if len(lines) != len(layout.lengths):
        return None
    if any(abs(len(line) - length) > LENGTH_TOLERANCE for line, length in zip(lines, layout.lengths, strict=True)):
        return None
    allowed, fitted, start = search.alphabets(layout), [], 0
    for line, length in zip(lines, layout.lengths, strict=True):
        fitted.append(_fit_line(line, allowed[start : start + length]))
        start += length
    return np.concatenate(fitted)


def _fit_line(rows: Array, allowed: NDArray[np.bool_]) -> Array:
    """(T, 37) made (length, 37): positions are inserted or left out, one at a time, where the rest fits best.

    What a reader miscounts are runs of equal characters, so a place is as good as its five neighbours are alike. What
    is inserted is half its neighbour and half unknown, which no consistent reading can rest on.
    """
    while len(rows) != len(allowed):
        shorter = len(rows) < len(allowed)
        move = 1 if shorter else -1
        stay = [float(np.where(allowed[i], rows[i], -np.inf).max()) for i in range(min(len(rows), len(allowed)))]
        moved = [
            float(np.where(allowed[i + move], rows[i], -np.inf).max()) if i + move >= 0 else 0.0
            for i in range(len(rows))
            if i + move < len(allowed)
        ]
        like = [0.0, *(float(np.log(np.exp(one + two).sum())) for one, two in pairwise(rows))]
        like = [sum(like[max(0, i - 2) : i + 3]) for i in range(len(rows))]
        places = range(1, len(rows))
        totals = [sum(stay[:i]) + sum(moved[i if shorter else i + 1 :]) + like[i] for i in places]
        place = 1 + int(np.argmax(totals))
        if shorter:
            inserted = np.log(0.5 * np.exp(rows[place - 1]) + 0.5 / rows.shape[1])
            rows = np.insert(rows, place, inserted, axis=0)
        else:
            rows = np.delete(rows, place, axis=0)
    return rows
