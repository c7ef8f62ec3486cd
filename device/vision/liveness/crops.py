"""What the passive detector looks at: the face alone, and the face with its surroundings.

In: an image (H x W x 3 uint8 RGB) and the landmarks of the face. Out: one stacked image (2 size x size x 3 uint8 RGB),
the tight crop above the wide one. Training cuts its crops with this same code.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from device.vision.camera.base import Image
from device.vision.face.landmarks import Landmarks


@dataclass(frozen=True)
class Square:
    """A square in image pixels: its centre and side."""

    x: float
    y: float
    side: float

    def scaled(self, factor: float) -> Square:
        """The same centre, `factor` times the side."""
        return Square(self.x, self.y, self.side * factor)

    def inside(self, height: int, width: int) -> Square:
        """Shrunk and shifted until it lies in the image, so that no crop ever shows an invented border."""
        side = min(self.side, float(height), float(width))
        half = side / 2
        return Square(
            min(max(self.x, half), width - half),
            min(max(self.y, half), height - half),
            side,
        )


def face_square(landmarks: Landmarks) -> Square:
    """The square around all 468 points: forehead to chin."""
    left, top, right, bottom = landmarks.box
    return Square((left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top, 1.0))


def crop(image: Image, square: Square, size: int) -> Image:
    """`square`, shifted into the image, as size x size pixels. Area-averaged where it shrinks: no moire of our own."""
    height, width = image.shape[:2]
    inner = square.inside(height, width)
    left, top = round(inner.x - inner.side / 2), round(inner.y - inner.side / 2)
    side = max(1, min(round(inner.side), height - top, width - left))
    cut = image[top : top + side, left : left + side]
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cut, (size, size), interpolation=interpolation), dtype=np.uint8)


def stacked_crops(image: Image, square: Square, size: int, tight: float, wide: float) -> Image:
    """(2 size) x size x 3: `square` scaled by `tight` above `square` scaled by `wide`."""
    return np.concatenate([crop(image, square.scaled(factor), size) for factor in (tight, wide)])
