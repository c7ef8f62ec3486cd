"""The authority: created whole, issues once, revokes for good; its certificates by OpenSSL's opinion."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import msgspec
import pytest
from click.testing import Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from device.certificates import Purpose, verdict_purpose
from device.errors import ConfigurationError, InputError
from device.notary.keystore.file import FileKeyStore
from device.notary.verdict import sign_claims
from device.status_list import StatusReference, status_reference
from device.verify import Reason, verify_verdict
from provisioning.authority import Authority
from provisioning.bundle import encode_bundle, make_bundle, open_pseudonym_key, parse_bundle
from provisioning.office import Office, create_office
from provisioning.request import make_request, parse_request
from tests.provisioning.conftest import SETTINGS, STATUS_URI, Bench, facts, run
from tests.provisioning.test_authority import openssl, openssl_verify
from tests.verdicts import AUDIENCE, NONCE, make_claims, write_identity

__all__ = ["openssl"]


def ask(name: str = "box-1", key: ec.EllipticCurvePrivateKey | None = None):  # type: ignore[no-untyped-def]
    return parse_request(make_request(name, "01ab", key or ec.generate_private_key(ec.SECP256R1()), None))


def test_created_twice_is_created_once(tmp_path: Path) -> None:
    options = ("--name", "Org", "--issuer", "https://o.example", "--status-uri", STATUS_URI)
    first = facts("authority", "create", tmp_path / "a", *options)
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*.pem")}
    second = facts("authority", "create", tmp_path / "a", *options)
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["root_sha256"] == second["root_sha256"]
    assert {path: path.read_bytes() for path in (tmp_path / "a").rglob("*.pem")} == before
    with pytest.raises(ConfigurationError, match="other settings"):
        create_office(tmp_path / "a", SETTINGS, None)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def create(folder: Path, **change: str) -> Result:
    options = {"name": "Org", "issuer": "https://o.example", "status-uri": STATUS_URI} | change
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    return run("authority", "create", folder, *words)


@pytest.mark.parametrize("change", [{"box_days": "3650"}, {"box_days": "0"}, {"name": "x" * 47}, {"name": "ä" * 24}])
def test_settings_that_cannot_be_are_refused_before_a_key_is_made(tmp_path: Path, change: dict[str, str]) -> None:
    result = create(tmp_path / "a", **change)
    assert result.exit_code == 2
    assert isinstance(result.exception, InputError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 46, "ä" * 23])
def test_the_longest_name(tmp_path: Path, name: str) -> None:
    assert create(tmp_path / "a", name=name).exit_code == 0
    Office(tmp_path / "a").close()


def test_a_disks_own_folder_is_not_taken(tmp_path: Path) -> None:
    result = create(tmp_path)
    assert result.exit_code == 2
    assert f"as {tmp_path}/authority" in str(result.exception)
    assert create(tmp_path / "authority").exit_code == 0


def test_no_certificate_outlives_its_issuer(tmp_path: Path) -> None:
    create_office(tmp_path / "a", msgspec.structs.replace(SETTINGS, box_days=1827), None, root_days=30)
    office = Office(tmp_path / "a")
    leaf, *above = office.issue(ask()).certificates
    signers = [office.signer().certificate, office.release_signer().certificate]
    office.close()
    assert {one.not_valid_after_utc for one in (leaf, *signers)} == {above[-1].not_valid_after_utc}


def test_keys_are_private_and_the_root_encrypted(tmp_path: Path) -> None:
    create_office(tmp_path / "a", SETTINGS, b"a passphrase")
    for key in (tmp_path / "a").rglob("key.pem"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    root = (tmp_path / "a" / "root" / "key.pem").read_bytes()
    with pytest.raises(TypeError):
        load_pem_private_key(root, None)
    assert load_pem_private_key(root, b"a passphrase")


def test_the_root_key_is_needed_for_nothing_daily(bench: Bench, office: Office) -> None:
    (bench.authority / "root" / "key.pem").unlink()
    office.issue(ask())
    office.revoke("box-1", "lost")
    assert office.signer()


def test_the_same_key_gets_the_same_certificate(office: Office) -> None:
    wanted = ask()
    first, second = office.issue(wanted), office.issue(wanted)
    assert first.chain == second.chain
    assert status_reference(first.certificates[0]) == StatusReference(2, STATUS_URI)
    assert status_reference(first.certificates[1]) == StatusReference(0, STATUS_URI)
    assert office.issue(ask("box-2")).certificates[0].serial_number != first.certificates[0].serial_number


def test_a_key_cannot_change_its_box_or_come_back(office: Office) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    office.issue(ask("box-1", key))
    with pytest.raises(InputError, match="already certified for box-1"):
        office.issue(ask("box-2", key))
    with pytest.raises(InputError, match="already certified"):
        office.issue(ask("box-1", key), purpose=Purpose.DEVELOPMENT)
    office.revoke("box-1", "stolen")
    with pytest.raises(InputError, match="was revoked"):
        office.issue(ask("box-1", key))


def test_revoked_twice_keeps_its_date_and_reason(office: Office) -> None:
    office.issue(ask())
    first = office.revoke("box-1", "stolen")
    assert office.revoke("box-1", "found") == first
    with pytest.raises(InputError, match="nothing was issued"):
        office.revoke("box-7", "")


def test_a_folder_that_is_no_authority(tmp_path: Path) -> None:
    result = run("authority", "list", tmp_path)
    assert result.exit_code == 2
    assert "authority create" in str(result.exception)


def test_list_names_everything(bench: Bench, office: Office) -> None:
    office.issue(ask())
    office.revoke("box-1", "stolen")
    rows = [json.loads(line) for line in run("authority", "list", bench.authority, "--json").stdout.splitlines()]
    assert [(row["place"], row["state"]) for row in rows] == [(0, "valid"), (1, "valid"), (2, "revoked")]


# --- What the certificates allow -------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", Purpose)
def test_openssl_verifies_the_chain(openssl: str, tmp_path: Path, office: Office, purpose: Purpose) -> None:
    chain = office.issue(ask(), purpose=purpose).certificates
    assert verdict_purpose(chain[0]) is purpose
    accepted, words = openssl_verify(openssl, tmp_path, chain)
    assert accepted, words


def test_openssl_refuses_what_a_box_issues(openssl: str, tmp_path: Path, office: Office) -> None:
    from provisioning.authority import issue_leaf

    key = ec.generate_private_key(ec.SECP256R1())
    chain = office.issue(ask("box-1", key)).certificates
    forged = issue_leaf(Authority(key, chain), ec.generate_private_key(ec.SECP256R1()).public_key(), "Forged")
    accepted, words = openssl_verify(openssl, tmp_path, forged)
    assert not accepted
    assert "invalid CA certificate" in words


def signed(folder: Path, office: Office, purpose: Purpose, issued_as: Purpose) -> tuple[str, x509.Certificate]:
    """A verdict in the words of `purpose`, by a key that was certified as `issued_as`."""
    key = ec.generate_private_key(ec.SECP256R1())
    chain = office.issue(ask("box-1", key), purpose=issued_as).certificates
    write_identity(folder, key, chain)
    return sign_claims(make_claims(purpose), FileKeyStore(folder, issued_as)), chain[-1]


def test_a_development_certificate_never_verifies_as_production(tmp_path: Path, office: Office) -> None:
    token, root = signed(tmp_path / "k", office, Purpose.PRODUCTION, Purpose.DEVELOPMENT)
    for allow in (False, True):
        found = verify_verdict(
            token, trust=[root], expected_audience=AUDIENCE, expected_nonce=NONCE, allow_emulated=allow
        )
        assert found.reason is Reason.CONTRADICTORY


def test_an_honest_development_verdict_is_refused_unless_allowed(tmp_path: Path, office: Office) -> None:
    token, root = signed(tmp_path / "k", office, Purpose.DEVELOPMENT, Purpose.DEVELOPMENT)
    question = {"trust": [root], "expected_audience": AUDIENCE, "expected_nonce": NONCE}
    assert verify_verdict(token, **question).reason is Reason.DEVELOPMENT  # type: ignore[arg-type]
    assert verify_verdict(token, **question, allow_emulated=True).valid  # type: ignore[arg-type]


def test_a_development_leaf_below_the_production_issuer_is_untrusted(tmp_path: Path, office: Office) -> None:
    from provisioning.authority import issue_leaf
    from provisioning.office import _open

    key = ec.generate_private_key(ec.SECP256R1())
    for folder, purpose in (("issuing", Purpose.DEVELOPMENT), ("development", Purpose.PRODUCTION)):
        issuer = _open(office.folder / folder)
        chain = issue_leaf(issuer, key.public_key(), "Box", purpose=purpose)
        write_identity(tmp_path / folder, key, chain)
        token = sign_claims(make_claims(purpose), FileKeyStore(tmp_path / folder, purpose))
        found = verify_verdict(
            token, trust=[chain[-1]], expected_audience=AUDIENCE, expected_nonce=NONCE, allow_emulated=True
        )
        assert found.reason is Reason.CHAIN_UNTRUSTED


# --- Bundles ---------------------------------------------------------------------------------------------------------


def test_the_pseudonym_key_travels_for_one_box_only(office: Office) -> None:
    mine, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    request = parse_request(make_request("box-1", "01", ec.generate_private_key(ec.SECP256R1()), mine.public_key()))
    data = encode_bundle(office.issue(request))
    secret = (office.folder / "pseudonym.key").read_bytes()
    assert secret not in data
    assert open_pseudonym_key(parse_bundle(data), mine) == secret
    with pytest.raises(InputError, match="another box"):
        open_pseudonym_key(parse_bundle(data), other)


@pytest.mark.parametrize("data", [b"{}", b"[1]", b"no", b'{"chain": ""}', b'{"chain": "x", "more": 1}', b"x" * 70_000])
def test_what_is_no_bundle(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_bundle(data)


def test_a_pem_chain_is_a_bundle(office: Office) -> None:
    bundle = office.issue(ask())
    plain = parse_bundle(bundle.chain.encode())
    assert plain.certificates == bundle.certificates
    assert plain.issuer == ""
    assert make_bundle(bundle.certificates, "", None, None).pseudonym_key == ""
