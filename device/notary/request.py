"""A relying party's signed request, as it stands in a code that is shown to the camera where there is no network.

In: a compact JWS, the requesters that this box knows, which box this is. Out: what is asked for, or `RequestError` with
the reason that the person is told. docs/integrate.md describes the token; `make_request` is the relying party's side.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from msgspec import Meta

from device.certificates import VerdictKey, algorithm_of, key_id
from device.errors import InputError, LedgerError
from device.jose import ALGORITHMS, REQUEST_TYPE, VerdictRegistry
from device.notary.requesters import Requester
from device.protocol import Audience, Name, Nonce, OpenVerification, Reason

MAX_REQUEST: Final = 4096
"""Characters: a code holds no more."""
MAX_LIFETIME: Final = 7 * 86_400
"""Seconds between `iat` and `exp`: a request that is sent by post has a week."""
CLOCK_SKEW: Final = 300
"""Seconds that the signer's clock may be ahead: a box without a network sets its own by hand."""
KEPT_NONCES: Final = 100_000

SigningKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class _Claims(msgspec.Struct, frozen=True):
    iss: Name
    aud: Annotated[str, Meta(min_length=1, max_length=64)]
    iat: Annotated[int, Meta(ge=0, le=2**40)]
    exp: Annotated[int, Meta(ge=0, le=2**40)]
    nonce: Nonce
    policy: Name
    audience: Audience


@dataclass(frozen=True)
class ShownRequest:
    """`order` is what the API's call would have opened; `party` is the name that the person is told."""

    order: OpenVerification
    party: str


class RequestError(Exception):
    """The request is not taken; `reason` for the person, the text for the operator."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def check_request(token: str, requesters: Sequence[Requester], box: str, now: int) -> ShownRequest:
    """What the token asks for.

    Args:
        token: the compact JWS.
        requesters: whose requests are taken.
        box: this box's UEID, base64url: the audience of the request.
        now: seconds since the epoch.

    Raises:
        RequestError: for the first thing that is wrong with it.
    """
    # 1. A JWS of our kind, with an algorithm that we speak.
    # 2. By a key that is registered: the header says which, the signature proves it.
    # 3. For this box, of now, and within what its relying party may ask for.
    header = _header(token)
    if header.get("alg") not in ALGORITHMS or header.get("typ") != REQUEST_TYPE or {"crit", "b64"} & set(header):
        raise RequestError(Reason.REQUEST_INVALID, "what was shown is no request of our kind")
    requester = next((it for it in requesters if key_id(it.public_key) == header.get("kid")), None)
    if requester is None or algorithm_of(requester.public_key) != header["alg"]:
        raise RequestError(Reason.REQUEST_INVALID, "the request is signed by a key that nobody registered here")
    claims = _signed_claims(token, requester)
    if claims.iss != requester.id:
        raise RequestError(Reason.REQUEST_INVALID, f"the key of {requester.id} signed a request of {claims.iss}")
    if claims.aud != box:
        raise RequestError(Reason.REQUEST_INVALID, "the request is for another box")
    if now >= claims.exp:
        raise RequestError(Reason.REQUEST_EXPIRED, "the request has expired")
    if now < claims.iat - CLOCK_SKEW or claims.exp - claims.iat > MAX_LIFETIME:
        raise RequestError(Reason.REQUEST_INVALID, "the request is from the future, or good for more than a week")
    if claims.policy not in requester.policies or claims.audience not in requester.audiences:
        raise RequestError(
            Reason.REQUEST_INVALID, f"{requester.id} may not ask for policy {claims.policy} and {claims.audience}"
        )
    order = OpenVerification(requester.id, claims.audience, claims.nonce, claims.policy)
    return ShownRequest(order, requester.name)


def _header(token: str) -> dict[str, Any]:
    try:
        return dict(jws.extract_compact(token[:MAX_REQUEST].encode("ascii")).headers())
    except (JoseError, ValueError, TypeError) as error:  # a header may be any JSON: joserfc does not mind a string
        raise RequestError(Reason.REQUEST_INVALID, "what was shown is no signed token") from error


def _signed_claims(token: str, requester: Requester) -> _Claims:
    try:
        payload = jws.deserialize_compact(token, _jwk(requester.public_key), registry=VerdictRegistry()).payload
        return msgspec.json.decode(payload, type=_Claims)
    except (JoseError, ValueError) as error:
        raise RequestError(Reason.REQUEST_INVALID, f"the request of {requester.id} does not verify: {error}") from error


def within_bounds(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """The claims, if a box would read them. Raises `InputError` naming the one that it would not."""
    try:
        msgspec.convert(claims, _Claims)
    except msgspec.ValidationError as error:
        raise InputError(f"no box would take this request: {error}") from error
    return claims


def make_request(key: SigningKey, claims: Mapping[str, Any]) -> str:
    """A relying party's side: the claims, signed. `vouchbox request` says what they are."""
    public = key.public_key()
    header = {"alg": algorithm_of(public), "typ": REQUEST_TYPE, "kid": key_id(public)}
    payload = json.dumps(dict(claims), separators=(",", ":")).encode()
    kind = OKPKey if isinstance(key, ed25519.Ed25519PrivateKey) else ECKey
    return jws.serialize_compact(header, payload, kind.import_key(key), registry=VerdictRegistry())  # type: ignore[arg-type]


def _jwk(key: VerdictKey) -> ECKey | OKPKey:
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return OKPKey.import_key(pem) if isinstance(key, ed25519.Ed25519PublicKey) else ECKey.import_key(pem)


class UsedRequests:
    """Which requests have led to a verdict: one request, one verdict.

    It remembers who asked with which nonce, so that the same request signed again is the same request. On disk before
    the verdict leaves; what it holds says nothing about a person.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def used(self, order: OpenVerification) -> bool:
        """Raises `LedgerError`."""
        with self._database() as database:
            return database.execute("SELECT 1 FROM used WHERE digest = ?", (_digest(order),)).fetchone() is not None

    def use(self, order: OpenVerification) -> None:
        """Raises `LedgerError`."""
        with self._database() as database:
            database.execute("INSERT OR IGNORE INTO used (digest) VALUES (?)", (_digest(order),))
            database.execute("DELETE FROM used WHERE number <= (SELECT max(number) FROM used) - ?", (KEPT_NONCES,))

    def _database(self) -> _Connection:
        return _Connection(self._path)


class _Connection:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._database = sqlite3.connect(self._path, timeout=1.0)
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS used (number INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB UNIQUE) STRICT"
            )
        except sqlite3.Error as error:
            raise LedgerError(f"cannot open {self._path}: {error}") from error
        return self._database

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._database.commit()
        except sqlite3.Error as broken:
            raise LedgerError(f"cannot write {self._path}: {broken}") from broken
        finally:
            self._database.close()
        if isinstance(error, sqlite3.Error):
            raise LedgerError(f"cannot use {self._path}: {error}") from error


def _digest(order: OpenVerification) -> bytes:
    return hashlib.sha256(f"{order.relying_party}\0{order.nonce}".encode()).digest()
