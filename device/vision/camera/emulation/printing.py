"""The printer's hand: security background, text, machine readable zone and portrait on a canvas in millimetres.

In: where and what, in millimetres of the document. Out: ink on an image, H x W x 3 uint8 RGB, `DOTS` pixels a
millimetre.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from device.vision.camera.base import Image
from device.vision.camera.emulation.resources import font

DOTS: Final = 12
"""Pixels a millimetre: 305 dpi, as passport printers have."""

CHARACTER_PITCH: Final = 2.54
"""Millimetres from character to character of the machine readable zone (Doc 9303-3 section 4.2.2, size 1, 10/inch)."""
LINE_PITCH: Final = 6.35
"""Millimetres from line to line (Doc 9303-3 appendix A: the reference centre lines of TD3)."""
TD1_LINE_PITCH: Final = 4.2
"""The same on a card with three lines in 23.2 mm (Doc 9303-5 section 4.2)."""

INK: Final = (28, 26, 32)
LABEL_INK: Final = (70, 84, 128)
_OCR_B_ADVANCE: Final = 0.72
"""Advance width of the font's characters as a share of its em."""


class Canvas:
    """A sheet of `width` x `height` millimetres with a security background of its own in `tint`.

    Args:
        width, height: millimetres.
        tint: RGB of the paper.
        seed: of the guilloche's phases.
    """

    def __init__(self, width: float, height: float, tint: tuple[int, int, int], seed: int) -> None:
        self.width, self.height = width, height
        paper = _guilloche(round(width * DOTS), round(height * DOTS), tint, np.random.default_rng(seed))
        self._image = Pillow.fromarray(paper)
        self._draw = ImageDraw.Draw(self._image)

    @property
    def image(self) -> Image:
        """What is printed so far; a copy."""
        return np.asarray(self._image, np.uint8).copy()

    def field(self, x: float, y: float, label: str, text: str, size: float = 2.6) -> None:
        """A label and, under it, the text, with the label's top left corner at (x, y)."""
        self._draw.text((x * DOTS, y * DOTS), label, LABEL_INK, font("plain", 1.35 * DOTS))
        self._draw.text((x * DOTS, (y + 1.7) * DOTS), text, INK, font("plain", size * DOTS))

    def title(self, x: float, y: float, text: str, size: float = 3.4) -> None:
        """A heading with its top left corner at (x, y)."""
        self._draw.text((x * DOTS, y * DOTS), text, LABEL_INK, font("bold", size * DOTS))

    def machine_readable(self, x: float, baseline: float, lines: tuple[str, ...], pitch: float) -> None:
        """OCR-B lines, character by character at their pitch, on a lightened band."""
        face = font("ocr_b", CHARACTER_PITCH / _OCR_B_ADVANCE * DOTS)
        for row, line in enumerate(lines):
            for column, character in enumerate(line):
                place = ((x + column * CHARACTER_PITCH) * DOTS, (baseline + row * pitch) * DOTS)
                self._draw.text(place, character, INK, face, anchor="ls")

    def lighten(self, top: float, amount: float) -> None:
        """Makes everything below `top` paler, as the paper is where machines read."""
        image = np.asarray(self._image, np.float32).copy()
        image[round(top * DOTS) :] += (246 - image[round(top * DOTS) :]) * amount
        self._image = Pillow.fromarray(image.astype(np.uint8))
        self._draw = ImageDraw.Draw(self._image)

    def portrait(self, x: float, y: float, picture: Image, width: float, height: float, strength: float = 0.93) -> None:
        """A portrait printed at (x, y), `width` x `height` millimetres: less contrast, a dye's gamut, paper showing."""
        size = (round(width * DOTS), round(height * DOTS))
        print_ = cv2.resize(
            picture, size, interpolation=cv2.INTER_AREA if picture.shape[1] > size[0] else cv2.INTER_CUBIC
        )
        ink = print_.astype(np.float32)
        grey = ink.mean(axis=2, keepdims=True)
        ink = 14 + (grey + (ink - grey) * 0.9) * (232 / 255)
        left, top = round(x * DOTS), round(y * DOTS)
        image = np.asarray(self._image, np.float32).copy()
        under = image[top : top + size[1], left : left + size[0]]
        edge = _feather(size[0], size[1], round(0.4 * DOTS))[:, :, None] * strength
        # Ink multiplies: the security background stays visible through the lighter parts of the portrait.
        inked = ink * (0.9 + 0.1 * under / 235)
        under[:] = under * (1 - edge) + inked * edge
        self._image = Pillow.fromarray(np.clip(image, 0, 255).astype(np.uint8))
        self._draw = ImageDraw.Draw(self._image)


def _feather(width: int, height: int, border: int) -> np.ndarray:
    x = np.minimum(np.arange(width), np.arange(width)[::-1])
    y = np.minimum(np.arange(height), np.arange(height)[::-1])
    return np.clip(np.minimum(x[None, :], y[:, None]) / max(1, border), 0, 1).astype(np.float32)


def _guilloche(width: int, height: int, tint: tuple[int, int, int], random: np.random.Generator) -> Image:
    """Paper with a gradient and fine interlaced lines in three tints, whose direction and spacing change all over it
    as in security print (a screen's grid is what never changes). Drawn at half the resolution: ink bleeds."""
    y, x = np.mgrid[0 : height // 2 + 1, 0 : width // 2 + 1].astype(np.float32) * np.float32(2 / DOTS)  # millimetres
    paper = np.empty((*x.shape, 3), np.float32)
    paper[:] = tint
    paper += (6 * np.sin(x * np.float32(3 * DOTS / width)) + 5 * np.cos(y * np.float32(2 * DOTS / height)))[:, :, None]
    for index in range(3):
        place = float(random.uniform(0.2, 0.8)) * width / DOTS, float(random.uniform(0.2, 0.8)) * height / DOTS
        away = np.hypot(x - place[0], y - place[1])
        along = (y if index else away) / float(random.uniform(0.75, 1.05))
        for _ in range(3):  # bends it: wavelength 18 to 45 mm, deep enough to change the spacing by a third
            turn, wave = float(random.uniform(0, math.tau)), float(random.uniform(18, 45))
            phase = (x * math.cos(turn) + y * math.sin(turn)) * (math.tau / wave) + float(random.uniform(0, math.tau))
            along += np.sin(phase) * (wave / math.tau * 0.42)
        ink = np.clip(np.cos(along * math.tau) * 1.6 - 0.6, 0, 1)
        paper -= ink[:, :, None] * random.uniform(4, 19, 3).astype(np.float32)
    full = np.asarray(cv2.resize(paper, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    full += random.standard_normal((height, width, 1), np.float32) * np.float32(1.5)
    return np.clip(full, 0, 255).astype(np.uint8)
