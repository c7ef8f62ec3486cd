"""A kiosk page in the system's Chromium, whose complaints are collected.

Needs the extra [browser] and `chromium`; whoever imports this is skipped without them. `make test-browser` has both.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MAKE = "`make test-browser` sets it up"
sync_api = pytest.importorskip("playwright.sync_api", reason=f"needs the extra [browser]: {MAKE}")
axe_package = pytest.importorskip("axe_playwright_python", reason=f"needs the extra [browser]: {MAKE}")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip(f"there is no chromium here: {MAKE}", allow_module_level=True)

AXE = (Path(axe_package.__file__).parent / "axe.min.js").read_text()
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
SCREENSHOTS = os.environ.get("VOUCHBOX_SCREENSHOTS", "")
SIZES = ((800, 480), (1080, 1920), (2560, 1440))
THEMES = ("light", "dark")
WAYS_OUT = "yes", "no", "stop", "done"
"""What has to be on the screen without scrolling, where it is at all."""


@contextmanager
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Screen:
    """A page of one size; `check` looks at what it shows."""

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

    def press(self, id: str) -> None:
        self.page.locator(f"#{id}").click(timeout=20_000)

    def check(self, name: str = "") -> None:
        """Nothing sticks out sideways, nobody complained, and axe finds nothing. A name keeps a screenshot, if
        `$VOUCHBOX_SCREENSHOTS` says where."""
        if name and SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")
        assert self.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        self.page.evaluate(AXE)
        found = self.page.evaluate(f"axe.run(document, {{runOnly: {RULES}}})")["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == [], name
        assert self.complaints == [], name

    def check_sizes(self, name: str, first_theme: int = 0) -> None:
        """The same on each of the three screens, light and dark by turns; what is to be pressed is in sight."""
        for number, (width, height) in enumerate(SIZES):
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.emulate_media(color_scheme=THEMES[(first_theme + number) % 2])
            self.check(f"{name}-{width}x{height}")
            hidden = [id for id in WAYS_OUT if self.bottom(id) > height]
            assert hidden == [], f"{name}: below the edge of {width}x{height}"

    def bottom(self, id: str) -> float:
        return float(self.page.evaluate(f"document.getElementById('{id}').getBoundingClientRect().bottom"))

    def close(self) -> None:
        self.context.close()
