"""What is particular to one kind of key store, and how the configuration names them."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from device.certificates import Purpose
from device.config import BoxConfig, Config, NotaryConfig
from device.errors import ConfigurationError, KeyStoreError
from device.notary.keys import open_keys
from device.notary.keystore.file import FileKeyStore, write_private
from device.notary.keystore.pcrs import parse_pcrs
from device.notary.keystore.pkcs11 import Pkcs11KeyStore, parse_uri
from device.notary.keystore.sealed import CREDENTIAL, KEY_FILE
from device.notary.keystore.tpm import TpmKeyStore
from device.protocol import CameraKind
from provisioning.authority import create_root, ensure_development_identity, issue_leaf
from tests.verdicts import write_identity

URI = "pkcs11:token=vouch%20box;object=verdict?module-path=/usr/lib/m.so&pin-source=file:/etc/pin"


def config(state: Path, keystore: str = "file") -> Config:
    return Config(box=BoxConfig(state=str(state)), notary=NotaryConfig(keystore=keystore))


def enrol(state: Path) -> None:
    root, key = create_root("Organisation"), ec.generate_private_key(ec.SECP256R1())
    write_identity(state / "keys/production", key, issue_leaf(root, key.public_key(), "Box"))


def test_an_emulated_camera_never_gets_the_production_key(tmp_path: Path) -> None:
    enrol(tmp_path)
    with pytest.raises(KeyStoreError, match="emulated"):
        open_keys(config(tmp_path)).for_camera(CameraKind.EMULATED)
    ensure_development_identity(tmp_path)
    assert open_keys(config(tmp_path)).for_camera(CameraKind.EMULATED).purpose is Purpose.DEVELOPMENT


def test_a_live_camera_gets_the_production_key_where_there_is_one(tmp_path: Path) -> None:
    ensure_development_identity(tmp_path)
    assert open_keys(config(tmp_path)).for_camera(CameraKind.LIVE).purpose is Purpose.DEVELOPMENT
    enrol(tmp_path)
    assert open_keys(config(tmp_path)).for_camera(CameraKind.LIVE).purpose is Purpose.PRODUCTION


@pytest.mark.parametrize("keystore", ["tpm", "tpm:swtpm:path=/nowhere", URI])
def test_a_hardware_store_that_is_not_there_is_no_reason_for_development_verdicts(
    tmp_path: Path, keystore: str
) -> None:
    ensure_development_identity(tmp_path)
    store = open_keys(config(tmp_path, keystore)).for_camera(CameraKind.LIVE)
    assert store.purpose is Purpose.PRODUCTION
    assert isinstance(store, TpmKeyStore | Pkcs11KeyStore)
    assert store.health() != ""


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="enrol"):
        open_keys(config(tmp_path)).for_camera(CameraKind.LIVE)


@pytest.mark.parametrize("name", ["fil", "", "vault:x", "pkcs11:token=a"])
def test_an_unknown_key_store_is_a_mistake_in_the_configuration(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"notary\.keystore"):
        open_keys(config(tmp_path, name))


def test_pkcs11_uri() -> None:
    uri = parse_uri(URI)
    assert (uri.token, uri.object) == ("vouch box", "verdict")
    assert (uri.module_path, uri.pin_source) == ("/usr/lib/m.so", Path("/etc/pin"))


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        (URI.replace("object=verdict", ""), "object"),
        (URI.replace("pin-source", "pin-value"), "pin-value"),
        (URI.replace("token", "tokne"), "tokne"),
    ],
)
def test_pkcs11_uri_refused(uri: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_uri(uri)


@pytest.mark.parametrize(("text", "words"), [("7", "sha256:7"), ("7,0,2", "sha256:0,2,7"), ("sha256:0,0", "sha256:0")])
def test_pcrs(text: str, words: str) -> None:
    assert parse_pcrs(text) == words


@pytest.mark.parametrize("text", ["", "24", "-1", "0-7", "sha1:0", "0,,2", "all"])
def test_pcrs_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PCRs"):
        parse_pcrs(text)


def test_what_systemd_hands_the_notary_is_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside its unit the notary reads what systemd unsealed, and never asks for more."""
    enrol(tmp_path)
    folder, handed = tmp_path / "keys/production", tmp_path / "handed"
    handed.mkdir()
    (folder / "key.pem").rename(handed / CREDENTIAL)
    write_private(folder / KEY_FILE, b"sealed by somebody")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed))
    monkeypatch.setenv("PATH", "")
    keys = open_keys(config(tmp_path, "sealed"))
    assert keys.production is not None
    assert keys.production.health() == ""
    assert keys.production.sign(b"data")


@pytest.mark.parametrize(
    ("handed", "words"), [(b"none", "enrol the box"), (b"hello", "sealed"), (None, "hand it over")]
)
def test_a_sealed_key_that_systemd_did_not_hand_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handed: bytes | None, words: str
) -> None:
    enrol(tmp_path)
    if handed is not None:
        (tmp_path / CREDENTIAL).write_bytes(handed)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    store = open_keys(config(tmp_path, "sealed")).for_camera(CameraKind.LIVE)
    assert words in store.health()
    with pytest.raises(KeyStoreError, match=words):
        store.sign(b"data")


@pytest.mark.parametrize("defect", ["readable_by_the_group", "a_link", "missing", "another_owner", "not_a_key", "p384"])
def test_a_key_file_that_is_not_right(tmp_path: Path, defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol(tmp_path)
    folder = tmp_path / "keys/production"
    path = folder / "key.pem"
    if defect == "readable_by_the_group":
        path.chmod(0o640)
    elif defect == "a_link":
        path.rename(folder / "elsewhere")
        path.symlink_to(folder / "elsewhere")
    elif defect == "missing":
        path.unlink()
    elif defect == "another_owner":
        monkeypatch.setattr("os.geteuid", lambda: 12345)
    elif defect == "not_a_key":
        path.write_text("hello")
    elif defect == "p384":
        path.unlink()
        other = tmp_path / "other"
        write_identity(other, ec.generate_private_key(ec.SECP384R1()), ())  # type: ignore[arg-type]
        (other / "key.pem").rename(path)
    store = FileKeyStore(folder, Purpose.PRODUCTION)
    assert store.health() != ""
    with pytest.raises(KeyStoreError):
        store.sign(b"data")


def test_key_stores_are_not_imported_before_they_are_named() -> None:
    code = (
        "import sys, device.notary.service; print([m for m in ('tpm2_pytss', 'pkcs11', 'numpy') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert msgspec.json.decode(ended.stdout.replace("'", '"')) == []


def test_a_private_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys" / "pseudonym.key"

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("device.notary.keystore.file.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_private(path, b"secret")
    assert list(path.parent.iterdir()) == []
    write_private(path, b"secret")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_private(path, b"another")
    assert [file.read_bytes() for file in path.parent.iterdir()] == [b"secret"]
