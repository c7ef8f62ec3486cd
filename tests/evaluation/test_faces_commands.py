"""`vouchbox compare` and `vouchbox evaluate faces` from pictures to what they say, on public-domain portraits."""

import csv
import json
import tomllib
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import tomli_w
from click.testing import CliRunner

from device.commands.faces import compare, evaluate_faces
from device.errors import InputError
from device.evaluation.calibration import held_back
from device.evaluation.face_data import FaceSet
from device.protocol import FmrLevel
from device.vision.inference.manifest import Manifest, Task, load_manifest
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
    assert json.loads(same.stdout)["guidance"] == {"reference": None, "probe": None}
    assert json.loads(other.stdout)["score"] < json.loads(same.stdout)["score"]


def test_a_blurred_picture_is_compared_and_said_to_be_blurred(dataset: Path, tmp_path: Path) -> None:
    write(tmp_path / "blurred.png", cv2.GaussianBlur(pictures.hopper(), (0, 0), 9))
    arguments = [str(dataset / "images" / "hopper" / "0.png"), str(tmp_path / "blurred.png")]
    assert json.loads(CliRunner().invoke(compare, [*arguments, "--json"]).stdout)["guidance"] == {
        "reference": None,
        "probe": "hold_still",
    }
    assert (
        "the probe is a picture of which a box would say: hold_still" in CliRunner().invoke(compare, arguments).stdout
    )


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


@pytest.mark.parametrize(
    "options",
    [["--calibrate", "--worst", "3"], ["--calibrate", "--report", "page.html"], ["--write"]],
    ids=["calibrate_with_worst", "calibrate_with_report", "write_alone"],
)
def test_options_that_would_be_ignored_are_refused(dataset: Path, options: list[str]) -> None:
    result = CliRunner().invoke(evaluate_faces, [str(dataset), *options])
    assert result.exit_code == 2
    assert "--calibrate" in result.output


@pytest.mark.parametrize("known", [False, True], ids=["nobody_named", "a_folder_a_person"])
def test_thresholds_are_set_on_pairs_of_two_people_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Vectors stand for the faces: the networks are measured elsewhere, thresholds want thousands of faces."""
    manifest = load_manifest()
    bundled = added(tmp_path, manifest)
    names = [name for name in (f"{20 + n % 60}_{n % 2}_0_{n}.png" for n in range(12_000)) if held_back(name)][:1_600]
    for number, name in enumerate(names):
        folder = tmp_path / "set" / "images" / (f"p{number // 2}" if known else "")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    random = np.random.default_rng(4)

    def embed(faces: FaceSet, *_networks: object) -> np.ndarray:
        persons = faces.persons if len(faces.persons) else np.arange(len(faces.files))
        vectors = random.normal(size=(1_600, 64))[persons].astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    monkeypatch.setattr("device.commands.faces.load_manifest", lambda: bundled)
    monkeypatch.setattr("device.commands.faces._embed", embed)
    arguments = [str(tmp_path / "set"), "--calibrate", "--write", "--embedder", "another"]
    result = CliRunner().invoke(evaluate_faces, arguments, catch_exceptions=False)
    found = json.loads(result.stdout)
    assert set(found["thresholds"]) == LEVELS
    assert "male" in found["group_fmr"]
    pairs = 1_600 * 1_599 // 2 - (800 if known else 0)
    assert found["thresholds_from"].endswith(f"1600 faces, {pairs} impostor pairs")
    # Cosines of random directions in 64 dimensions are near to normal with a deviation of 1/8.
    assert found["thresholds"]["1e-2"] == pytest.approx(2.326 / 8, abs=0.01)
    (entry,) = tomllib.loads((tmp_path / "manifest.toml").read_text())["model"]
    assert entry["thresholds"] == found["thresholds"]
    assert entry["thresholds_from"] == found["thresholds_from"]


def added(folder: Path, manifest: Manifest) -> Manifest:
    """A bundle in `folder` with the default embedder's network under another name and no thresholds yet."""
    default = manifest.default(Task.FACE_EMBEDDING)
    (folder / "another.tflite").write_bytes(manifest.path(default).read_bytes())
    left_out = {"thresholds", "thresholds_from", "parameters", "card"}
    entry = {key: value for key, value in msgspec.to_builtins(default).items() if key not in left_out and value}
    entry |= {"name": "another", "file": "another.tflite", "default": False}
    text = tomli_w.dumps({"model": [entry]}).replace('name = "another"', 'name = "another"\nthresholds = {}')
    (folder / "manifest.toml").write_text(text + '\n[model.parameters]\ntemplate = "retail-0095"\n')
    return load_manifest(folders=(folder, *manifest.folders))
