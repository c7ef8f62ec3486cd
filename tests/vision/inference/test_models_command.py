"""`vouchbox models list|install|verify` as a technician uses them."""

import json

import pytest
from click.testing import CliRunner

from device.commands.models import models
from device.errors import ConfigurationError
from tests.vision.inference.bundles import DATA, describe, make_bundle


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VOUCHBOX_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("VOUCHBOX_MODEL_MIRROR", str(DATA))
    return tmp_path / "models"


def run(*arguments):
    return CliRunner().invoke(models, arguments)


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def bundle(folder, **changes):
    source = '{ kind = "url", url = "https://models.invalid/tiny_float.tflite", size = 1252 }'
    return make_bundle(folder / "tiny", describe(source=source, **changes))


def test_list_as_json_has_licence_source_and_state(folder):
    bundle(folder)
    result = run("list", "--json")
    assert result.exit_code == 0
    found = {line["name"]: line for line in lines(result)}
    assert found["tiny"]["state"] == "missing"
    assert found["tiny"]["licence_use"] == "any"
    assert found["tiny"]["source"] == "url"
    assert found["blazeface-short-range"]["source"] == "wheel"


def test_list_for_people(folder):
    bundle(folder)
    result = run("list")
    assert result.exit_code == 0
    assert "vouchbox models install tiny" in result.stdout


def test_install_then_verify(folder):
    bundle(folder)
    assert run("verify", "tiny").exit_code == 1
    result = run("install", "tiny", "--json")
    assert result.exit_code == 0
    assert lines(result) == [{"name": "tiny", "path": str(folder / "tiny_float.tflite"), "changed": True}]
    verified = run("verify", "tiny", "--json")
    assert verified.exit_code == 0
    assert lines(verified)[0]["state"] == "ok"


def test_damaged_model_fails_verification(folder):
    bundle(folder)
    run("install", "tiny")
    (folder / "tiny_float.tflite").write_bytes(b"bit rot")
    result = run("verify", "tiny")
    assert result.exit_code == 1
    assert "SHA-256" in result.stdout


def test_optional_model_may_be_missing(folder):
    bundle(folder, optional="true")
    required = [line["name"] for line in lines(run("list", "--json")) if not line["optional"]]
    assert "tiny" not in required
    assert run("verify", "tiny").exit_code == 1, "unless it is asked for by name"


def test_unknown_model(folder):
    result = run("install", "nothing")
    assert isinstance(result.exception, ConfigurationError)
    assert "no model is called 'nothing'" in str(result.exception)
