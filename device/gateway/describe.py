"""What the gateway says about the box itself: its keys, its models and policies, its health.

In: the notary's facts and health. Out: the structs of `device.gateway.wire`.
"""

from __future__ import annotations

import base64
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OKPKey
from msgspec import UNSET

from device import __version__
from device.errors import PeerError
from device.gateway.auth import RelyingParties
from device.gateway.notary import DeviceFacts, NotaryClient
from device.gateway.wire import (
    Condition,
    DeviceDescription,
    HealthReport,
    KeyDescription,
    KeySet,
    PolicyDescription,
    ProcessHealth,
)
from device.protocol import CameraKind, Key

_ALGORITHMS: Final = {"P-256": "ES256", "P-384": "ES384", "Ed25519": "EdDSA"}


def device_description(facts: DeviceFacts) -> DeviceDescription:
    """For `GET /v1/device`."""
    return DeviceDescription(
        software="vouchbox",
        version=__version__,
        ueid=facts.ueid,
        keys=tuple(
            KeyDescription(
                kid=key.kid,
                development=key.development,
                certificates=tuple(base64.b64encode(der).decode() for der in key.chain),
            )
            for key in facts.keys
        ),
        measurements={m.name: m.digest.hex() for m in facts.measurements},
        policies=tuple(
            PolicyDescription(
                name=p.name,
                sha256=p.digest.hex(),
                checks=p.checks,
                documents=p.documents,
                attributes=p.attributes,
                consent=p.consent,
                fmr=p.fmr,
            )
            for p in facts.policies
        ),
    )


def key_set(facts: DeviceFacts, camera: CameraKind | None) -> KeySet:
    """For `GET /.well-known/jwks.json`: the keys that this box signs with, having the camera that it has.

    A box with an emulated camera signs with its development key alone, and every other box never does; so a library
    that trusts this list trusts no development key of a box with a live camera.
    """
    development = camera is CameraKind.EMULATED
    return KeySet(tuple(_jwk(key) for key in facts.keys if key.development == development))


def _jwk(key: Key) -> dict[str, str | list[str]]:
    held = x509.load_der_x509_certificate(key.chain[0]).public_key()
    pem = held.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    kind = ECKey if isinstance(held, EllipticCurvePublicKey) else OKPKey
    public = {name: str(value) for name, value in kind.import_key(pem).as_dict(private=False).items()}
    return {
        **{name: public[name] for name in ("kty", "crv", "x", "y") if name in public},
        "kid": key.kid,
        "use": "sig",
        "alg": _ALGORITHMS[public["crv"]],
        "x5c": [base64.b64encode(der).decode() for der in key.chain],
    }


def health_report(notary: NotaryClient, parties: RelyingParties, *, details: bool) -> HealthReport:
    """For `GET /healthz`. `details`: whether the caller may read what is wrong, or only that something is."""

    def process(detail: str | None) -> ProcessHealth:
        if detail is None:
            return ProcessHealth(status=Condition.UNKNOWN)
        status = Condition.UNWELL if detail else Condition.WELL
        return ProcessHealth(status=status, detail=detail if detail and details else UNSET)

    gateway = process(parties.problem)
    try:
        health = notary.health()
    except PeerError as error:
        return HealthReport(
            status=Condition.UNWELL, gateway=gateway, notary=process(str(error)), vision=process(None), busy=False
        )
    well = not (parties.problem or health.notary or health.vision)
    return HealthReport(
        status=Condition.WELL if well else Condition.UNWELL,
        gateway=gateway,
        notary=process(health.notary),
        vision=process(health.vision),
        busy=health.busy,
        camera=health.camera or UNSET,
    )
