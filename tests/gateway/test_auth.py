"""Relying parties: registering, recognising, taking off the list, and files that are wrong."""

import os
import time
from pathlib import Path

import pytest

from device.errors import ConfigurationError
from device.gateway.auth import (
    RelyingParties,
    add_relying_party,
    load_relying_parties,
    remove_relying_party,
    token_digest,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "relying-parties.toml"


def add(path: Path, id: str = "bank") -> str:
    return add_relying_party(path, id, policies=("standard",), audiences=("https://bank.example",))


def test_a_token_is_recognised_and_not_stored(path: Path) -> None:
    token = add(path)
    assert len(token) >= 4 + 43  # 256 bits in base64url
    assert token not in path.read_text()
    assert token_digest(token) in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    parties = RelyingParties(path)
    party = parties.authenticate(token)
    assert party is not None
    assert (party.id, party.policies, party.audiences) == ("bank", ("standard",), ("https://bank.example",))
    assert parties.authenticate(token + "x") is None
    assert parties.authenticate("") is None
    assert parties.authenticate(token_digest(token)) is None


def test_tokens_differ(path: Path) -> None:
    assert len({add(path, f"party{number}") for number in range(20)}) == 20
    assert len(load_relying_parties(path)) == 20


def test_a_new_token_ends_the_old_one(path: Path) -> None:
    old = add(path)
    parties = RelyingParties(path)
    new = add(path)
    assert parties.authenticate(old) is None
    assert parties.authenticate(new) is not None


def test_the_file_is_read_again_when_it_changes(path: Path) -> None:
    parties = RelyingParties(path)
    token = add(path)
    assert parties.authenticate(token) is not None
    assert remove_relying_party(path, "bank")
    assert parties.authenticate(token) is None
    assert not remove_relying_party(path, "bank")


def test_a_file_that_is_gone_means_nobody(path: Path) -> None:
    token = add(path)
    parties = RelyingParties(path)
    path.unlink()
    assert parties.authenticate(token) is None


def test_a_file_that_breaks_keeps_the_list_and_says_so(path: Path) -> None:
    token = add(path)
    parties = RelyingParties(path)
    good = path.read_text()
    path.write_text("[[relying_party]]\nid = 3\n")
    assert parties.authenticate(token) is not None
    assert parties.problem
    path.write_text(good)
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 1))
    assert parties.authenticate(token) is not None
    assert not parties.problem


BROKEN = {
    "unknown_key": 'id = "a"\nname = "A"\ntoken_sha256 = "%s"\nadmin = true' % ("0" * 64),
    "token_instead_of_its_hash": 'id = "a"\nname = "A"\ntoken_sha256 = "vbx_abc"',
    "no_token": 'id = "a"\nname = "A"',
    "id_with_a_space": 'id = "a b"\nname = "A"\ntoken_sha256 = "%s"' % ("0" * 64),
    "not_toml": "id =",
}


@pytest.mark.parametrize("defect", BROKEN)
def test_a_broken_file_is_an_error_that_names_it(path: Path, defect: str) -> None:
    path.parent.mkdir()
    path.write_text("[[relying_party]]\n" + BROKEN[defect])
    with pytest.raises(ConfigurationError, match="relying-parties"):
        load_relying_parties(path)


@pytest.mark.parametrize("twice", ["id", "token_sha256"])
def test_an_id_or_a_token_may_not_appear_twice(path: Path, twice: str) -> None:
    path.parent.mkdir()
    entries = [{"id": "a", "token_sha256": "0" * 64}, {"id": "b", "token_sha256": "1" * 64}]
    entries[1][twice] = entries[0][twice]
    path.write_text(
        "".join(
            f'[[relying_party]]\nid = "{e["id"]}"\nname = "x"\ntoken_sha256 = "{e["token_sha256"]}"\n' for e in entries
        )
    )
    with pytest.raises(ConfigurationError, match="more than once"):
        load_relying_parties(path)


def test_registering_checks_what_it_is_given(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a b"):
        add(path, "a b")
    assert not path.exists()
