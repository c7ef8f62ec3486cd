"""What the pixels of one text line say, before any standard's grammar is applied to it.

In: nothing but values. Out: `LineEvidence`, which `textline.py` produces and `mrz.py` (and the national numbers)
decode. It holds one probability row per character seen, so that a decoder can search what a standard allows
instead of repairing a text that was already decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<"
"""The characters of a machine readable zone (ICAO Doc 9303-3 section 4.3), in the order of the probability columns."""

INDEX: Final = {character: index for index, character in enumerate(ALPHABET)}


@dataclass(frozen=True, eq=False)
class LineEvidence:
    """One text line.

    probabilities: (T, 37) float32, one row per character position, left to right, each summing to 1 over `ALPHABET`.
    quad: (4, 2) float32, corners of the line in the image's pixels: top left, top right, bottom right, bottom left
        as the line is read (so that they also say which way up it is).
    cut_off: whether print of the same pitch clearly goes on beyond an end, so that this may be a part of a longer line.
    """

    probabilities: NDArray[np.float32]
    quad: NDArray[np.float32]
    cut_off: bool = False

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 2 or self.probabilities.shape[1] != len(ALPHABET):
            raise ValueError(f"probabilities must be (T, {len(ALPHABET)}), not {self.probabilities.shape}")
        if self.quad.shape != (4, 2):
            raise ValueError(f"quad must be (4, 2), not {self.quad.shape}")

    def __len__(self) -> int:
        return int(self.probabilities.shape[0])

    @property
    def text(self) -> str:
        """The most probable character of each position, with no grammar applied."""
        return "".join(ALPHABET[index] for index in self.probabilities.argmax(axis=1))

    @property
    def confidence(self) -> float:
        """Mean of each position's largest probability (0 for an empty line)."""
        return float(self.probabilities.max(axis=1).mean()) if len(self) else 0.0
