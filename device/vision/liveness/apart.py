"""Does the card in hand move by itself, or as one picture with the face beside it?

In: of each frame the boxes of the face and of the portrait on the card. Out: how far the portrait has moved against the
face. Its place is told in the face's own width and height and its size in the face's: whoever turns, tilts, shifts or
shrinks one flat picture of a person with a card changes neither.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from device.vision.liveness.parameters import HoldingParameters, load_parameters

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


class Apart:
    """Collects views of a face with a card beside it."""

    def __init__(self, parameters: HoldingParameters | None = None) -> None:
        self._p = parameters or load_parameters().holding
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=self._p.smoothed)
        self._low = np.full(3, np.inf)
        self._high = np.full(3, -np.inf)

    def add(self, face: Box, portrait: Box) -> None:
        """Takes in one frame's boxes. Single views are noisy: what counts is the median of a few in a row."""
        width, height = face[2] - face[0], face[3] - face[1]
        if min(width, height, portrait[2] - portrait[0]) <= 0:
            return
        across = (portrait[0] + portrait[2] - face[0] - face[2]) / 2 / width
        down = (portrait[1] + portrait[3] - face[1] - face[3]) / 2 / height
        self._recent.append((across, down, math.log((portrait[2] - portrait[0]) / width)))
        if len(self._recent) == self._p.smoothed:
            middle = np.median(np.array(self._recent), axis=0)
            self._low, self._high = np.minimum(self._low, middle), np.maximum(self._high, middle)

    @property
    def path(self) -> tuple[float, float]:
        """How far the portrait moved in face sizes, and how much it grew or shrank against the face (0.1: by 10 %)."""
        if not np.isfinite(self._low).all():
            return 0.0, 0.0
        across, down, size = (self._high - self._low).tolist()
        return math.hypot(across, down), math.expm1(size)

    @property
    def moved(self) -> bool:
        """Whether that is more than looking at one picture can seem to be."""
        limits = self._p.moved, self._p.grown
        return any(seen >= limit for seen, limit in zip(self.path, limits, strict=True))
