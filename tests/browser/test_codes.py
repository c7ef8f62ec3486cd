"""The pages with codes, and the operator's, in the system's Chromium.

A screenshot of the page is what a telephone would photograph: the verdict is read from it.
"""

from __future__ import annotations

import json
import time
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from device.channel import Channel
from device.codes import Kind, token_from
from device.gateway.languages import ORDER, languages
from device.protocol import Guidance, Health, Message
from device.vision.document.barcode import read_barcodes
from tests.browser.screen import SIZES, Screen
from tests.gateway.conftest import Box
from tests.gateway.scripted_notary import opened, send_verdict, wait_for_end
from tests.gateway.test_kiosk_codes import PROOF, VERDICT, scans
from tests.gateway.test_operator import REPORT, run_one

pytestmark = pytest.mark.slow


def texts_on(screen: Screen, count: int) -> list[str]:
    """The texts of the codes on the screen: the page is photographed until all have been seen."""
    found: dict[str, None] = {}
    deadline = time.monotonic() + 3 * count + 10
    while len(found) < count and time.monotonic() < deadline:
        picture = cv2.imdecode(np.frombuffer(screen.page.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
        found |= dict.fromkeys(code.data.decode() for code in read_barcodes(picture))
        if count > 1:
            screen.page.click("#next")
    return list(found)


@pytest.mark.parametrize(
    ("size", "code", "theme"), list(zip(SIZES, ("en", "ar", "zh-Hant"), ("light", "dark", "light"), strict=True))
)
def test_from_a_code_to_a_code(box: Box, browser: Any, size: tuple[int, int], code: str, theme: str) -> None:
    box.notary.health = Health("", "", 3, False, by_code=True)
    scans(box)
    language = languages()[code]
    screen = Screen(browser, box.service.url, size, code, theme)
    screen.page.locator("#scan").wait_for()
    screen.check(f"{code}-codes-1-idle")
    screen.page.click("#scan")
    screen.text("#guidance", language.guidance[Guidance.SHOW_REQUEST])
    screen.page.locator("#yes").wait_for()
    screen.page.check("#proof")
    screen.check(f"{code}-codes-2-consent")
    screen.page.click("#yes")
    screen.page.locator("#code").wait_for()
    screen.check(f"{code}-codes-3-verdict")
    counts = json.loads(json.dumps(screen.page.evaluate("shown.codes")))
    assert token_from(Kind.VERDICT, texts_on(screen, counts[0])) == VERDICT
    screen.page.click("#other")
    screen.text("#code-title", language.text.code_proof)
    screen.check(f"{code}-codes-4-proof")
    assert token_from(Kind.PROOF, texts_on(screen, counts[1])) == PROOF
    screen.page.click("#done")
    screen.page.locator(".idle h1").wait_for()
    screen.text(".idle h1", language.text.idle_title)
    assert screen.page.evaluate("document.getElementById('proof').checked") is False
    assert screen.complaints == []
    screen.close()


@pytest.mark.parametrize("code", ORDER)
def test_the_texts_about_codes_fit_the_smallest_screen(box: Box, browser: Any, code: str) -> None:
    box.notary.health = Health("", "", 3, False, by_code=True)
    scans(box)
    screen = Screen(browser, box.service.url, SIZES[0], code)
    screen.page.locator("#scan").click()
    screen.page.locator("#yes").click()
    screen.page.locator("#code").wait_for()
    assert screen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    bottom = "document.getElementById('done').getBoundingClientRect().bottom - innerHeight"
    assert screen.page.evaluate(bottom) <= 0, "the way out is on the screen"
    screen.close()


@pytest.mark.parametrize("size", [(390, 844), (1280, 800)])
def test_the_operators_page(box: Box, browser: Any, size: tuple[int, int]) -> None:
    (box.config.state / "selftest.json").write_text(json.dumps(REPORT))
    for _ in range(3):
        run_one(box)
    screen = Screen(browser, box.service.url, size)
    screen.page.goto(f"{box.service.url}/operator")
    screen.text(".counts dt >> nth=1", "rejected")
    screen.text(".counts dd >> nth=1", "3")
    screen.check(f"operator-{size[0]}")
    screen.close()


def test_a_press_stops_the_codes(box: Box, browser: Any) -> None:
    """WCAG 2.2.2: what moves by itself for more than five seconds can be stopped."""
    box.notary.health = Health("", "", 3, False, by_code=True)
    scans(box)
    screen = Screen(browser, box.service.url, SIZES[0])
    screen.page.locator("#scan").click()
    screen.page.locator("#yes").click()
    screen.page.locator("#next").click()
    first = screen.page.get_attribute("#code", "src")
    screen.page.wait_for_timeout(2000)
    assert screen.page.get_attribute("#code", "src") == first
    screen.page.click("#next")
    assert screen.page.get_attribute("#code", "src") != first
    screen.close()


def test_what_the_person_before_ticked_is_not_ticked_for_the_next(box: Box, browser: Any) -> None:
    """They follow each other without the idle page in between: the next one was asked for before they were done."""

    def script(channel: Channel, _request: Message) -> None:
        channel.send(msgspec.structs.replace(opened(consent=True), proof=True))
        wait_for_end(channel)
        send_verdict(channel)

    box.notary.script = script
    screen = Screen(browser, box.service.url, SIZES[1], "en")
    box.caller.open()
    screen.page.locator("#yes").wait_for()
    screen.page.click("#larger")
    screen.page.check("#proof")
    screen.page.click("#no")
    screen.page.locator("#done").wait_for()
    box.caller.open()
    screen.page.locator("#yes").wait_for()
    assert screen.page.evaluate("document.getElementById('proof').checked") is False
    assert screen.page.get_attribute("#larger", "aria-pressed") == "false"
    assert screen.complaints == []
    screen.close()
