"""The offline authority: what its certificates allow, by our own rules and by OpenSSL's."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from device.certificates import EXTENDED_KEY_USAGE, Purpose, verdict_purpose
from device.errors import InputError, KeyStoreError
from device.notary.keystore.file import FileKeyStore
from provisioning.authority import (
    Authority,
    create_issuing,
    create_root,
    ensure_development_identity,
    issue_leaf,
    pem,
)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def root() -> Authority:
    return create_root("Test organisation")


@pytest.mark.parametrize("purpose", Purpose)
def test_a_leaf_can_sign_verdicts_of_one_kind_and_nothing_else(root: Authority, purpose: Purpose) -> None:
    leaf = issue_leaf(root, new_key().public_key(), "Box", purpose=purpose)[0]
    assert verdict_purpose(leaf) is purpose
    extensions = {extension.oid.dotted_string: extension for extension in leaf.extensions}
    assert extensions["2.5.29.19"].critical
    assert extensions["2.5.29.15"].critical
    assert extensions["2.5.29.37"].critical
    assert list(extensions["2.5.29.37"].value) == [EXTENDED_KEY_USAGE[purpose]]


def test_authorities_cannot_sign_verdicts(root: Authority) -> None:
    issuing = create_issuing(root, "Issuing")
    assert verdict_purpose(root.certificate) is None
    assert verdict_purpose(issuing.certificate) is None


def test_path_lengths(root: Authority) -> None:
    issuing = create_issuing(root, "Issuing")
    assert root.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 1
    assert issuing.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_an_ed25519_key_is_certified(root: Authority) -> None:
    chain = issue_leaf(root, ed25519.Ed25519PrivateKey.generate().public_key(), "Box")
    assert verdict_purpose(chain[0]) is Purpose.PRODUCTION


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)], ids=["p384", "rsa"]
)
def test_other_keys_are_refused(root: Authority, key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(InputError, match="P-256"):
        issue_leaf(root, key.public_key(), "Box")


# --- The development identity ----------------------------------------------------------------------------------------


def test_development_identity_is_made_once(tmp_path: Path) -> None:
    first = ensure_development_identity(tmp_path)
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    second = ensure_development_identity(tmp_path)
    assert second == first
    assert {path.name: path.read_bytes() for path in second.folder.iterdir()} == before
    assert FileKeyStore(first.folder, Purpose.DEVELOPMENT).health() == ""


def test_development_identity_is_readable_by_nobody_else(tmp_path: Path) -> None:
    folder = ensure_development_identity(tmp_path).folder
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_development_roots_key_is_nowhere(tmp_path: Path) -> None:
    identity = ensure_development_identity(tmp_path)
    root = x509.load_pem_x509_certificate(identity.root.read_bytes())
    keys = [path for path in tmp_path.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert keys == [identity.folder / "key.pem"]
    assert load_pem_private_key(keys[0].read_bytes(), None).public_key() != root.public_key()


def test_a_broken_development_identity_is_replaced(tmp_path: Path) -> None:
    identity = ensure_development_identity(tmp_path)
    (identity.folder / "key.pem").write_bytes(b"half a key")
    ensure_development_identity(tmp_path)
    assert FileKeyStore(identity.folder, Purpose.DEVELOPMENT).health() == ""
    assert [path.name for path in identity.folder.parent.iterdir()] == ["development"]  # nothing half-made is left


def test_a_development_identity_does_not_pass_for_production(tmp_path: Path) -> None:
    identity = ensure_development_identity(tmp_path)
    with pytest.raises(KeyStoreError, match="production"):
        FileKeyStore(identity.folder, Purpose.PRODUCTION).certificate_chain()


# --- OpenSSL's opinion -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def openssl() -> str:
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("openssl is not installed")
    return found


def openssl_verify(openssl: str, folder: Path, chain: tuple[x509.Certificate, ...], *options: str) -> tuple[bool, str]:
    (folder / "leaf.pem").write_bytes(pem(chain[:1]))
    (folder / "between.pem").write_bytes(pem(chain[1:-1]))
    (folder / "root.pem").write_bytes(pem(chain[-1:]))
    command = [openssl, "verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", str(folder / "root.pem")]
    if chain[1:-1]:
        command += ["-untrusted", str(folder / "between.pem")]
    ended = subprocess.run([*command, *options, str(folder / "leaf.pem")], capture_output=True, text=True)
    return ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("purpose", Purpose)
def test_openssl_accepts_a_leaf_of_the_root(openssl: str, tmp_path: Path, root: Authority, purpose: Purpose) -> None:
    chain = issue_leaf(root, new_key().public_key(), "Box", purpose=purpose)
    accepted, words = openssl_verify(openssl, tmp_path, chain)
    assert accepted, words


def test_openssl_accepts_a_leaf_of_an_issuing_authority(openssl: str, tmp_path: Path, root: Authority) -> None:
    chain = issue_leaf(create_issuing(root, "Issuing"), new_key().public_key(), "Box")
    accepted, words = openssl_verify(openssl, tmp_path, chain)
    assert accepted, words


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient", "smimesign", "ocsphelper", "timestampsign"])
def test_openssl_refuses_a_leaf_for_anything_else(openssl: str, tmp_path: Path, root: Authority, purpose: str) -> None:
    chain = issue_leaf(root, new_key().public_key(), "Box")
    accepted, words = openssl_verify(openssl, tmp_path, chain, "-purpose", purpose)
    if purpose == "ocsphelper":  # OpenSSL lets any certificate help OCSP: not a restriction that a certificate can make
        assert accepted
    else:
        assert not accepted, words


def test_openssl_refuses_what_a_leaf_issued(openssl: str, tmp_path: Path, root: Authority) -> None:
    key = new_key()
    leaf = issue_leaf(root, key.public_key(), "Box")
    grandchild = issue_leaf(Authority(key, leaf), new_key().public_key(), "Bought elsewhere")
    accepted, words = openssl_verify(openssl, tmp_path, grandchild)
    assert not accepted
    assert "invalid CA certificate" in words


def test_openssl_refuses_a_third_level_of_authorities(openssl: str, tmp_path: Path, root: Authority) -> None:
    too_deep = create_issuing(create_issuing(root, "First"), "Second")
    accepted, words = openssl_verify(openssl, tmp_path, issue_leaf(too_deep, new_key().public_key(), "Box"))
    assert not accepted
    assert "path length constraint exceeded" in words
