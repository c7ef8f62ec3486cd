"""Several references against several probes, at thresholds from a manifest."""

import numpy as np
import pytest

from device.errors import ConfigurationError
from device.protocol import FmrLevel
from device.vision.face.embedder import unit
from device.vision.face.matcher import FaceMatcher, fused_score

THRESHOLDS = {"1e-2": 0.2, "1e-3": 0.3, "1e-4": 0.4, "1e-5": 0.5, "1e-6": 0.6}


def at_cosine(cosine: float) -> list[np.ndarray]:
    return [np.array([cosine, np.sqrt(1 - cosine**2)], dtype=np.float32)]


REFERENCE = [np.array([1, 0], dtype=np.float32)]


@pytest.mark.parametrize(
    ("cosine", "result", "met"),
    [(0.1, False, None), (0.35, False, FmrLevel.E3), (0.45, True, FmrLevel.E4), (0.7, True, FmrLevel.E6)],
)
def test_a_match_says_which_rate_it_meets(cosine: float, result: bool, met: FmrLevel | None) -> None:
    match = FaceMatcher(THRESHOLDS).match(REFERENCE, at_cosine(cosine), FmrLevel.E4)
    assert (match.result, match.met) == (result, met)
    assert match.score == pytest.approx(cosine, abs=1e-6)


def test_averaging_noisy_frames_brings_the_score_nearer_to_the_face() -> None:
    random = np.random.default_rng(0)
    face = unit(random.normal(size=64).astype(np.float32))
    frames = [unit(face + 0.15 * random.normal(size=64).astype(np.float32)) for _ in range(6)]
    single = np.mean([fused_score([a], [b]) for a in frames[:3] for b in frames[3:]])
    assert fused_score(frames[:3], frames[3:]) > single + 0.1


@pytest.mark.parametrize(
    ("references", "probes"),
    [
        ([], REFERENCE),
        (REFERENCE, []),
        (REFERENCE, [np.zeros(2, dtype=np.float32)]),
        ([REFERENCE[0], -REFERENCE[0]], REFERENCE),
        (REFERENCE, [np.full(2, np.nan, dtype=np.float32)]),
    ],
    ids=["no_reference", "no_probe", "no_face", "cancels_out", "not_a_number"],
)
def test_nothing_to_compare_never_matches(references: list[np.ndarray], probes: list[np.ndarray]) -> None:
    match = FaceMatcher(THRESHOLDS).match(references, probes, FmrLevel.E2)
    assert not match.result
    assert match.met is None


@pytest.mark.parametrize(
    "thresholds",
    [
        {"1e-2": 0.2, "1e-3": 0.3, "1e-4": 0.4, "1e-5": 0.5},
        {**THRESHOLDS, "1e-6": 0.1},
        {**THRESHOLDS, "1e-6": 1.5},
        {**THRESHOLDS, "1e-2": float("nan")},
    ],
    ids=["level_missing", "not_rising", "no_cosine", "not_a_number"],
)
def test_thresholds_that_cannot_be_right_are_refused(thresholds: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        FaceMatcher(thresholds)
