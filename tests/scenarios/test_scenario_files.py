"""What a scenario file may say: every built-in one is read, every mistake names its key."""

from pathlib import Path

import pytest

from device.config import VisionConfig
from device.errors import ConfigurationError
from device.protocol import Outcome, Reason, Stage
from device.vision.camera.base import open_camera
from device.vision.camera.emulation.scenario import (
    BUILT_IN,
    Behaviour,
    Holding,
    Scenario,
    built_in_scenarios,
    load_scenario,
)

ASKED_FOR = {
    *("standard", "identity_card", "wrong_person", "expired_document", "tampered_mrz", "no_face", "two_faces"),
    *("covered_camera", "challenge_ignored", "walks_away"),
    *("camera_lost", "camera_frozen", "camera_black", "camera_slow"),
}
OUTCOMES = {outcome.value for outcome in Outcome} | {reason.value for reason in Reason}


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_every_scenario_that_the_demo_promises_is_built_in() -> None:
    assert set(built_in_scenarios()) >= ASKED_FOR


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN.glob("*.toml")))
def test_a_built_in_scenario_is_read_and_expects_something_that_a_verdict_can_say(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.summary.endswith(".")
    assert scenario.expected in OUTCOMES


def test_what_a_file_does_not_say_is_as_in_the_standard_scenario(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, 'summary = "x"\n[person]\nbehaviour = "ignores"\n'))
    assert scenario.person.behaviour is Behaviour.IGNORES
    assert scenario.document == Scenario(summary="x").document


def test_how_a_document_is_held_is_said_for_each_stage(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, 'summary = "x"\n[holding.document]\ntilt_y = 20.0\nglare = 0.9\n'))
    assert scenario.held(Stage.DOCUMENT) == Holding(tilt_y=20.0, glare=0.9)
    assert scenario.held(Stage.DOCUMENT_BACK) == scenario.held(Stage.DOCUMENT)
    assert scenario.held(Stage.HOLDING).height < 0.5


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "summary"),
        ('summary = "x"\nspeed = 3\n', "speed"),
        ('summary = "x"\n[person]\nbehavior = "ignores"\n', "behavior"),
        ('summary = "x"\n[person]\nbehaviour = "dances"\n', "person.behaviour"),
        ('summary = "x"\n[document.fields]\nissuing_state = "Utopia"\n', "document.fields.issuing_state"),
        ('summary = "x"\n[document.tampering]\nline = 2\ncolumn = 99\ncharacter = "7"\n', "document.tampering.column"),
        ('summary = "x"\n[holding.lunch]\nglare = 0.1\n', "holding"),
        ('summary = "x"\n[light]\nnoise = -1.0\n', "light.noise"),
        ('summary = "x"\n[camera]\nfault = "melted"\n', "camera.fault"),
        ("summary = ", "mine.toml"),
    ],
)
def test_a_mistake_names_its_key(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named.replace(".", r"\.")):
        load_scenario(write(tmp_path, text))


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match="standard"):
        open_camera(VisionConfig(camera="emulated:no_such_scenario"))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml"):
        open_camera(VisionConfig(camera="emulated:/nowhere.toml"))


def test_a_seed_that_is_no_number() -> None:
    with pytest.raises(ConfigurationError, match="seed"):
        open_camera(VisionConfig(camera="emulated:standard#seven"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('summary = "x"\n[person]\nface = "nobody"\n', "face 'nobody'"),
        ('summary = "x"\n[document]\nportrait = "nobody"\n', "face 'nobody'"),
        ('summary = "x"\n[document.fields]\ndocument_number = "L898902C3TOOLONG"\n', "document.fields"),
        ('summary = "x"\n[document.tampering]\nline = 2\ncolumn = 1\ncharacter = "L"\n', "already stands there"),
        ('summary = "x"\n[document.tampering]\nline = 3\ncolumn = 1\ncharacter = "L"\n', "no such line"),
    ],
)
def test_a_scene_that_cannot_be_is_a_configuration_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_camera(VisionConfig(camera=f"emulated:{write(tmp_path, text)}"))


def test_a_picture_without_a_face(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (400, 400), (90, 120, 160)).save(tmp_path / "wall.png")
    text = f'summary = "x"\n[person]\nface = "{tmp_path / "wall.png"}"\n'
    with pytest.raises(ConfigurationError, match="no face is found"):
        open_camera(VisionConfig(camera=f"emulated:{write(tmp_path, text)}"))


def test_the_extra_is_named_when_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from device.vision.camera.emulation import resources

    monkeypatch.setattr(resources.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"pip install vouchbox\[demo\]"):
        resources.load_picture("astronaut")
