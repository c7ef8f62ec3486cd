"""Signed releases: what is refused before anything is unpacked, and two environments of which one runs."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from cryptography import x509

from device.errors import ConfigurationError, InputError
from provisioning.authority import create_root, create_signer, create_status_signer
from provisioning.office import Office
from provisioning.release import RELEASE_SIGNING, activate, current, roll_back, sign_release, unpack, verify_release
from tests.provisioning.conftest import Bench, facts

WHEEL = "vouchbox-1.0-py3-none-any.whl"


def folder(place: Path) -> Path:
    """A release with the smallest wheel that pip installs."""
    (place / "models").mkdir(parents=True)
    (place / "models" / "m.tflite").write_bytes(b"model")
    (place / "models" / "manifest.toml").write_text("# nobody's")
    (place / "models" / "bundle").mkdir()
    (place / "models" / "bundle" / "manifest.toml").write_text("# a bundle's")
    info = "vouchbox-1.0.dist-info"
    with zipfile.ZipFile(place / WHEEL, "w") as wheel:
        wheel.writestr("vouchbox_proof.py", "ANSWER = 42\n")
        wheel.writestr("models/manifest.toml", "# the wheel's\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: vouchbox\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(
            f"{info}/RECORD",
            f"vouchbox_proof.py,,\nmodels/manifest.toml,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
        )
    return place


@pytest.fixture
def signed(tmp_path: Path, office: Office) -> tuple[Path, list[x509.Certificate]]:
    release = folder(tmp_path / "release")
    sign_release(office.release_signer(), release, "1.0")
    return release, [office.chain()[-1]]


def test_signed_and_whole(signed: tuple[Path, list[x509.Certificate]]) -> None:
    found = verify_release(*signed)
    assert (found.version, found.wheel.name, len(found.files)) == ("1.0", WHEEL, 4)


def test_what_was_changed_is_named(signed: tuple[Path, list[x509.Certificate]]) -> None:
    release, trust = signed
    for change, name in (
        (lambda: (release / "models" / "m.tflite").write_bytes(b"modeL"), "models/m.tflite"),
        (lambda: (release / "more").write_bytes(b""), "more"),
        (lambda: (release / "models" / "release.jws").write_bytes(b""), "models/release.jws"),
        (lambda: (release / WHEEL).unlink(), WHEEL),
    ):
        change()
        with pytest.raises(InputError, match=name):
            verify_release(release, trust)
    (release / "link").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        verify_release(release, trust)


def test_who_may_not_sign_releases(tmp_path: Path, office: Office) -> None:
    release = folder(tmp_path / "release")
    root = create_root("Another")
    trust = [office.chain()[-1]]
    with pytest.raises(InputError, match="not signed"):
        verify_release(release, trust)
    for signer in (office.signer(), create_signer(root, "r", RELEASE_SIGNING), create_status_signer(root, "s")):
        sign_release(signer, release, "1.0")
        with pytest.raises(InputError, match="nobody whom this box's organisation"):
            verify_release(release, trust)
    for text in ("", "a.b.c", "x" * 100):
        (release / "release.jws").write_text(text)
        with pytest.raises(InputError):
            verify_release(release, trust)


def test_a_statement_of_another_release(
    tmp_path: Path, office: Office, signed: tuple[Path, list[x509.Certificate]]
) -> None:
    other = folder(tmp_path / "other")
    (other / "models" / "m.tflite").write_bytes(b"older")
    sign_release(office.release_signer(), other, "0.9")
    shutil.copy(other / "release.jws", signed[0] / "release.jws")
    with pytest.raises(InputError, match=r"m[.]tflite"):
        verify_release(*signed)
    with pytest.raises(InputError, match="no version"):
        sign_release(office.release_signer(), other, "../../x")


def test_two_environments(tmp_path: Path) -> None:
    base = tmp_path / "opt"
    for name in ("1.0-a", "1.1-b"):
        (base / "releases" / name).mkdir(parents=True)
        (base / "releases" / name / ".complete").touch()
    with pytest.raises(ConfigurationError, match="no previous"):
        roll_back(base)
    assert activate(base, "1.0-a") == ("", True)
    assert activate(base, "1.0-a") == ("1.0-a", False)
    assert activate(base, "1.1-b") == ("1.0-a", True)
    assert current(base) == "1.1-b"
    assert roll_back(base) == "1.0-a" == roll_back(base) == current(base)
    (base / "releases" / "1.1-b" / ".complete").unlink()
    with pytest.raises(ConfigurationError, match="not completed"):
        activate(base, "1.1-b")


def test_installed_from_an_enrolled_boxs_own_root(bench: Bench, office: Office) -> None:
    release = folder(bench.folder / "release")
    facts("authority", "sign-release", bench.authority, release, "--version", "1.0")
    base = bench.folder / "opt"
    arguments = ("release", "install", release, "--base", base, "--python", sys.executable)
    refused = bench.run(*arguments)
    assert (refused.exit_code, "not enrolled" in str(refused.exception)) == (2, True)
    bench.enrol()
    made = bench.facts(*arguments)
    assert (made["changed"], bench.facts(*arguments)["changed"]) == (True, False)
    module = next(Path(made["environment"]).glob("lib/python*/site-packages/vouchbox_proof.py"))
    assert "42" in module.read_text()
    models = module.parent / "models"  # of this environment, so that switching back switches them back as well
    assert (models / "m.tflite").read_bytes() == b"model"
    assert (models / "manifest.toml").read_text() == "# the wheel's\n"
    assert (models / "bundle" / "manifest.toml").read_text() == "# a bundle's"
    assert bench.run("release", "current", "--base", base).exit_code == 1
    assert bench.facts("release", "activate", made["name"], "--base", base)["changed"]
    assert json.loads(bench.run("release", "current", "--base", base, "--json").stdout)["current"] == made["name"]
    assert bench.run("release", "rollback", "--base", base).exit_code == 2


def test_what_neither_runs_nor_ran_before_makes_room(tmp_path: Path, office: Office) -> None:
    base = tmp_path / "opt"
    for name in ("1.0-a", "1.1-b", "1.2-c", "failed-d"):
        (base / "releases" / name / "lib").mkdir(parents=True)
        (base / "releases" / name / ".complete").touch()
    for name in ("1.0-a", "1.1-b", "1.2-c"):
        activate(base, name)
    release = folder(tmp_path / "release")
    sign_release(office.release_signer(), release, "1.3")
    made = unpack(verify_release(release, [office.chain()[-1]]), base, sys.executable)
    assert {path.name for path in (base / "releases").iterdir()} == {"1.1-b", "1.2-c", made.name}
    assert roll_back(base) == "1.1-b"


def test_an_environment_that_cannot_be_made_leaves_the_rest(tmp_path: Path, office: Office) -> None:
    release = folder(tmp_path / "release")
    sign_release(office.release_signer(), release, "1.0")
    found = verify_release(release, [office.chain()[-1]])
    with pytest.raises(ConfigurationError, match="failed"):
        unpack(found, tmp_path / "opt", "false")
    with pytest.raises(ConfigurationError, match="cannot be started"):
        unpack(found, tmp_path / "opt", str(tmp_path / "none"))
    assert not list((tmp_path / "opt").rglob(".complete"))
