"""Every problem of the catalogue, provoked over HTTP. A kind without a provocation fails the test."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from device.channel import Channel
from device.gateway import api
from device.gateway.problems import Kind
from device.protocol import Ended, OpenVerification, Outcome, Reason, Refusal, Refused
from tests.gateway.conftest import Answer, Box, Caller, request
from tests.gateway.scripted_notary import opened, progress, runs_until_cancelled, wait_for_end


def refusing(reason: Refusal, retry_after: int = 0) -> Callable[[Box], Answer]:
    def provoke(box: Box) -> Answer:
        box.notary.script = lambda channel, _: channel.send(Refused(reason, retry_after))
        return box.caller.open()

    return provoke


def raw(box: Box, data: bytes) -> Answer:
    """The answer to bytes that no HTTP library would send."""
    with socket.create_connection(
        (urlsplit(box.service.url).hostname, urlsplit(box.service.url).port), 15
    ) as connection:
        connection.sendall(data)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return Answer(answer.status, answer.headers, answer.read())


def running(box: Box) -> str:
    box.notary.script = runs_until_cancelled
    return str(box.caller.open().headers["Location"])


def cancelled(box: Box) -> Answer:
    location = running(box)
    box.caller.call("DELETE", location)
    return box.caller.get(f"{location}/verdict")


def without_verdict(box: Box) -> Answer:
    def refuse(channel: Channel, _request: OpenVerification) -> None:
        channel.send(opened(consent=True))
        channel.send(Ended(Outcome.INCONCLUSIVE, Reason.CONSENT_REFUSED))

    box.notary.script = refuse
    location = box.caller.open().headers["Location"]
    box.caller.events(f"{location}/events")
    return box.caller.get(f"{location}/verdict")


def key_in_use(box: Box) -> Answer:
    def hesitate(channel: Channel, _request: OpenVerification) -> None:
        time.sleep(1)
        channel.send(opened())
        wait_for_end(channel)

    box.notary.script = hesitate
    document = request()
    first = box.caller.connect()
    import json

    headers = box.caller.headers(Content_Type="application/json", Idempotency_Key="k")
    first.request("POST", "/v1/verifications", json.dumps(document), headers)
    time.sleep(0.4)
    second = box.caller.post(document, Idempotency_Key="k")
    assert first.getresponse().status == 201
    return second


def key_reused(box: Box) -> Answer:
    box.caller.post(request(), Idempotency_Key="k")
    return box.caller.post(request(), Idempotency_Key="k")


def too_many_streams(box: Box) -> Answer:
    location = running(box)
    held = []
    for _ in range(box.service.gateway.limits.streams_each):
        connection = box.caller.connect()
        connection.request("GET", f"{location}/events", headers=box.caller.headers())
        held.append((connection, connection.getresponse()))
    answer = box.caller.get(f"{location}/events")
    for connection, _ in held:
        connection.close()
    return answer


def broken(box: Box) -> Answer:
    box.service.gateway.verifications.get = None  # type: ignore[method-assign,assignment]
    return box.caller.get("/v1/verifications/x")


def from_elsewhere(box: Box) -> Answer:
    api.from_this_machine, before = (lambda: False), api.from_this_machine
    try:
        return box.caller.get("/metrics")
    finally:
        api.from_this_machine = before


def notary_gone(box: Box) -> Answer:
    box.notary.stop()
    return box.caller.open()


POST = b"POST /v1/verifications HTTP/1.1\r\nHost: x\r\n"
OLD_ID = "/v1/verifications/00000000-0123456789abcdef"
IN_A_YEAR = {"attested_at": int(time.time()) + 31_536_000}

PROVOCATIONS: dict[Kind, Callable[[Box], Answer]] = {
    Kind.MALFORMED_REQUEST: lambda box: raw(box, b"GET\r\n\r\n"),
    Kind.MALFORMED_JSON: lambda box: box.caller.call(
        "POST", "/v1/verifications", b'{"audience": ', Content_Type="application/json"
    ),
    Kind.IDEMPOTENCY_KEY_MALFORMED: lambda box: box.caller.post(request(), Idempotency_Key="a key"),
    Kind.UNAUTHENTICATED: lambda box: box.nobody.open(),
    Kind.POLICY_NOT_ALLOWED: lambda box: box.caller.open(policy="strict"),
    Kind.AUDIENCE_NOT_ALLOWED: lambda box: box.caller.open(audience="https://another.example"),
    Kind.NOT_AT_THE_BOX: from_elsewhere,
    Kind.NOT_FOUND: lambda box: box.caller.get("/v1/images"),
    Kind.METHOD_NOT_ALLOWED: lambda box: box.caller.call("PUT", "/v1/verifications"),
    Kind.BUSY: refusing(Refusal.BUSY, 17),
    Kind.IDEMPOTENCY_KEY_IN_USE: key_in_use,
    Kind.GATEWAY_RESTARTED: lambda box: box.caller.get(OLD_ID),
    Kind.CANCELLED: cancelled,
    Kind.ENDED_WITHOUT_VERDICT: without_verdict,
    Kind.LENGTH_REQUIRED: lambda box: raw(box, POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    Kind.BODY_TOO_LARGE: lambda box: box.caller.call("POST", "/v1/verifications", b"x" * 300_000),
    Kind.URI_TOO_LONG: lambda box: raw(box, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n"),
    Kind.UNSUPPORTED_MEDIA_TYPE: lambda box: box.caller.call(
        "POST", "/v1/verifications", b"\xff\xd8\xff\xe0", Content_Type="image/jpeg"
    ),
    Kind.INVALID_BODY: lambda box: box.caller.open(selfie="AAAA"),
    Kind.IDEMPOTENCY_KEY_REUSED: key_reused,
    Kind.POLICY_UNKNOWN: refusing(Refusal.POLICY_UNKNOWN),
    Kind.CONSENT_NOT_ACCEPTED: refusing(Refusal.CONSENT_METHOD),
    Kind.CONSENT_TIME_IMPOSSIBLE: lambda box: box.caller.open(consent=IN_A_YEAR),
    Kind.TOO_EARLY: lambda box: box.caller.get(f"{running(box)}/verdict"),
    Kind.TOO_MANY_STREAMS: too_many_streams,
    Kind.HEADERS_TOO_LARGE: lambda box: raw(box, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"),
    Kind.INTERNAL: broken,
    Kind.NOTARY_UNAVAILABLE: notary_gone,
    Kind.VISION_UNAVAILABLE: refusing(Refusal.VISION_UNAVAILABLE),
    Kind.KEY_UNAVAILABLE: refusing(Refusal.KEY_UNAVAILABLE),
    Kind.LEDGER_UNAVAILABLE: refusing(Refusal.LEDGER_UNAVAILABLE),
    Kind.HTTP_VERSION: lambda box: raw(box, b"GET / HTTP/2.0\r\n\r\n"),
}
ELSEWHERE = {Kind.RATE_LIMITED, Kind.REQUEST_TIMEOUT}  # test_limits.py, test_server.py


def test_every_kind_is_provoked() -> None:
    assert set(PROVOCATIONS) | ELSEWHERE == set(Kind)


@pytest.mark.parametrize("kind", PROVOCATIONS, ids=lambda kind: kind.slug)
def test_problem(box: Box, kind: Kind) -> None:
    answer = PROVOCATIONS[kind](box)
    assert answer.problem == kind.slug, answer.body
    assert answer.status == kind.status
    assert answer.json["title"] == kind.title
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if kind.status in (409, 425, 429, 503) and kind is not Kind.IDEMPOTENCY_KEY_IN_USE:
        assert int(answer.headers["Retry-After"]) >= 1


def test_busy_says_when_to_come_again(box: Box) -> None:
    assert refusing(Refusal.BUSY, 17)(box).headers["Retry-After"] == "17"


def test_an_unknown_key_is_named(box: Box) -> None:
    assert "`selfie`" in box.caller.open(selfie="AAAA").json["detail"]
    assert "`audience`" in box.caller.open(audience=None).json["detail"]
    assert "$.nonce" in box.caller.open(nonce="short").json["detail"]


def test_a_wrong_method_is_told_the_right_ones(box: Box) -> None:
    answer = box.caller.call("PATCH", "/v1/verifications/x")
    assert answer.status == 405
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == {"DELETE", "GET", "HEAD"}


def test_nobody_is_told_how_to_authenticate(box: Box) -> None:
    for token in (None, "", "wrong", "vbx_" + "A" * 43, "\u00e9"):
        answer = replace(box.caller, token=token).open()
        assert answer.problem == "unauthenticated"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_basic_authentication_is_not_taken(box: Box) -> None:
    answer = box.nobody.call("GET", OLD_ID, Authorization=f"Basic {box.caller.token}")
    assert answer.problem == "unauthenticated"


CALLS = (
    ("GET", ""),
    ("GET", "/events"),
    ("GET", "/verdict"),
    ("DELETE", ""),
)


@pytest.mark.parametrize(("method", "suffix"), CALLS)
@pytest.mark.parametrize("ended", [False, True], ids=["running", "ended"])
def test_another_partys_token_sees_nothing(box: Box, method: str, suffix: str, ended: bool) -> None:
    if not ended:
        box.notary.script = lambda channel, _: (
            channel.send(opened()),
            channel.send(progress()),
            wait_for_end(channel),
        )[0]
    location = box.caller.open().headers["Location"]
    if ended:
        box.caller.events(f"{location}/events")
    foreign = box.other.call(method, location + suffix)
    unknown = box.other.call(method, location[:-3] + "AAA" + suffix)
    assert foreign.problem == unknown.problem == "not-found"
    assert foreign.body == unknown.body
    assert Caller(box.service.url, None).call(method, location + suffix).problem == "unauthenticated"
    assert box.caller.get(location).json["state"] == ("finished" if ended else "running")


def test_the_same_idempotency_key_of_two_parties_is_two_keys(box: Box) -> None:
    document = request()
    first, second = (party.post(document, Idempotency_Key="k") for party in (box.caller, box.other))
    assert first.status == second.status == 201
    assert first.json["id"] != second.json["id"]
