"""Which certificates have been revoked: an IETF Token Status List, as a relying party reads it, offline.

In: the list's file (a signed JWT, draft-ietf-oauth-status-list-21), the organisation's roots, a box's certificates.
Out: a `StatusList` that tells the status at an index, or None and what is wrong with the file. A certificate names its
place in the list by an extension, which the authority signed: a box with a stolen key cannot point to another place.
"""

from __future__ import annotations

import base64
import datetime
import enum
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from device.certificates import ARC, SIGNATURE_ONLY
from device.jose import VerdictRegistry

STATUS_EXTENSION: Final = x509.ObjectIdentifier(f"{ARC}.4.1")
"""A certificate's place in a status list: a DER UTF8String that holds the draft's `status_list` object as JSON."""
STATUS_SIGNING: Final = x509.ObjectIdentifier(f"{ARC}.2.3")
"""Extended key usage of the key that signs status lists. The draft's own, id-kp-oauthStatusSigning (section 10), has
no number yet."""
TYPE: Final = "statuslist+jwt"
MAX_FILE: Final = 16 * 1024 * 1024
MAX_LIST: Final = 64 * 1024 * 1024
"""Bytes of an inflated list: 512 million certificates of one bit. More is a decompression bomb."""
_UTF8_STRING: Final = 0x0C


class Status(enum.IntEnum):
    """Status types of section 7.1 that we know; any other number is not valid either."""

    VALID = 0
    INVALID = 1
    SUSPENDED = 2


@dataclass(frozen=True)
class StatusReference:
    """A place in a list: section 6.2's `idx` and `uri`."""

    index: int
    uri: str


@dataclass(frozen=True)
class StatusList:
    """A list whose signature has been checked. Times are seconds since the epoch."""

    uri: str
    bits: int
    data: bytes
    issued_at: int
    expires_at: int | None

    def __len__(self) -> int:
        return len(self.data) * 8 // self.bits

    def at(self, index: int) -> int:
        """The status type at `index` (section 4.1: least significant bit first). Raises `IndexError`."""
        if not 0 <= index < len(self):
            raise IndexError(f"the list has {len(self)} places")
        byte, place = divmod(index * self.bits, 8)
        return self.data[byte] >> place & ((1 << self.bits) - 1)


def encode_reference(reference: StatusReference) -> x509.UnrecognizedExtension:
    """The extension that an authority puts into a certificate."""
    text = json.dumps({"idx": reference.index, "uri": reference.uri}, separators=(",", ":")).encode()
    if len(text) < 0x80:
        length = bytes([len(text)])
    else:
        octets = len(text).to_bytes((len(text).bit_length() + 7) // 8, "big")
        length = bytes([0x80 | len(octets)]) + octets
    return x509.UnrecognizedExtension(STATUS_EXTENSION, bytes([_UTF8_STRING]) + length + text)


def status_reference(certificate: x509.Certificate) -> StatusReference | None:
    """Where this certificate's status is told; None if it names no place. Raises `ValueError` if it cannot be read."""
    try:
        extension = certificate.extensions.get_extension_for_oid(STATUS_EXTENSION).value
    except x509.ExtensionNotFound:
        return None
    assert isinstance(extension, x509.UnrecognizedExtension)
    data = extension.value
    if len(data) < 2 or data[0] != _UTF8_STRING:
        raise ValueError("the status extension is no UTF8String")
    start = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    length = int.from_bytes(data[2:start], "big") if data[1] & 0x80 else data[1]
    if len(data) != start + length:
        raise ValueError("the status extension has a wrong length")
    value = json.loads(data[start:])
    if not isinstance(value, dict) or type(value.get("idx")) is not int or not isinstance(value.get("uri"), str):
        raise ValueError("the status extension is not a status_list object")
    if value["idx"] < 0:
        raise ValueError("the status extension has a negative index")
    return StatusReference(value["idx"], value["uri"])


def read_status_list(
    token: str, trust: Sequence[x509.Certificate], moment: datetime.datetime
) -> tuple[StatusList | None, str]:
    """Checks a status list token (section 8.3) against the organisation's roots.

    Returns:
        The list and an empty string; or None and what is wrong, in words.
    """
    if len(token) > MAX_FILE or not token.isascii() or token.count(".") != 2:
        return None, "it is not a signed token"
    header = _object(token.split(".", 1)[0])
    if header is None or header.get("typ") != TYPE or header.get("alg") != "ES256" or "crit" in header:
        return None, f"its header is not that of an ES256 {TYPE}"
    signer = organisation_key(header.get("x5c"), trust, moment, STATUS_SIGNING)
    if signer is None:
        return None, "the key that signed it does not lead to a root that you trust, or may not sign status lists"
    try:
        key = ECKey.import_key(signer.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        payload = json.loads(jws.deserialize_compact(token, key, registry=_Registry()).payload)
    except (JoseError, ValueError, RecursionError):
        return None, "its signature is wrong"
    return _list(payload, moment)


class _Registry(VerdictRegistry):
    max_payload_length = MAX_FILE


def _object(part: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def organisation_key(
    x5c: object, trust: Sequence[x509.Certificate], moment: datetime.datetime, usage: x509.ObjectIdentifier
) -> ec.EllipticCurvePublicKey | None:
    """The key of a leaf for `usage` alone that a trusted root issued itself; there is no authority in between.

    None if it is anything else, or out of its time.
    """
    if not isinstance(x5c, list) or not x5c or not isinstance(x5c[0], str):
        return None
    try:
        leaf = x509.load_der_x509_certificate(base64.b64decode(x5c[0], validate=True))
        extensions = leaf.extensions
        allowed = extensions.get_extension_for_class(x509.KeyUsage).value
        extended = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        authority = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        public = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.ExtensionNotFound, x509.InvalidVersion):
        return None
    if authority or allowed != SIGNATURE_ONLY or extended != {usage}:
        return None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        return None
    if not leaf.not_valid_before_utc <= moment <= leaf.not_valid_after_utc:
        return None
    return public if any(_issued(leaf, root, moment) for root in trust) else None


def _issued(leaf: x509.Certificate, root: x509.Certificate, moment: datetime.datetime) -> bool:
    try:
        leaf.verify_directly_issued_by(root)
        authority = root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except Exception:  # noqa: BLE001 - InvalidSignature, ValueError, TypeError, ExtensionNotFound: it did not issue it
        return False
    return authority and root.not_valid_before_utc <= moment <= root.not_valid_after_utc


def _list(payload: object, moment: datetime.datetime) -> tuple[StatusList | None, str]:
    if not isinstance(payload, dict) or not isinstance(payload.get("status_list"), dict):
        return None, "it has no status_list"
    told, uri = payload["status_list"], payload.get("sub")
    issued, expires = payload.get("iat"), payload.get("exp")
    if not isinstance(uri, str) or type(issued) is not int or not (expires is None or type(expires) is int):
        return None, "it lacks sub or iat, or has one of the wrong kind"
    if told.get("bits") not in (1, 2, 4, 8) or not isinstance(told.get("lst"), str):
        return None, "its status_list lacks bits or lst"
    if expires is not None and moment.timestamp() >= expires:
        return None, "it has expired: fetch the newest one"
    try:
        data = inflate(base64.urlsafe_b64decode(told["lst"] + "=" * (-len(told["lst"]) % 4)))
    except ValueError:
        return None, "its list cannot be inflated"
    return StatusList(uri, told["bits"], data, issued, expires), ""


def inflate(compressed: bytes) -> bytes:
    """ZLIB (RFC 1950), at most `MAX_LIST` bytes of it. Raises `ValueError`."""
    engine = zlib.decompressobj()
    try:
        data = engine.decompress(compressed, MAX_LIST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not engine.eof or engine.unused_data:
        raise ValueError("too long, cut off, or followed by something else")
    return data
