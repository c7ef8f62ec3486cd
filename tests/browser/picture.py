"""Renders docs/kiosk.png: what a person sees, in four moments of one whole verification, in four languages.

    python -m tests.browser.picture docs/kiosk.png        (`make kiosk-picture`)

Three real processes and the emulated camera; four pages follow the same verification, and each is photographed once.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser.screen import Screen, chromium
from tests.processes.conftest import AUDIENCE, NONCE, running_box

SIZE = (1000, 625)
GAP = 28
SHOWN = (680, 425)
COLOURS = 48
MOMENTS = (
    ("en", "light", "shown.view === 'consent'"),
    ("ar", "light", "shown.stage === 'document' && shown.guidance !== 'wait'"),
    ("hi", "dark", "shown.steps > 0 && shown.guidance.startsWith('turn_') && Math.abs(shown.pose?.[0]) > 1"),
    ("zh-Hans", "dark", "shown.result === 'verified'"),
)
"""Language, theme, and the moment of which a picture is taken."""


def photographs() -> list[Image.Image]:
    with tempfile.TemporaryDirectory(prefix="vbx") as name, chromium() as browser:
        with running_box(Path(name), pace="real") as box:
            url = box.services.wait_ready()
            screens = [Screen(browser, url, SIZE, code, theme) for code, theme, _ in MOMENTS]
            for screen in screens:
                screen.page.locator(".idle h1").wait_for()
            verification = box.party.open(AUDIENCE, NONCE, "demo", None)
            taken = []
            for screen, (code, _, moment) in zip(screens, MOMENTS, strict=True):
                while not screen.page.evaluate(moment):
                    if screen.page.evaluate("shown.view === 'result'"):
                        sys.exit(f"the moment for {code} did not come: {box.party.state(verification)}")
                    screen.page.wait_for_timeout(30)
                taken.append(Image.open(io.BytesIO(screen.page.screenshot())).convert("RGB"))
                if not taken[1:]:
                    screen.press("yes")
            return taken


def main(path: Path) -> None:
    width, height = SHOWN
    sheet = Image.new("RGB", (2 * width + GAP, 2 * height + GAP), "#ffffff")
    for number, picture in enumerate(photographs()):
        place = (number % 2) * (width + GAP), (number // 2) * (height + GAP)
        sheet.paste(picture.resize(SHOWN, Image.Resampling.LANCZOS), place)
    sheet.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
