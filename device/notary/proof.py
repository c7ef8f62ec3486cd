"""The proof that a person takes along: what the verdict says, as an SD-JWT VC bound to the key of their telephone.

In: the `Case` of a verdict, and the public key that the telephone showed. Out: the SD-JWT with all of its disclosures.
The VC profile (draft-ietf-oauth-sd-jwt-vc) is still a draft: what depends on it is in this file and nowhere else.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from msgspec import Meta

from device.certificates import ARC, Purpose, b64url
from device.errors import InputError
from device.jose import PROOF_TYPE
from device.notary.keystore.base import KeyStore
from device.notary.sd_jwt import combine, conceal
from device.notary.verdict import Box, Case, attribute_claims, sign_claims
from device.protocol import Outcome

TYPE: Final = f"urn:oid:{ARC}.6.1"
"""`vct`: version 1 of this kind of proof."""
MAX_KEY_TEXT: Final = 600
"""Characters of the code that a telephone shows: a P-256 key takes about 130."""
_HOUR: Final = 3600
_COORDINATE: Final = 32

Coordinate = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]


class _EcKey(msgspec.Struct, frozen=True, tag_field="kty", tag="EC"):
    crv: Literal["P-256"]
    x: Coordinate
    y: Coordinate
    d: str | None = None


class _OkpKey(msgspec.Struct, frozen=True, tag_field="kty", tag="OKP"):
    crv: Literal["Ed25519"]
    x: Coordinate
    d: str | None = None


HolderKey = dict[str, str]
"""A public JWK (RFC 7517) with its required members only, as it stands in `cnf` (RFC 7800)."""


def read_holder_key(text: str) -> HolderKey | None:
    """The public key in the text of a code; None if the code is something else.

    Raises:
        InputError: it is a key that must not be used: a private one, or a point that is not on the curve.
    """
    if len(text) > MAX_KEY_TEXT or not text.lstrip().startswith("{"):
        return None
    try:
        key = msgspec.json.decode(text, type=_EcKey | _OkpKey)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if key.d is not None:
        raise InputError("the telephone showed its private key; it has to show the public one")
    try:
        if isinstance(key, _EcKey):
            ec.EllipticCurvePublicNumbers(_number(key.x), _number(key.y), ec.SECP256R1()).public_key()
            return {"kty": "EC", "crv": key.crv, "x": key.x, "y": key.y}
        ed25519.Ed25519PublicKey.from_public_bytes(_bytes(key.x))
    except ValueError as error:
        raise InputError("the telephone showed a key that is none") from error
    return {"kty": "OKP", "crv": key.crv, "x": key.x}


def _bytes(text: str) -> bytes:
    data = base64.urlsafe_b64decode(text + "=")
    if len(data) != _COORDINATE or b64url(data) != text:
        raise ValueError("not 32 bytes in canonical base64url")
    return data


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")


def make_proof(case: Case, box: Box, store: KeyStore, key: HolderKey, days: int) -> str:
    """The SD-JWT VC of a verified case.

    The attributes are those of the verdict, each disclosable by itself. Seen by everyone who is shown any of it: who
    issued it, the policy, for how long it holds, and whether a camera looked. Times are rounded to the hour, and
    neither the verification nor the relying party nor the box is named, so that a proof does not lead back to an event.

    Raises:
        KeyStoreError: the store could not sign.
        ValueError: the case is not verified.
    """
    if case.decision.outcome is not Outcome.VERIFIED:
        raise ValueError("there is no proof of what was not verified")
    issued = case.issued_at - case.issued_at % _HOUR
    always: dict[str, Any] = {
        "iss": box.issuer,
        "iat": issued,
        "exp": issued + days * 86_400,
        "vct": TYPE,
        "cnf": {"jwk": key},
        "policy": case.policy.name,
        "camera": str(case.camera),
        "dbgstat": "disabled" if store.purpose is Purpose.PRODUCTION else "enabled",
    }
    payload, disclosures = conceal(always, attribute_claims(case))
    return combine(sign_claims(payload, store, type_=PROOF_TYPE), disclosures)
