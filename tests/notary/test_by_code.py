"""Where there is no network: a request is shown as a code, and a person takes a proof along. The vision is scripted."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from joserfc.jwk import ECKey

from device.certificates import b64url
from device.codes import Kind, texts_of
from device.notary.box import load_box
from device.notary.proof import read_holder_key
from device.notary.request import MAX_LIFETIME, SigningKey, make_request
from device.notary.requesters import add_requester, public_pem, requesters_file
from device.protocol import (
    Attribute,
    CameraKind,
    Code,
    Consent,
    Ended,
    Finished,
    Guidance,
    Message,
    OpenByCode,
    Opened,
    Outcome,
    Progress,
    ProofPart,
    Reason,
    Refused,
    ScanEnded,
    Stage,
    StartCheck,
    StartScan,
    TokenPart,
)
from device.verify import verify_verdict
from tests.notary.peers import AUDIENCE, Box, Gateway, Worker, passes, ready, rows

PARTY = "bank"


@pytest.fixture
def key(box: Box) -> SigningKey:
    """A relying party whose key this box knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    register(box, key)
    return key


def register(box: Box, key: SigningKey, **changes: Any) -> None:
    fields = {"name": "The Bank", "policies": ("demo",), "audiences": (AUDIENCE,), **changes}
    add_requester(requesters_file(box.config), PARTY, key=public_pem(key.public_key()), **fields)


def claims(box: Box, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": PARTY,
        "aud": load_box(box.config).id,
        "iat": now,
        "exp": now + 600,
        "nonce": secrets.token_urlsafe(24),
        "policy": "demo",
        "audience": AUDIENCE,
        **changes,
    }


class Vision:
    """Shows texts in scans, passes everything in checks; remembers its orders."""

    def __init__(self, box: Box) -> None:
        self.texts: dict[Stage, list[str]] = {}
        self.orders: list[StartCheck | StartScan] = []
        self.camera_fails = False
        box.vision.script = self._play

    def _play(self, worker: Worker) -> None:
        worker.channel.send(ready(CameraKind.EMULATED))
        order = worker.channel.receive(30)
        assert isinstance(order, StartCheck | StartScan)
        self.orders.append(order)
        if isinstance(order, StartScan):
            for text in self.texts.get(order.stage, ()):
                worker.channel.send(Code(text))
            if self.camera_fails or order.stage not in self.texts:
                worker.channel.send(ScanEnded(Reason.CAMERA_LOST if self.camera_fails else None))
            worker.channel.receive(30)
            return
        worker.channel.send(Progress(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 20))
        told = {Attribute.AGE_OVER_18: "true", Attribute.DOCUMENT_TYPE: "passport", Attribute.DOCUMENT_VALID: "true"}
        worker.channel.send(Finished(passes(order), told, "L898902C3|UTO"))


@pytest.fixture
def vision(box: Box) -> Vision:
    vision = Vision(box)
    box.start()
    return vision


def scanned(box: Box, until: type[Message] = Opened) -> tuple[Gateway, list[Message]]:
    """A gateway that asks for a scan, and what it hears until a message of that type (or the end)."""
    gateway = box.gateway()
    gateway.channel.send(OpenByCode())
    heard: list[Message] = []
    while not (heard and isinstance(heard[-1], until | Ended | Refused)):
        heard.append(gateway.channel.receive(10))
    return gateway, heard


def test_the_whole_course(box: Box, vision: Vision, key: SigningKey) -> None:
    asked = claims(box)
    vision.texts[Stage.REQUEST] = ["https://elsewhere.example", *texts_of(Kind.REQUEST, make_request(key, asked))]
    gateway, heard = scanned(box)
    assert isinstance(heard[0], Progress)
    assert (heard[0].stage, heard[0].guidance, heard[0].face) == (Stage.REQUEST, Guidance.SHOW_REQUEST, None)
    opened = heard[-1]
    assert isinstance(opened, Opened)
    assert (opened.party, opened.policy, opened.consent_needed, opened.proof) == ("The Bank", "demo", True, True)
    gateway.channel.send(Consent(True))
    answer = gateway.rest()
    assert answer.ended == Ended(Outcome.VERIFIED)
    found = verify_verdict(
        answer.token,
        trust=[box.root],
        expected_audience=AUDIENCE,
        expected_nonce=asked["nonce"],
        allow_emulated=True,
    )
    assert found.valid
    assert rows(box) == 1
    assert [type(order) for order in vision.orders] == [StartScan, StartCheck], "a worker scans or checks, never both"


def test_a_request_in_several_codes_counts_its_parts(box: Box, vision: Vision, key: SigningKey) -> None:
    long = "https://relying-party.example/" + "x" * 200
    register(box, key, audiences=(long,))
    texts = texts_of(Kind.REQUEST, make_request(key, claims(box, audience=long)))
    data = texts[0].partition(":")[2].split(":", 3)[3]
    half, digest = len(data) // 6 * 3, texts[0].split(":")[3]
    vision.texts[Stage.REQUEST] = [f"VB1:Q:2/2:{digest}:{data[half:]}", f"VB1:Q:1/2:{digest}:{data[:half]}"]
    _, heard = scanned(box)
    assert isinstance(heard[-1], Opened)
    asked = [m for m in heard if isinstance(m, Progress) and m.guidance is Guidance.SHOW_REQUEST]
    assert [(m.step, m.steps) for m in asked] == [(0, 0), (1, 2)]


Forge = Callable[[Box, SigningKey], str]
STRANGER = ec.generate_private_key(ec.SECP256R1())


def _changed(token: str) -> str:
    return token[:-2] + ("AA" if token[-2:] != "AA" else "QQ")


def _none(box: Box, _key: SigningKey) -> str:
    header = b64url(json.dumps({"alg": "none", "typ": "vouchbox-request+jwt"}).encode())
    return f"{header}.{b64url(json.dumps(claims(box)).encode())}."


REFUSED: dict[str, tuple[Forge, Reason]] = {
    "by_a_stranger": (lambda box, _: make_request(STRANGER, claims(box)), Reason.REQUEST_INVALID),
    "unsigned": (_none, Reason.REQUEST_INVALID),
    "changed": (lambda box, key: _changed(make_request(key, claims(box))), Reason.REQUEST_INVALID),
    "for_another_box": (lambda box, key: make_request(key, claims(box, aud="AQAAAA")), Reason.REQUEST_INVALID),
    "in_anothers_name": (lambda box, key: make_request(key, claims(box, iss="casino")), Reason.REQUEST_INVALID),
    "expired": (lambda box, key: make_request(key, claims(box, exp=int(time.time()) - 1)), Reason.REQUEST_EXPIRED),
    "from_the_future": (
        lambda box, key: make_request(key, claims(box, iat=int(time.time()) + 9000, exp=int(time.time()) + 9600)),
        Reason.REQUEST_INVALID,
    ),
    "good_for_too_long": (
        lambda box, key: make_request(key, claims(box, exp=int(time.time()) + MAX_LIFETIME + 60)),
        Reason.REQUEST_INVALID,
    ),
    "for_a_policy_not_allowed": (lambda box, key: make_request(key, claims(box, policy="age")), Reason.REQUEST_INVALID),
    "for_an_audience_not_allowed": (
        lambda box, key: make_request(key, claims(box, audience="https://evil.example")),
        Reason.REQUEST_INVALID,
    ),
    "without_a_nonce": (lambda box, key: make_request(key, claims(box, nonce="")), Reason.REQUEST_INVALID),
    "with_a_number_for_a_text": (lambda box, key: make_request(key, claims(box, policy=1)), Reason.REQUEST_INVALID),
    "with_a_text_for_a_header": (lambda _box, _key: b64url(b'"alg"') + ".e30.eHh4", Reason.REQUEST_INVALID),
    "a_verdict_instead": (
        lambda box, key: make_request(key, claims(box)).replace("a", "b", 1),
        Reason.REQUEST_INVALID,
    ),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_a_request_that_is_not_right_opens_nothing(box: Box, vision: Vision, key: SigningKey, defect: str) -> None:
    forge, reason = REFUSED[defect]
    vision.texts[Stage.REQUEST] = texts_of(Kind.REQUEST, forge(box, key))
    _, heard = scanned(box)
    assert heard[-1] == Ended(Outcome.INCONCLUSIVE, reason)
    assert not any(isinstance(order, StartCheck) for order in vision.orders)


def test_one_request_gives_one_verdict(box: Box, vision: Vision, key: SigningKey) -> None:
    asked = claims(box)
    vision.texts[Stage.REQUEST] = texts_of(Kind.REQUEST, make_request(key, asked))
    gateway, _ = scanned(box)
    gateway.channel.send(Consent(False))
    assert gateway.rest().ended.reason is Reason.CONSENT_REFUSED
    gateway, heard = scanned(box)
    assert isinstance(heard[-1], Opened), "what led to no verdict may be shown again"
    gateway.channel.send(Consent(True))
    assert gateway.rest().ended.outcome is Outcome.VERIFIED
    for token in (make_request(key, asked), make_request(key, {**asked, "exp": asked["exp"] + 1})):
        vision.texts[Stage.REQUEST] = texts_of(Kind.REQUEST, token)
        _, heard = scanned(box)
        assert heard[-1] == Ended(Outcome.INCONCLUSIVE, Reason.REQUEST_USED)


@pytest.mark.parametrize(("fails", "reason"), [(False, Reason.CODE_NOT_SEEN), (True, Reason.CAMERA_LOST)])
def test_nothing_is_shown(box: Box, vision: Vision, key: SigningKey, fails: bool, reason: Reason) -> None:
    vision.camera_fails = fails
    _, heard = scanned(box)
    assert heard[-1] == Ended(Outcome.INCONCLUSIVE, reason)


def test_hanging_up_ends_the_scan_and_frees_the_camera(box: Box, vision: Vision, key: SigningKey) -> None:
    vision.texts[Stage.REQUEST] = []
    gateway, _ = scanned(box, Progress)
    gateway.channel.close()
    assert box.vision.ended.wait(5)
    vision.texts[Stage.REQUEST] = texts_of(Kind.REQUEST, make_request(key, claims(box)))
    _, heard = scanned(box)
    assert isinstance(heard[-1], Opened)


def test_a_worker_that_scans_in_the_middle_of_a_check_is_cut_off(box: Box) -> None:
    def smuggles(worker: Worker) -> None:
        worker.start()
        worker.channel.send(Code("{a thumbnail, perhaps"))
        worker.channel.receive(30)

    box.vision.script = smuggles
    box.start()
    gateway = box.gateway()
    gateway.open()
    answer = gateway.rest()
    assert answer.ended == Ended(Outcome.INCONCLUSIVE, Reason.VISION_LOST)
    assert not any("thumbnail" in repr(message) for message in answer.messages)


# --- the person's own proof ---


def open_with_proof(box: Box, key_text: str | None) -> list[Message]:
    vision = Vision(box)
    if key_text is not None:
        vision.texts[Stage.HOLDER_KEY] = [key_text]
    box.start()
    gateway = box.gateway()
    opened = gateway.open(attested=False)
    assert isinstance(opened, Opened)
    assert opened.proof
    gateway.channel.send(Consent(True, True))
    return gateway.rest().messages


def proof_of(messages: list[Message]) -> str:
    return "".join(part.text for part in messages if isinstance(part, ProofPart))


def holder_key() -> tuple[ECKey, str]:
    key = ECKey.generate_key("P-256")
    return key, json.dumps(key.as_dict(private=False))


def test_a_proof_comes_with_the_verdict_and_is_in_the_ledger(box: Box) -> None:
    key, shown = holder_key()
    messages = open_with_proof(box, shown)
    assert any(m.stage is Stage.HOLDER_KEY for m in messages if isinstance(m, Progress))
    assert messages[-1] == Ended(Outcome.VERIFIED)
    assert any(isinstance(m, TokenPart) for m in messages)
    payload = json.loads(_b64(proof_of(messages).split("~")[0].split(".")[1]))
    public = key.as_dict(private=False)
    assert payload["cnf"] == {"jwk": {name: public[name] for name in ("kty", "crv", "x", "y")}}
    assert not {"age_over_18", "document_type"} & set(payload)
    assert rows(box) == 2


def test_a_proof_names_neither_box_nor_relying_party_nor_moment(box: Box) -> None:
    jwt = proof_of(open_with_proof(box, holder_key()[1])).split("~")[0]
    payload = json.loads(_b64(jwt.split(".")[1]))
    assert not {"ueid", "aud", "jti", "eat_nonce", "subject", "log"} & set(payload)
    assert payload["iat"] % 3600 == 0


@pytest.mark.parametrize("private", [False, True])
def test_without_a_usable_key_there_is_a_verdict_and_no_proof(box: Box, private: bool) -> None:
    shown = json.dumps(ECKey.generate_key("P-256").as_dict(private=True)) if private else None
    messages = open_with_proof(box, shown)
    assert messages[-1] == Ended(Outcome.VERIFIED)
    assert proof_of(messages) == ""


@pytest.mark.parametrize(
    "text", ["", "{", "{}", "https://x.example", '{"kty":"EC"}', '{"kty":"RSA","n":"AQAB"}', "{" * 700]
)
def test_a_text_that_is_no_key_means_nothing(text: str) -> None:
    assert read_holder_key(text) is None


def test_an_ed25519_key_will_do_too() -> None:
    x = b64url(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    assert read_holder_key(json.dumps({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "1"})) == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": x,
    }


def _b64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")
