"""What the box says of itself: keys, models, policies, health, metrics."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from device.gateway import api
from device.gateway.auth import add_relying_party, relying_parties_file
from device.protocol import (
    CameraKind,
    Check,
    ConsentMethod,
    DocumentType,
    FmrLevel,
    Health,
    Key,
    Measurement,
    PolicyFact,
)
from tests.gateway.conftest import AUDIENCE, POLICY, Box, Caller
from tests.gateway.scripted_notary import runs_until_cancelled
from tests.gateway.test_server import self_signed


@pytest.fixture
def leaf(tmp_path: Path) -> tuple[bytes, object]:
    certificate, key = self_signed(tmp_path)
    der = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)
    return der, load_pem_private_key(key.read_bytes(), None)


@pytest.fixture
def known(box: Box, leaf: tuple[bytes, object]) -> Box:
    box.notary.facts = (
        Key("production", (leaf[0],), False),
        Key("development", (leaf[0],), True),
        Measurement("model-face", hashlib.sha256(b"model").digest()),
        PolicyFact(
            POLICY,
            hashlib.sha256(b"policy").digest(),
            (Check.FACE_MATCH,),
            (DocumentType.PASSPORT,),
            (),
            (ConsentMethod.KIOSK,),
            FmrLevel.E4,
        ),
    )
    return box


@pytest.mark.parametrize(
    ("camera", "kid"), [(CameraKind.LIVE, "production"), (CameraKind.EMULATED, "development"), (None, "production")]
)
def test_the_key_set_has_what_this_box_signs_with(known: Box, camera: CameraKind | None, kid: str) -> None:
    known.notary.health = Health("", "", 0, False, camera)
    keys = known.nobody.get("/.well-known/jwks.json").json["keys"]
    assert [key["kid"] for key in keys] == [kid]
    assert "d" not in keys[0]


def test_a_library_verifies_with_the_key_set(known: Box, leaf: tuple[bytes, object]) -> None:
    token = jwt.encode({"verdict": "verified"}, leaf[1], algorithm="ES256", headers={"kid": "production"})  # type: ignore[arg-type]
    keys = jwt.PyJWKSet.from_dict(known.nobody.get("/.well-known/jwks.json").json)
    assert jwt.decode(token, keys["production"], algorithms=["ES256"]) == {"verdict": "verified"}


def test_the_device_describes_itself(known: Box, leaf: tuple[bytes, object]) -> None:
    device = known.nobody.get("/v1/device").json
    assert [(key["kid"], key["development"]) for key in device["keys"]] == [
        ("production", False),
        ("development", True),
    ]
    assert base64.b64decode(device["keys"][0]["certificates"][0]) == leaf[0]
    assert device["measurements"] == {"model-face": hashlib.sha256(b"model").hexdigest()}
    assert device["policies"][0]["name"] == POLICY
    assert device["policies"][0]["fmr"] == "1e-4"


def test_facts_are_not_asked_for_each_caller(known: Box) -> None:
    for _ in range(10):
        known.nobody.get("/v1/device")
    assert len(known.notary.requests) == 1


def test_all_well(box: Box) -> None:
    box.notary.health = Health("", "", 7, True, CameraKind.EMULATED)
    answer = box.nobody.get("/healthz")
    assert answer.status == 200
    well = {"status": "well"}
    assert answer.json == {
        "status": "well", "gateway": well, "notary": well, "vision": well, "busy": True, "camera": "emulated",
    }  # fmt: skip


def test_vision_unwell(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.notary.health = Health("", "no camera answers", 7, False)
    answer = box.nobody.get("/healthz")
    assert answer.status == 503
    assert answer.json["vision"] == {"status": "unwell", "detail": "no camera answers"}
    assert answer.json["notary"] == {"status": "well"}
    monkeypatch.setattr(api, "from_this_machine", lambda: False)
    assert box.nobody.get("/healthz").json["vision"] == {"status": "unwell"}


def test_notary_gone(box: Box) -> None:
    box.notary.stop()
    answer = box.nobody.get("/healthz")
    assert answer.status == 503
    assert (answer.json["notary"]["status"], answer.json["vision"]["status"]) == ("unwell", "unknown")
    assert box.nobody.get("/v1/device").problem == "notary-unavailable"
    assert box.nobody.get("/.well-known/jwks.json").problem == "notary-unavailable"


def test_a_broken_list_of_relying_parties_is_unwell(box: Box) -> None:
    relying_parties_file(box.config).write_text("broken")
    assert box.caller.get("/v1/verifications/x").status == 404
    answer = box.nobody.get("/healthz")
    assert (answer.status, answer.json["gateway"]["status"]) == (503, "unwell")


def test_metrics_count_outcomes_and_hold_nothing_personal(box: Box) -> None:
    location = box.caller.open(nonce="a-nonce-to-look-for").headers["Location"]
    box.caller.events(f"{location}/events")
    box.notary.script = runs_until_cancelled
    box.caller.call("DELETE", box.caller.open().headers["Location"])
    text = box.nobody.get("/metrics").body.decode()
    assert 'vouchbox_verifications_total{outcome="verified",reason=""} 1.0' in text
    assert 'vouchbox_verifications_total{outcome="cancelled",reason="cancelled"} 1.0' in text
    assert 'vouchbox_stage_seconds_count{stage="document"} 1.0' in text
    assert 'vouchbox_process_well{process="notary"} 1.0' in text
    assert 'call="/v1/verifications",status="201"' in text
    for secret in ("a-nonce-to-look-for", location.rpartition("/")[2], "bank", AUDIENCE, "127.0.0.1"):
        assert secret not in text


def test_metrics_from_another_machine_need_a_token_that_may(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "from_this_machine", lambda: False)
    token = add_relying_party(relying_parties_file(box.config), "prom", policies=(), audiences=(), monitor=True)
    assert box.nobody.get("/metrics").problem == "unauthenticated"
    assert box.caller.get("/metrics").problem == "not-at-the-box"
    assert Caller(box.service.url, token).get("/metrics").status == 200
