"""The field's error rates: FMR, FNMR, DET curves, APCER, BPCER, and how sure one can be of them.

In: comparison or attack scores, held in memory or streamed in blocks. Out: rates as fractions of one.
Definitions follow ISO/IEC 19795-1 (false match and non-match rate) and ISO/IEC 30107-3 (attack and bona fide
presentation classification error rates). Everywhere, a comparison matches, and a presentation is called an attack, when
its score is at or above the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int64]

BINS: Final = 1 << 18
"""Of a histogram over -1..1: thresholds are found to within 8e-6 of a cosine."""


class ScoreHistogram:
    """Counts of scores between -1 and 1, so that any number of comparisons takes the memory of two megabytes."""

    def __init__(self) -> None:
        self.counts: Counts = np.zeros(BINS, dtype=np.int64)

    def add(self, scores: Scores) -> None:
        """Counts more scores; what lies outside -1..1 goes to the end bins."""
        bins = np.clip((np.asarray(scores).ravel() + 1.0) * (BINS / 2), 0, BINS - 1).astype(np.int64)
        self.counts += np.bincount(bins, minlength=BINS)

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def rate_at(self, threshold: float) -> float:
        """Fraction of scores at or above `threshold` (to the bin). Raises `ValueError` if there are no scores."""
        if not self.total:
            raise ValueError("no scores were counted")
        first = int(np.clip(np.floor((threshold + 1.0) * (BINS / 2)), 0, BINS))
        return float(self.counts[first:].sum()) / self.total

    def threshold_at(self, rate: float) -> float:
        """The lowest threshold (a bin's lower edge) that at most the fraction `rate` of scores reaches."""
        if not self.total:
            raise ValueError("no scores were counted")
        reached = np.cumsum(self.counts[::-1])[::-1]
        allowed = np.flatnonzero(reached / self.total <= rate)
        if not len(allowed):
            return float(np.nextafter(1.0, 2.0))  # one that not even a cosine of 1 reaches
        return int(allowed[0]) * (2.0 / BINS) - 1.0


def fnmr(genuine: Scores, threshold: float) -> float:
    """False non-match rate: fraction of genuine comparisons below `threshold`."""
    return float(np.mean(np.asarray(genuine) < threshold))


def det_curve(genuine: Scores, impostors: ScoreHistogram, points: int = 200) -> npt.NDArray[np.float64]:
    """(N, 2) pairs of FMR and FNMR from the strictest threshold to FMR 1, evenly spread over the logarithm of FMR."""
    lowest = max(1.0 / impostors.total, 1e-9)
    rates = np.logspace(np.log10(lowest), 0, points)
    reached = np.cumsum(impostors.counts[::-1])[::-1]
    first = np.searchsorted(-reached, -rates * impostors.total)
    thresholds = first * (2.0 / BINS) - 1.0
    ordered = np.sort(np.asarray(genuine))
    return np.column_stack([rates, np.searchsorted(ordered, thresholds, side="left") / len(ordered)])


def equal_error_rate(negatives: Scores, positives: Scores) -> float:
    """Where the rate of `negatives` at or above a threshold equals that of `positives` below it (interpolated)."""
    below, above, _ = _rates(negatives, positives)
    gap = above - below
    crossing = int(np.flatnonzero(gap <= 0)[0])
    if crossing == 0 or gap[crossing] == 0:
        return float((above[crossing] + below[crossing]) / 2)
    part = gap[crossing - 1] / (gap[crossing - 1] - gap[crossing])
    return float(above[crossing - 1] + part * (above[crossing] - above[crossing - 1]))


def area_under_curve(negatives: Scores, positives: Scores) -> float:
    """Chance that a positive scores above a negative, ties counted half (Mann-Whitney)."""
    ordered = np.sort(np.asarray(negatives))
    lower = np.searchsorted(ordered, positives, side="left") + np.searchsorted(ordered, positives, side="right")
    return float(np.mean(lower) / (2 * len(ordered)))


def _rates(
    negatives: Scores, positives: Scores
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of every threshold from low to high: positives below it, negatives at or above it, the threshold."""
    low, high = np.sort(np.asarray(negatives, dtype=np.float64)), np.sort(np.asarray(positives, dtype=np.float64))
    if not len(low) or not len(high):
        raise ValueError("both kinds of scores are needed")
    thresholds = np.append(np.unique(np.concatenate([low, high])), np.inf)
    below = np.searchsorted(high, thresholds, side="left") / len(high)
    above = 1.0 - np.searchsorted(low, thresholds, side="left") / len(low)
    return below, above, thresholds


def tar_at_far(impostors: Scores, genuine: Scores, rate: float) -> float:
    """True accept rate at the lowest threshold that at most `rate` of few, listed impostor comparisons reach."""
    below, above, _ = _rates(impostors, genuine)
    return 1.0 - float(below[int(np.flatnonzero(above <= rate + 1e-9)[0])])


def fold_accuracy(scores: Scores, same: npt.NDArray[np.bool_], folds: npt.NDArray[np.int64]) -> float:
    """Mean accuracy over folds, each judged at the threshold that is best on all the others (LFW, View 2)."""
    results = []
    for fold in np.unique(folds):
        inside = folds == fold
        others = ~inside if (~inside).any() else inside
        threshold = _best_threshold(scores[others], same[others])
        results.append(np.mean((scores[inside] >= threshold) == same[inside]))
    return float(np.mean(results))


def _best_threshold(scores: Scores, same: npt.NDArray[np.bool_]) -> float:
    order = np.argsort(scores)
    ordered, kinds = scores[order], same[order].astype(np.int64)
    # Right when the first k are called different: impostors among them, and genuine ones after them.
    right = np.concatenate([[0], np.cumsum(1 - kinds)]) + kinds.sum() - np.concatenate([[0], np.cumsum(kinds)])
    best = int(np.argmax(right))
    if best == 0:
        return float(ordered[0])
    if best == len(ordered):
        return float(np.nextafter(ordered[-1], np.inf))
    return float((ordered[best - 1] + ordered[best]) / 2)


def bpcer(bona_fide: Scores, threshold: float) -> float:
    """Bona fide presentation classification error rate: bona fide called an attack (ISO/IEC 30107-3)."""
    return float(np.mean(np.asarray(bona_fide) >= threshold))


def threshold_at_bpcer(bona_fide: Scores, rate: float) -> float:
    """The lowest threshold that at most the fraction `rate` of bona fide presentations reaches."""
    ordered = np.sort(np.asarray(bona_fide, dtype=np.float64))
    if not len(ordered):
        raise ValueError("there is no bona fide presentation")
    allowed = int(np.floor(rate * len(ordered) + 1e-9))
    candidates = np.unique(ordered)
    for candidate in candidates:
        if len(ordered) - np.searchsorted(ordered, candidate, side="left") <= allowed:
            return float(candidate)
    return float(np.nextafter(ordered[-1], np.inf))


def apcer(attacks: Mapping[str, Scores], threshold: float) -> dict[str, float]:
    """Attack presentation classification error rate of each species: attacks below the threshold."""
    return {species: float(np.mean(np.asarray(scores) < threshold)) for species, scores in attacks.items()}


def bootstrap_interval(
    statistic: Callable[[Counts], float],
    count: int,
    repeats: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval (Bolle, Ratha, Pankanti, CVIU 93(1), 2004: resample people, not comparisons).

    Args:
        statistic: the figure, given how often each of the `count` people was drawn.
        count: how many people there are.
        repeats: how many resamples.
        level: confidence level.
        seed: of the resampling, so that a report can be made again.
    """
    random = np.random.default_rng(seed)
    figures = [statistic(random.multinomial(count, np.full(count, 1.0 / count))) for _ in range(repeats)]
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
