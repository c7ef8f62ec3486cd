"""A mask painted over mouth and nose, to see whether the quality gate notices.

In: an RGB image and the landmarks of a face in it. Out: the image with an even polygon from jaw to nose.
"""

from __future__ import annotations

import cv2
import numpy as np

from device.vision.camera.base import Image
from device.vision.face.landmarks import Landmarks

# fmt: off
MASK = (
    234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 330, 197,
    101,
)
# fmt: on
"""Outline of what a mask covers in the face mesh, along the jaw and over the nose."""

COLOURS = {
    "white": (235, 240, 240),
    "surgical": (150, 190, 215),
    "black": (30, 30, 30),
    "blue": (90, 110, 150),
    "red": (180, 40, 50),
}


def masked(image: Image, landmarks: Landmarks, colour: tuple[int, int, int]) -> Image:
    """H x W x 3 uint8 RGB, the mask painted over."""
    outline = landmarks.points[list(MASK), :2].astype(np.int32)
    return np.asarray(cv2.fillPoly(image.copy(), [outline], colour), dtype=np.uint8)
