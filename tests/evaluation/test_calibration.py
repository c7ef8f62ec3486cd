"""Thresholds of known distributions, and writing them into a manifest without harming the rest of it."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from device.errors import ConfigurationError, InputError
from device.evaluation.calibration import calibrate, groups_of, held_back, old_enough, write_thresholds
from device.evaluation.metrics import ScoreHistogram

MANIFEST = """# about all models
[[model]]
name = "first"  # not ours
thresholds = { "1e-2" = 0.1 }

[[model]]
name = "second"
# a comment that stays
file = "second.tflite"

[[model]]
name = "third"
thresholds = { score = 0.5 }
"""


def gaussian(count: int, spread: float = 0.1, extra: int = 0) -> ScoreHistogram:
    counted = ScoreHistogram()
    counted.add(np.random.default_rng(3).normal(0.05, spread, count))
    counted.add(np.full(extra, 0.97))
    return counted


def test_thresholds_of_a_gaussian_are_its_quantiles() -> None:
    found = calibrate(gaussian(4_000_000))
    quantiles = {"1e-2": 2.326, "1e-3": 3.090, "1e-4": 3.719, "1e-5": 4.265, "1e-6": 4.753}
    for level, sigmas in quantiles.items():
        assert found[level] == pytest.approx(0.05 + 0.1 * sigmas, abs=0.02), level


def test_a_few_pairs_of_the_same_person_hardly_move_the_strict_thresholds() -> None:
    clean, stained = calibrate(gaussian(4_000_000)), calibrate(gaussian(4_000_000, extra=100))
    assert stained["1e-6"] == pytest.approx(clean["1e-6"], abs=0.02)


def test_thresholds_rise_with_strictness() -> None:
    values = list(calibrate(gaussian(2_000_000, spread=0.15)).values())
    assert values == sorted(values)
    assert len(set(values)) == len(values)


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(InputError, match="too few"):
        calibrate(gaussian(10_000))


def test_faces_that_do_not_separate_are_refused() -> None:
    alike = ScoreHistogram()
    alike.add(np.random.default_rng(4).normal(0.95, 0.02, 2_000_000))
    with pytest.raises(InputError, match="do not separate"):
        calibrate(alike)


def test_writing_thresholds_leaves_the_rest_of_the_manifest_alone(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(MANIFEST)
    write_thresholds(path, "second", {"1e-2": 0.25, "1e-3": 0.5}, "a set, 7 faces")
    write_thresholds(path, "second", {"1e-2": 0.3, "1e-3": 0.6}, "a set, 8 faces")
    models = {model["name"]: model for model in tomllib.loads(path.read_text())["model"]}
    assert models["second"]["thresholds"] == {"1e-2": 0.3, "1e-3": 0.6}
    assert models["second"]["thresholds_from"] == "a set, 8 faces"
    assert models["first"]["thresholds"] == {"1e-2": 0.1}
    assert models["third"]["thresholds"] == {"score": 0.5}
    assert "# a comment that stays" in path.read_text()


def test_a_data_set_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(MANIFEST)
    write_thresholds(path, "second", {"1e-2": 0.25}, 'my "adult" \\ faces')
    assert tomllib.loads(path.read_text())["model"][1]["thresholds_from"] == 'my "adult" \\ faces'


def test_a_manifest_that_writing_would_break_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    tables = MANIFEST + '[model.parameters]\nmirror = true\n[model.thresholds_from]\nset = "a table"\n'
    path.write_text(tables.replace("thresholds = { score = 0.5 }\n", ""))
    before = path.read_text()
    with pytest.raises(ConfigurationError, match="third"):
        write_thresholds(path, "third", {"1e-2": 0.25}, "a set")
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.toml"]


def test_a_model_that_the_manifest_does_not_describe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(MANIFEST)
    with pytest.raises(ConfigurationError, match="nobody"):
        write_thresholds(path, "nobody", {}, "")


def test_about_one_face_in_six_is_held_back() -> None:
    part = np.mean([held_back(f"{number}.webp") for number in range(6000)])
    assert 0.15 < part < 0.185


@pytest.mark.parametrize(
    ("name", "answer"),
    [("15_0_1_2017.webp", False), ("16_0_1_2017.webp", True), ("anybody.png", True), ("²_1.png", True)],
)
def test_age_is_what_the_file_name_begins_with(name: str, answer: bool) -> None:
    assert old_enough(name, 16) is answer


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("30_0_0_20170112.webp", ("up to 30", "male", "white")),
        ("31_1_2_20170112.webp", ("31 to 50", "female", "asian")),
        ("87_1_4_20170112.webp", ("over 50", "female", "other")),
        ("61_3_20170109150557335.jpg.chip.webp", ()),  # a label is missing, as in three of UTKFace's names
        ("Ann_Example_0001.jpg", ()),
        ("30.jpg", ()),
    ],
)
def test_groups_are_what_the_file_name_says(name: str, groups: tuple[str, ...]) -> None:
    assert groups_of(name) == groups
