"""What a verdict says, and that any JOSE library can read it."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from device.certificates import Purpose
from device.notary.decision import decide
from device.notary.ledger import GENESIS, Head
from device.notary.policy import load_policies
from device.notary.verdict import Box, Case, claims_of, sign_claims
from device.protocol import Attribute, CameraKind, Check, CheckReport, ConsentMethod, FmrLevel, Reason, Result
from tests.verdicts import AUDIENCE, make_claims, make_signer, make_verdict

BOX = Box("https://box.example", b"\x01" + bytes(16), "Board")
DEMO = load_policies()["demo"]


def passed(check: Check) -> CheckReport:
    return CheckReport(check, Result.PASS, method="m", fmr=FmrLevel.E4 if check is Check.FACE_MATCH else None)


def case(*reports: CheckReport, **changes: object) -> Case:
    base = Case(
        jti="j" * 22,
        audience=AUDIENCE,
        nonce="n" * 16,
        policy=DEMO,
        decision=decide(DEMO, reports or [passed(check) for check in DEMO.checks]),
        camera=CameraKind.EMULATED,
        consent=ConsentMethod.ATTESTED,
        consent_at=1_700_000_000,
        issued_at=1_700_000_100,
        lifetime=600,
        measurements={"policy/demo": DEMO.digest, "model/b": bytes(32), "model/a": bytes(32)},
        attributes={Attribute.AGE_OVER_18: "true", Attribute.DOCUMENT_TYPE: "passport"},
        subject="pseudonym",
        log=Head(0, GENESIS),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_registered_claims() -> None:
    told = claims_of(case(), BOX, Purpose.DEVELOPMENT)
    assert (told["iss"], told["aud"], told["jti"]) == (BOX.issuer, AUDIENCE, "j" * 22)
    assert (told["iat"], told["exp"]) == (1_700_000_100, 1_700_000_700)
    assert told["eat_nonce"] == "n" * 16
    assert base64.urlsafe_b64decode(told["ueid"] + "=") == BOX.ueid
    assert base64.urlsafe_b64decode(told["hwmodel"] + "=") == b"Board"
    assert told["dbgstat"] == "enabled"
    assert claims_of(case(camera=CameraKind.LIVE), BOX, Purpose.PRODUCTION)["dbgstat"] == "disabled"


def test_measurements_are_sorted_hexadecimal_in_one_json_body() -> None:
    ((content_format, body),) = claims_of(case(), BOX, Purpose.DEVELOPMENT)["measurements"]
    assert content_format == 50
    assert list(body) == ["model/a", "model/b", "policy/demo"]
    assert body["policy/demo"] == DEMO.digest.hex()


def test_checks_say_what_looked_and_why_not() -> None:
    told = claims_of(
        case(
            *[passed(check) for check in DEMO.rules.required],
            CheckReport(Check.LIVENESS_PASSIVE, Result.FAIL, Reason.PRESENTATION_ATTACK, "net", score=91),
        ),
        BOX,
        Purpose.DEVELOPMENT,
    )["checks"]
    assert told["face.match"] == {"result": "pass", "required": True, "method": "m", "fmr": "1e-4"}
    assert told["liveness.passive"] == {
        "result": "fail",
        "required": False,
        "reason": "presentation_attack",
        "method": "net",
    }
    assert told["document.presentation"]["reason"] == "not_reached"


def test_an_attribute_that_the_document_does_not_say_is_left_out() -> None:
    told = claims_of(case(attributes={Attribute.AGE_OVER_18: "perhaps"}), BOX, Purpose.DEVELOPMENT)
    assert told["attributes"] == {}


@pytest.mark.parametrize("result", [Result.FAIL, Result.NOT_PERFORMED])
def test_nothing_of_the_document_unless_verified(result: Result) -> None:
    reports = [passed(check) for check in DEMO.checks[:-1]] + [CheckReport(DEMO.checks[-1], result)]
    told = claims_of(case(*reports), BOX, Purpose.DEVELOPMENT)
    text = json.dumps(told)
    assert "attributes" not in told
    assert "subject" not in told
    assert "passport" not in text
    assert "pseudonym" not in text


def test_read_with_pyjwt(tmp_path: Path) -> None:
    signer = make_signer(tmp_path / "key")
    token = make_verdict(signer)
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "vouchbox-verdict+jwt"
    assert header["alg"] == "ES256"
    assert len(header["x5c"]) == 2
    told = jwt.decode(token, signer.store.public_key(), algorithms=["ES256"], audience=AUDIENCE)
    assert told["verdict"] == "verified"


def test_kid_is_the_thumbprint_that_other_libraries_compute(tmp_path: Path) -> None:
    from joserfc.jwk import ECKey, OKPKey

    signer = make_signer(tmp_path / "p256")
    assert signer.store.kid == ECKey.import_key(signer.store.public_key()).thumbprint()  # type: ignore[arg-type]
    signer = make_signer(tmp_path / "ed25519", key=ed25519.Ed25519PrivateKey.generate())
    assert signer.store.kid == OKPKey.import_key(signer.store.public_key()).thumbprint()  # type: ignore[arg-type]


def test_a_token_of_every_claim_fits_into_its_parts(tmp_path: Path) -> None:
    signer = make_signer(tmp_path / "key")
    claims = make_claims()
    claims["measurements"] = [[50, {f"model/{'m' * 60}{n}": "f" * 64 for n in range(17)}]]
    claims["aud"], claims["eat_nonce"] = "a" * 256, "n" * 88
    claims["attributes"] = {str(attribute): "x" * 128 for attribute in Attribute}
    assert len(sign_claims(claims, signer.store)) < 16 * 3500
