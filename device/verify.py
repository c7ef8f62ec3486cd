"""Offline verification of a verdict: what a relying party does with the token it was given.

In: the token, the organisation's root certificates, the audience and the nonce that the relying party itself knows.
Out: a `Verification`: valid or not, one narrow reason, and the claims (only once the signature is known to be right).
Needs no network and nothing of the box: only a JOSE library and an X.509 chain verifier.
"""

from __future__ import annotations

import base64
import datetime
import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from device.certificates import (
    PROFILE,
    Purpose,
    algorithm_of,
    b64url,
    require_authority,
    require_issuing,
    verdict_purpose,
)
from device.jose import ALGORITHMS, MAX_TOKEN, TYPE, VerdictRegistry
from device.protocol import CameraKind, Outcome
from device.status_list import Status, StatusList, status_reference

MAX_CHAIN: Final = 3  # leaf, issuing authority, root: no organisation's chain is longer
CLOCK_SKEW: Final = 60  # seconds that the box's clock may be ahead of the verifier's


class Reason(enum.StrEnum):
    """Why a token is not accepted, in the order in which the checks are made."""

    MALFORMED = "malformed"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    TYPE_WRONG = "type_wrong"
    CERTIFICATE_MISSING = "certificate_missing"
    CERTIFICATE_MALFORMED = "certificate_malformed"
    LEAF_NOT_ALLOWED = "leaf_not_allowed_to_sign"
    LEAF_EXPIRED = "leaf_expired"
    LEAF_NOT_YET_VALID = "leaf_not_yet_valid"
    CHAIN_UNTRUSTED = "chain_untrusted"
    STATUS_UNKNOWN = "status_unknown"
    REVOKED = "revoked"
    SIGNATURE_WRONG = "signature_wrong"
    PROFILE_UNKNOWN = "profile_unknown"
    CLAIMS_MALFORMED = "claims_malformed"
    AUDIENCE_WRONG = "audience_wrong"
    NONCE_WRONG = "nonce_wrong"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    EMULATED = "emulated"
    DEVELOPMENT = "development"
    CONTRADICTORY = "contradictory"


@dataclass(frozen=True)
class Verification:
    """`claims` is None unless the signature is right and its key is trusted. Valid means: the box said this, to you,
    about your question, just now. What it said is `claims["verdict"]`."""

    valid: bool
    reason: Reason | None
    claims: dict[str, Any] | None


def verify_verdict(
    token: str,
    *,
    trust: Sequence[x509.Certificate],
    expected_audience: str,
    expected_nonce: str,
    allow_emulated: bool = False,
    status_list: StatusList | None = None,
    now: datetime.datetime | None = None,
) -> Verification:
    """Verifies a verdict offline.

    Args:
        token: the compact JWS.
        trust: the organisation's root certificates; nothing else is trusted, whatever the token brings along.
        expected_audience: the `audience` that the relying party asked with.
        expected_nonce: the `nonce` that it asked with; it must be fresh and used once.
        allow_emulated: accept development keys and emulated cameras too. Never in production.
        status_list: the organisation's (`device.status_list.read_status_list`); without it nothing is known of
            revocation. With it a production certificate whose status it does not tell is refused.
        now: time of the verification (aware); the present if None.
    """
    # 1. Is it a JWS that we speak: three parts, an allowed algorithm, the right type?
    # 2. May the key sign verdicts: a leaf in x5c, its constraints, its dates, a chain to a trusted root, not revoked?
    # 3. Is the signature right, by the key of that leaf?
    # 4. Are the claims of this profile, for us, for our question, and of now?
    # 5. Is it production, or was what is less explicitly allowed? Do key, camera and debug state agree?
    moment = now or datetime.datetime.now(datetime.UTC)

    # 1.
    header = _header(token)
    if header is None:
        return _refused(Reason.MALFORMED)
    if header.get("alg") not in ALGORITHMS:
        return _refused(Reason.ALGORITHM_NOT_ALLOWED)
    if header.get("typ") != TYPE:
        return _refused(Reason.TYPE_WRONG)
    if "crit" in header or "b64" in header:
        return _refused(Reason.MALFORMED)

    # 2.
    if not header.get("x5c"):
        return _refused(Reason.CERTIFICATE_MISSING)
    chain = _certificates(header["x5c"])
    if chain is None:
        return _refused(Reason.CERTIFICATE_MALFORMED)
    leaf = chain[0]
    purpose = verdict_purpose(leaf)
    if purpose is None or algorithm_of(leaf.public_key()) != header["alg"]:
        return _refused(Reason.LEAF_NOT_ALLOWED)
    if moment > leaf.not_valid_after_utc:
        return _refused(Reason.LEAF_EXPIRED)
    if moment < leaf.not_valid_before_utc:
        return _refused(Reason.LEAF_NOT_YET_VALID)
    path = certificate_path(chain, trust, moment)
    if not path:
        return _refused(Reason.CHAIN_UNTRUSTED)
    if status_list is not None and (trouble := _status(path, status_list, purpose)):
        return _refused(trouble)

    # 3.
    payload = _signed_payload(token, leaf)
    if payload is None:
        return _refused(Reason.SIGNATURE_WRONG)

    # 4.
    claims = _object(payload)
    if claims is None:
        return _refused(Reason.CLAIMS_MALFORMED)
    if claims.get("eat_profile") != PROFILE:
        return _refused(Reason.PROFILE_UNKNOWN, claims)
    if not _well_formed(claims):
        return _refused(Reason.CLAIMS_MALFORMED, claims)
    if claims["aud"] != expected_audience:
        return _refused(Reason.AUDIENCE_WRONG, claims)
    if claims["eat_nonce"] != expected_nonce:
        return _refused(Reason.NONCE_WRONG, claims)
    if moment.timestamp() >= claims["exp"]:
        return _refused(Reason.EXPIRED, claims)
    if moment.timestamp() < claims["iat"] - CLOCK_SKEW:
        return _refused(Reason.NOT_YET_VALID, claims)

    # 5.
    production_key = purpose is Purpose.PRODUCTION
    production_words = claims["camera"] == CameraKind.LIVE and claims["dbgstat"] != "enabled"
    if production_key and not production_words:
        return _refused(Reason.CONTRADICTORY, claims)  # a production key never signs for an emulated camera
    if not production_key and claims["dbgstat"] != "enabled":
        return _refused(Reason.CONTRADICTORY, claims)  # a development key cannot claim to be production
    if claims["camera"] != CameraKind.LIVE and not allow_emulated:
        return _refused(Reason.EMULATED, claims)
    if not production_key and not allow_emulated:
        return _refused(Reason.DEVELOPMENT, claims)
    return Verification(True, None, claims)


def _refused(reason: Reason, claims: dict[str, Any] | None = None) -> Verification:
    return Verification(False, reason, claims)


def _header(token: str) -> dict[str, Any] | None:
    if len(token) > MAX_TOKEN or not token.isascii() or token.count(".") != 2:
        return None
    parts = [_canonical(part) for part in token.split(".")]
    if any(part is None for part in parts):
        return None
    return _object(parts[0] or b"")


def _canonical(text: str) -> bytes | None:
    """The bytes of a base64url text in its one canonical form, so that one verdict has one token (and one SHA-256)."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return data if b64url(data) == text else None


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _certificates(x5c: object) -> list[x509.Certificate] | None:
    if not isinstance(x5c, list) or not 1 <= len(x5c) <= MAX_CHAIN:
        return None
    try:
        chain = [x509.load_der_x509_certificate(base64.b64decode(text, validate=True)) for text in x5c]
        for certificate in chain:  # both are parsed only when they are asked for
            certificate.public_key()
            list(certificate.extensions)
    except (TypeError, ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion):
        return None
    return chain


def certificate_path(
    chain: list[x509.Certificate], trust: Sequence[x509.Certificate], moment: datetime.datetime
) -> list[x509.Certificate]:
    """The path from the leaf to a trusted root; empty if there is none."""
    if not trust:
        return []
    # The leaf's own extensions have been checked, more strictly than a path validator can (`verdict_purpose`).
    authorities = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.CRITICAL, require_authority)
        .require_present(x509.KeyUsage, Criticality.CRITICAL, require_issuing)
    )
    verifier = (
        PolicyBuilder()
        .store(Store(list(trust)))
        .time(moment)
        .max_chain_depth(MAX_CHAIN - 1)
        .extension_policies(ca_policy=authorities, ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        path = verifier.verify(chain[0], chain[1:]).chain
    except (VerificationError, ValueError):
        return []
    return list(path) if all(_may_issue_for(authority, chain[0]) for authority in path[1:]) else []


def _status(path: list[x509.Certificate], status_list: StatusList, purpose: Purpose) -> Reason | None:
    """Looks up every certificate of the path that names a place in the list. Development certificates name none."""
    for certificate in path:
        try:
            reference = status_reference(certificate)
            if reference is None:
                if certificate is path[0] and purpose is Purpose.PRODUCTION:
                    return Reason.STATUS_UNKNOWN
                continue
            if reference.uri != status_list.uri:
                return Reason.STATUS_UNKNOWN
            if status_list.at(reference.index) != Status.VALID:
                return Reason.REVOKED
        except (ValueError, IndexError, RecursionError):
            return Reason.STATUS_UNKNOWN
    return None


def _may_issue_for(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    """An authority that names purposes (RFC 5280 section 4.2.1.12) issues only for those."""
    try:
        named = set(authority.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return True
    return set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) <= named


def _signed_payload(token: str, leaf: x509.Certificate) -> bytes | None:
    public = leaf.public_key()
    kind = ECKey if algorithm_of(public) == "ES256" else OKPKey
    key = kind.import_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    try:
        return jws.deserialize_compact(token, key, registry=VerdictRegistry()).payload
    except (JoseError, ValueError):
        return None


def _well_formed(claims: dict[str, Any]) -> bool:
    texts = ("iss", "aud", "jti", "eat_nonce", "verdict", "camera", "dbgstat", "policy")
    return (
        all(isinstance(claims.get(name), str) for name in texts)
        and all(type(claims.get(name)) is int for name in ("iat", "exp"))
        and isinstance(claims.get("checks"), dict)
        and claims["verdict"] in set(Outcome)
        and claims["camera"] in set(CameraKind)
    )
