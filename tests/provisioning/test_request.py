"""Certificate requests: made with every kind of key, and refused when anything about them is wrong."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from device.errors import InputError
from device.notary.keystore.base import raw_signature
from provisioning.request import MAX_REQUEST, RemoteKey, make_request, parse_request

UEID = "01" + "ab" * 16


def remote(key: ec.EllipticCurvePrivateKey) -> RemoteKey:
    """As a TPM signs: r || s."""
    return RemoteKey(
        key.public_key(), lambda data: raw_signature(*decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256()))))
    )


def csr(key: object, *names: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def test_there_and_back() -> None:
    key, transport = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    for signer in (key, remote(key)):
        found = parse_request(make_request("box-1", UEID, signer, transport.public_key()))
        assert (found.name, found.box, found.key) == ("box-1", UEID, key.public_key())
        assert found.transport == transport.public_key()
    plain = ed25519.Ed25519PrivateKey.generate()
    assert parse_request(make_request("box-1", UEID, plain, None)).transport is None


def test_openssl_takes_a_request_that_a_remote_key_signed(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "r.pem").write_bytes(make_request("box-1", UEID, remote(ec.generate_private_key(ec.SECP256R1())), None))
    command = [openssl, "req", "-in", str(tmp_path / "r.pem"), "-verify", "-noout", "-subject"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "box-1" in ended.stdout


@pytest.mark.parametrize("name", ["", "-a", "a/b", "../x", "a b", "x" * 64, "böx"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(InputError, match="no name for a box"):
        make_request(name, UEID, ec.generate_private_key(ec.SECP256R1()), None)


def test_defects_are_named() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    good = make_request("box-1", UEID, key, None)
    signature_changed = bytearray(x509.load_pem_x509_csr(good).public_bytes(Encoding.DER))
    signature_changed[-1] ^= 1
    defects = {
        "signature is wrong": bytes(signature_changed),
        "P-256": csr(ec.generate_private_key(ec.SECP384R1()), "box-1"),
        "Ed25519": csr(rsa.generate_private_key(65537, 2048), "box-1"),
        "one common name": csr(key, "box-1", "box-2"),
        "no name for a box": csr(key, "../../etc"),
        "too large": b"x" * (MAX_REQUEST + 1),
        "PKCS #10": b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
    }
    for words, data in defects.items():
        with pytest.raises(InputError, match=words):
            parse_request(data)


@given(st.binary(max_size=300))
def test_anything_else_is_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_request(data)
