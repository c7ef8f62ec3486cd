"""Closes the eyes of a portrait, in the portrait's own picture, before it is warped.

In: the portrait's texture and how far the eyes are closed. Out: the texture, changed around the eyes: the part of each
eye above the lid's edge shows skin grown in from around it (Telea's inpainting), and the edge carries the lashes.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.emulation.portrait import Portrait

# Indices in the topology of MediaPipe's face mesh, corner to corner: edge of the upper lid, of the lower lid, and the
# crease above the upper lid.
_EYES: Final = (
    (
        (33, 246, 161, 160, 159, 158, 157, 173, 133),
        (33, 7, 163, 144, 145, 153, 154, 155, 133),
        (247, 30, 29, 27, 28, 56, 190),
    ),
    (
        (263, 466, 388, 387, 386, 385, 384, 398, 362),
        (263, 249, 390, 373, 374, 380, 381, 382, 362),
        (467, 260, 259, 257, 258, 286, 414),
    ),
)
_LEVELS: Final = 16
"""A lid has so many positions between open and closed."""
_SHIFT: Final = 4


class Eyelids:
    """The lids of one texture.

    Args:
        portrait: whose landmarks.
        texture: H x W x 4 uint8 RGBA of the same size as the portrait's image; `close` changes it.
    """

    def __init__(self, portrait: Portrait, texture: npt.NDArray[np.uint8]) -> None:
        self._eyes = [_Eye(portrait, texture, *indices) for indices in _EYES]
        self._level = 0

    def close(self, amount: float) -> None:
        """0 is as in the portrait, 1 is closed."""
        level = round(min(1.0, max(0.0, amount)) * _LEVELS)
        if level != self._level:
            for eye in self._eyes:
                eye.close(level / _LEVELS)
            self._level = level


class _Eye:
    def __init__(
        self,
        portrait: Portrait,
        texture: npt.NDArray[np.uint8],
        upper: tuple[int, ...],
        lower: tuple[int, ...],
        crease: tuple[int, ...],
    ) -> None:
        points = portrait.points[:, :2]
        margin = 0.05 * portrait.face_width
        every = points[list(upper + lower + crease)]
        left, top = np.floor(every.min(axis=0) - margin).astype(int).tolist()
        right, bottom = np.ceil(every.max(axis=0) + margin).astype(int).tolist()
        self._part = texture[top:bottom, left:right, :3]  # a view: what is written there is in the texture
        self._open = self._part.copy()
        corner = np.array([left, top], np.float32)
        self._upper, self._lower, self._crease = (points[list(ids)] - corner for ids in (upper, lower, crease))
        self._unit = portrait.face_width / 225
        self._skin = self._without_eye()

    def _without_eye(self) -> npt.NDArray[np.float32]:
        eye = np.zeros(self._open.shape[:2], np.uint8)
        outline = np.concatenate([self._lower, self._crease[::-1]])
        cv2.fillPoly(eye, [np.round(outline).astype(np.int32)], 255)
        reach = max(1, round(4 * self._unit))
        eye = np.asarray(cv2.dilate(eye, np.ones((2 * reach + 1, reach + 1), np.uint8)), np.uint8)
        skin = np.asarray(cv2.inpaint(self._open, eye, 6 * self._unit, cv2.INPAINT_TELEA), np.float32)
        grain = np.random.default_rng(8).normal(0, 1.6, eye.shape).astype(np.float32)
        return skin + (grain * (eye > 0))[:, :, None]

    def close(self, amount: float) -> None:
        drop = self._lower - self._upper
        edge = self._upper + drop * amount
        edge[1:-1, 1] += 1.2 * self._unit * amount
        lid = np.zeros(self._open.shape[:2], np.float32)
        outline = np.concatenate([edge, self._crease[::-1] - (0, 2 * self._unit)]).astype(np.float32)
        cv2.fillPoly(lid, [np.round(outline * (1 << _SHIFT)).astype(np.int32)], 1.0, cv2.LINE_AA, _SHIFT)
        covered = np.asarray(cv2.GaussianBlur(lid, (0, 0), 1.1 * self._unit))[:, :, None] * min(1.0, amount * 3)
        lashes = np.zeros_like(lid)
        line = [np.round(edge * (1 << _SHIFT)).astype(np.int32)]
        cv2.polylines(lashes, line, False, 1.0, max(1, round(2.2 * self._unit)), cv2.LINE_AA, _SHIFT)
        dark = np.asarray(cv2.GaussianBlur(lashes, (0, 0), 0.7 * self._unit))[:, :, None] * min(1.0, amount * 2) * 0.75
        closed = self._open * (1 - covered) + self._skin * covered
        self._part[:] = np.clip(closed * (1 - dark), 0, 255).astype(np.uint8)
