"""Renders the crops that the text-line network learns from: 32×320 grey images with one label a column.

In: a seed, and the OCR-B fonts of Debian's `fonts-ocr-b` (or a folder with the same files).
Out: (image uint8 32×320, classes int64 80, heat float32 80, shape float32 3×80). A column is 4 px wide; its class is
the index in `ALPHABET` of the character whose middle is near, -1 where none is; its heat is 1 at a character's centre
and 0 between characters, on backgrounds, on other print and on lines that stand on their head. The shape says how the
line lies there: how far its middle is below the crop's (px / 8), ln(height of capitals / 16 px), ln(pitch / 17 px).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from device.vision.document.evidence import ALPHABET, INDEX
from device.vision.document.textline import CAPITAL, COLUMN, HEIGHT, OFFSET, PITCH, normalise
from models.training import textline_content, textline_wear

WIDTH = 320
GLYPH = 36  # px, font size of the glyph atlas: capitals are about 0.73 of it
CANVAS = (4 * GLYPH, 22 * GLYPH)  # height and width on which a line is laid out; a crop shows about 15 × GLYPH of it
PAD = GLYPH // 5
FONT_FOLDERS = (
    "/usr/share/fonts/opentype/ocr-b",
    "/usr/share/fonts/opentype/ocrb",
    "../shared/data/documents/font_ocrb",
)


@dataclass(frozen=True)
class Atlas:
    """Glyph masks, float32, ink 1, each with `PAD` around its cell; and the advance in px."""

    glyphs: dict[str, np.ndarray]
    advance: float


def find_fonts(folder: str | None = None) -> Path:
    """The folder with OCRB.otf and OCRBS.otf."""
    for candidate in [folder] if folder else FONT_FOLDERS:
        if (Path(candidate) / "OCRB.otf").exists():
            return Path(candidate)
    raise SystemExit("OCR-B not found: apt install fonts-ocr-b, or give --fonts FOLDER")


def load_atlas(path: Path, size: int = GLYPH) -> Atlas:
    """Masks of the whole alphabet in one font; narrower or wider glyphs keep their cell."""
    font = ImageFont.truetype(str(path), size)
    advance = font.getlength("0")
    glyphs = {}
    for character in ALPHABET:
        image = Image.new("L", (round(advance) + 2 * PAD, size + 2 * PAD), 0)
        place = (PAD + advance / 2, PAD + size * 0.95)
        ImageDraw.Draw(image).text(place, character, font=font, fill=255, anchor="ms")
        glyphs[character] = np.asarray(image, np.float32) / 255
    return Atlas(glyphs, advance)


class LineRenderer:
    """Draws crops; one generator an instance, so that a seed gives the same crops."""

    def __init__(self, seed: int, fonts: str | None = None) -> None:
        cv2.setNumThreads(1)
        folder = find_fonts(fonts)
        self._rng = np.random.default_rng(seed)
        self._atlases = [load_atlas(folder / "OCRB.otf"), load_atlas(folder / "OCRBS.otf")]
        self._other = _other_fonts()
        self._kin = [load_atlas(Path(path)) for path in self._other if "Mono" in path]

    def sample(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One crop with its labels (see the head of the file)."""
        rng = self._rng
        kind = rng.random()
        if kind < 0.06:
            ink, centres, text = self._other_print(), np.zeros(0), ""
        elif kind < 0.10:
            ink, centres, text = np.zeros(CANVAS, np.float32), np.zeros(0), ""
        else:
            ink, centres, text = self._lines()
        if 0.10 <= kind < 0.16:  # upside down
            ink, centres, text = np.ascontiguousarray(ink[::-1, ::-1]), np.zeros(0), ""
        grey, positions = self._capture(ink, centres)
        return normalise(grey), *_labels(positions, text)

    def _lines(self) -> tuple[np.ndarray, np.ndarray, str]:
        """Ink (H×W float32) with the line in the middle row, centre x of its characters, and its text."""
        rng = self._rng
        atlas = self._atlases[rng.choice([0, 0, 1])] if rng.random() < 0.93 or not self._kin else rng.choice(self._kin)
        digits = float(rng.choice([1.0, 1.0, 0.96, 0.92, 0.92, 0.88]))
        width = float(rng.choice([1.0, 1.0, 1.0, 0.92, 0.84, 1.08]))
        length = int(rng.choice([30, 36, 44, 18, rng.integers(8, 44)]))
        canvas = np.zeros(CANVAS, np.float32)
        step = atlas.advance * rng.uniform(0.93, 1.12)
        starts = rng.random() < 0.4  # the line's beginning is in the crop
        first = rng.uniform(2, 14) * GLYPH if starts else rng.uniform(8 * GLYPH - length * step, 4 * GLYPH)
        pitch_y = GLYPH * rng.uniform(1.05, 1.55)
        rows = [0] + [row for row in (-1, 1) if rng.random() < 0.6]
        text = ""
        for row in rows:
            words = textline_content.line(rng, length)
            text = words if row == 0 else text
            self._draw(canvas, atlas, words, first, step, 2 * GLYPH + row * pitch_y, (width, digits))
        centres = first + step * (np.arange(length) + 0.5)
        return textline_wear.weight(canvas, rng), centres, text

    def _draw(self, canvas, atlas, text, first, step, middle, form) -> None:
        width, digits = form
        for index, character in enumerate(text):
            glyph = _formed(atlas, character, width, digits if character.isdigit() else 1.0)
            left = round(first + (index + 0.5) * step - glyph.shape[1] / 2 + self._rng.normal(0, 0.006 * GLYPH))
            top = round(middle - (PAD + GLYPH * 0.95 - 0.365 * GLYPH) + self._rng.normal(0, 0.005 * GLYPH))
            if left < 0 or left + glyph.shape[1] > canvas.shape[1] or top < 0 or top + glyph.shape[0] > canvas.shape[0]:
                continue
            region = canvas[top : top + glyph.shape[0], left : left + glyph.shape[1]]
            np.maximum(region, glyph, out=region)

    def _other_print(self) -> np.ndarray:
        """Print that is no machine readable line: proportional fonts, lower case, any size."""
        rng = self._rng
        image = Image.new("L", CANVAS[::-1], 0)
        if self._other:
            font = ImageFont.truetype(str(rng.choice(self._other)), int(rng.uniform(0.4, 1.7) * GLYPH))
            for row in range(3):
                words = " ".join(textline_content.word(rng) for _ in range(12))
                words = words.lower() if rng.random() < 0.6 else words.title()
                place = (rng.uniform(-3, 2) * GLYPH, (row * 1.5 + rng.uniform(-0.5, 0.5)) * GLYPH)
                ImageDraw.Draw(image).text(place, words, 255, font)
        return np.asarray(image, np.float32) / 255

    def _capture(self, ink: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The crop as a reader cuts it out of a photograph, and (T, 3) centres x, y and heights of its characters."""
        rng = self._rng
        capital = 0.73 * GLYPH
        seen = np.exp(rng.uniform(np.log(4.8), np.log(26)))  # px, height of capitals in the photograph
        stretch = rng.uniform(0.88, 1.25)
        out = CAPITAL * np.exp(rng.uniform(-0.3, 0.3))  # px, height of capitals in the crop
        to_crop = _placement(rng, ink.shape, out / capital, stretch)
        ratio = seen / out
        size = (max(8, round(WIDTH * ratio)), max(4, round(HEIGHT * ratio)))
        shrink = np.diag([size[0] / WIDTH, size[1] / HEIGHT, 1.0])
        photo = textline_wear.photograph(ink, shrink @ to_crop, size, seen, rng)
        enlarge = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
        crop = cv2.resize(photo, (WIDTH, HEIGHT), interpolation=enlarge if ratio < 1 else cv2.INTER_AREA)
        if not len(centres):
            return crop, np.zeros((0, 3))
        middle = np.full_like(centres, ink.shape[0] / 2)
        top = cv2.perspectiveTransform(np.stack([centres, middle - capital / 2], axis=1)[None], to_crop)[0]
        bottom = cv2.perspectiveTransform(np.stack([centres, middle + capital / 2], axis=1)[None], to_crop)[0]
        return crop, np.column_stack([(top + bottom) / 2, np.linalg.norm(bottom - top, axis=1)])


def _placement(rng: np.random.Generator, shape: tuple[int, ...], scale: float, stretch: float) -> np.ndarray:
    """The 3×3 map from the canvas to the crop: scale, tilt, shear, a remnant of perspective and vertical offset."""
    tilt = np.deg2rad(np.clip(rng.normal(0, 1.3), -3.5, 3.5))
    cosine, sine = np.cos(tilt), np.sin(tilt)
    x, y = shape[1] / 2, shape[0] / 2
    centre = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1.0]])
    grow = np.diag([scale * stretch, scale, 1.0])
    shear = np.array([[1, rng.normal(0, 0.06), 0], [0, 1, 0], [0, 0, 1.0]])
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])
    bend = np.array([[1, 0, 0], [0, 1, 0], [rng.normal(0, 2e-4), rng.normal(0, 4e-4), 1.0]])
    back = np.array([[1, 0, WIDTH / 2], [0, 1, HEIGHT / 2 + np.clip(rng.normal(0, 2.2), -6, 6)], [0, 0, 1.0]])
    return back @ bend @ turn @ shear @ grow @ centre


def _labels(places: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    columns = (np.arange(WIDTH // COLUMN) + 0.5) * COLUMN
    if not text:
        empty = np.zeros((3, len(columns)), np.float32)
        return np.full(len(columns), -1, np.int64), empty[0].copy(), empty
    x, y, height = places.T
    step = np.gradient(x)
    distance = np.abs(columns[:, None] - x[None]) / step
    nearest = distance.argmin(axis=1)
    distance = distance.min(axis=1)
    heat = np.exp(-0.5 * (distance / 0.17) ** 2).astype(np.float32)
    codes = np.array([INDEX[character] for character in text])
    classes = np.where(distance < 0.36, codes[nearest], -1)
    shape = np.stack([(y - HEIGHT / 2) / OFFSET, np.log(height / CAPITAL), np.log(step / PITCH)])[:, nearest]
    return classes, heat, shape.astype(np.float32)


def _formed(atlas: Atlas, character: str, width: float, height: float) -> np.ndarray:
    """The glyph narrower or wider in its cell, and lower: many issuers print digits as high as capitals. The baseline
    stays."""
    name = character if width == height == 1.0 else f"{character}{width}/{height}"
    if name not in atlas.glyphs:
        glyph = atlas.glyphs[character]
        base, middle = PAD + GLYPH * 0.95, glyph.shape[1] / 2
        matrix = np.array([[width, 0, middle * (1 - width)], [0, height, base * (1 - height)]])
        atlas.glyphs[name] = cv2.warpAffine(glyph, matrix, glyph.shape[::-1], flags=cv2.INTER_LINEAR)
    return atlas.glyphs[name]


def _other_fonts() -> list[str]:
    """Fonts that matplotlib carries, where it is installed."""
    try:
        import matplotlib
    except ImportError:
        return []
    return sorted(str(path) for path in (Path(matplotlib.get_data_path()) / "fonts/ttf").glob("DejaVu*.ttf"))
