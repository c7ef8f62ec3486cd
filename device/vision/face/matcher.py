"""Is this the same person: several references against several probes, at a false match rate.

In: embeddings of one face from several frames on either side, and the thresholds that the manifest has for the
embedder. Out: `Match`. What is told is the false match rate that is met; the score stays inside vision unless the
policy asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from device.errors import ConfigurationError
from device.protocol import FmrLevel
from device.vision.face.embedder import Embedding, unit

STRICTEST_FIRST: Final = tuple(reversed(FmrLevel))
_HINT: Final = "`vouchbox evaluate faces --calibrate --write FOLDER` sets them"


@dataclass(frozen=True)
class Match:
    """`score` is a cosine, -1..1; `result` says whether it reaches the threshold of the level asked for; `met` is the
    strictest level whose threshold it reaches, None if it reaches none."""

    score: float
    result: bool
    met: FmrLevel | None


class FaceMatcher:
    """Compares embeddings of one embedder.

    Args:
        thresholds: cosine at and above which two faces match, by false match rate ("1e-4"): an entry's `thresholds`.

    Raises:
        ConfigurationError: a threshold is missing, is no cosine, or a stricter level has a lower one.
    """

    def __init__(self, thresholds: Mapping[str, float]):
        missing = [level.value for level in FmrLevel if level.value not in thresholds]
        if missing:
            raise ConfigurationError(
                f"the embedder has no threshold for a false match rate of {', '.join(missing)}; {_HINT}"
            )
        self._thresholds = {level: float(thresholds[level.value]) for level in FmrLevel}
        strict = [self._thresholds[level] for level in STRICTEST_FIRST]
        if not all(-1.0 < value < 1.0 for value in strict) or strict != sorted(strict, reverse=True):
            raise ConfigurationError(f"the embedder's thresholds have to be cosines that rise with strictness; {_HINT}")

    def match(self, references: Sequence[Embedding], probes: Sequence[Embedding], level: FmrLevel) -> Match:
        """Matches the mean of `references` with the mean of `probes` (template averaging; each of length 1).

        Without a reference or a probe, or where they cancel out, nothing matches.
        """
        score = fused_score(references, probes)
        met = next((fmr for fmr in STRICTEST_FIRST if score >= self._thresholds[fmr]), None)
        return Match(score, score >= self._thresholds[level], met)


def fused_score(references: Sequence[Embedding], probes: Sequence[Embedding]) -> float:
    """Cosine between the mean reference and the mean probe, -1..1; -1 if there is nothing to compare."""
    if not references or not probes:
        return -1.0
    first, second = template(references), template(probes)
    if not first.any() or not second.any():
        return -1.0
    return float(np.clip(first @ second, -1.0, 1.0))


def template(embeddings: Sequence[Embedding]) -> Embedding:
    """Several embeddings of one face as one, of length 1: their mean direction."""
    return unit(np.mean([unit(embedding) for embedding in embeddings], axis=0).astype(np.float32))
