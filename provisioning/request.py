"""A box's request for a certificate: PKCS #10 (RFC 2986), signed by the key that it asks for, wherever that key is.

In: a name, the box's UEID, something that signs. Out: the request as PEM; and back: a checked `Request`.
The request also carries the public key with which the authority encrypts what only this box may read (the
organisation's pseudonym key). Certificate authorities that do not know this attribute pass over it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from cryptography.x509.oid import NameOID

from device.certificates import ARC, VerdictKey, algorithm_of, key_id
from device.errors import InputError

TRANSPORT_ATTRIBUTE: Final = x509.ObjectIdentifier(f"{ARC}.5.1")
"""A SubjectPublicKeyInfo (P-256; base64 of DER) for what only the box may read; its verdict key can only sign."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MAX_REQUEST: Final = 16 * 1024
_COORDINATE: Final = 32


@dataclass(frozen=True)
class Request:
    """What a box asks for; its signature has been checked, so the box has the key."""

    name: str
    box: str
    key: VerdictKey
    transport: ec.EllipticCurvePublicKey | None

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint of the key."""
        return key_id(self.key)


class RemoteKey(ec.EllipticCurvePrivateKey):
    """A P-256 key that lives elsewhere (TPM, PKCS #11): `cryptography` builds the request, the key's home signs it.

    Args:
        public: its public key.
        sign_raw: bytes to r || s (RFC 7518 section 3.4), with SHA-256.
    """

    def __init__(self, public: ec.EllipticCurvePublicKey, sign_raw: Callable[[bytes], bytes]) -> None:
        self._public = public
        self._sign_raw = sign_raw

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """DER, as X.509 wants it."""
        assert isinstance(signature_algorithm, ec.ECDSA)
        raw = self._sign_raw(bytes(data))
        return encode_dss_signature(int.from_bytes(raw[:_COORDINATE], "big"), int.from_bytes(raw[_COORDINATE:], "big"))

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        raise NotImplementedError("this key only signs")

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise NotImplementedError("this key does not leave its home")

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> bytes:
        raise NotImplementedError("this key does not leave its home")

    def __copy__(self) -> RemoteKey:
        return self

    def __deepcopy__(self, memo: Any) -> RemoteKey:
        return self


def make_request(
    name: str,
    box: str,
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    transport: ec.EllipticCurvePublicKey | None,
) -> bytes:
    """PEM of the request. Raises `InputError` for a name that could not be a box's."""
    check_name(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.SERIAL_NUMBER, box)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if transport is not None:
        spki = transport.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        builder = builder.add_attribute(TRANSPORT_ATTRIBUTE, base64.b64encode(spki))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)


def check_name(name: str) -> str:
    """A box's name: what can be a host name, a file name and a label. Raises `InputError`."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name[:80]!r} is no name for a box: letters, digits, '.', '_' and '-', at most 63")
    return name


def parse_request(data: bytes) -> Request:
    """A PKCS #10 request, PEM or DER.

    Raises:
        InputError: it is none, it does not prove that the sender has the key, or it asks for what a box cannot have.
    """
    if len(data) > MAX_REQUEST:
        raise InputError("too large to be a certificate request")
    try:
        pem = b"-----BEGIN" in data
        csr = x509.load_pem_x509_csr(data) if pem else x509.load_der_x509_csr(data)
        key, valid = csr.public_key(), csr.is_signature_valid
        names = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        boxes = csr.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
        carried = [item.value for item in csr.attributes if item.oid == TRANSPORT_ATTRIBUTE]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError("not a certificate request (PKCS #10); `vouchbox-provision init` makes one") from error
    if not valid:
        raise InputError("the certificate request's signature is wrong: whoever sent it does not have the key")
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) or algorithm_of(key) is None:
        raise InputError("the certificate request is for a key that is neither P-256 nor Ed25519")
    if len(names) != 1:
        raise InputError("the certificate request must have one common name, the box's")
    box = str(boxes[0].value) if boxes else ""
    if not re.fullmatch(r"[0-9a-f]{0,66}", box):
        raise InputError("the certificate request's serialNumber is not a UEID in hexadecimal")
    return Request(check_name(str(names[0].value)), box, key, _transport(carried))


def _transport(carried: list[bytes]) -> ec.EllipticCurvePublicKey | None:
    if not carried:
        return None
    try:
        key = load_der_public_key(base64.b64decode(carried[0], validate=True))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError("the certificate request's transport key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError("the certificate request's transport key is not P-256")
    return key
