"""Pictures for the tests of the document reader, rendered here: pages with a zone, photographed at any angle."""

from __future__ import annotations

import numpy as np
import pytest

from device.vision.camera.base import Image
from models.training.resident_scenes import CHINESE
from models.training.textline_scenes import Scene, Scenes

needs_chinese = pytest.mark.skipif(
    not CHINESE.exists(), reason="fonts-noto-cjk is not installed: resident cards would be drawn with other words"
)


def good(count: int, seed: int = 5) -> list[Scene]:
    """Photographs that nobody should fail to read."""
    scenes = Scenes(seed, hard=0.25, capital=(12.0, 26.0))
    return [scenes.sample() for _ in range(count)]


def altered(count: int, seed: int = 6) -> list[Scene]:
    """The same, with one character changed after the check digits were computed."""
    scenes = Scenes(seed, hard=0.25, capital=(12.0, 26.0), altered=True)
    return [scenes.sample() for _ in range(count)]


def flat(value: int = 128, size: tuple[int, int] = (480, 640)) -> Image:
    """One grey."""
    return np.full((*size, 3), value, np.uint8)
