"""The kiosk page: every view in every language on three screens, by keyboard, for axe, with each of its helps.

The notary is scripted, so that the course is known; test_live.py has the three real processes.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from device.channel import Channel
from device.errors import PeerError
from device.gateway.languages import ORDER, languages
from device.protocol import (
    Attribute,
    Check,
    Consent,
    Ended,
    FaceBox,
    Guidance,
    HeadPose,
    Health,
    MoreTime,
    Opened,
    OpenVerification,
    Outcome,
    Progress,
    Reason,
    Stage,
    TokenPart,
)
from tests.browser.screen import SIZES, Screen
from tests.gateway.conftest import Box
from tests.gateway.test_kiosk_codes import scans
from tests.gateway.test_voices import wav

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
CHECKS = (Check.DOCUMENT_READ, Check.HOLDING, Check.FACE_MATCH, Check.LIVENESS_CHALLENGE)
ATTRIBUTES = (Attribute.AGE_OVER_18, Attribute.DOCUMENT_VALID)


class Course:
    """A verification that goes on when the test says so."""

    def __init__(self, box: Box, seconds: int = 90) -> None:
        self.said: object = None
        self._seconds = seconds
        self._channel: Channel | None = None
        self._answered = threading.Event()
        box.notary.script = self._run

    def _run(self, channel: Channel, _request: OpenVerification) -> None:
        channel.send(Opened("0123456789abcdefghij", True, self._seconds, CHECKS, ATTRIBUTES))
        while isinstance(said := channel.receive(timeout=30), MoreTime):
            channel.send(Progress(Stage.CONSENT, Guidance.WAIT, 90))
        self.said = said
        self._channel = channel
        self._answered.set()
        with contextlib.suppress(PeerError):  # a page that is looked at on three screens takes its time
            channel.receive(timeout=300)

    def answer(self, screen: Screen) -> object:
        """What the person said; the page goes on meanwhile."""
        for _ in range(500):
            if self._answered.is_set():
                return self.said
            screen.page.wait_for_timeout(20)
        raise AssertionError("the page's answer did not reach the notary")

    def see(self, stage: Stage, guidance: Guidance, *, seconds: int = 60, step: int = 0) -> None:
        assert self._channel is not None
        face = (FaceBox(5, 3, 11, 14), HeadPose(3, 1)) if stage is Stage.SELFIE else (None, None)
        self._channel.send(Progress(stage, guidance, seconds, step, 4 if step else 0, *face))

    def end(self, outcome: Outcome, reason: Reason | None = None) -> None:
        assert self._channel is not None
        self._channel.send(TokenPart(0, "eyJ.e30.c2ln"))
        self._channel.send(Ended(outcome, reason))


def begin(box: Box, browser: Any, size: tuple[int, int] = SIZES[0], code: str = "en") -> Screen:
    """A page that asks for consent."""
    screen = Screen(browser, box.service.url, size, code)
    screen.text(".idle h1", languages()[code].text.idle_title)
    box.caller.open()
    screen.page.locator("#yes").wait_for()
    return screen


@pytest.mark.parametrize("code", ORDER)
def test_the_whole_course_in_every_language(browser: Any, box: Box, code: str) -> None:
    language, first = languages()[code], ORDER.index(code) % 2
    course = Course(box)
    screen = Screen(browser, box.service.url, SIZES[0], code)
    screen.text(".idle h1", language.text.idle_title)
    screen.check_sizes(f"{code}-1-idle", first)
    box.caller.open()
    screen.page.locator("#yes").wait_for()
    screen.check_sizes(f"{code}-2-consent", first)
    screen.press("yes")
    assert course.answer(screen) == Consent(True)
    for stage, guidance, step in (
        (Stage.DOCUMENT, Guidance.GLARE, 0),
        (Stage.HOLDING, Guidance.HOLD_DOCUMENT_BESIDE_FACE, 0),
        (Stage.SELFIE, Guidance.TURN_LEFT, 2),
    ):
        course.see(stage, guidance, step=step)
        screen.text("#guidance", language.guidance[guidance])
        screen.check_sizes(f"{code}-3-{stage}", first)
    course.see(Stage.SELFIE, Guidance.BLINK, seconds=5, step=3)
    screen.text(".work .soon", language.text.little_time)
    course.end(Outcome.REJECTED, Reason.FACE_MISMATCH)
    screen.text("#why", language.for_reason(Reason.FACE_MISMATCH))
    screen.check_sizes(f"{code}-4-result", first)
    screen.press("done")
    screen.page.locator(".idle h1").wait_for()
    screen.close()


@pytest.mark.parametrize("code", ORDER)
def test_large_text_and_high_contrast(browser: Any, box: Box, code: str) -> None:
    """Both at once, in every language, on one of the three screens by turns: nothing sticks out, and axe is content."""
    size = SIZES[ORDER.index(code) % len(SIZES)]
    name = f"{code}-large-{size[0]}x{size[1]}"
    course = Course(box)
    screen = Screen(browser, box.service.url, size, code)
    screen.press("larger")
    screen.press("contrast")
    screen.check(f"{name}-1-idle")
    box.caller.open()
    screen.page.locator("#yes").wait_for()
    screen.check(f"{name}-2-consent")
    assert max(screen.bottom("yes"), screen.bottom("no")) <= size[1], "however large the text, the answers are in sight"
    screen.press("yes")
    course.answer(screen)
    course.see(Stage.SELFIE, Guidance.TURN_RIGHT, step=1)
    screen.text("#guidance", languages()[code].guidance[Guidance.TURN_RIGHT])
    screen.check(f"{name}-3-selfie")
    course.end(Outcome.INCONCLUSIVE, Reason.TIME_LIMIT)
    screen.page.locator("#result").wait_for()
    screen.check(f"{name}-4-result")
    screen.close()


@pytest.mark.parametrize("choice", ["yes", "no"])
def test_with_the_keyboard_alone(browser: Any, box: Box, choice: str) -> None:
    """A language, larger text, the answer and the way out: Tab, Enter and Space, and the focus can be seen."""
    course = Course(box)
    screen = Screen(browser, box.service.url, SIZES[0])
    tab_to(screen, "larger")
    screen.page.keyboard.press("Space")
    assert screen.page.get_attribute("#larger", "aria-pressed") == "true"
    tab_to(screen, "a[lang=es]")
    screen.page.keyboard.press("Enter")
    screen.text(".idle h1", languages()["es"].text.idle_title)
    box.caller.open()
    screen.page.locator("#yes").wait_for()
    tab_to(screen, choice)
    screen.page.keyboard.press("Enter")
    assert course.answer(screen) == Consent(choice == "yes")
    if choice == "yes":
        course.see(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT)
        screen.text("#guidance", languages()["es"].guidance[Guidance.SHOW_DOCUMENT])
        tab_to(screen, "stop")
        screen.page.keyboard.press("Enter")
    else:
        course.end(Outcome.INCONCLUSIVE, Reason.CONSENT_REFUSED)
    screen.page.locator("#result").wait_for()
    tab_to(screen, "done")
    screen.page.keyboard.press("Enter")
    screen.page.locator(".idle h1").wait_for()
    screen.close()


def tab_to(screen: Screen, wanted: str) -> None:
    """Tab until that has the focus, which has to be visible."""
    selector = wanted if "[" in wanted else f"#{wanted}"
    for _ in range(30):
        screen.page.keyboard.press("Tab")
        if screen.page.evaluate(f"document.activeElement.matches('{selector}')"):
            assert screen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
    raise AssertionError(f"{wanted} cannot be reached with Tab")


def test_both_answers_look_the_same(browser: Any, box: Box) -> None:
    Course(box)
    screen = begin(box, browser)
    style = "id => (({width, height}, s) => [width, height, s.color, s.backgroundColor, s.fontSize, s.fontWeight])"
    looks = [
        screen.page.evaluate(
            f"{style.replace('id =>', '')}(document.getElementById('{id}').getBoundingClientRect(),"
            f" getComputedStyle(document.getElementById('{id}')))"
        )
        for id in ("yes", "no")
    ]
    assert looks[0] == looks[1]
    screen.close()


def test_no_countdown_runs_out_in_silence(browser: Any, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before consent, a stage or a result ends by itself, the page says so in words, where a screen reader hears it."""
    text = languages()["en"].text
    soon, longer = text.little_time, f"{text.little_time} {text.more_how}"
    course = Course(box, seconds=15)
    screen = begin(box, browser)
    for view in ("consent", "work", "result"):
        assert screen.page.get_attribute(f".{view} [data-soon]", "role") == "status"
    screen.text(".consent .soon", longer)
    screen.press("yes")
    course.answer(screen)
    course.see(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, seconds=30)
    screen.text(".work .soon", "")
    course.see(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, seconds=6)
    screen.text(".work .soon", soon)
    monkeypatch.setattr("device.gateway.verifications.RESULT_SECONDS", 12.0)
    course.end(Outcome.VERIFIED)
    screen.text(".result .soon", longer)
    screen.close()


def test_more_time_is_a_press_away(browser: Any, box: Box) -> None:
    """WCAG 2.2, 2.2.1: whoever is warned can have more time by one press, by key too, and the warning goes."""
    course = Course(box, seconds=25)
    screen = begin(box, browser)
    screen.page.locator(".consent .soon").filter(has_text=languages()["en"].text.more_how).wait_for()
    screen.check("more-time")
    for _ in range(30):
        screen.page.keyboard.press("Tab")
        if screen.page.evaluate("document.activeElement.matches('.consent [data-more]')"):
            break
    screen.page.keyboard.press("Enter")
    screen.text(".consent .soon", "")
    wait_until(screen, "shown.seconds_left > 30")
    screen.press("yes")
    assert course.answer(screen) == Consent(True)
    screen.close()


def test_staff_are_offered_on_every_page(browser: Any, box: Box) -> None:
    staff = languages()["en"].text.staff
    course = Course(box)
    screen = Screen(browser, box.service.url, SIZES[0])
    screen.text(".idle .foot", staff)
    box.caller.open()
    screen.text(".consent .staff", staff)
    screen.press("yes")
    course.answer(screen)
    course.see(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT)
    screen.text(".work .foot", staff)
    course.end(Outcome.REJECTED, Reason.DOCUMENT_EXPIRED)
    screen.text(".result .staff", staff)
    screen.close()


def test_the_next_person_finds_the_page_as_it_begins(browser: Any, box: Box) -> None:
    course = Course(box)
    screen = Screen(browser, box.service.url, SIZES[1], "en")
    screen.page.click(".tongues a[lang=ar]")
    screen.text(".idle h1", languages()["ar"].text.idle_title)
    for id in ("larger", "contrast", "speak", "low"):
        screen.press(id)
    box.caller.open()
    screen.press("no")
    course.answer(screen)
    course.end(Outcome.INCONCLUSIVE, Reason.CONSENT_REFUSED)
    screen.press("done")
    screen.text(".idle h1", languages()["en"].text.idle_title)
    assert screen.page.locator("[aria-pressed=true]").count() == 0
    assert screen.page.get_attribute("html", "class") in (None, "")
    screen.close()


def test_without_a_voice_the_box_reads_aloud(browser: Any, box: Box) -> None:
    """Chromium without speech: the recordings of what the page says are asked for, in order, and play to their end."""
    said = ("text-consent_lead", "text-kept_nothing", "guidance-show_document", "text-rejected")
    folder = box.config.state / "voices" / "en"
    folder.mkdir(parents=True)
    for key in ("guidance-wait", *said):
        (folder / f"{key}.wav").write_bytes(wav([0] * 800))
    course = Course(box)
    screen = Screen(browser, box.service.url, SIZES[0])
    asked: list[str] = []
    screen.page.on("request", lambda it: asked.append(it.url.rpartition("/")[2]) if "/voice/" in it.url else None)
    assert screen.page.evaluate("speechSynthesis.getVoices().length") == 0
    box.caller.open()
    screen.page.locator("#yes").wait_for()
    screen.press("speak")
    screen.page.wait_for_timeout(300)
    assert asked[0] == "text-consent_lead.wav", "what is on the page is read at once"
    screen.press("yes")
    course.answer(screen)
    course.see(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT)
    wait_until(screen, "player.src.endsWith('guidance-show_document.wav') && player.ended")
    course.end(Outcome.REJECTED, Reason.DOCUMENT_EXPIRED)
    wait_until(screen, "player.src.endsWith('explanation-document_expired.wav')")
    assert [key for key in asked if key in ("guidance-show_document.wav", "text-rejected.wav")] == [
        "guidance-show_document.wav",
        "text-rejected.wav",
    ]
    screen.close()


def wait_until(screen: Screen, condition: str) -> None:
    """Playwright's own would evaluate a string, which the page's policy forbids."""
    for _ in range(250):
        if screen.page.evaluate(condition):
            return
        screen.page.wait_for_timeout(20)
    raise AssertionError(condition)


def test_a_browsers_own_voice_is_preferred(browser: Any, box: Box) -> None:
    """A voice is put into Chromium, which has none here: all that is on the page is said, and who asks."""
    Course(box)
    screen = begin(box, browser)
    screen.page.evaluate(
        "window.said = []; speechSynthesis.getVoices = () => [{lang: 'en-GB'}];"
        "speechSynthesis.speak = (words) => said.push([words.lang, words.text]); undefined"
    )
    screen.press("speak")
    ((lang, words),) = screen.page.evaluate("said")
    text = languages()["en"].text
    assert lang == "en-GB"
    for part in ("bank", text.consent_lead, text.happens_document, text.kept_nothing, text.staff):
        assert part in words
    screen.close()


@pytest.mark.parametrize("code", ["en", "hi"])
def test_everything_is_within_reach_of_somebody_who_sits(browser: Any, box: Box, code: str) -> None:
    """On a tall screen nothing to press is in the upper third, and nothing has left the screen."""
    scans(box)
    box.notary.health = Health("", "", 3, False, by_code=True)
    screen = Screen(browser, box.service.url, SIZES[1], code)
    screen.press("low")
    screen.press("scan")
    screen.page.locator("#yes").wait_for()
    for id in ("yes", "no", "low"):
        at = screen.page.evaluate(
            f"(({{top, bottom}}) => [top, bottom])(document.getElementById('{id}').getBoundingClientRect())"
        )
        assert 1920 / 3 <= at[0] <= at[1] <= 1920, (id, at)
    assert screen.page.evaluate("document.documentElement.scrollHeight") <= 1920, "nothing needs scrolling"
    screen.check(f"{code}-low-consent")
    screen.close()


def test_a_page_that_was_refused_asks_again(browser: Any, box: Box) -> None:
    """As after twenty quick reloads, or while the gateway starts."""
    Course(box)
    screen = Screen(browser, box.service.url, SIZES[0])
    screen.text(".idle h1", languages()["en"].text.idle_title)
    refusals = iter([503, 429])

    def refused(route: Any) -> None:
        status = next(refusals, None)
        route.continue_() if status is None else route.fulfill(status=status, body="")

    screen.page.route("**/kiosk/events", refused)
    screen.page.reload(wait_until="domcontentloaded")
    box.caller.open()
    screen.page.locator("#yes").wait_for(timeout=20_000)
    assert next(refusals, None) is None
    screen.context.close()


def test_the_page_weighs_little(browser: Any, box: Box) -> None:
    """All that it loads, uncompressed; fonts come from the system and are none of it."""
    screen = Screen(browser, box.service.url, SIZES[0])
    screen.text(".idle h1", languages()["en"].text.idle_title)
    sizes = "performance.getEntries().reduce((sum, e) => sum + (e.decodedBodySize || 0), 0)"
    assert 0 < screen.page.evaluate(sizes) <= 150_000
    assert screen.page.evaluate("performance.getEntriesByType('resource').filter(e => /font|woff/.test(e.name))") == []
    screen.close()
