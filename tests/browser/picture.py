"""Renders docs/kiosk.png: what a person sees, in four moments and four languages.

    python -m tests.browser.picture docs/kiosk.png        (`make kiosk-picture`)

The gateway, its page and Chromium are the real ones; the course is scripted, so that the picture is the same each time.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from device.config import BoxConfig, Config, GatewayConfig
from device.gateway.languages import languages
from device.protocol import Guidance, Outcome, Stage
from tests.browser.screen import Screen, chromium
from tests.browser.test_page import Course
from tests.gateway.conftest import gateway_beside_a_script

SIZE = (1000, 625)
SHOWN = (680, 425)
GAP = 28
COLOURS = 192
PAGES = (("en", "light"), ("ar", "light"), ("hi", "dark"), ("zh-Hans", "dark"))
"""Language and theme of each page; all four follow the same verification, and each is photographed once."""


def photographs(browser: Any, folder: Path) -> list[Image.Image]:
    config = Config(box=BoxConfig(runtime=str(folder), state=str(folder)), gateway=GatewayConfig(port=0))
    with gateway_beside_a_script(config, name="Harbour Bank") as box:
        course = Course(box)
        consent, document, face, result = screens = [Screen(browser, box.service.url, SIZE, *page) for page in PAGES]
        for screen in screens:
            screen.page.locator(".idle h1").wait_for()
        box.caller.open()
        consent.page.locator("#yes").wait_for()
        taken = [photograph(consent)]
        consent.press("yes")
        course.answer(consent)
        course.see(Stage.DOCUMENT, Guidance.GLARE)
        document.text("#guidance", languages()["ar"].guidance[Guidance.GLARE])
        taken.append(photograph(document))
        course.see(Stage.SELFIE, Guidance.TURN_LEFT, step=2)
        face.text("#guidance", languages()["hi"].guidance[Guidance.TURN_LEFT])
        taken.append(photograph(face))
        course.end(Outcome.VERIFIED)
        result.text("#result", languages()["zh-Hans"].text.verified)
        return [*taken, photograph(result)]


def photograph(screen: Screen) -> Image.Image:
    return Image.open(io.BytesIO(screen.page.screenshot())).convert("RGB")


def main(path: Path) -> None:
    width, height = SHOWN
    sheet = Image.new("RGB", (2 * width + GAP, 2 * height + GAP), "#ffffff")
    with tempfile.TemporaryDirectory(prefix="vbx") as folder, chromium() as browser:
        pictures = photographs(browser, Path(folder))
    for number, picture in enumerate(pictures):
        place = (number % 2) * (width + GAP), (number // 2) * (height + GAP)
        sheet.paste(picture.resize(SHOWN, Image.Resampling.LANCZOS), place)
    sheet.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
