"""The rates of presentation attack detection, as ISO/IEC 30107-3 defines them.

In: scores (0 bona fide ... 1 attack) of bona fide presentations and of attacks by species. Out: APCER (attacks of one
species classified as bona fide), BPCER (bona fide classified as attacks), the equal error rate, the area under the ROC,
DET points; exact binomial intervals and a bootstrap over people. A presentation is classified as an attack if its
score is above the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rate:
    """`wrong` of `total`, with the 95 % Clopper-Pearson interval."""

    wrong: int
    total: int

    @property
    def value(self) -> float:
        return self.wrong / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Exact two-sided 95 % bounds (Clopper & Pearson 1934)."""
        if not self.total:
            return 0.0, 1.0
        low = 0.0 if self.wrong == 0 else _bisect(lambda p: 1 - _binomial(self.wrong - 1, self.total, p), 0.025)
        high = 1.0 if self.wrong == self.total else _bisect(lambda p: 1 - _binomial(self.wrong, self.total, p), 0.975)
        return low, high


@dataclass(frozen=True)
class Operating:
    """One threshold: BPCER, and APCER of each species. The worst species is what counts (30107-3, 13.2)."""

    threshold: float
    bpcer: Rate
    apcer: Mapping[str, Rate]

    @property
    def worst(self) -> str:
        """The species that passes most often."""
        return max(self.apcer, key=lambda species: self.apcer[species].value)


def operating_point(bona_fide: Array, attacks: Mapping[str, Array], threshold: float) -> Operating:
    """The rates at `threshold`."""
    return Operating(
        threshold,
        Rate(int((bona_fide > threshold).sum()), len(bona_fide)),
        {name: Rate(int((scores <= threshold).sum()), len(scores)) for name, scores in sorted(attacks.items())},
    )


def threshold_at_bpcer(bona_fide: Array, bpcer: float) -> float:
    """The lowest threshold at which at most the fraction `bpcer` of bona fide presentations is above it."""
    ordered = np.sort(bona_fide)
    allowed = math.floor(bpcer * len(ordered) + 1e-9)
    return float(ordered[len(ordered) - 1 - allowed])


def det_points(bona_fide: Array, attacks: Array) -> tuple[Array, Array]:
    """(APCER, BPCER) over all thresholds, from the one that lets nothing pass to the one that lets all pass."""
    thresholds = np.concatenate([[-np.inf], np.unique(np.concatenate([bona_fide, attacks]))])
    apcer = np.searchsorted(np.sort(attacks), thresholds, side="right") / len(attacks)
    bpcer = 1 - np.searchsorted(np.sort(bona_fide), thresholds, side="right") / len(bona_fide)
    return apcer, bpcer


def equal_error_rate(bona_fide: Array, attacks: Array) -> float:
    """Where APCER (all species pooled) meets BPCER, between the two nearest thresholds linearly."""
    apcer, bpcer = det_points(bona_fide, attacks)
    gap = apcer - bpcer  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    if after == 0 or gap[after] == 0:
        return float(apcer[after] + bpcer[after]) / 2
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(apcer[after - 1] + share * (apcer[after] - apcer[after - 1]))


def area_under_roc(bona_fide: Array, attacks: Array) -> float:
    """The chance that an attack scores above a bona fide presentation, ties counting half (Mann-Whitney)."""
    ordered = np.sort(bona_fide)
    below = np.searchsorted(ordered, attacks, side="left")
    ties = np.searchsorted(ordered, attacks, side="right") - below
    return float((below + 0.5 * ties).sum() / (len(ordered) * len(attacks)))


def bootstrap_eer(
    bona_fide: Array, attacks: Array, people: tuple[Sequence[str], Sequence[str]], rounds: int = 200, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the equal error rate, drawing people and not images, since one person's frames are alike.

    Args:
        bona_fide, attacks: scores.
        people: the subject of each bona fide score, and of each attack score.
    """
    rng = np.random.default_rng(seed)
    subjects = sorted(set(people[0]) | set(people[1]))
    places = [
        {subject: np.flatnonzero(np.array(names) == subject) for subject in subjects} for names in map(list, people)
    ]
    found = []
    for _ in range(rounds):
        drawn = [subjects[index] for index in rng.integers(0, len(subjects), len(subjects))]
        samples = [
            scores[np.concatenate([place[subject] for subject in drawn])]
            for scores, place in zip((bona_fide, attacks), places, strict=True)
        ]
        if all(len(sample) for sample in samples):
            found.append(equal_error_rate(*samples))
    low, high = np.quantile(found, [0.025, 0.975]) if found else (0.0, 1.0)
    return float(low), float(high)


def _binomial(most: int, total: int, p: float) -> float:
    """P(X <= most) for X binomial(total, p)."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return 1.0 if most >= total else 0.0
    log_terms = [
        math.lgamma(total + 1)
        - math.lgamma(k + 1)
        - math.lgamma(total - k + 1)
        + k * math.log(p)
        + (total - k) * math.log1p(-p)
        for k in range(most + 1)
    ]
    return math.fsum(math.exp(term) for term in log_terms)


def _bisect(rising: object, target: float) -> float:
    """The argument in [0, 1] at which a rising function reaches `target`."""
    assert callable(rising)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2
