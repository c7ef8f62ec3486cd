"""Renders photographs of documents with a machine readable zone, and measures the document reader on them.

In: a seed. Out: `Scene`s (an RGB image and the lines that are printed), and as a command the figures: how many zones
are exactly right by the height of their characters, and how many wrong texts were called consistent. With `--altered`
every zone has one character changed after its check digits were computed: it has to be read as printed.

    python -m models.training.textline_scenes --count 1000 [--altered] [--seed 1]
"""

from __future__ import annotations

import argparse
import datetime
import statistics
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from device.vision.camera.emulation.printing import Canvas
from device.vision.camera.emulation.resources import OCR_B
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.mrz_layouts import compose
from models.training import textline_content

DOTS = 12  # px a millimetre of the print
PITCH = 2.54  # mm
CAPITAL = 2.5  # mm, height of the font's capitals at ten characters an inch
TODAY = datetime.date(2026, 6, 1)
SIZES = {
    "TD1": (85.6, 53.98),
    "TD2": (105.0, 74.0),
    "TD3": (125.0, 88.0),
    "MRV-A": (120.0, 80.0),
    "MRV-B": (105.0, 74.0),
}
CODES = {"TD1": ("I", "ID", "IR", "C"), "TD2": ("I", "ID"), "TD3": ("P", "PO"), "MRV-A": ("V",), "MRV-B": ("V",)}
LINE_PITCH = {3: (4.2, 4.9), 2: (4.3, 6.35)}
BINS = (0, 7, 9, 12, 16, 24, 99)


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
    """

    def __init__(
        self, seed: int, *, altered: bool = False, hard: float = 0.5, capital: tuple[float, float] = (9.0, 28.0)
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._altered, self._hard, self._capital = altered, hard, capital
        self._papers = papers()
        self._font = ImageFont.truetype(str(OCR_B), round(PITCH / 0.723 * DOTS))
        self._plain = ImageFont.load_default(3 * DOTS)

    def sample(self) -> Scene:
        """One photograph."""
        rng = self._rng
        layout = str(rng.choice(list(SIZES)))
        lines = compose(layout, self._fields(layout))
        if self._altered:
            lines = self._alter(lines)
        page = self._page(layout, lines)
        frame = (1280, 960) if rng.random() < 0.7 else (960, 720)
        largest = 0.93 * min(frame[0] / SIZES[layout][0], frame[1] / SIZES[layout][1]) * CAPITAL
        low, high = self._capital
        capital = float(np.exp(rng.uniform(np.log(low), np.log(max(low * 1.01, min(high, largest))))))
        image = self._photograph(page, frame, capital / CAPITAL / DOTS)
        return Scene(image, lines, layout, capital)

    def _fields(self, layout: str) -> DocumentFields:
        rng = self._rng
        number = textline_content.pick(
            rng, textline_content.LETTERS + textline_content.DIGITS * 3, int(rng.integers(6, 10))
        )
        name = textline_content.word
        return DocumentFields(
            document_code=str(rng.choice(CODES[layout])),
            issuing_state="UTO",
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
        )

    def _alter(self, lines: tuple[str, ...]) -> tuple[str, ...]:
        rng = self._rng
        while True:
            row, column = int(rng.integers(len(lines))), int(rng.integers(len(lines[0])))
            old = lines[row][column]
            if old != "<":
                kind = textline_content.DIGITS if old.isdigit() else textline_content.LETTERS
                new = str(rng.choice([character for character in kind if character != old]))
                changed = lines[row][:column] + new + lines[row][column + 1 :]
                return (*lines[:row], changed, *lines[row + 1 :])

    def _page(self, layout: str, lines: tuple[str, ...]) -> np.ndarray:
        rng = self._rng
        width, height = (round(side * DOTS) for side in SIZES[layout])
        page = Pillow.fromarray(self._papers[rng.integers(len(self._papers))][:height, :width])
        draw = ImageDraw.Draw(page)
        pitch = rng.uniform(*LINE_PITCH[len(lines)])
        foot = height / DOTS - rng.uniform(4.5, 8)
        top = foot - pitch * (len(lines) - 1) - 6
        for row in range(int(rng.integers(2, 7))):
            if 4 + row * 7 < top - 4:
                words = " ".join(textline_content.word(rng).title() for _ in range(3))
                draw.text((rng.uniform(30, 45) * DOTS, (4 + row * 7) * DOTS), words, (60, 60, 80), self._plain)
        draw.rectangle((5 * DOTS, 8 * DOTS, 27 * DOTS, (top - 3) * DOTS), fill=tuple(rng.integers(90, 190, 3).tolist()))
        left = (SIZES[layout][0] - len(lines[0]) * PITCH) / 2
        ink = tuple(rng.integers(10, 70, 3).tolist())
        for row, line in enumerate(lines):
            for column, character in enumerate(line):
                place = ((left + column * PITCH) * DOTS, (foot - (len(lines) - 1 - row) * pitch) * DOTS)
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
        return self._lens(np.where(mask[..., None] > 127, seen, background), scale * CAPITAL * DOTS)

    def _lens(self, image: np.ndarray, capital: float) -> np.ndarray:
        rng, hard = self._rng, self._hard
        height, width = image.shape[:2]
        light = 1 + np.linspace(-1, 1, width)[None, :, None] * rng.normal(0, 0.25 * hard)
        seen = image * light * rng.uniform(1 - 0.5 * hard, 1.1)
        if rng.random() < 0.2 * hard:
            y, x = np.mgrid[0:height, 0:width]
            place = rng.uniform(0, width), rng.uniform(0, height)
            seen += 200 * np.exp(-(((x - place[0]) ** 2 + (y - place[1]) ** 2) / rng.uniform(40, 120) ** 2))[..., None]
        seen = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), 0.25 + capital * rng.uniform(0, 0.12 * hard))
        seen += rng.normal(0, 1, seen.shape).astype(np.float32) * rng.uniform(0, 12 * hard)
        quality = int(rng.uniform(95 - 60 * hard, 96))
        _, data = cv2.imencode(".jpg", np.clip(seen, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        return cv2.imdecode(data, cv2.IMREAD_COLOR)


@cache
def papers() -> list[np.ndarray]:
    """Security papers of the largest document, (1056, 1500, 3) uint8 RGB."""
    tints = ((214, 226, 232), (226, 230, 214), (240, 226, 220), (236, 236, 240))
    return [Canvas(125, 88, tint, index).image for index, tint in enumerate(tints)]


def main() -> None:
    """Command line."""
    from device.evaluation.documents import CALENDAR
    from device.vision.document.reader import DocumentReader
    from device.vision.inference.manifest import load_manifest

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hard", type=float, default=0.5)
    parser.add_argument("--altered", action="store_true")
    parser.add_argument("--low", type=float, default=9.0, help="smallest height of characters, px")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    scenes = Scenes(arguments.seed, altered=arguments.altered, hard=arguments.hard, capital=(arguments.low, 28.0))
    reader = DocumentReader(load_manifest(), today=TODAY, thorough=False)
    rows, times, wrong, consistent = [], [], 0, 0
    for _ in range(arguments.count):
        scene = scenes.sample()
        reading = reader.read(scene.image)
        exact = reading.mrz is not None and reading.mrz.lines == scene.lines
        holds = reading.mrz is not None and reading.mrz.reason in CALENDAR
        rows.append((scene.capital, exact))
        times.append(reading.cpu_ms)
        consistent += holds
        if holds and not exact:
            wrong += 1
            print("wrong but consistent:", scene.lines, reading.mrz.lines)
    for low, high in pairwise(BINS):
        part = [exact for capital, exact in rows if low <= capital < high]
        if part:
            print(f"characters {low}-{high} px: {sum(part)} of {len(part)} exact ({sum(part) / len(part):.1%})")
    exact = sum(exact for _, exact in rows)
    print(f"{exact} of {len(rows)} exact, {consistent} consistent, {wrong} wrong but consistent")
    print(f"CPU {statistics.median(times):.0f} ms (median)")


if __name__ == "__main__":
    main()
