"""The organisation's offline authority: a root, optionally an issuing key, and the boxes' certificates.

In: names, public keys, lifetimes. Out: X.509 certificates (RFC 5280) whose constraints say what each key may do:
a root and an issuing key can only issue, a box can sign verdicts and nothing else, and a development certificate
names another purpose than a production one in two critical places, so that neither can pass for the other.
"""

from __future__ import annotations

import datetime
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from device.certificates import (
    CERTIFICATE_POLICY,
    EXTENDED_KEY_USAGE,
    SIGNATURE_ONLY,
    Purpose,
    VerdictKey,
    algorithm_of,
)
from device.errors import InputError
from device.notary.keystore.file import FileKeyStore, write_private
from device.status_list import STATUS_SIGNING, StatusReference, encode_reference

_CLOCK_SKEW = datetime.timedelta(hours=1)  # a box whose clock is a little slow must not refuse its new certificate
_ISSUES_ONLY = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
DEVELOPMENT_DAYS = 825


@dataclass(frozen=True)
class Authority:
    """A key that issues, and its certificates, own first, up to the root."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]


@dataclass(frozen=True)
class DevelopmentIdentity:
    """Where a development key is: `folder` for the notary's file key store, `root` for `vouchbox verify --trust`."""

    folder: Path
    root: Path


def create_root(name: str, *, days: int = 7305) -> Authority:
    """A new self-signed P-256 root, which may have issuing authorities below it (path length 1)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = _authority(_base(subject, key.public_key(), subject, key, days), path_length=1)
    return Authority(key, (builder.sign(key, hashes.SHA256()),))


def create_issuing(
    root: Authority,
    name: str,
    *,
    purpose: Purpose = Purpose.PRODUCTION,
    days: int = 1827,
    status: StatusReference | None = None,
) -> Authority:
    """An issuing key below `root` for one purpose; it can issue boxes' certificates and no further authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _authority(_below(root, name, key.public_key(), days), path_length=0).add_extension(
        x509.ExtendedKeyUsage([EXTENDED_KEY_USAGE[purpose]]), critical=False
    )
    return Authority(key, (_with_status(builder, status).sign(root.key, hashes.SHA256()), *root.chain))


def create_status_signer(root: Authority, name: str, *, days: int = 1827) -> Authority:
    """A key that signs status lists and nothing else (Token Status List, section 10), below `root` itself: an issuing
    key that somebody took must not be able to take itself off the list."""
    return create_signer(root, name, STATUS_SIGNING, days=days)


def create_signer(root: Authority, name: str, usage: x509.ObjectIdentifier, *, days: int = 1827) -> Authority:
    """A key of the organisation that signs for `usage` and nothing else, below `root` itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _below(root, name, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SIGNATURE_ONLY, critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
    )
    return Authority(key, (builder.sign(root.key, hashes.SHA256()), *root.chain))


def issue_leaf(
    authority: Authority,
    key: VerdictKey,
    name: str,
    *,
    purpose: Purpose = Purpose.PRODUCTION,
    days: int = 397,
    until: datetime.datetime | None = None,
    box: str = "",
    status: StatusReference | None = None,
) -> tuple[x509.Certificate, ...]:
    """A box's certificate for `key`, followed by the authority's chain up to the root.

    Args:
        authority: who issues.
        key: the box's public key.
        name: common name.
        purpose: which verdicts the key may sign.
        days: how long it is valid.
        until: when it ends at the latest, whatever `days` says: no verifier takes it after the authority's own end.
        box: the box's UEID in hexadecimal, as the subject's serialNumber (X.520, as IEEE 802.1AR names devices).
        status: its place in the status list.

    Raises:
        InputError: the key is neither P-256 nor Ed25519.
    """
    if algorithm_of(key) is None:
        raise InputError("a box's key is P-256 or Ed25519")
    builder = (
        _base(_name(name, box), key, authority.certificate.subject, authority.key, days, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SIGNATURE_ONLY, critical=True)
        .add_extension(x509.ExtendedKeyUsage([EXTENDED_KEY_USAGE[purpose]]), critical=True)
        .add_extension(
            x509.CertificatePolicies([x509.PolicyInformation(CERTIFICATE_POLICY[purpose], None)]), critical=False
        )
    )
    return (_with_status(builder, status).sign(authority.key, hashes.SHA256()), *authority.chain)


def _with_status(builder: x509.CertificateBuilder, status: StatusReference | None) -> x509.CertificateBuilder:
    return builder if status is None else builder.add_extension(encode_reference(status), critical=False)


def _name(text: str, box: str = "") -> x509.Name:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, text)]
    if box:
        names.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, box))
    return x509.Name(names)


def _below(root: Authority, name: str, key: VerdictKey, days: int) -> x509.CertificateBuilder:
    """For a key of the organisation itself; never valid longer than the root is."""
    until = root.certificate.not_valid_after_utc
    return _base(_name(name), key, root.certificate.subject, root.key, days, until)


def _base(
    subject: x509.Name,
    key: VerdictKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: int,
    until: datetime.datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    end = now + datetime.timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(end if until is None else min(end, until))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _authority(builder: x509.CertificateBuilder, *, path_length: int) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True).add_extension(
        _ISSUES_ONLY, critical=True
    )


def pem(certificates: tuple[x509.Certificate, ...]) -> bytes:
    """PEM blocks, in the order given."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def write_identity(folder: Path, key: ec.EllipticCurvePrivateKey, chain: tuple[x509.Certificate, ...]) -> None:
    """Puts `key.pem`, `chain.pem` and `root.pem` where a `FileKeyStore` finds them, all at once or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    fresh.mkdir(mode=0o700)
    write_private(fresh / "key.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (fresh / "chain.pem").write_bytes(pem(chain))
    (fresh / "root.pem").write_bytes(pem(chain[-1:]))
    if folder.exists():
        shutil.rmtree(folder)
    fresh.replace(folder)


def ensure_development_identity(state: Path) -> DevelopmentIdentity:
    """The development key under `state`, made if there is none that works.

    Its root's private key is thrown away at once: nobody can ever issue another certificate below that root.
    """
    folder = state / "keys" / "development"
    identity = DevelopmentIdentity(folder=folder, root=folder / "root.pem")
    if not FileKeyStore(folder, Purpose.DEVELOPMENT).health() and identity.root.exists():
        return identity
    mark = secrets.token_hex(4)
    key = ec.generate_private_key(ec.SECP256R1())
    root = create_root(f"Vouchbox DEVELOPMENT root {mark}", days=DEVELOPMENT_DAYS)
    chain = issue_leaf(
        root,
        key.public_key(),
        f"Vouchbox DEVELOPMENT box {mark}",
        purpose=Purpose.DEVELOPMENT,
        days=DEVELOPMENT_DAYS,
    )
    write_identity(folder, key, chain)
    return identity
