"""What lies around a face that was cut out tightly: hair, brow and background, where a canvas has none of its own.

In: a canvas (144, 144, 3) uint8 RGB, which of its pixels the photograph covered, another canvas, a numpy generator.
Out: a canvas that is filled all over. UTKFace's pictures end at the brow; a box and a passport show hair there. A
student that has never seen any follows its teacher less well on whole heads (docs/decisions/0093). What is drawn is no
portrait of anybody's hair: the answer is to be learned for many surroundings, and the teacher labels each.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.float32]
Random = np.random.Generator

HAIR = np.array(
    [(20, 16, 14), (58, 40, 28), (110, 78, 50), (190, 160, 110), (150, 145, 140), (120, 60, 30)], np.float32
)
"""Black, brown, light brown, fair, grey and red, RGB."""


def surrounded(canvas: Image, inside: Mask, other: Image, random: Random) -> Image:
    """`canvas` where `inside`, and one of several fillings beyond, with a soft seam."""
    filling = random.choice([_head, _head, _patch, _plain])(canvas, inside, other, random)
    seam = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8))
    share = cv2.GaussianBlur(seam.astype(np.float32), (0, 0), float(random.uniform(0.6, 2.5)))[..., None]
    return np.clip(canvas * share + filling * (1 - share), 0, 255).astype(np.uint8)


def _plain(canvas: Image, inside: Mask, other: Image, random: Random) -> Picture:  # noqa: ARG001
    """One colour, lighter towards a side."""
    y, x = np.mgrid[-1 : 1 : canvas.shape[0] * 1j, -1 : 1 : canvas.shape[1] * 1j]
    slope = random.normal(0, 25, 2)
    tone = random.uniform(0, 255, 3) if random.random() < 0.7 else np.full(3, random.uniform(0, 255))
    return np.asarray(tone + (y * slope[0] + x * slope[1])[..., None], np.float32)


def _patch(canvas: Image, inside: Mask, other: Image, random: Random) -> Picture:  # noqa: ARG001
    """A part of another picture, enlarged, turned about and out of focus or not."""
    size = canvas.shape[0]
    side = int(random.integers(30, size))
    top, left = random.integers(0, size - side + 1, 2)
    part = other[top : top + side, left : left + side]
    part = np.rot90(part, int(random.integers(4)))
    large = cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=cv2.INTER_LINEAR)
    if random.random() < 0.6:
        large = cv2.GaussianBlur(large, (0, 0), float(random.uniform(1, 8)))
    return np.asarray(large, np.float32)


def _head(canvas: Image, inside: Mask, other: Image, random: Random) -> Picture:
    """A brow of the face's own skin, hair above it, and something behind."""
    size = canvas.shape[0]
    behind = (_patch if random.random() < 0.5 else _plain)(canvas, inside, other, random)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    across = (x - size / 2 + random.normal(0, 3)) / random.uniform(44, 66)  # 1 at the side of the head
    crown = random.uniform(-25, 8) + 70 * (1 - np.sqrt(np.clip(1 - across**2, 0, 1)))
    hairline = random.uniform(2, 40) + random.uniform(15, 60) * across**2 + random.normal(0, 4) * across
    hairline = hairline + cv2.GaussianBlur(random.normal(0, 20, (1, size)).astype(np.float32), (0, 0), 4)
    on_head = (np.abs(across) < 1) & (y > crown)
    hair = on_head & (y < hairline)
    filled = behind
    for part, picture in ((on_head & (y < size * 0.75), _skin(canvas, inside, random)), (hair, _hair(size, random))):
        share = cv2.GaussianBlur(part.astype(np.float32), (0, 0), float(random.uniform(0.7, 2.5)))[..., None]
        filled = picture * share + filled * (1 - share)
    return np.asarray(filled, np.float32)


def _skin(canvas: Image, inside: Mask, random: Random) -> Picture:
    """The colour of the middle of the face, with a little shade."""
    size = canvas.shape[0]
    middle = canvas[size // 3 : size // 2 + 8, size // 2 - 20 : size // 2 + 20].reshape(-1, 3)
    tone = np.median(middle[inside[size // 3 : size // 2 + 8, size // 2 - 20 : size // 2 + 20].ravel()], axis=0)
    shade = cv2.GaussianBlur(random.normal(0, 60, (size, size)).astype(np.float32), (0, 0), 8)
    return np.asarray(np.nan_to_num(tone) + shade[..., None], np.float32)


def _hair(size: int, random: Random) -> Picture:
    """Strands: noise drawn out along one direction, over one of the colours of hair."""
    colour = HAIR[random.integers(len(HAIR))] * np.exp(random.normal(0, 0.2))
    angle, length = random.uniform(0, 180), int(random.integers(7, 25))
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1.0 / length
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), float(angle), 1.0)
    noise = random.normal(0, 1, (size, size)).astype(np.float32)
    strands: Any = cv2.filter2D(noise, -1, cv2.warpAffine(line, turn, line.shape))
    strands = strands / max(float(strands.std()), 1e-6)
    return np.asarray(colour * (1 + random.uniform(0.1, 0.4) * strands[..., None]), np.float32)
