"""Error rates against values worked out by hand, and against the plain definition on random scores."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from device.evaluation import metrics

few = st.lists(st.integers(-20, 20).map(lambda n: n / 20), min_size=1, max_size=60).map(np.array)


def histogram(scores: np.ndarray) -> metrics.ScoreHistogram:
    counted = metrics.ScoreHistogram()
    counted.add(scores)
    return counted


@given(few, st.floats(0, 1))
@example(np.zeros(1), np.nextafter(1.0, 0.0))  # the largest rate that not even one score of one keeps
@settings(max_examples=60, deadline=None)
def test_threshold_of_a_histogram_is_the_lowest_that_keeps_the_rate(scores: np.ndarray, rate: float) -> None:
    threshold = histogram(scores).threshold_at(rate)
    assert np.mean(scores >= threshold) <= rate
    lower = [value for value in np.append(np.unique(scores), -1.0) if value < threshold - 1e-4]
    if lower:
        assert np.mean(scores >= max(lower)) > rate


def test_a_histogram_filled_in_blocks_counts_the_same() -> None:
    scores = np.random.default_rng(0).uniform(-1, 1, 10_000)
    whole, parts = histogram(scores), metrics.ScoreHistogram()
    for block in np.array_split(scores, 7):
        parts.add(block)
    assert (whole.counts == parts.counts).all()
    assert whole.rate_at(0.5) == pytest.approx(np.mean(scores >= 0.5), abs=2e-4)


def test_a_histogram_without_scores_has_no_rate() -> None:
    with pytest.raises(ValueError, match="no scores"):
        metrics.ScoreHistogram().rate_at(0.0)


def test_fnmr_counts_genuine_scores_below_the_threshold() -> None:
    assert metrics.fnmr(np.array([0.1, 0.4, 0.5, 0.9]), 0.5) == 0.5


def test_equal_error_rate_by_hand() -> None:
    negatives, positives = np.array([0.1, 0.2, 0.3, 0.6]), np.array([0.5, 0.7, 0.8, 0.9])
    assert metrics.equal_error_rate(negatives, positives) == pytest.approx(0.25)
    assert metrics.equal_error_rate(negatives, negatives + 2) == 0.0


def test_area_under_curve_counts_ties_half() -> None:
    assert metrics.area_under_curve(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == pytest.approx(7 / 8)


def test_true_accept_rate_leaves_room_for_as_many_impostors_as_the_rate_allows() -> None:
    impostors, genuine = np.linspace(0, 0.99, 100), np.array([0.5, 0.985, 0.995, 1.0])
    assert metrics.tar_at_far(impostors, genuine, 0.01) == 0.75
    assert metrics.tar_at_far(impostors, genuine, 0.0) == 0.5


def test_fold_accuracy_takes_its_threshold_from_the_other_folds() -> None:
    scores = np.array([0.9, 0.1, 0.8, 0.15, 0.3, 0.9])
    same = np.array([True, False, True, False, True, False])
    folds = np.array([0, 0, 1, 1, 2, 2])
    # The third fold is the wrong way round: judged by the others it is wrong twice, and it may not help itself.
    assert metrics.fold_accuracy(scores, same, folds) == pytest.approx(2 / 3)


def test_det_curve_never_rises() -> None:
    random = np.random.default_rng(1)
    curve = metrics.det_curve(random.normal(0.5, 0.1, 300), histogram(random.normal(0, 0.1, 5000)))
    assert (np.diff(curve[:, 1]) <= 0).all()
    assert curve[-1, 0] == pytest.approx(1.0)


def test_attack_rates_by_species() -> None:
    bona_fide = np.array([0.1, 0.2, 0.3, 0.9])
    threshold = metrics.threshold_at_bpcer(bona_fide, 0.25)
    assert metrics.bpcer(bona_fide, threshold) == 0.25
    rates = metrics.apcer({"print": np.array([0.95, 0.5]), "replay": np.array([0.99, 1.0])}, threshold)
    assert rates == {"print": 0.5, "replay": 0.0}
    assert metrics.bpcer(bona_fide, metrics.threshold_at_bpcer(bona_fide, 0.0)) == 0.0


def test_bootstrap_interval_holds_the_true_mean_and_narrows_with_more_people() -> None:
    random = np.random.default_rng(2)

    def width(count: int) -> float:
        values = random.normal(1.0, 1.0, count)
        low, high = metrics.bootstrap_interval(lambda drawn: float(drawn @ values / drawn.sum()), count)
        assert low < values.mean() < high
        return high - low

    assert width(4000) < width(100)
