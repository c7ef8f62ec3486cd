"""The pairwise pseudonym."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.certificates import b64url
from device.errors import KeyStoreError
from device.notary.pseudonym import load_pseudonym_key, pseudonym

KEY = bytes(range(32))


def test_against_the_definition() -> None:
    domain, document, party = b"vouchbox pairwise pseudonym 1", b"L898902C3|UTO", b"bank"
    message = b"\0\0\0\x1d" + domain + b"\0\0\0\x0d" + document + b"\0\0\0\x04" + party
    expected = b64url(hmac.new(KEY, message, hashlib.sha256).digest())
    assert pseudonym(KEY, "L898902C3|UTO", "bank") == expected
    assert len(expected) == 43


@given(st.text(max_size=64), st.text(max_size=64), st.text(max_size=64), st.text(max_size=64))
def test_different_pairs_have_different_pseudonyms(d1: str, p1: str, d2: str, p2: str) -> None:
    assert (pseudonym(KEY, d1, p1) == pseudonym(KEY, d2, p2)) == ((d1, p1) == (d2, p2))


def test_another_organisation_makes_other_pseudonyms() -> None:
    assert pseudonym(KEY, "X", "bank") != pseudonym(bytes(32), "X", "bank")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(KeyStoreError, match="32"):
        pseudonym(b"short", "X", "bank")


def test_the_key_is_made_once_for_this_user_only(tmp_path: Path) -> None:
    key = load_pseudonym_key(tmp_path)
    path = tmp_path / "keys/pseudonym.key"
    assert load_pseudonym_key(tmp_path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("defect", ["readable_by_others", "too_short"])
def test_a_key_that_is_not_right_is_refused_and_never_replaced(tmp_path: Path, defect: str) -> None:
    load_pseudonym_key(tmp_path)
    path = tmp_path / "keys/pseudonym.key"
    if defect == "too_short":
        path.write_bytes(b"short")
    else:
        path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(KeyStoreError):
        load_pseudonym_key(tmp_path)
    assert path.read_bytes() == before
