"""What happens to a printed line before a reader sees it: worn ink, security print, light, lens, sensor, JPEG.

In: ink (H×W float32, 1 where printed) and a map from it to the photograph. Out: the photograph, uint8 grey.
"""

from __future__ import annotations

import cv2
import numpy as np


def weight(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes bolder or thinner than the font's, by a threshold on the blurred mask."""
    kind = rng.random()
    if kind < 0.25:
        return ink
    sigma = rng.uniform(0.6, 1.8)
    threshold = rng.uniform(0.16, 0.55)
    blurred = cv2.GaussianBlur(ink, (0, 0), sigma)
    return np.clip((blurred - threshold) / 0.2 + 0.5, 0, 1)


def photograph(
    ink: np.ndarray, to_photo: np.ndarray, size: tuple[int, int], capital: float, rng: np.random.Generator
) -> np.ndarray:
    """The line on its paper, seen through a lens: (size[1], size[0]) uint8."""
    scale = max(1 / np.sqrt(abs(np.linalg.det(to_photo[:2, :2]))), 1.0)
    ink = _missing(ink, rng) if rng.random() < 0.3 else ink
    ink = cv2.GaussianBlur(ink, (0, 0), 0.42 * scale) if scale > 1.2 else ink
    mask = cv2.warpPerspective(ink, to_photo, size, flags=cv2.INTER_LINEAR)
    paper, black = _tones(rng)
    page = paper + _background(size, capital, rng) * (rng.random() < 0.75)
    image = page * (1 - mask) + (black + 0.3 * (page - paper)) * mask
    if rng.random() < 0.25:
        image = _overprint(image, capital, rng)
    image = _light(image, rng)
    image = _lens(image, capital, rng)
    image += rng.normal(0, 1, image.shape).astype(np.float32) * rng.choice([0.0, 1.5, 4.0, 9.0])
    if rng.random() < 0.08:  # too much light for the sensor, which thins what is printed
        image = image * rng.uniform(1.2, 1.8) + rng.uniform(0, 40)
    if rng.random() < 0.05:
        image = 255 - image
    return _compress(np.clip(image, 0, 255).astype(np.uint8), rng)


def _tones(rng: np.random.Generator) -> tuple[float, float]:
    paper = rng.uniform(90, 255)
    contrast = rng.uniform(0.25, 1.0) if rng.random() < 0.4 else rng.uniform(0.6, 1.0)
    return paper, paper * (1 - contrast)


def _noise(size: tuple[int, int], cells: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise with about unit range; `cells` is its grain in pixels."""
    width, height = size
    small = rng.normal(0, 0.5, (max(2, int(height / cells) + 2), max(2, int(width / cells) + 2))).astype(np.float32)
    return cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)


def _missing(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = (ink.shape[1], ink.shape[0])
    if rng.random() < 0.5:  # scratches and rubbed-off places
        field = _noise(size, rng.uniform(6, 34), rng)
        return ink * np.clip((field + rng.uniform(0.4, 1.2)) * 3, 0, 1)
    grain = _noise(size, rng.uniform(2, 5), rng)  # dry ink: speckle
    return ink * np.clip((grain + rng.uniform(0.3, 0.9)) * 4, 0, 1)


def _background(size: tuple[int, int], capital: float, rng: np.random.Generator) -> np.ndarray:
    """Security print: waves, line screens, texture, and edges of other things."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    total = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(0, 4)):
        period = capital * np.exp(rng.uniform(np.log(0.15), np.log(3)))
        angle = rng.uniform(0, np.pi)
        phase = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period
        phase += rng.uniform(0, 6) * np.sin((x * np.sin(angle) - y * np.cos(angle)) / (period * rng.uniform(1, 6)))
        wave = np.sin(phase)
        if rng.random() < 0.6:  # thin lines, as guilloches are
            wave = np.exp(-((wave / rng.uniform(0.15, 0.6)) ** 2))
        total -= wave * rng.uniform(3, 40)
    if rng.random() < 0.5:
        total += _noise(size, capital * rng.uniform(0.3, 6), rng) * rng.uniform(5, 35)
    if rng.random() < 0.12:  # the document's edge, a fold or a frame
        edge = x * rng.normal(0, 0.02) + y > rng.choice([0.05, 0.12, 0.88, 0.95]) * height
        if rng.random() < 0.5:
            edge = x > rng.choice([0.06, 0.94]) * width + y * rng.normal(0, 0.05)
        total += np.where(edge, rng.uniform(-120, 60), 0).astype(np.float32)
    return total


def _overprint(image: np.ndarray, capital: float, rng: np.random.Generator) -> np.ndarray:
    """Stamps, signatures, holograms and frames that somebody drew around the text."""
    height, width = image.shape
    layer = image.copy()
    for _ in range(rng.integers(1, 4)):
        ends = [(int(rng.uniform(0, width)), int(rng.uniform(-height, 2 * height))) for _ in range(2)]
        tone = float(rng.uniform(0, 230))
        thick = max(1, int(capital * rng.uniform(0.04, 0.25)))
        if rng.random() < 0.5:
            cv2.line(layer, ends[0], ends[1], tone, thick, cv2.LINE_AA)
        else:
            axes = (int(capital * rng.uniform(1, 12)), int(capital * rng.uniform(1, 6)))
            cv2.ellipse(layer, ends[0], axes, rng.uniform(0, 180), 0, 360, tone, thick, cv2.LINE_AA)
    share = rng.uniform(0.15, 0.75)
    return image * (1 - share) + layer * share


def _light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    if rng.random() < 0.5:
        image = image * (1 + x * rng.normal(0, 0.2) + y * rng.normal(0, 0.06))
    if rng.random() < 0.1:  # a shadow's edge
        edge = 0.5 + 0.5 * np.tanh((x - rng.uniform(-1, 1)) * rng.uniform(3, 30))
        image = image * (1 - edge * rng.uniform(0.2, 0.6))
    if rng.random() < 0.12:  # glare
        spot = np.exp(-(((x - rng.uniform(-1, 1)) / rng.uniform(0.05, 0.4)) ** 2) - ((y - rng.normal()) / 1.5) ** 2)
        image = image + spot * rng.uniform(40, 260)
    return image.astype(np.float32)


def _lens(image: np.ndarray, capital: float, rng: np.random.Generator) -> np.ndarray:
    kind = rng.random()
    if kind < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), max(0.2, capital * rng.uniform(0.01, 0.085)))
    elif kind < 0.62:  # motion
        length = max(2, int(capital * rng.uniform(0.1, 0.4)))
        kernel = np.zeros((2 * length + 1,) * 2, np.float32)
        angle = rng.uniform(0, np.pi)
        end = (length + round(length * np.cos(angle) / 2), length + round(length * np.sin(angle) / 2))
        start = (length - round(length * np.cos(angle) / 2), length - round(length * np.sin(angle) / 2))
        cv2.line(kernel, start, end, 1.0, 1)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if rng.random() < 0.2:  # a scanner's or phone's sharpening
        soft = cv2.GaussianBlur(image, (0, 0), max(0.5, capital * 0.06))
        image = image + (image - soft) * rng.uniform(0.5, 2.0)
    return image


def _compress(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.15:  # a copy that was enlarged before it was saved
        factor = rng.uniform(1.2, 2.5)
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.6:
        quality = int(rng.uniform(25, 96))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return image
