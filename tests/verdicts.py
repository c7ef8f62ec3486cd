"""Makes verdicts as a notary makes them, for tests of those who read them; and what an attacker would make."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from device.certificates import Purpose
from device.notary.decision import decide
from device.notary.keystore.file import FileKeyStore, write_private
from device.notary.ledger import GENESIS, Head
from device.notary.policy import load_policies
from device.notary.verdict import Box, Case, claims_of, sign_claims
from device.protocol import Attribute, CameraKind, Check, CheckReport, ConsentMethod, Result
from provisioning.authority import Authority, create_root, issue_leaf, pem

AUDIENCE = "https://relying-party.example"
NONCE = "7Zq2c3v9N0aX1mB4"
SUBJECT = "fZ1mGZJ0V9yF3wW2mXqk1n8p2o4r6t8u0wEyAaCcGg4"
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Signer:
    """A box's key in a folder, and the authority that issued its certificate."""

    authority: Authority
    folder: Path
    purpose: Purpose

    @property
    def root(self) -> x509.Certificate:
        return self.authority.chain[-1]

    @property
    def store(self) -> FileKeyStore:
        return FileKeyStore(self.folder, self.purpose)


def make_signer(
    folder: Path,
    purpose: Purpose = Purpose.PRODUCTION,
    *,
    authority: Authority | None = None,
    key: Key | None = None,
    days: int = 30,
) -> Signer:
    issuer = authority or create_root("Test organisation root")
    box_key = key or ec.generate_private_key(ec.SECP256R1())
    chain = issue_leaf(issuer, box_key.public_key(), "Test box", purpose=purpose, days=days)
    write_identity(folder, box_key, chain)
    return Signer(issuer, folder, purpose)


def write_identity(folder: Path, key: Key, chain: tuple[x509.Certificate, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_private(folder / "key.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "chain.pem").write_bytes(pem(chain))


def make_claims(
    purpose: Purpose = Purpose.PRODUCTION, camera: CameraKind = CameraKind.LIVE, *, issued_at: int | None = None
) -> dict[str, Any]:
    """The claims of a verified person, all checks of the standard policy passed."""
    policy = load_policies()["standard"]
    reports = [
        CheckReport(check, Result.PASS, method="test", fmr=policy.rules.fmr if check is Check.FACE_MATCH else None)
        for check in policy.checks
    ]
    case = Case(
        jti="pS6m0hYb1tq0F1uR",
        audience=AUDIENCE,
        nonce=NONCE,
        policy=policy,
        decision=decide(policy, reports),
        camera=camera,
        consent=ConsentMethod.KIOSK,
        consent_at=int(time.time()) - 60,
        issued_at=int(time.time()) if issued_at is None else issued_at,
        lifetime=600,
        measurements={"model/face_detection": bytes(range(32)), f"policy/{policy.name}": policy.digest},
        attributes={
            Attribute.DOCUMENT_TYPE: "passport",
            Attribute.ISSUING_STATE: "UTO",
            Attribute.DOCUMENT_VALID: "true",
        },
        subject=SUBJECT,
        log=Head(0, GENESIS),
    )
    return claims_of(case, Box("https://box.example", b"\x01" + bytes(range(16)), "Test board"), purpose)


def make_verdict(signer: Signer, change: Callable[[dict[str, Any]], object] = lambda claims: None) -> str:
    """A verdict as this signer's notary makes it, after `change` to its claims."""
    camera = CameraKind.LIVE if signer.purpose is Purpose.PRODUCTION else CameraKind.EMULATED
    claims = make_claims(signer.purpose, camera)
    change(claims)
    return sign_claims(claims, signer.store)


def with_header(token: str, signer: Signer | None = None, **changes: Any) -> str:
    """The token with another header; signed anew if a signer is given, else with the old signature."""
    header, payload, signature = token.split(".")
    fields = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    fields.update(changes)
    new = f"{encode({name: value for name, value in fields.items() if value is not None})}.{payload}"
    return f"{new}.{b64url(signer.store.sign(new.encode())) if signer else signature}"


def encode(fields: Mapping[str, Any]) -> str:
    return b64url(json.dumps(fields).encode())


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
