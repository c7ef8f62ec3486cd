"""Whole verifications in the system's Chromium, against the three real processes and the emulated camera.

The main path once in every language, and every scenario once: the person presses yes, the page guides, and ends as the
API says it ended. `$VOUCHBOX_SCREENSHOTS` keeps pictures; `$VOUCHBOX_SCENARIOS` (names by commas) plays only those.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from device.commands.relying_party import ApiError
from device.gateway.languages import ORDER, explanation_of, languages
from device.protocol import Reason
from device.vision.camera.emulation.scenario import built_in_scenarios
from tests.browser.screen import SIZES, THEMES, Screen
from tests.processes.conftest import AUDIENCE, NONCE, Box, running_box

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SCENARIOS = tuple(filter(None, os.environ.get("VOUCHBOX_SCENARIOS", "").split(","))) or built_in_scenarios()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_box(tmp_path_factory.mktemp("b")) as box:
        yield box


@pytest.mark.parametrize("code", ORDER)
def test_the_main_path_in_every_language(browser: Any, live: Box, code: str) -> None:
    language, first = languages()[code], ORDER.index(code) % 2
    screen = Screen(browser, live.services.wait_ready(), SIZES[0], code)
    screen.text(".idle h1", language.text.idle_title)
    screen.check_sizes(f"live-{code}-1-idle", first)
    verification = live.party.open(AUDIENCE, NONCE, "demo", None)
    screen.page.locator("#yes").wait_for()
    screen.check_sizes(f"live-{code}-2-consent", first)
    screen.press("yes")
    said = follow(screen, live, verification, f"live-{code}-3")
    assert said <= set(language.guidance.values())
    assert len(said) > 3
    ended = outcome(live, verification)
    assert ended != "rejected", "an honest person, however busy this machine is"
    screen.text("#result", getattr(language.text, ended))
    screen.check_sizes(f"live-{code}-4-result", first)
    screen.press("done")
    screen.page.locator(".idle h1").wait_for()
    screen.close()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenarios_page(browser: Any, scenario: str) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="vbx") as name,
        running_box(Path(name), camera=f"emulated:{scenario}") as box,
    ):
        number = SCENARIOS.index(scenario)
        size, theme = SIZES[number % len(SIZES)], THEMES[number % len(THEMES)]
        screen = Screen(browser, box.services.wait_ready(), size, "en", theme)
        screen.text(".idle h1", languages()["en"].text.idle_title)
        verification = box.party.open(AUDIENCE, NONCE, "demo", None)
        screen.press("yes")
        assert follow(screen, box, verification), "the page said something on the way"
        state = box.party.state(verification)
        screen.check(f"scenario-{scenario}-{size[0]}x{size[1]}")
        shown = screen.page.evaluate("({result: shown.result, explanation: shown.explanation})")
        assert shown["result"] == outcome(box, verification)
        if state.get("reason"):
            assert shown["explanation"] == explanation_of(Reason(state["reason"]))
        screen.close()


def follow(screen: Screen, box: Box, verification: str, name: str = "") -> set[str]:
    """Every guidance that was on the screen, until the page shows a result. With a name each new one is looked at, on
    the next of the three screens."""
    seen: dict[str, None] = {}
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        view, stage, text = screen.page.evaluate(
            "[shown.view, shown.stage, document.getElementById('guidance').textContent]"
        )
        if view == "result":
            return set(seen)
        if text and text not in seen:
            if name:
                width, height = SIZES[len(seen) % len(SIZES)]
                screen.page.set_viewport_size({"width": width, "height": height})
                screen.check(f"{name}-{len(seen):02}-{stage}-{width}x{height}")
            seen[text] = None
        screen.page.wait_for_timeout(50)
    raise AssertionError(box.party.state(verification))


def outcome(box: Box, verification: str) -> str:
    """What the verdict says, or that there is none."""
    try:
        payload = box.party.verdict(verification).split(".")[1]
    except ApiError:
        return "stopped"
    return str(json.loads(base64.urlsafe_b64decode(payload + "=="))["verdict"])
