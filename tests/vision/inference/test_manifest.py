from pathlib import Path

import pytest

from device.config import BoxConfig, Config
from device.errors import ConfigurationError, ModelError
from device.vision.inference.manifest import (
    PackageSource,
    Task,
    install_folder,
    load_manifest,
    package_folder,
    search_folders,
)
from device.vision.inference.model import digest
from tests.vision.inference.bundles import describe, make_bundle


def load(*folders):
    return load_manifest(folders=(package_folder(), *folders))


def test_package_manifest_names_every_file_with_its_licence():
    manifest = load()
    assert len(manifest) >= 4
    for entry in manifest:
        assert entry.licence
        assert entry.training_data
        if entry.card:
            assert (package_folder() / entry.card).is_file(), f"{entry.name}: no card {entry.card}"


def test_models_that_come_with_the_package_are_the_ones_described():
    manifest = load()
    packaged = [entry for entry in manifest if isinstance(entry.source, PackageSource)]
    for entry in packaged:
        assert digest(manifest.path(entry)).hex() == entry.sha256, entry.file


def test_one_default_per_task():
    manifest = load()
    for task in {entry.task for entry in manifest}:
        assert sum(entry.default for entry in manifest.of_task(task)) == 1, task


def test_default_is_the_marked_one():
    assert load().default("face_detection").name == "blazeface-short-range"


def test_task_without_model(tmp_path, monkeypatch):
    make_bundle(tmp_path, describe())
    monkeypatch.setattr("device.vision.inference.manifest.package_folder", lambda: tmp_path)
    with pytest.raises(ConfigurationError, match="no model for 'iris'"):
        load_manifest(folders=(tmp_path,)).default(Task.IRIS)


def test_bundle_adds_an_embedder_by_its_manifest_alone(tmp_path):
    folder = make_bundle(tmp_path / "tiny", describe(parameters='{ template = "retail-0095" }'), "tiny_float.tflite")
    manifest = load(tmp_path)
    entry = manifest.entry("tiny")
    assert entry in manifest.of_task(Task.FACE_EMBEDDING)
    assert manifest.path(entry) == folder / "tiny_float.tflite"
    assert entry.input.shape == (1, 4, 4, 3)


def test_bundle_may_lie_in_a_search_folder_itself(tmp_path):
    make_bundle(tmp_path, describe(), "tiny_float.tflite")
    assert load(tmp_path).entry("tiny").task is Task.FACE_EMBEDDING


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (describe(treshold="0.5"), "treshold"),
        (describe(sha256='"abc"'), "sha256"),
        (describe(task='"face_recognition"'), "face_recognition"),
        (describe(licence=None), "licence"),
        (describe(licence_use='"maybe"'), "maybe"),
        (describe(file="../../etc/passwd"), "file"),
        (describe(input="{ width = 0, height = 4 }"), "width"),
        (describe(outputs="[]"), "outputs"),
        (describe(source='{ kind = "torrent" }'), "torrent"),
        (describe(source='{ kind = "wheel", wheel = "nowhere", member = "x" }'), "nowhere"),
        (describe(source='{ kind = "url", url = "ftp://x/y", size = 5 }'), "url"),
        (describe(name="Tiny Model"), "name"),
        ("model = 3", "model"),
        ("[[model]", "array declaration"),
    ],
    ids=[
        "unknown_key",
        "short_hash",
        "unknown_task",
        "no_licence",
        "unknown_licence_use",
        "path_outside",
        "no_width",
        "no_outputs",
        "unknown_source",
        "undescribed_wheel",
        "ftp",
        "bad_name",
        "not_a_table",
        "not_toml",
    ],
)
def test_refused_manifest(tmp_path, text, said):
    make_bundle(tmp_path / "bundle", text)
    with pytest.raises(ConfigurationError, match=f"(?i)manifest.toml.*{said}"):
        load(tmp_path)


def test_name_taken_twice(tmp_path):
    make_bundle(tmp_path / "one", describe())
    make_bundle(tmp_path / "two", describe())
    with pytest.raises(ConfigurationError, match="'tiny' is already described in"):
        load(tmp_path)


def test_missing_file_says_how_to_get_it(tmp_path):
    make_bundle(tmp_path / "bundle", describe())
    manifest = load(tmp_path)
    assert manifest.find(manifest.entry("tiny")) is None
    with pytest.raises(ModelError, match="vouchbox models install tiny"):
        manifest.path(manifest.entry("tiny"))


def test_unknown_model_names_those_there_are():
    with pytest.raises(ConfigurationError, match="blazeface-short-range"):
        load().entry("facenet")


def test_missing_number_and_threshold_name_the_key(tmp_path):
    make_bundle(tmp_path, describe(parameters='{ gate = "wide" }'))
    entry = load(tmp_path).entry("tiny")
    with pytest.raises(ConfigurationError, match=r"parameters\.gate"):
        entry.number("gate")
    with pytest.raises(ConfigurationError, match=r"thresholds\.1e-4"):
        entry.threshold("1e-4")


def test_search_order(tmp_path, monkeypatch):
    monkeypatch.setenv("VOUCHBOX_MODELS", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    package = package_folder().absolute()
    state = tmp_path / "state"
    assert search_folders(state) == (
        package,
        tmp_path / "a",
        tmp_path / "b",
        state / "models",
        package / "installed",
    )


def test_file_beside_its_own_manifest_wins(tmp_path):
    make_bundle(tmp_path / "bundle", describe(), "tiny_float.tflite")
    (tmp_path / "tiny_float.tflite").write_bytes(b"something else of the same name")
    manifest = load(tmp_path)
    assert manifest.path(manifest.entry("tiny")) == tmp_path / "bundle" / "tiny_float.tflite"


def test_where_models_are_installed(tmp_path, monkeypatch):
    monkeypatch.delenv("VOUCHBOX_MODELS", raising=False)
    assert install_folder(tmp_path) == tmp_path / "models", "a box with a state folder"
    monkeypatch.setattr("device.vision.inference.manifest.package_folder", lambda: tmp_path / "site" / "models")
    monkeypatch.setattr("device.vision.inference.manifest.load_config", lambda: Config(box=BoxConfig(state="/var/x")))
    assert install_folder() == Path("/var/x/models"), "an installed package"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "setup.py").touch()
    assert install_folder() == tmp_path / "site" / "models" / "installed", "a checkout"
    monkeypatch.setenv("VOUCHBOX_MODELS", "/media/a:/media/b")
    assert install_folder() == Path("/media/a")
