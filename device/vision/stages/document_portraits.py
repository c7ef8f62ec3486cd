"""The portraits of one document: the clearest few, of the document that is answered for and of no other.

In: the face on a picture of a document, and the document's number as read in that picture. Out: embeddings for the
match.

Where portrait and text are on one side, a portrait counts only if the number was read beside it: otherwise three views
of one person's card and the page of another's passport, its portrait covered, would make one document. Where they are
on two sides no picture has both, and the portraits have at least to be of one person.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from device.protocol import FmrLevel
from device.vision.face.matcher import FaceMatcher

PORTRAITS_WANTED: Final = 3
"""Views of the portrait that are averaged: successive frames differ in noise and glare, not in the face."""


class _Portrait(NamedTuple):
    rank: float
    embedding: NDArray[np.float32]


class DocumentPortraits:
    """Collects them.

    Args:
        matcher: tells one person's portraits from another's; None if there is no embedder.
    """

    def __init__(self, matcher: FaceMatcher | None) -> None:
        self._matcher = matcher
        self._seen: Counter[str | None] = Counter()
        self._kept: dict[str | None, list[_Portrait]] = {}

    def add(self, rank: float, number: str | None, embedding: NDArray[np.float32] | None) -> None:
        """One more: its rank among them, and the document's number beside it, if one was read."""
        if embedding is not None:
            if self._somebody_else(embedding):
                self._seen.clear()
                self._kept.clear()
            self._kept[number] = _clearest([*self._kept.get(number, []), _Portrait(rank, embedding)])
        self._seen[number] += 1

    def _somebody_else(self, embedding: NDArray[np.float32]) -> bool:
        """Print is small and glares: the level is the one at which the portrait in hand is compared, too."""
        if self._matcher is None or not self._kept:
            return False
        return not self._matcher.match(self.best(None), [embedding], FmrLevel.E2).result

    def seen(self, number: str | None) -> int:
        """How many were seen beside this number; with None, how many in all."""
        return self._seen.total() if number is None else self._seen[number]

    def best(self, number: str | None) -> list[NDArray[np.float32]]:
        """Embeddings of the clearest beside this number; with None, of all."""
        every = [each for kept in self._kept.values() for each in kept]
        counted = self._kept.get(number, []) if number is not None else every
        return [each.embedding for each in _clearest(counted)]


def _clearest(portraits: list[_Portrait]) -> list[_Portrait]:
    return sorted(portraits, key=lambda each: -each.rank)[:PORTRAITS_WANTED]
