"""The kiosk page where codes come in: a request shown to the camera, a verdict and a proof shown to the person."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

import pytest

from device.channel import Channel
from device.codes import Kind, token_from
from device.gateway.verifications import Verification
from device.protocol import (
    Consent,
    Ended,
    Guidance,
    Health,
    Message,
    OpenByCode,
    Opened,
    Outcome,
    Progress,
    ProofPart,
    Reason,
    Refusal,
    Refused,
    Stage,
)
from device.vision.document.barcode import read_barcodes
from tests.airgap.kiosk_client import KioskClient, photographed
from tests.gateway.conftest import Box
from tests.gateway.scripted_notary import CHECKS, opened, send_verdict, wait_for_end

VERDICT = ".".join(["eyJhbGciOiJFUzI1NiJ9", secrets.token_urlsafe(3000), "c2ln"])
PROOF = "~".join([".".join(["eyJhbGciOiJFUzI1NiJ9", "QUJD" * 300, "c2ln"]), "QUJD", "REVG", ""])


@pytest.fixture
def kiosk(box: Box) -> KioskClient:
    box.notary.health = Health("", "", 3, False, by_code=True)
    return KioskClient(box.service.url)


def scans(box: Box, *words: Message) -> list[object]:
    """A notary that finds a request, or says these words in place of it; what the person answered."""
    heard: list[object] = []

    def script(channel: Channel, _request: Message) -> None:
        channel.send(Progress(Stage.REQUEST, Guidance.SHOW_REQUEST, 60))
        for word in words:
            channel.send(word)
        if words:
            return
        channel.send(Progress(Stage.REQUEST, Guidance.SHOW_REQUEST, 58, 1, 2))
        time.sleep(0.5)  # a page is told the newest, not everything
        channel.send(Opened(secrets.token_urlsafe(16), True, 30, CHECKS, (), False, "The <Bank>", "standard", True))
        answer = wait_for_end(channel)
        heard.append(answer)
        if isinstance(answer, Consent) and answer.proof:
            channel.send(Progress(Stage.HOLDER_KEY, Guidance.SHOW_HOLDER_KEY, 60))
        channel.send(Progress(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 20))
        send_with_proof(channel, proof=isinstance(answer, Consent) and answer.proof)

    box.notary.by_code = script
    return heard


def send_with_proof(channel: Channel, *, proof: bool) -> None:
    send_verdict(channel, token=VERDICT, proof=PROOF if proof else "")


def test_the_button_is_there_only_where_a_key_is_registered(box: Box) -> None:
    assert KioskClient(box.service.url).until("idle")["scan"] is False


def test_the_whole_course(box: Box, kiosk: KioskClient) -> None:
    heard = scans(box)
    assert kiosk.until("idle")["scan"] is True
    assert kiosk.post("/kiosk/scan") == 204
    asked = kiosk.until("consent")
    assert (asked["party"], asked["proof"]) == ("The <Bank>", True)
    assert {view["stage"] for view in kiosk.passed if view["view"] == "work"} == {"request"}
    answer = {"id": asked["id"], "token": asked["token"], "given": True, "proof": True}
    assert kiosk.post("/kiosk/consent", **answer) == 204
    result = kiosk.until("result")
    assert heard == [Consent(True, True)]
    for kind, name, count, token in (
        (Kind.VERDICT, "verdict", result["codes"][0], VERDICT),
        (Kind.PROOF, "proof", result["codes"][1], PROOF),
    ):
        drawings = [kiosk.code(result, name, index) for index in range(count)]
        read = [code.data.decode() for svg in drawings for code in read_barcodes(photographed(svg))]
        assert token_from(kind, read) == token
    assert box.nobody.get(f"/kiosk/code/{result['id']}/verdict/{result['codes'][0]}.svg").problem == "not-found"


def shown(box: Box, kiosk: KioskClient) -> dict[str, Any]:
    """The result of somebody who showed their request, agreed and took a proof."""
    scans(box)
    kiosk.post("/kiosk/scan")
    asked = kiosk.until("consent")
    kiosk.post("/kiosk/consent", id=asked["id"], token=asked["token"], given=True, proof=True)
    return kiosk.until("result")


def test_done_takes_everything_away(box: Box, kiosk: KioskClient) -> None:
    result = shown(box, kiosk)
    assert kiosk.post("/kiosk/done", id=result["id"], token="0" * 64) == 403
    assert kiosk.post("/kiosk/done", id=result["id"], token=result["token"]) == 204
    assert kiosk.until("idle")["scan"]
    assert box.nobody.get(f"/kiosk/code/{result['id']}/proof/0.svg").problem == "not-found"
    snapshot = newest(box).snapshot
    assert (snapshot.token, snapshot.verdict_codes, snapshot.proof_codes) == (None, (), ())


def test_the_result_leaves_by_itself(box: Box, kiosk: KioskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.gateway.verifications.CODES_SECONDS", 0.3)
    scans(box)
    kiosk.post("/kiosk/scan")
    asked = kiosk.until("consent")
    kiosk.post("/kiosk/consent", id=asked["id"], token=asked["token"], given=True)
    kiosk.until("result")
    kiosk.until("idle")
    assert newest(box).snapshot.verdict_codes == ()


def test_nobody_is_let_in_while_somebody_takes_their_codes_along(box: Box, kiosk: KioskClient) -> None:
    result = shown(box, kiosk)
    refused = box.caller.open()
    assert refused.problem == "busy"
    assert 0 < int(refused.headers["Retry-After"]) <= 180
    assert kiosk.code(result, "verdict", 0), "it is still on the screen"
    kiosk.post("/kiosk/done", id=result["id"], token=result["token"])
    assert box.caller.open().status == 201


def test_what_the_one_before_was_shown_leaves_the_memory(
    box: Box, kiosk: KioskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the page did not notice that its time was over."""
    shown(box, kiosk)
    before = newest(box)
    monkeypatch.setattr("device.gateway.verifications.CODES_SECONDS", 0.0)
    assert before.snapshot.proof_codes
    assert box.caller.open().status == 201
    assert (before.snapshot.token, before.snapshot.verdict_codes, before.snapshot.proof_codes) == (None, (), ())


def newest(box: Box) -> Verification:
    verification = box.service.gateway.verifications.newest()
    assert verification is not None
    return verification


def test_nobody_can_ask_the_api_about_it(box: Box, kiosk: KioskClient) -> None:
    scans(box)
    kiosk.post("/kiosk/scan")
    asked = kiosk.until("consent")
    for caller in (box.caller, box.other):
        for path in ("", "/events", "/verdict"):
            assert caller.get(f"/v1/verifications/{asked['id']}{path}").problem == "not-found"
        assert caller.call("DELETE", f"/v1/verifications/{asked['id']}").problem == "not-found"
    assert newest(box).snapshot.open


@pytest.mark.parametrize(
    ("word", "explanation"),
    [
        (Ended(Outcome.INCONCLUSIVE, Reason.CODE_NOT_SEEN), "code_not_seen"),
        (Ended(Outcome.INCONCLUSIVE, Reason.REQUEST_INVALID), "request_invalid"),
        (Ended(Outcome.INCONCLUSIVE, Reason.REQUEST_USED), "request_old"),
        (Refused(Refusal.VISION_UNAVAILABLE, 10), "box"),
    ],
)
def test_why_nothing_came_of_it(box: Box, kiosk: KioskClient, word: Message, explanation: str) -> None:
    scans(box, word)
    kiosk.post("/kiosk/scan")
    result = next(view for view in kiosk.views() if view["view"] == "result")
    assert (result["explanation"], result["codes"]) == (explanation, [0, 0])


def test_a_box_that_is_busy_says_so(box: Box, kiosk: KioskClient) -> None:
    box.notary.by_code = lambda channel, _: channel.send(Refused(Refusal.BUSY, 5))
    assert kiosk.post("/kiosk/scan") == 409


def test_only_the_page_itself_starts_a_scan(box: Box, kiosk: KioskClient) -> None:
    scans(box)
    headers = {"Content_Type": "application/json", "Origin": "https://evil.example"}
    assert box.nobody.call("POST", "/kiosk/scan", b"{}", **headers).problem == "not-at-the-box"
    assert not any(isinstance(request, OpenByCode) for request in box.notary.requests)


def test_a_relying_party_over_the_network_never_gets_the_proof(box: Box, kiosk: KioskClient) -> None:
    def script(channel: Channel, _request: Message) -> None:
        channel.send(opened(consent=True))
        wait_for_end(channel)
        send_with_proof(channel, proof=True)

    box.notary.script = script
    location = box.caller.open().headers["Location"]
    asked = kiosk.until("consent")
    kiosk.post("/kiosk/consent", id=asked["id"], token=asked["token"], given=True, proof=True)
    result = kiosk.until("result")
    assert (result["codes"][0], result["codes"][1] > 0) == (0, True)
    answers = [box.caller.get(f"{location}{path}").body for path in ("", "/verdict", "/events")]
    assert not any(PROOF.split("~")[1].encode() in re.split(rb"[^A-Za-z0-9_-]", body) for body in answers)
    assert box.caller.get(f"{location}/verdict").body.decode() == VERDICT


def test_a_proof_in_the_wrong_order_ends_it(box: Box, kiosk: KioskClient) -> None:
    def script(channel: Channel, _request: Message) -> None:
        channel.send(opened())
        send_verdict(channel, token=VERDICT, proof="", end=False)
        channel.send(ProofPart(1, "x"))
        wait_for_end(channel)

    box.notary.script = script
    location = box.caller.open().headers["Location"]
    answer = [data for name, data in box.caller.events(f"{location}/events") if name == "finished"]
    assert answer[0]["state"] == "failed"
