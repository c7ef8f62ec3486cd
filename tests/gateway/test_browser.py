"""The kiosk page in the system's Chromium: every language, three screens, by keyboard, for axe, and in time.

Needs the extra [browser] and `chromium`; skipped without them. The notary is scripted, so that the course is known.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.channel import Channel
from device.gateway.languages import ORDER, languages
from device.protocol import (
    Attribute,
    Check,
    Consent,
    Ended,
    FaceBox,
    Guidance,
    HeadPose,
    Opened,
    OpenVerification,
    Outcome,
    Progress,
    Reason,
    Stage,
    TokenPart,
)
from tests.gateway.conftest import Box
from tests.gateway.scripted_notary import wait_for_end

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra [browser]")
axe_package = pytest.importorskip("axe_playwright_python", reason="needs the extra [browser]")
CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")]

AXE = (Path(axe_package.__file__).parent / "axe.min.js").read_text()
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
SCREENSHOTS = os.environ.get("VOUCHBOX_SCREENSHOTS", "")
SIZES = ((800, 480), (1080, 1920), (2560, 1440))
CHECKS = (Check.DOCUMENT_READ, Check.HOLDING, Check.FACE_MATCH, Check.LIVENESS_CHALLENGE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Course:
    """A verification that goes on when the test says so."""

    def __init__(self, box: Box) -> None:
        self.channel: Channel | None = None
        self.said: object = None
        box.notary.script = self._run

    def _run(self, channel: Channel, _request: OpenVerification) -> None:
        attributes = (Attribute.AGE_OVER_18, Attribute.DOCUMENT_VALID)
        channel.send(Opened("0123456789abcdefghij", True, 90, CHECKS, attributes))
        self.said = channel.receive(timeout=30)
        self.channel = channel
        wait_for_end(channel)

    def see(self, stage: Stage, guidance: Guidance, *, seconds: int = 20, step: int = 0) -> None:
        assert self.channel is not None
        face = (FaceBox(5, 3, 11, 14), HeadPose(3, 1)) if stage is Stage.SELFIE else (None, None)
        self.channel.send(Progress(stage, guidance, seconds, step, 4 if step else 0, *face))

    def end(self, outcome: Outcome, reason: Reason | None = None) -> None:
        assert self.channel is not None
        self.channel.send(TokenPart(0, "eyJ.e30.c2ln"))
        self.channel.send(Ended(outcome, reason))


class Screen:
    """A page whose complaints are collected."""

    def __init__(self, browser: Any, url: str, size: tuple[int, int], code: str = "en", theme: str = "light") -> None:
        viewport = {"width": size[0], "height": size[1]}
        self.context = browser.new_context(viewport=viewport, color_scheme=theme, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda it: None if it.url.startswith(url) else self.complaints.append(it.url))
        self.page.goto(f"{url}/?lang={code}", wait_until="domcontentloaded")

    def text(self, selector: str, wanted: str) -> None:
        sync_api.expect(self.page.locator(selector)).to_have_text(wanted, timeout=10_000)

    def check(self, name: str = "") -> None:
        """Nothing sticks out sideways, nobody complained, and axe finds nothing. A name keeps a screenshot, if
        `$VOUCHBOX_SCREENSHOTS` says where."""
        if name and SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")
        assert self.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        self.page.evaluate(AXE)
        found = self.page.evaluate(f"axe.run(document, {{runOnly: {RULES}}})")["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []
        assert self.complaints == []


@pytest.mark.parametrize("code", ORDER)
def test_the_whole_course_in_every_language(browser: Any, box: Box, code: str) -> None:
    language, number = languages()[code], ORDER.index(code)
    course = Course(box)
    screen = Screen(browser, box.service.url, SIZES[number % 3], code, ("light", "dark")[number % 2])
    screen.text(".idle h1", language.text.idle_title)
    screen.check(f"{code}-1-idle")
    box.caller.open()
    screen.page.locator("#yes").wait_for()
    screen.check(f"{code}-2-consent")
    screen.page.click("#yes")
    deadline = time.monotonic() + 10
    while course.channel is None and time.monotonic() < deadline:
        screen.page.wait_for_timeout(20)
    assert course.said == Consent(True)
    for stage, guidance, step in (
        (Stage.DOCUMENT, Guidance.GLARE, 0),
        (Stage.HOLDING, Guidance.HOLD_DOCUMENT_BESIDE_FACE, 0),
        (Stage.SELFIE, Guidance.TURN_LEFT, 2),
    ):
        course.see(stage, guidance, step=step)
        screen.text("#guidance", language.guidance[guidance])
        screen.check(f"{code}-3-{stage}")
    course.see(Stage.SELFIE, Guidance.BLINK, seconds=5, step=3)
    screen.text("#soon", language.text.little_time)
    course.end(Outcome.REJECTED, Reason.FACE_MISMATCH)
    screen.text("#why", language.for_reason(Reason.FACE_MISMATCH))
    screen.check(f"{code}-4-result")
    screen.context.close()


@pytest.mark.parametrize("choice", ["yes", "no"])
def test_with_the_keyboard_alone(browser: Any, box: Box, choice: str) -> None:
    course = Course(box)
    screen = Screen(browser, box.service.url, SIZES[0])
    screen.text(".idle h1", languages()["en"].text.idle_title)
    box.caller.open()
    screen.page.locator("#yes").wait_for()
    for _ in range(20):
        screen.page.keyboard.press("Tab")
        if screen.page.evaluate("document.activeElement.id") == choice:
            break
    screen.page.keyboard.press("Enter")
    deadline = time.monotonic() + 10
    while course.said is None and time.monotonic() < deadline:
        screen.page.wait_for_timeout(20)
    assert course.said == Consent(choice == "yes")
    screen.context.close()


def test_both_answers_look_the_same(browser: Any, box: Box) -> None:
    Course(box)
    screen = Screen(browser, box.service.url, SIZES[0])
    screen.text(".idle h1", languages()["en"].text.idle_title)
    box.caller.open()
    screen.page.locator("#yes").wait_for()
    style = "id => (({width, height}, s) => [width, height, s.color, s.backgroundColor, s.fontSize, s.fontWeight])"
    looks = [
        screen.page.evaluate(
            f"{style.replace('id =>', '')}(document.getElementById('{id}').getBoundingClientRect(),"
            f" getComputedStyle(document.getElementById('{id}')))"
        )
        for id in ("yes", "no")
    ]
    assert looks[0] == looks[1]
    screen.context.close()


def test_a_text_is_on_the_page_in_time(browser: Any, box: Box) -> None:
    course = Course(box)
    screen = Screen(browser, box.service.url, SIZES[0])
    screen.text(".idle h1", languages()["en"].text.idle_title)
    box.caller.open()
    screen.page.click("#yes")
    while course.channel is None:
        screen.page.wait_for_timeout(20)
    screen.page.evaluate(
        "window.seen = []; new MutationObserver(() => seen.push("
        "[Date.now(), parseInt(movement.textContent.match(/[0-9]/))]))"
        ".observe(movement, {childList: true, characterData: true, subtree: true}); undefined"
    )
    sent = []
    for number in range(200):
        sent.append((time.time() * 1000, number % 4 + 1))
        course.see(Stage.SELFIE, Guidance.TURN_LEFT, step=number % 4 + 1)
        screen.page.wait_for_timeout(40)
    seen = screen.page.evaluate("seen")
    waits = [min(at - then for at, step in seen if step == said and at >= then - 1) for then, said in sent[:-4]]
    print(f"event to text: median {statistics.median(waits):.0f} ms of {len(waits)}")
    assert len(waits) > 150
    assert statistics.median(waits) < 150
    screen.context.close()
