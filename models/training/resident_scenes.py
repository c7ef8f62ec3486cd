"""Renders photographs of Chinese resident identity cards, as `textline_scenes.py` does of documents with a zone.

In: a seed. Out: `Scene`s whose one line is the number on the card's front (GB 11643): regions that GB/T 2260 has, any
birth date, every eleventh with an X. Altered ones have one digit changed after the check character was computed.
Labels and words are Chinese where Debian's `fonts-noto-cjk` is installed. No number is anybody's that is known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from device.vision.camera.emulation.resources import OCR_B
from device.vision.document.national import RESIDENT_NUMBER
from models.training import textline_content
from models.training.textline_scenes import CAPITAL, Scene, Scenes

LAYOUT = "GB11643"
SIZE = (85.6, 53.98)  # mm, ISO/IEC 7810 ID-1
REGIONS = ("110101", "310104", "440106", "510107", "610113", "230103", "350203", "420106")
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
"""GB 11643-1999 table 2, and below it the check characters by the sum's remainder."""
CHECK_CHARACTERS = "10X98765432"
CHINESE = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
LABELS = ("姓名", "性别", "民族", "出生", "住址")
NUMBER_LABEL = "公民身份号码"
WORDS = "东西南北中街路号区市省大小山水林江海云天光明新安平文华国"
LABEL_INK = (38, 84, 140)


def resident_number(rng: np.random.Generator) -> str:
    """A number whose check character is right."""
    date = f"{rng.integers(1930, 2020)}{rng.integers(1, 13):02}{rng.integers(1, 29):02}"
    body = f"{rng.choice(REGIONS)}{date}{rng.integers(1, 1000):03}"
    total = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, body, strict=True))
    return body + CHECK_CHARACTERS[total % 11]


class ResidentCards(Scenes):
    """Photographs of cards' fronts; arguments as `Scenes` has them, but for the layouts."""

    def sample(self) -> Scene:
        rng = self._rng
        number = resident_number(rng)
        if self._altered:
            number = self._changed(number)
        frame = self._frame or ((1280, 960) if rng.random() < 0.7 else (960, 720))
        largest = 0.93 * min(frame[0] / SIZE[0], frame[1] / SIZE[1]) * CAPITAL
        low, high = self._capital
        capital = float(np.exp(rng.uniform(np.log(low), np.log(max(low * 1.01, min(high, largest))))))
        image = self._photograph(self._front(number), frame, capital / CAPITAL / self._dots)
        return Scene(image, (number,), LAYOUT, capital)

    def _changed(self, number: str) -> str:
        """One of the first seventeen is another digit."""
        at = int(self._rng.integers(RESIDENT_NUMBER - 1))
        other = str(self._rng.choice([digit for digit in textline_content.DIGITS if digit != number[at]]))
        return number[:at] + other + number[at + 1 :]

    def _front(self, number: str) -> np.ndarray:
        """The card's front: labels and texts on the left, portrait on the right, the number at the foot."""
        rng, dots = self._rng, self._dots
        width, height = (round(side * dots) for side in SIZE)
        card = Pillow.fromarray(self._papers[rng.integers(len(self._papers))][:height, :width])
        draw = ImageDraw.Draw(card)
        for row, label in enumerate(LABELS):
            down = (6 + 6.6 * row + rng.uniform(-0.5, 0.5)) * dots
            self._write(draw, (6 * dots, down), label, 2.4, LABEL_INK)
            self._write(draw, (16 * dots, down), self._words(), 2.9, (30, 30, 30))
        tone = tuple(rng.integers(90, 200, 3).tolist())
        draw.rectangle((59 * dots, 8 * dots, 81 * dots, 36 * dots), fill=tone)
        foot = rng.uniform(45.5, 48.5)
        self._write(draw, (6 * dots, (foot - 2.9) * dots), NUMBER_LABEL, 2.5, LABEL_INK)
        font = ImageFont.truetype(str(OCR_B), round(CAPITAL * rng.uniform(0.95, 1.12) / 0.723 * dots))
        left, pitch = rng.uniform(27, 30), rng.uniform(2.5, 2.8)
        ink = tuple(rng.integers(10, 60, 3).tolist())
        for column, character in enumerate(number):
            draw.text(((left + column * pitch) * dots, foot * dots), character, ink, font, anchor="ls")
        return np.asarray(card)

    def _words(self) -> str:
        count = int(self._rng.integers(2, 12))
        if CHINESE.exists():
            return "".join(self._rng.choice(list(WORDS), count))
        return textline_content.word(self._rng).title()

    def _write(
        self, draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: float, ink: tuple[int, ...]
    ) -> None:
        """Text `size` mm high; Latin letters stand for Chinese ones where there is no font for them."""
        points = round(size * self._dots)
        if CHINESE.exists():
            draw.text(at, text, ink, ImageFont.truetype(str(CHINESE), points))
        else:
            draw.text(at, text if text.isascii() else "Aa Bb Cc", ink, ImageFont.load_default(points))
