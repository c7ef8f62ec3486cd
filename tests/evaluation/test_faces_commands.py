"""`vouchbox compare` and `vouchbox evaluate faces` from pictures to what they say, on public-domain portraits."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from device.commands.faces import compare, evaluate_faces
from device.errors import InputError
from device.protocol import FmrLevel
from tests.vision.face import pictures

LEVELS = {level.value for level in FmrLevel}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people in two lights each, and a picture of nobody under the name of one of them."""
    folder = tmp_path_factory.mktemp("faces")
    for name, image in (("astronaut", pictures.astronaut()), ("hopper", pictures.hopper())):
        (folder / "images" / name).mkdir(parents=True)
        for number, light in enumerate((1.0, 0.6)):
            write(folder / "images" / name / f"{number}.png", (image * light).astype(np.uint8))
    write(folder / "images" / "hopper" / "cup.png", pictures.coffee())
    rows = ["0,astronaut/0.png,astronaut/1.png,1", "0,hopper/0.png,astronaut/1.png,0"]
    rows += ["1,hopper/0.png,hopper/1.png,1", "1,hopper/1.png,astronaut/0.png,0"]
    (folder / "pairs.csv").write_text("\n".join(["fold,first,second,same", *rows]))
    return folder


def write(path: Path, image: np.ndarray) -> None:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def said(*arguments: object) -> dict:
    result = CliRunner().invoke(evaluate_faces, [str(a) for a in arguments] + ["--json"], catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_two_pictures_of_one_person_match_and_of_two_persons_do_not(dataset: Path) -> None:
    images = dataset / "images"
    same, other = (
        CliRunner().invoke(compare, [str(images / "hopper" / "0.png"), str(images / probe), "--json"])
        for probe in ("hopper/1.png", "astronaut/1.png")
    )
    assert (same.exit_code, other.exit_code) == (0, 1)
    assert json.loads(same.stdout)["result"] == "pass"
    assert json.loads(same.stdout)["fmr"] in LEVELS
    assert json.loads(other.stdout)["score"] < json.loads(same.stdout)["score"]


def test_a_picture_without_a_face_is_said_to_have_none(dataset: Path) -> None:
    images = dataset / "images"
    result = CliRunner().invoke(compare, [str(images / "hopper" / "0.png"), str(images / "hopper" / "cup.png")])
    assert isinstance(result.exception, InputError)
    assert "cup.png" in str(result.exception)


def test_figures_scores_and_worst_pairs_of_a_data_set(dataset: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    found = said(dataset, "--worst", 1, "--scores", tmp_path / "scores.csv", "--report", report)
    assert "<svg" in report.read_text()
    assert (found["images"], found["not_found"], found["genuine_pairs"], found["impostor_pairs"]) == (5, 1, 4, 6)
    assert found["accuracy"] == 1.0
    (genuine,) = found["worst"]["genuine"]
    assert "hopper/cup.png" in (genuine["first"], genuine["second"])
    assert genuine["score"] == -1.0
    (impostor,) = found["worst"]["impostor"]
    assert {Path(impostor[side]).parent.name for side in ("first", "second")} == {"astronaut", "hopper"}
    with (tmp_path / "scores.csv").open() as file:
        scores = {(row["first"], row["second"]): float(row["score"]) for row in csv.DictReader(file)}
    assert scores["hopper/0.png", "hopper/1.png"] > scores["hopper/0.png", "astronaut/1.png"]


def test_a_corrected_label_changes_who_is_who_and_the_report_says_so(dataset: Path, tmp_path: Path) -> None:
    errata, report = tmp_path / "errata.csv", tmp_path / "report.html"
    errata.write_text("file,person\nhopper/cup.png,\n")
    found = said(dataset, "--errata", errata, "--report", report, "--worst", 2)
    assert (found["labels_corrected"], found["genuine_pairs"], found["impostor_pairs"]) == (1, 2, 8)
    page = report.read_text()
    assert "labels corrected" in page
    assert "no curve to draw" in page, "nothing is missed any more"
    assert "Least alike of one person" in page
    assert "hopper/0.png" in page


def test_people_are_told_the_worst_pairs_too(dataset: Path) -> None:
    result = CliRunner().invoke(evaluate_faces, [str(dataset), "--worst", "1"], catch_exceptions=False)
    assert "worst genuine pairs:\n  -1.000" in result.stdout
    assert "worst impostor pairs:" in result.stdout
