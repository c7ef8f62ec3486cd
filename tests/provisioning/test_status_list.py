"""The status list: the draft's own vector, what a relying party makes of it, and what it does not take for one."""

from __future__ import annotations

import base64
import datetime
import json
import time
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey

from device.cli import vouchbox
from device.notary.keystore.file import FileKeyStore
from device.notary.verdict import sign_claims
from device.status_list import (
    MAX_LIST,
    STATUS_EXTENSION,
    TYPE,
    StatusList,
    StatusReference,
    encode_reference,
    inflate,
    read_status_list,
    status_reference,
)
from device.verify import Reason, verify_verdict
from provisioning.authority import Authority, create_root, create_status_signer, issue_leaf, pem
from provisioning.office import Office
from provisioning.request import make_request, parse_request
from provisioning.status_list import SMALLEST, pack, sign_status_list
from tests.provisioning.conftest import STATUS_URI, Bench, facts
from tests.verdicts import AUDIENCE, NONCE, make_claims, write_identity

NOW = datetime.datetime.now(datetime.UTC)
VECTOR = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
"""Draft-ietf-oauth-status-list, section 4.1's example of one bit a status, and its `lst`."""
VECTOR_LST = "eNrbuRgAAhcBXQ"


def test_the_drafts_one_bit_vector() -> None:
    data = inflate(base64.urlsafe_b64decode(VECTOR_LST + "=="))
    assert data == bytes([0xB9, 0xA3])
    found = StatusList("", 1, data, 0, None)
    assert [found.at(place) for place in range(16)] == VECTOR
    assert pack([place for place, bit in enumerate(VECTOR) if bit], 16)[:2] == data


def test_two_bits_a_status() -> None:
    found = StatusList("", 2, bytes([0b11100100]), 0, None)
    assert [found.at(place) for place in range(4)] == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        found.at(4)
    with pytest.raises(IndexError):
        found.at(-1)


@given(st.sets(st.integers(0, 20_000)))
def test_packed_and_read_back(revoked: set[int]) -> None:
    found = StatusList("", 1, pack(revoked, 20_001), 0, None)
    assert {place for place in range(len(found)) if found.at(place)} == revoked


def test_a_list_grows_by_doubling() -> None:
    assert len(pack([], 1)) * 8 == SMALLEST
    assert len(pack([], SMALLEST + 1)) * 8 == 2 * SMALLEST


def test_a_bomb_is_not_inflated() -> None:
    with pytest.raises(ValueError, match="too long"):
        inflate(zlib.compress(bytes(MAX_LIST + 1)))
    with pytest.raises(ValueError, match="cut off"):
        inflate(zlib.compress(b"1234")[:-1])


@given(st.integers(0, 2**40), st.text(max_size=200))
def test_a_place_in_a_certificate(index: int, uri: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    root = create_root("Root")
    leaf = issue_leaf(root, key.public_key(), "Box", status=StatusReference(index, uri))[0]
    assert status_reference(leaf) == StatusReference(index, uri)


@pytest.mark.parametrize(
    "value", [b"", b"\x0c", b"\x0c\x05{}", b"\x04\x02{}", b"\x0c\x02{}", b'\x0c\x11{"idx":-1,"uri":""}', b"\x0c\x02[]"]
)
def test_a_place_that_cannot_be_read(value: bytes) -> None:
    class Fake:
        class extensions:  # noqa: N801
            @staticmethod
            def get_extension_for_oid(_oid: object) -> object:
                return type("E", (), {"value": x509.UnrecognizedExtension(STATUS_EXTENSION, value)})()

    with pytest.raises(ValueError):
        status_reference(Fake)  # type: ignore[arg-type]


def test_long_texts_have_long_lengths() -> None:
    data = encode_reference(StatusReference(1, "u" * 300)).value
    assert data[:2] == b"\x0c\x82"


# --- Which tokens are lists ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root() -> Authority:
    return create_root("Test root")


def read(token: str, root: Authority, moment: datetime.datetime = NOW) -> str:
    """What is wrong with it; empty if nothing is."""
    return read_status_list(token, list(root.chain), moment)[1]


def sign(signer: Authority, claims: dict[str, object], **header: object) -> str:
    x5c = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode() for certificate in signer.chain]
    key = ECKey.import_key(signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    fields = {"alg": "ES256", "typ": TYPE, "x5c": x5c, **header}

    class Registry(jws.JWSRegistry):
        max_header_length = 1 << 16

    return jws.serialize_compact(fields, json.dumps(claims).encode(), key, registry=Registry(algorithms=["ES256"]))


GOOD = {"sub": STATUS_URI, "iat": 1, "status_list": {"bits": 1, "lst": VECTOR_LST}}


def test_a_list_of_the_status_signer_is_taken(root: Authority) -> None:
    signer = create_status_signer(root, "Status")
    assert read(sign(signer, GOOD), root) == ""
    assert read(sign_status_list(signer, STATUS_URI, [3], 10, days=7), root) == ""


def test_other_keys_of_the_organisation_do_not_sign_lists(root: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    box = Authority(key, issue_leaf(root, key.public_key(), "Box"))
    stranger = create_status_signer(create_root("Another root"), "Status")
    for signer in (box, root, stranger):
        assert "may not sign status lists" in read(sign(signer, GOOD), root)


def test_tokens_that_are_no_lists(root: Authority) -> None:
    signer = create_status_signer(root, "Status")
    token = sign(signer, GOOD)
    header, payload, signature = token.split(".")
    other = sign(signer, GOOD | {"iat": 2}).split(".")[1]
    defects = {
        "not a signed token": "x",
        "header": sign(signer, GOOD, typ="JWT"),
        "signature is wrong": f"{header}.{other}.{signature}",
        "no status_list": sign(signer, {"sub": STATUS_URI, "iat": 1}),
        "lacks sub": sign(signer, {k: v for k, v in GOOD.items() if k != "sub"}),
        "lacks bits": sign(signer, GOOD | {"status_list": {"bits": 3, "lst": ""}}),
        "expired": sign(signer, GOOD | {"exp": int(NOW.timestamp())}),
        "inflated": sign(signer, GOOD | {"status_list": {"bits": 1, "lst": "AAAA"}}),
    }
    for words, bad in defects.items():
        assert words in read(bad, root), words
    assert payload != other


def test_a_signer_out_of_its_time(root: Authority) -> None:
    token = sign(create_status_signer(root, "Status", days=1), GOOD)
    assert read(token, root, NOW + datetime.timedelta(days=2)) != ""


@given(st.text(max_size=200))
def test_anything_else_is_refused_in_words(text: str) -> None:
    assert read_status_list(text, [], NOW)[1]


# --- A verdict of a revoked box --------------------------------------------------------------------------------------


def verdict(folder: Path, office: Office, name: str) -> tuple[str, list[x509.Certificate]]:
    key = ec.generate_private_key(ec.SECP256R1())
    chain = office.issue(parse_request(make_request(name, "01", key, None))).certificates
    write_identity(folder / name, key, chain)
    from device.certificates import Purpose

    return sign_claims(make_claims(), FileKeyStore(folder / name, Purpose.PRODUCTION)), [chain[-1]]


def reason(token: str, roots: list[x509.Certificate], status_list: StatusList) -> Reason | None:
    found = verify_verdict(
        token, trust=roots, expected_audience=AUDIENCE, expected_nonce=NONCE, status_list=status_list
    )
    return found.reason


def current(office: Office, roots: list[x509.Certificate], uri: str = STATUS_URI) -> StatusList:
    token = sign_status_list(office.signer(), uri, office.registry.revoked(), office.registry.size(), days=7)
    found, trouble = read_status_list(token, roots, NOW)
    assert found is not None, trouble
    return found


def test_only_the_revoked_box_is_refused(tmp_path: Path, office: Office) -> None:
    kept, roots = verdict(tmp_path, office, "kept")
    stolen, _ = verdict(tmp_path, office, "stolen")
    assert reason(stolen, roots, current(office, roots)) is None
    office.revoke("stolen", "")
    assert reason(stolen, roots, current(office, roots)) is Reason.REVOKED
    assert reason(kept, roots, current(office, roots)) is None


def test_a_revoked_issuing_key_takes_all_its_boxes_with_it(tmp_path: Path, office: Office) -> None:
    token, roots = verdict(tmp_path, office, "box-1")
    office.revoke(office.registry.all()[0].serial, "")
    assert reason(token, roots, current(office, roots)) is Reason.REVOKED


def test_a_list_that_does_not_tell(tmp_path: Path, office: Office) -> None:
    token, roots = verdict(tmp_path, office, "box-1")
    assert reason(token, roots, current(office, roots, "https://elsewhere.example")) is Reason.STATUS_UNKNOWN
    assert reason(token, roots, StatusList(STATUS_URI, 1, b"", 0, None)) is Reason.STATUS_UNKNOWN


def test_a_certificate_without_a_place_is_refused_once_a_list_is_given(tmp_path: Path, office: Office) -> None:
    from device.certificates import Purpose

    key = ec.generate_private_key(ec.SECP256R1())
    root = create_root("Root")
    write_identity(tmp_path / "k", key, issue_leaf(root, key.public_key(), "Box"))
    token = sign_claims(make_claims(), FileKeyStore(tmp_path / "k", Purpose.PRODUCTION))
    assert reason(token, list(root.chain), StatusList(STATUS_URI, 1, b"\0", 0, None)) is Reason.STATUS_UNKNOWN


def test_vouchbox_verify_honours_the_exported_list(tmp_path: Path, bench: Bench, office: Office) -> None:
    token, _ = verdict(tmp_path, office, "box-1")

    def verify() -> tuple[int, dict[str, object]]:
        facts("authority", "export", bench.authority, "--into", tmp_path / "www")
        options = ["--trust", str(tmp_path / "www" / "root.pem"), "--audience", AUDIENCE, "--nonce", NONCE, "--json"]
        options += ["--status-list", str(tmp_path / "www" / "status-list.jwt")]
        result = CliRunner().invoke(vouchbox, ["verify", token, *options])
        return result.exit_code, json.loads(result.stdout)

    assert verify()[0] == 0
    facts("authority", "revoke", bench.authority, "box-1", "--reason", "stolen", "--yes")
    code, said = verify()
    assert (code, said["reason"]) == (1, "revoked")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a.b.c", None])
def test_vouchbox_verify_names_a_bad_list(tmp_path: Path, office: Office, content: bytes | None) -> None:
    token, roots = verdict(tmp_path, office, "box-1")
    (tmp_path / "root.pem").write_bytes(pem(tuple(roots)))
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    options = ["--trust", str(tmp_path / "root.pem"), "--audience", AUDIENCE, "--nonce", NONCE]
    result = CliRunner().invoke(vouchbox, ["verify", token, *options, "--status-list", str(tmp_path / "list")])
    assert result.exit_code == 2
    assert "status list" in result.stderr


def test_time_to_read_a_list_of_a_hundred_thousand(root: Authority) -> None:
    signer = create_status_signer(root, "Status")
    token = sign_status_list(signer, STATUS_URI, range(0, 100_000, 50), 100_000, days=7)
    began = time.process_time()
    assert read(token, root) == ""
    assert time.process_time() - began < 1
    assert len(token) < 32 * 1024
