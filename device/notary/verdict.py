"""The verdict: what the box says about one verification, and how it is signed.

In: a `Case` (who asked, what was decided, by what) and a key store. Out: a JWS in compact serialisation.
Claim names are those of RFC 7519 and RFC 9711 (EAT) where there are such; docs/verdict.md explains each one.
The key store signs through a joserfc algorithm, so that the JOSE parts are joserfc's and the key never moves.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSAlgModel  # type: ignore[attr-defined]

from device import __version__
from device.certificates import PROFILE, Purpose, b64url, der
from device.jose import HEAD_TYPE, TYPE, VerdictRegistry
from device.notary.decision import Decision
from device.notary.keystore.base import KeyStore
from device.notary.ledger import Head
from device.notary.policy import Policy
from device.protocol import Attribute, CameraKind, CheckReport, ConsentMethod, Outcome

CONTENT_FORMAT_JSON: Final = 50  # application/json, CoAP Content-Formats registry (RFC 7252 section 12.3)
_YES_OR_NO: Final = frozenset(
    {
        Attribute.AGE_OVER_16,
        Attribute.AGE_OVER_18,
        Attribute.AGE_OVER_21,
        Attribute.AGE_OVER_65,
        Attribute.DOCUMENT_VALID,
    }
)
_BOOLEANS: Final = {"true": True, "false": False}


@dataclass(frozen=True)
class Box:
    """What does not change from one verdict to the next: who issues, and which box this is."""

    issuer: str
    ueid: bytes
    hardware: str

    @property
    def id(self) -> str:
        """The UEID as it stands in verdicts, and as the audience of a request that is shown as a code."""
        return b64url(self.ueid)


@dataclass(frozen=True)
class Case:
    """Everything that one verdict is about. Times are seconds since the epoch."""

    jti: str
    audience: str
    nonce: str
    policy: Policy
    decision: Decision
    camera: CameraKind
    consent: ConsentMethod
    consent_at: int
    issued_at: int
    lifetime: int
    measurements: Mapping[str, bytes]
    attributes: Mapping[Attribute, str]
    subject: str
    log: Head


def claims_of(case: Case, box: Box, purpose: Purpose) -> dict[str, Any]:
    """The claims set, ready to be signed."""
    claims: dict[str, Any] = {
        "iss": box.issuer,
        "aud": case.audience,
        "iat": case.issued_at,
        "exp": case.issued_at + case.lifetime,
        "jti": case.jti,
        "eat_nonce": case.nonce,
        "eat_profile": PROFILE,
        "ueid": box.id,
        "hwmodel": b64url(box.hardware.encode()),
        "swname": "vouchbox",
        "swversion": [__version__],
        "dbgstat": "disabled" if purpose is Purpose.PRODUCTION else "enabled",
        "measurements": [[CONTENT_FORMAT_JSON, measurement_table(case.measurements)]],
        "verdict": str(case.decision.outcome),
        "checks": {str(report.check): _check(report, case.policy) for report in case.decision.reports},
        "camera": str(case.camera),
        "policy": case.policy.name,
        "consent": {"method": str(case.consent), "time": case.consent_at},
        "log": {"size": case.log.size, "head": b64url(case.log.hash)},
    }
    # Only a verified person's document is told about: a stranger with a found passport must not learn or leak from it.
    if case.decision.outcome is Outcome.VERIFIED:
        if case.policy.rules.attributes:
            claims["attributes"] = attribute_claims(case)
        if case.policy.rules.subject and case.subject:
            claims["subject"] = case.subject
    return claims


def measurement_table(measurements: Mapping[str, bytes]) -> dict[str, str]:
    """Names to SHA-256 in hexadecimal, sorted by name."""
    return {name: measurements[name].hex() for name in sorted(measurements)}


def _check(report: CheckReport, policy: Policy) -> dict[str, Any]:
    told: dict[str, Any] = {"result": str(report.result), "required": report.check in policy.rules.required}
    if report.reason is not None:
        told["reason"] = str(report.reason)
    if report.method:
        told["method"] = report.method
    if report.fmr is not None:
        told["fmr"] = str(report.fmr)
    if report.score is not None:
        told["score"] = report.score / 100
    return told


def attribute_claims(case: Case) -> dict[str, Any]:
    """What the policy lists and the document says, in JSON's types."""
    told: dict[str, Any] = {}
    for attribute in case.policy.rules.attributes:
        text = case.attributes.get(attribute)
        if text is None:
            continue
        if attribute not in _YES_OR_NO:
            told[str(attribute)] = text
        elif text in _BOOLEANS:
            told[str(attribute)] = _BOOLEANS[text]
    return told


class _StoreAlgorithm(JWSAlgModel):
    """A joserfc algorithm that lets a key store sign."""

    def __init__(self, store: KeyStore) -> None:
        self.name = store.algorithm
        self.key_type = "OKP" if self.name == "EdDSA" else "EC"
        self.description = store.description
        self._store = store

    def sign(self, msg: bytes, key: Any) -> bytes:  # noqa: ARG002 - joserfc hands over the public key
        return self._store.sign(msg)

    def verify(self, msg: bytes, sig: bytes, key: Any) -> bool:
        raise NotImplementedError("the notary only signs")


class _StoreRegistry(VerdictRegistry):
    def __init__(self, store: KeyStore) -> None:
        super().__init__()
        self._algorithm = _StoreAlgorithm(store)

    def get_alg(self, name: str) -> JWSAlgModel:
        assert name == self._algorithm.name
        return self._algorithm


def sign_claims(claims: Mapping[str, Any], store: KeyStore, *, type_: str = TYPE) -> str:
    """A compact JWS with `alg`, `typ`, `kid` and `x5c` (leaf first, standard base64 of DER, RFC 7515 section 4.1.6).

    Raises:
        KeyStoreError: the store could not sign.
    """
    chain = store.certificate_chain()
    header = {
        "alg": store.algorithm,
        "typ": type_,
        "kid": store.kid,
        "x5c": [base64.b64encode(der(certificate)).decode() for certificate in chain],
    }
    public = chain[0].public_key()
    key = (OKPKey if store.algorithm == "EdDSA" else ECKey).import_key(public)  # type: ignore[arg-type]
    payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()
    return jws.serialize_compact(header, payload, key, registry=_StoreRegistry(store))


def sign_head(head: Head, box: Box, store: KeyStore, now: int) -> str:
    """A signed statement of the ledger's head, made on a schedule."""
    claims = {
        "iss": box.issuer,
        "iat": now,
        "ueid": box.id,
        "log": {"size": head.size, "head": b64url(head.hash)},
    }
    return sign_claims(claims, store, type_=HEAD_TYPE)
