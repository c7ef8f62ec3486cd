"""What an authority gives a box: its certificates, and what a box of this organisation has to know.

In: PEM certificates and the organisation's settings. Out: one JSON file that can be carried on a stick; the
organisation's pseudonym key travels in it encrypted for this one box (JWE, RFC 7516, ECDH-ES+A256KW). A plain PEM
chain, as any other certificate authority answers, is a bundle too: one without settings.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from msgspec import Meta

from device.errors import InputError
from device.notary.pseudonym import KEY_BYTES
from provisioning.authority import pem

MAX_BUNDLE: Final = 64 * 1024
_PROTECTED: Final = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM"}


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`chain` is PEM, leaf first, root last. `issuer` is the verdicts' `iss`; empty leaves the box's own."""

    chain: Annotated[str, Meta(min_length=1, max_length=MAX_BUNDLE)]
    issuer: Annotated[str, Meta(max_length=256)] = ""
    pseudonym_key: Annotated[str, Meta(max_length=2048)] = ""

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """Leaf first. Raises `InputError`."""
        try:
            return tuple(x509.load_pem_x509_certificates(self.chain.encode()))
        except ValueError as error:
            raise InputError("the bundle's certificates cannot be read; ask the authority for it again") from error


def make_bundle(
    chain: tuple[x509.Certificate, ...],
    issuer: str,
    pseudonym_key: bytes | None,
    transport: ec.EllipticCurvePublicKey | None,
) -> Bundle:
    """The pseudonym key is left out if the box's request had no key to encrypt it to."""
    encrypted = ""
    if pseudonym_key is not None and transport is not None:
        key = ECKey.import_key(transport.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        encrypted = jwe.encrypt_compact(_PROTECTED, pseudonym_key, key, algorithms=list(_PROTECTED.values()))
    return Bundle(chain=pem(chain).decode(), issuer=issuer, pseudonym_key=encrypted)


def open_pseudonym_key(bundle: Bundle, transport: ec.EllipticCurvePrivateKey) -> bytes:
    """The organisation's pseudonym key. Raises `InputError` if it was encrypted for another box."""
    key = ECKey.import_key(transport.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        found = jwe.decrypt_compact(bundle.pseudonym_key, key, algorithms=list(_PROTECTED.values())).plaintext
    except (JoseError, ValueError) as error:
        raise InputError("the bundle's pseudonym key was encrypted for another box") from error
    if found is None or len(found) != KEY_BYTES:
        raise InputError(f"the bundle's pseudonym key does not have {KEY_BYTES} bytes")
    return found


def encode_bundle(bundle: Bundle) -> bytes:
    """One JSON object."""
    return msgspec.json.format(msgspec.json.encode(bundle), indent=2) + b"\n"


def parse_bundle(data: bytes) -> Bundle:
    """A bundle's JSON, or PEM certificates (leaf first). Raises `InputError`."""
    if len(data) > MAX_BUNDLE:
        raise InputError("too large to be an enrolment bundle")
    if data.lstrip().startswith(b"-----BEGIN CERTIFICATE"):
        return Bundle(chain=data.decode("ascii", errors="replace"))
    try:
        return msgspec.json.decode(data, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"this is no enrolment bundle ({error}); `vouchbox-provision authority issue` makes one"
        ) from error
