"""The kiosk page's calls: what the page is told, whose answers are taken, and that nobody else's are."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from device.channel import Channel
from device.gateway import kiosk, kiosk_view, verifications
from device.protocol import (
    MORE_TIMES,
    Consent,
    Ended,
    Guidance,
    MoreTime,
    OpenVerification,
    Outcome,
    Progress,
    Reason,
    Stage,
)
from tests.gateway.conftest import Answer, Box
from tests.gateway.scripted_notary import opened, progress, send_verdict, wait_for_end

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"ftyp")


class Page:
    """A kiosk page without a browser: reads views, sends answers."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._connection = box.nobody.connect()
        self._connection.request("GET", "/kiosk/events")
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        assert self._answer.headers["Content-Type"].startswith("text/event-stream")

    def views(self) -> Iterator[dict[str, Any]]:
        for line in self._answer:
            if line.startswith(b'data: {"view"'):
                yield json.loads(line.removeprefix(b"data: "))

    def until(self, view: str) -> dict[str, Any]:
        return next(found for found in self.views() if found["view"] == view)

    def answer(self, path: str, document: object, **headers: str) -> Answer:
        headers = {"Content_Type": "application/json", "Origin": self._box.service.url, **headers}
        return self._box.nobody.call("POST", path, json.dumps(document).encode(), **headers)

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


@contextmanager
def page_of(box: Box) -> Iterator[Page]:
    page = Page(box)
    try:
        yield page
    finally:
        page.close()


@pytest.fixture
def said(box: Box) -> list[object]:
    """A notary that asks for consent; what it was told."""
    heard: list[object] = []

    def asks(channel: Channel, _request: OpenVerification) -> None:
        channel.send(opened(consent=True))
        message = wait_for_end(channel)
        heard.append(message)
        if message == Consent(True):
            channel.send(progress(Stage.SELFIE, Guidance.TURN_LEFT, step=1, steps=4))
            time.sleep(0.3)
            send_verdict(channel)
        elif message is not None:
            channel.send(Ended(Outcome.INCONCLUSIVE, Reason.CONSENT_REFUSED))

    box.notary.script = asks
    return heard


def test_yes_leads_to_a_verdict(box: Box, said: list[object]) -> None:
    with page_of(box) as page:
        assert page.until("idle") == page_idle()
        location = box.caller.open().headers["Location"]
        asked = page.until("consent")
        assert (asked["party"], asked["happens"]) == ("bank", ["document", "face"])
        assert asked["seconds_left"] > 0
        answer = page.answer("/kiosk/consent", {"id": asked["id"], "token": asked["token"], "given": True})
        assert answer.status == 204
        work = page.until("work")
        assert (work["guidance"], work["step"], work["face"], work["pose"]) == (
            "turn_left",
            1,
            [4, 4, 12, 12],
            [3, -1, 0],
        )
        result = page.until("result")
    assert (result["result"], result["face"]) == ("verified", None)
    assert said == [Consent(True)]
    assert box.caller.get(f"{location}/verdict").status == 200


def page_idle() -> Any:
    return msgspec.json.decode(msgspec.json.encode(kiosk_view.IDLE))


def test_no_is_taken_as_easily_as_yes(box: Box, said: list[object]) -> None:
    with page_of(box) as page:
        location = box.caller.open().headers["Location"]
        asked = page.until("consent")
        page.answer("/kiosk/consent", {"id": asked["id"], "token": asked["token"], "given": False})
        result = page.until("result")
    assert (result["result"], result["explanation"]) == ("stopped", "consent_refused")
    assert said == [Consent(False)]
    assert box.caller.get(f"{location}/verdict").json["reason"] == "consent_refused"


def test_stop_ends_it(box: Box) -> None:
    box.notary.script = lambda channel, _: (channel.send(opened()), channel.send(progress()), wait_for_end(channel))[0]
    with page_of(box) as page:
        location = box.caller.open().headers["Location"]
        work = page.until("work")
        assert page.answer("/kiosk/stop", {"id": work["id"], "token": work["token"]}).status == 204
        assert page.until("result")["explanation"] == "cancelled"
    assert box.notary.hung_up.acquire(timeout=5)
    assert box.caller.get(location).json["state"] == "cancelled"


def test_a_lost_notary_is_nobodys_fault(box: Box) -> None:
    box.notary.script = lambda channel, _: (channel.send(opened()), wait_for_end(channel))[0]
    with page_of(box) as page:
        box.caller.open()
        page.until("work")
        box.notary.stop()
        result = page.until("result")
    assert (result["result"], result["explanation"]) == ("inconclusive", "box")


def test_a_result_leaves_the_screen(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifications, "RESULT_SECONDS", 0.3)
    with page_of(box) as page:
        box.caller.open()
        page.until("result")
        assert page.until("idle") == page_idle()


def test_the_person_may_clear_the_screen_and_the_verdict_stays(box: Box) -> None:
    with page_of(box) as page:
        location = box.caller.open().headers["Location"]
        result = page.until("result")
        assert 0 < result["seconds_left"] <= verifications.RESULT_SECONDS, "the page says how long it stays"
        assert page.answer("/kiosk/done", {"id": result["id"], "token": "0" * 64}).problem == "not-at-the-box"
        assert page.answer("/kiosk/done", {"id": result["id"], "token": result["token"]}).status == 204
        assert page.until("idle") == page_idle()
    assert box.caller.get(f"{location}/verdict").status == 200


def test_who_needs_longer_to_answer_has_all_of_the_time_again(box: Box) -> None:
    """The notary grants it; the page offers it as often as the notary would."""
    heard: list[object] = []

    def grants(channel: Channel, _request: OpenVerification) -> None:
        channel.send(opened(consent=True, seconds=30))
        while isinstance(message := wait_for_end(channel), MoreTime):
            heard.append(message)
            channel.send(Progress(Stage.CONSENT, Guidance.WAIT, 90))

    box.notary.script = grants
    with page_of(box) as page:
        box.caller.open()
        asked = page.until("consent")
        assert asked["seconds_left"] <= 30
        assert asked["more"]
        mine = {"id": asked["id"], "token": asked["token"]}
        assert page.answer("/kiosk/more", mine | {"token": "0" * 64}).problem == "not-at-the-box"
        assert page.answer("/kiosk/more", mine).status == 204
        longer = next(view for view in page.views() if view["seconds_left"] > 30)
        assert (longer["view"], longer["more"]) == ("consent", True)
        for _ in range(2 * MORE_TIMES):
            page.answer("/kiosk/more", mine)
        assert not next(view for view in page.views() if not view["more"])["more"]
        assert page.answer("/kiosk/consent", mine | {"given": True}).status == 204
    assert heard == [MoreTime()] * MORE_TIMES


def test_who_needs_longer_to_read_the_result_has_all_of_the_time_again(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifications, "RESULT_SECONDS", 4.0)
    with page_of(box) as page:
        box.caller.open()
        result = page.until("result")
        assert next(view for view in page.views() if view["seconds_left"] <= 2)["view"] == "result"
        assert page.answer("/kiosk/more", {"id": result["id"], "token": result["token"]}).status == 204
        again = next(page.views())
        assert (again["view"], again["result"]) == ("result", "verified")
        assert again["seconds_left"] > 2


FORGERIES: dict[str, dict[str, str]] = {
    "from_another_site": {"Origin": "https://evil.example"},
    "from_another_port": {"Origin": "http://127.0.0.1:1"},
    "without_an_origin": {"Origin": ""},
    "by_a_rebound_name": {"Host": "evil.example"},
    "cross_site_fetch": {"Sec_Fetch_Site": "cross-site"},
    "as_a_form": {"Content_Type": "text/plain"},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_answer_is_not_taken(box: Box, said: list[object], forgery: str) -> None:
    with page_of(box) as page:
        location = box.caller.open().headers["Location"]
        asked = page.until("consent")
        good = {"id": asked["id"], "token": asked["token"], "given": True}
        answer = page.answer("/kiosk/consent", good, **FORGERIES[forgery])
        assert answer.problem in ("not-at-the-box", "unsupported-media-type")
    assert not said
    assert box.caller.get(location).json["state"] == "waiting_for_consent"


def test_a_wrong_token_is_not_taken(box: Box, said: list[object]) -> None:
    with page_of(box) as page:
        box.caller.open()
        asked = page.until("consent")
        for id, token in ((asked["id"], "0" * 64), (asked["id"], ""), ("x", asked["token"]), (asked["id"], "é")):
            assert page.answer("/kiosk/consent", {"id": id, "token": token, "given": True}).problem == "not-at-the-box"
        assert page.answer("/kiosk/consent", {"id": 1}).problem == "invalid-body"
        assert page.answer("/kiosk/consent", "yes").problem == "invalid-body"
    assert not said


def test_a_token_is_good_for_its_own_verification_alone(box: Box, said: list[object]) -> None:
    with page_of(box) as page:
        box.caller.open()
        first = page.until("consent")
        box.caller.open()
        second = next(view for view in page.views() if view["id"] != first["id"])
        old = {"id": first["id"], "token": first["token"], "given": True}
        assert page.answer("/kiosk/consent", old).problem == "not-at-the-box"
        crossed = {"id": second["id"], "token": first["token"], "given": True}
        assert page.answer("/kiosk/consent", crossed).problem == "not-at-the-box"
    assert not said


@pytest.mark.parametrize("path", ["/", "/kiosk/events", "/kiosk/kiosk.js"])
def test_the_page_is_for_the_box_alone(box: Box, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    assert box.nobody.call("GET", path, Host="evil.example").problem == "not-at-the-box"
    monkeypatch.setattr(kiosk, "from_this_machine", lambda: False)
    assert box.nobody.get(path).problem == "not-at-the-box"


def test_pages_are_bounded(box: Box) -> None:
    pages = [Page(box) for _ in range(kiosk.PAGES)]
    assert box.nobody.get("/kiosk/events").problem == "too-many-streams"
    for page in pages:
        page.close()


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ("fr-CA,fr;q=0.9", "fr"),
        ("zh-TW", "zh-Hant"),
        ("zh-CN", "zh-Hans"),
        ("nl,de;q=0.5", "de"),
        ("nl", "en"),
        ("", "en"),
    ],
)
def test_the_browsers_language(box: Box, wanted: str, code: str) -> None:
    html = box.nobody.call("GET", "/", Accept_Language=wanted).body.decode()
    assert f'<html lang="{code}"' in html


def test_the_page_holds_nothing_inline_and_asks_nobody_else(box: Box) -> None:
    answer = box.nobody.get("/?lang=ar")
    html = answer.body.decode()
    assert 'dir="rtl"' in html
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"\son\w+=|style=|javascript:", html)
    assert re.findall(r"<script[^>]*>", html) == [
        '<script type="application/json" id="texts">',
        '<script src="/kiosk/kiosk.js" defer>',
        '<script src="/kiosk/helps.js" defer>',
    ]
    for part in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert re.match(r"/(?!/)", part), part


def test_the_page_is_light_and_holds_no_picture(box: Box) -> None:
    names = ("kiosk.js", "helps.js", "kiosk.css", "mark.svg")
    parts = [box.nobody.get(path) for path in ("/", *(f"/kiosk/{name}" for name in names))]
    assert all(part.status == 200 for part in parts)
    assert sum(len(part.body) for part in parts) <= 150_000
    assert not any(part.body.startswith(SIGNATURES) for part in parts)


@pytest.mark.parametrize("name", ["secret.txt", "..%2fapi.py", "..%2f..%2fgateway%2fapi.js", "nothing.js", "%2e%2e"])
def test_only_parts_of_the_page_are_served(box: Box, name: str) -> None:
    assert box.nobody.get(f"/kiosk/{name}").problem == "not-found"


def test_a_partys_name_cannot_break_out_of_the_page() -> None:
    """Names come over the event stream and are set as text; the script knows no way to make them markup."""
    script = "".join(part.read_text() for part in (Path(kiosk.__file__).parent / "static").glob("*.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)


def test_a_view_of_a_late_reader_is_the_newest(box: Box) -> None:
    box.caller.open()
    time.sleep(0.3)
    with page_of(box) as page:
        assert next(page.views())["view"] == "result"
