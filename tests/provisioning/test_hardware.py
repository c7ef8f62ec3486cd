"""Boxes whose key is in hardware: a TPM (swtpm) and a PKCS #11 token (SoftHSM2), from init to wipe."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.box import Stage
from provisioning.selftest.product import key_health, key_strength
from tests.notary.keystore.benches import boot, new_token, new_tpm
from tests.provisioning.conftest import Bench, facts
from tests.provisioning.kill_moments import in_child


@pytest.fixture
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    made = new_tpm(tmp_path_factory.mktemp("t"))
    yield f"tpm:{made.tcti}"
    made.stop()


@pytest.fixture
def token(tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_token(tmp_path_factory.mktemp("p"))


def init(bench: Bench, keystore: str, *more: str) -> dict[str, object]:
    options = ("--keystore", keystore, "--state", bench.state, "--request", bench.request)
    return bench.facts("init", "--name", "box-1", *options, *more)


def enrolled(bench: Bench, keystore: str, *more: str) -> None:
    first = init(bench, keystore, *more)
    assert init(bench, keystore, *more)["kid"] == first["kid"]
    facts("authority", "issue", bench.authority, bench.request)
    assert bench.facts("enrol", "--bundle", bench.bundle)["kid"] == first["kid"]
    status = bench.facts("status")
    assert (status["stage"], status["problems"]) == ("enrolled", [])
    assert not list(bench.state.rglob("key.pem"))


def renewed(bench: Bench) -> tuple[object, object]:
    before = bench.facts("status")["kid"]
    bench.facts("renew", "--request", bench.request)
    facts("authority", "issue", bench.authority, bench.request)
    bench.facts("enrol", "--bundle", bench.bundle)
    return before, bench.facts("status")["kid"]


def test_a_key_in_a_tpm(bench: Bench, tpm: str) -> None:
    enrolled(bench, tpm)
    before, after = renewed(bench)
    assert before != after
    bench.facts("wipe", "--yes")
    assert bench.box.stage() is Stage.BARE


def test_a_key_bound_to_what_the_machine_booted(bench: Bench, tpm: str) -> None:
    """Bound at init, and at each renewal to the same registers; after another boot the self-test says so."""
    tcti = tpm.removeprefix("tpm:")
    with pytest.raises(AssertionError, match="PCR 23 is empty"):
        init(bench, tpm, "--pcrs", "23")
    boot(tcti, b"ours")
    enrolled(bench, tpm, "--pcrs", "23")
    renewed(bench)
    with pytest.raises(AssertionError, match="bound to PCRs sha256:23"):
        init(bench, tpm, "--pcrs", "7,23")
    current = bench.box.current()
    assert current is not None
    assert (current / "key.pcrs").read_text() == "sha256:23\n"
    boot(tcti, b"another")
    assert "booted something else" in key_health(bench.box).text
    boot(tcti, b"ours")
    assert key_health(bench.box).result == "pass"


def test_a_sealed_key(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("systemd-creds") is None or os.geteuid() != 0:
        pytest.skip("only root may ask systemd-creds to seal a key")
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "machine-secret"))
    enrolled(bench, "sealed")
    before, after = renewed(bench)
    assert before != after
    assert not key_strength(bench.box, tmp_path / "no-tpm").blocks
    (tmp_path / "machine-secret").unlink()  # its disk in another machine
    assert "systemd-creds does not decrypt the key" in key_health(bench.box).text
    bench.facts("wipe", "--yes")
    assert bench.box.stage() is Stage.BARE


def test_only_a_tpm_knows_pcrs(bench: Bench) -> None:
    with pytest.raises(AssertionError, match="only a key in a TPM"):
        init(bench, "file", "--pcrs", "7")


def test_a_key_in_a_token(bench: Bench, token: str) -> None:
    from device.notary.keystore.pkcs11 import find_pkcs11_key, parse_uri

    enrolled(bench, token)
    before, after = renewed(bench)
    assert before == after, "a token keeps its key; the certificate is new"
    bench.facts("wipe", "--yes")
    assert find_pkcs11_key(parse_uri(token)) is None


def test_a_key_that_was_made_and_not_noted_is_found_again(bench: Bench, token: str) -> None:
    """Cut off between the token's key and the request: the next run takes the same key."""
    from device.notary.keystore.pkcs11 import create_pkcs11_key, find_pkcs11_key, parse_uri

    create_pkcs11_key(parse_uri(token))
    made = find_pkcs11_key(parse_uri(token))
    init(bench, token)
    from device.certificates import key_id

    assert made is not None
    assert bench.facts("init", "--name", "box-1")["kid"] == key_id(made)


@pytest.mark.parametrize("moment", [6, 9, 12, 15])
def test_killed_while_the_tpm_makes_a_key(bench: Bench, tpm: str, moment: int) -> None:
    in_child(lambda: init(bench, tpm) and None, moment)
    enrolled(bench, tpm)
