"""Renders photographs of documents with a machine readable zone (`textline_measure.py` measures the reader on them).

In: a seed. Out: `Scene`s: an RGB image and the lines that are printed. Altered ones have one character changed after
their check digits were computed.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from device.vision.camera.emulation.printing import Canvas
from device.vision.camera.emulation.resources import OCR_B
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.mrz_layouts import compose
from models.training import textline_content

DOTS = 12  # px a millimetre of the print, as the canvas has it
FEWER_DOTS = 8  # the same for small photographs
PITCH = 2.54  # mm
CAPITAL = 2.5  # mm, height of the font's capitals at ten characters an inch
TODAY = datetime.date(2026, 6, 1)
SIZES = {
    "TD1": (85.6, 53.98),
    "TD2": (105.0, 74.0),
    "TD3": (125.0, 88.0),
    "MRV-A": (120.0, 80.0),
    "MRV-B": (105.0, 74.0),
    "FRENCH-ID": (105.0, 74.0),
    "SWISS-LICENCE": (85.6, 53.98),
    "FRENCH-LICENCE": (85.6, 53.98),
    "LICENCE": (85.6, 53.98),
}
STANDARD = ("TD1", "TD2", "TD3", "MRV-A", "MRV-B")
"""Those of Doc 9303; the others are national."""
CODES = {
    "TD1": ("I", "ID", "IR", "C"),
    "TD2": ("I", "ID"),
    "TD3": ("P", "PO"),
    "MRV-A": ("V",),
    "MRV-B": ("V",),
    "FRENCH-ID": ("ID",),
    "SWISS-LICENCE": ("FA",),
    "FRENCH-LICENCE": ("D1",),
    "LICENCE": ("D1",),
}
STATES = {"FRENCH-ID": "FRA", "FRENCH-LICENCE": "FRA", "SWISS-LICENCE": "CHE"}
NUMBERS = {"FRENCH-ID": 12, "SWISS-LICENCE": 9, "LICENCE": 20}
"""Characters of document numbers that are not as Doc 9303 has them."""
LINE_PITCH = {3: (4.2, 4.9), 2: (4.3, 6.35), 1: (4.2, 4.9)}


@dataclass(frozen=True, eq=False)
class Scene:
    """image: H×W×3 uint8 RGB. lines: as printed. capital: height of the characters in it, px."""

    image: np.ndarray
    lines: tuple[str, ...]
    layout: str
    capital: float


class Scenes:
    """Photographs one after the other; a seed gives the same ones.

    Args:
        seed: of everything.
        altered: change one character of each zone.
        hard: how bad light, blur, noise and JPEG get; 0 is a good camera, 1 a bad one.
        capital: smallest and largest height of characters, px.
        layouts: which are drawn from, keys of `SIZES`.
        frame: width and height of the photographs, px; as two cameras have them by default.
    """

    def __init__(
        self,
        seed: int,
        *,
        altered: bool = False,
        hard: float = 0.5,
        capital: tuple[float, float] = (9.0, 28.0),
        layouts: tuple[str, ...] = STANDARD,
        frame: tuple[int, int] | None = None,
    ) -> None:
        self._seed, self._layouts, self._frame = seed, layouts, frame
        self._rng = np.random.default_rng(seed)
        self._altered, self._hard, self._capital = altered, hard, capital
        self._dots = DOTS if frame is None or frame[0] > 640 else FEWER_DOTS
        self._papers = papers(self._dots)
        self._font = ImageFont.truetype(str(OCR_B), round(PITCH / 0.723 * self._dots))
        self._plain = ImageFont.load_default(3 * self._dots)

    def at(self, index: int) -> Scene:
        """Photograph number `index`, whatever was drawn before."""
        self._rng = np.random.default_rng((self._seed, index))
        return self.sample()

    def sample(self) -> Scene:
        """The next photograph."""
        rng = self._rng
        layout = str(rng.choice(list(self._layouts)))
        lines = compose(layout, self._fields(layout))
        if self._altered:
            lines = self._alter(lines)
        page = self._page(layout, lines)
        frame = self._frame or ((1280, 960) if rng.random() < 0.7 else (960, 720))
        largest = 0.93 * min(frame[0] / SIZES[layout][0], frame[1] / SIZES[layout][1]) * CAPITAL
        low, high = self._capital
        capital = float(np.exp(rng.uniform(np.log(low), np.log(max(low * 1.01, min(high, largest))))))
        image = self._photograph(page, frame, capital / CAPITAL / self._dots)
        return Scene(image, lines, layout, capital)

    def _fields(self, layout: str) -> DocumentFields:
        rng = self._rng
        letters = textline_content.LETTERS + textline_content.DIGITS * 3
        number = textline_content.pick(rng, letters, NUMBERS.get(layout) or int(rng.integers(6, 10)))
        name = textline_content.word
        return DocumentFields(
            document_code=str(rng.choice(CODES[layout])),
            issuing_state=STATES.get(layout, "UTO"),
            document_number=number,
            surname=(name(rng) + name(rng))[:18],
            given_names=name(rng)[:9],
            nationality="UTO",
            date_of_birth=PartialDate(
                int(rng.integers(1940, 2010)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
            ),
            sex=str(rng.choice(["F", "M", "X"])),
            date_of_expiry=PartialDate(
                int(rng.integers(2027, 2036)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
            ),
            optional_data=(textline_content.pick(rng, textline_content.DIGITS, 12),)
            if layout == "SWISS-LICENCE"
            else (),
        )

    def _alter(self, lines: tuple[str, ...]) -> tuple[str, ...]:
        rng = self._rng
        while True:
            row = int(rng.integers(len(lines)))
            column = int(rng.integers(len(lines[row])))
            old = lines[row][column]
            if old != "<":
                kind = textline_content.DIGITS if old.isdigit() else textline_content.LETTERS
                new = str(rng.choice([character for character in kind if character != old]))
                changed = lines[row][:column] + new + lines[row][column + 1 :]
                return (*lines[:row], changed, *lines[row + 1 :])

    def _page(self, layout: str, lines: tuple[str, ...]) -> np.ndarray:
        rng, dots = self._rng, self._dots
        width, height = (round(side * dots) for side in SIZES[layout])
        page = Pillow.fromarray(self._papers[rng.integers(len(self._papers))][:height, :width])
        draw = ImageDraw.Draw(page)
        pitch = rng.uniform(*LINE_PITCH[len(lines)])
        foot = height / dots - rng.uniform(4.5, 8)
        top = foot - pitch * (len(lines) - 1) - 6
        for row in range(int(rng.integers(2, 7))):
            if 4 + row * 7 < top - 4:
                words = " ".join(textline_content.word(rng).title() for _ in range(3))
                draw.text((rng.uniform(30, 45) * dots, (4 + row * 7) * dots), words, (60, 60, 80), self._plain)
        draw.rectangle((5 * dots, 8 * dots, 27 * dots, (top - 3) * dots), fill=tuple(rng.integers(90, 190, 3).tolist()))
        left = (SIZES[layout][0] - len(lines[-1]) * PITCH) / 2
        ink = tuple(rng.integers(10, 70, 3).tolist())
        for row, line in enumerate(lines):
            for column, character in enumerate(line):
                place = ((left + column * PITCH) * dots, (foot - (len(lines) - 1 - row) * pitch) * dots)
                draw.text(place, character, ink, self._font, anchor="ls")
        return np.asarray(page)

    def _photograph(self, page: np.ndarray, frame: tuple[int, int], scale: float) -> np.ndarray:
        rng = self._rng
        height, width = page.shape[:2]
        turn = np.deg2rad(rng.choice([0, 0, 90, 180, 270]) + rng.uniform(-20, 20))
        corners = (np.array([(0, 0), (width, 0), (width, height), (0, height)]) - (width / 2, height / 2)) * scale
        corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        corners += rng.uniform(-0.03, 0.03, (4, 2)) * width * scale
        room = np.maximum(0, np.array(frame) / 2 - np.abs(corners).max(axis=0) - 4)
        shrink = min(1.0, *(np.array(frame) / 2 / (np.abs(corners).max(axis=0) + 4)))
        corners = corners * shrink + np.array(frame) / 2 + rng.uniform(-1, 1, 2) * room
        background = cv2.resize(rng.integers(20, 220, (7, 9, 3)).astype(np.uint8), frame, interpolation=cv2.INTER_CUBIC)
        for _ in range(12):
            ends = [tuple(rng.integers(0, frame).tolist()) for _ in range(2)]
            cv2.line(background, ends[0], ends[1], tuple(rng.integers(0, 255, 3).tolist()), int(rng.integers(1, 14)))
        sheet = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        soft = cv2.GaussianBlur(page, (0, 0), max(0.3, 0.4 / (scale * shrink)))
        map_ = cv2.getPerspectiveTransform(sheet, corners.astype(np.float32))
        seen = cv2.warpPerspective(soft, map_, frame, flags=cv2.INTER_LINEAR)
        mask = cv2.warpPerspective(np.full((height, width), 255, np.uint8), map_, frame)
        return self._lens(np.where(mask[..., None] > 127, seen, background), scale * CAPITAL * self._dots)

    def _lens(self, image: np.ndarray, capital: float) -> np.ndarray:
        rng, hard = self._rng, self._hard
        height, width = image.shape[:2]
        light = 1 + np.linspace(-1, 1, width, dtype=np.float32)[None, :, None] * np.float32(rng.normal(0, 0.25 * hard))
        seen = image * light * np.float32(rng.uniform(1 - 0.5 * hard, 1.1))
        if rng.random() < 0.2 * hard:
            y, x = np.mgrid[0:height, 0:width].astype(np.float32)
            place = rng.uniform(0, width), rng.uniform(0, height)
            spot = np.exp(-(((x - place[0]) ** 2 + (y - place[1]) ** 2) / rng.uniform(40, 120) ** 2))
            seen += 200 * spot[..., None].astype(np.float32)
        seen = cv2.GaussianBlur(seen, (0, 0), 0.25 + capital * rng.uniform(0, 0.12 * hard))
        seen += rng.standard_normal(seen.shape, np.float32) * np.float32(rng.uniform(0, 12 * hard))
        quality = int(rng.uniform(95 - 60 * hard, 96))
        _, data = cv2.imencode(".jpg", np.clip(seen, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        return cv2.imdecode(data, cv2.IMREAD_COLOR)


@cache
def papers(dots: int = DOTS) -> list[np.ndarray]:
    """Security papers of the largest document, (88 × dots, 125 × dots, 3) uint8 RGB."""
    tints = ((214, 226, 232), (226, 230, 214), (240, 226, 220), (236, 236, 240))
    sheets = [Canvas(125, 88, tint, index).image for index, tint in enumerate(tints)]
    return [cv2.resize(sheet, (125 * dots, 88 * dots), interpolation=cv2.INTER_AREA) for sheet in sheets]
