"""Whole verifications in the system's Chromium, against the three real processes and the emulated camera.

One for each scenario: the person presses yes, the page guides, and ends as the API says it ended. Needs the extra
[browser] and `chromium`; `$VOUCHBOX_SCREENSHOTS` keeps a picture of each result. `$VOUCHBOX_SCENARIOS` (names, or
`all`) says which are played apart from the first few, as each is a whole verification.
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
from device.gateway.languages import explanation_of, languages
from device.protocol import Reason
from device.vision.camera.emulation.scenario import built_in_scenarios
from tests.gateway.sniffing import complaint
from tests.gateway.test_browser import CHROMIUM, SIZES, Screen, browser  # noqa: F401 - a fixture
from tests.processes.conftest import AUDIENCE, NONCE, running_box

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]

ALWAYS = ("standard", "wrong_person", "camera_unplugged")
_named = os.environ.get("VOUCHBOX_SCENARIOS", "")
SCENARIOS = built_in_scenarios() if _named == "all" else (*ALWAYS, *filter(None, _named.split(",")))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenarios_page(browser: Any, scenario: str) -> None:  # noqa: F811
    size = SIZES[SCENARIOS.index(scenario) % len(SIZES)]
    with (
        tempfile.TemporaryDirectory(prefix="vbx") as name,
        running_box(Path(name), camera=f"emulated:{scenario}") as box,
    ):
        screen = Screen(browser, box.services.wait_ready(), size)
        bodies: list[tuple[str, str, bytes]] = []
        screen.page.on("response", lambda answer: _keep(answer, bodies))
        screen.page.reload()
        screen.text(".idle h1", languages()["en"].text.idle_title)
        verification = box.party.open(AUDIENCE, NONCE, "demo", None)
        screen.page.locator("#yes").click(timeout=20_000)
        seen = _follow(screen, box, verification)
        state = box.party.state(verification)
        screen.check(f"scenario-{scenario}")
        shown = screen.page.evaluate("({result: shown.result, explanation: shown.explanation})")
        try:
            outcome = _outcome(box.party.verdict(verification))
        except ApiError:
            outcome = "stopped"
        assert shown["result"] == outcome
        if state.get("reason"):
            assert shown["explanation"] == explanation_of(Reason(state["reason"]))
        assert seen, "the page said something on the way"
        assert [(url, wrong) for url, kind, body in bodies if (wrong := complaint(kind, body))] == []
        screen.context.close()


def _follow(screen: Screen, box: Any, verification: str) -> set[str]:
    """Every guidance that was on the screen, until the page shows a result."""
    seen: set[str] = set()
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        view = screen.page.evaluate("({view: shown.view, text: document.getElementById('guidance').textContent})")
        if view["view"] == "result":
            return seen
        seen |= {view["text"]} - {""}
        screen.page.wait_for_timeout(100)
    raise AssertionError(box.party.state(verification))


def _outcome(token: str) -> str:
    payload = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=="))["verdict"])


def _keep(answer: Any, bodies: list[tuple[str, str, bytes]]) -> None:
    kind = answer.headers.get("content-type", "")
    if not kind.startswith("text/event-stream"):  # it does not end; the gateway's own tests look at it
        try:
            bodies.append((answer.url, kind, answer.body()))
        except Exception:  # noqa: BLE001 - a page that was left has no body any more
            return
