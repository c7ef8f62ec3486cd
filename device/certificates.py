"""The names in the box's certificates, and what a certificate allows its key to do.

In: an X.509 certificate. Out: its `Purpose`, or None if it may not sign verdicts at all. Used by whoever issues
(`provisioning.authority`), whoever signs (the notary's key stores) and whoever verifies (`device.verify`), so that the
three cannot disagree. The object identifiers live under one UUID arc (Rec. ITU-T X.667): nobody has to register them.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import json
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import Policy

ARC: Final = "2.25.94514465533833302352316515556729291647"  # UUID 471ad2ed-6666-40bb-8aaf-dc25bffc037f
PROFILE: Final = f"{ARC}.1.1"
"""`eat_profile` of version 1 of the verdict (RFC 9711 section 4.3.2: a URI or an OID)."""

VerdictKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class Purpose(enum.StrEnum):
    """What a verdict key is for. The two never meet in one certificate."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"


EXTENDED_KEY_USAGE: Final = {
    Purpose.PRODUCTION: x509.ObjectIdentifier(f"{ARC}.2.1"),
    Purpose.DEVELOPMENT: x509.ObjectIdentifier(f"{ARC}.2.2"),
}
CERTIFICATE_POLICY: Final = {
    Purpose.PRODUCTION: x509.ObjectIdentifier(f"{ARC}.3.1"),
    Purpose.DEVELOPMENT: x509.ObjectIdentifier(f"{ARC}.3.2"),
}


def verdict_purpose(certificate: x509.Certificate) -> Purpose | None:
    """Whether the key of this end-entity certificate may sign verdicts, and which kind.

    Allowed is only a certificate that is no authority (RFC 5280 section 4.2.1.9), whose key usage is digitalSignature
    and nothing else (4.2.1.3), and whose extended key usage (4.2.1.12) and certificate policy (4.2.1.4) both name the
    same single purpose.
    """
    try:
        extensions = certificate.extensions
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return None
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        extended = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        policies = {
            policy.policy_identifier for policy in extensions.get_extension_for_class(x509.CertificatePolicies).value
        }
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None
    if usage != SIGNATURE_ONLY:
        return None
    for purpose in Purpose:
        if extended == {EXTENDED_KEY_USAGE[purpose]} and policies == {CERTIFICATE_POLICY[purpose]}:
            return purpose
    return None


SIGNATURE_ONLY: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def require_authority(_policy: Policy, _certificate: x509.Certificate, extension: x509.BasicConstraints) -> None:
    """For `cryptography`'s chain verifier: whoever issued something is an authority."""
    if not extension.ca:
        raise ValueError("the issuer is not an authority")


def require_issuing(_policy: Policy, _certificate: x509.Certificate, extension: x509.KeyUsage) -> None:
    """For `cryptography`'s chain verifier: an authority's key may sign certificates."""
    if not extension.key_cert_sign:
        raise ValueError("the issuer's key may not sign certificates")


def algorithm_of(key: object) -> str | None:
    """The JWS algorithm of a verdict key: `ES256` for P-256 (RFC 7518), `EdDSA` for Ed25519 (RFC 8037); else None."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "EdDSA"
    return None


def key_id(key: VerdictKey) -> str:
    """`kid`: the SHA-256 thumbprint of the public key (RFC 7638), base64url."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        members = {"crv": "Ed25519", "kty": "OKP", "x": b64url(key.public_bytes_raw())}
    else:
        numbers = key.public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        members = {"crv": "P-256", "kty": "EC", "x": b64url(x), "y": b64url(y)}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return b64url(hashlib.sha256(canonical).digest())


def b64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def der(certificate: x509.Certificate) -> bytes:
    """The certificate's DER bytes."""
    return certificate.public_bytes(Encoding.DER)
