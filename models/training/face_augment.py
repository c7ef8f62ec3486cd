"""What a camera, a printer and a laminate do to a face: views of an aligned crop for distillation.

In: a canvas (144, 144, 3) uint8 RGB and a numpy generator. Out: a (128, 128, 3) uint8 view. The target of a worn view
is the teacher's embedding of the clean one, so the student learns to see through the wear.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Random = np.random.Generator
SIZE = 128


def clean(canvas: Image, mirrored: bool) -> Image:
    """The teacher's crop: the middle of the canvas."""
    margin = (canvas.shape[0] - SIZE) // 2
    crop = canvas[margin : margin + SIZE, margin : margin + SIZE]
    return np.ascontiguousarray(crop[:, ::-1] if mirrored else crop)


def moved(canvas: Image, mirrored: bool, random: Random) -> Image:
    """The crop as slightly different landmarks would have cut it: moved, scaled and turned a little."""
    margin = (canvas.shape[0] - SIZE) / 2
    scale, angle = 1 + random.normal(0, 0.02), np.deg2rad(random.normal(0, 2.0))
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    middle = canvas.shape[0] / 2
    shift = random.normal(0, 1.5, 2) - margin
    matrix = np.array(
        [
            [cos, -sin, middle - cos * middle + sin * middle + shift[0]],
            [sin, cos, middle - sin * middle - cos * middle + shift[1]],
        ]
    )
    view = cv2.warpAffine(canvas, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(view[:, ::-1] if mirrored else view).astype(np.uint8)


def _light(image: Image, random: Random) -> Image:
    gamma, gain, offset = np.exp(random.normal(0, 0.3)), np.exp(random.normal(0, 0.15)), random.normal(0, 0.05)
    tint = np.exp(random.normal(0, 0.08, 3))
    values = np.linspace(0, 1, 256)[:, None] ** gamma * gain * tint + offset
    table = np.clip(values * 255, 0, 255).astype(np.uint8)
    return np.stack([table[image[..., c], c] for c in range(3)], axis=-1)


def _grey(image: Image, random: Random) -> Image:  # noqa: ARG001
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.repeat(grey[..., None], 3, axis=2)


def _low_resolution(image: Image, random: Random) -> Image:
    side = int(random.integers(36, 100))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def _jpeg(image: Image, random: Random) -> Image:
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(20, 80))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR).astype(np.uint8) if ok else image


def _blur(image: Image, random: Random) -> Image:
    return cv2.GaussianBlur(image, (0, 0), float(random.uniform(0.5, 1.8))).astype(np.uint8)


def _noise(image: Image, random: Random) -> Image:
    noise = random.normal(0, random.uniform(2, 12), image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _halftone(image: Image, random: Random) -> Image:
    """Dots of a print screen: a turned cosine lattice whose threshold the tone moves, softened as a lens would."""
    period, angle = random.uniform(2.5, 5.0), random.uniform(0, np.pi / 2)
    y, x = np.mgrid[0:SIZE, 0:SIZE] * (2 * np.pi / period)
    lattice = np.cos(x * np.cos(angle) + y * np.sin(angle)) + np.cos(y * np.cos(angle) - x * np.sin(angle))
    strength = random.uniform(10, 45)
    return np.clip(image + (lattice * strength / 2)[..., None], 0, 255).astype(np.uint8)


def _glare(image: Image, random: Random) -> Image:
    """A bright reflection of a laminate: a soft elongated spot, added."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - random.uniform(0, 1, (2, 1, 1))
    angle = random.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    spot = np.exp(-((along / random.uniform(0.1, 0.6)) ** 2) - (across / random.uniform(0.03, 0.15)) ** 2)
    return np.clip(image + (spot * random.uniform(60, 200))[..., None], 0, 255).astype(np.uint8)


def _guilloche(image: Image, random: Random) -> Image:
    """Fine security lines printed over the portrait."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    wave = np.sin((x + random.uniform(3, 9) * np.sin(y / random.uniform(6, 20))) * 2 * np.pi / random.uniform(5, 14))
    colour = random.uniform(-1, 1, 3)
    return np.clip(image + (wave > 0.7)[..., None] * colour * random.uniform(10, 50), 0, 255).astype(np.uint8)


WEAR: tuple[tuple[float, Callable[[Image, Random], Image]], ...] = (
    (0.6, _light),
    (0.25, _grey),
    (0.35, _low_resolution),
    (0.2, _blur),
    (0.15, _halftone),
    (0.1, _guilloche),
    (0.15, _glare),
    (0.3, _noise),
    (0.5, _jpeg),
)
"""Chance and kind, in the order in which they happen to a picture."""


def worn(image: Image, random: Random) -> Image:
    """A crop after a random part of `WEAR`."""
    for chance, wear in WEAR:
        if random.random() < chance:
            image = wear(image, random)
    return image
