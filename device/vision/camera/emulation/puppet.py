"""Draws a person: the portrait warped over its head mesh, with shoulders, as a picture with an alpha channel.

In: a `Portrait`, and for each frame a `Head` and where it is in the frame. Out: the person composed over a background.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Image
from device.vision.camera.emulation.eyelids import Eyelids
from device.vision.camera.emulation.face_mesh import LIPS_INNER, HeadMesh
from device.vision.camera.emulation.person import Head
from device.vision.camera.emulation.portrait import Portrait
from device.vision.camera.emulation.warp import compose, warp

_SHIFT: Final = 3  # fractional bits of OpenCV's polygon corners


class Puppet:
    """One portrait that can be drawn.

    Args:
        portrait: whose.
    """

    def __init__(self, portrait: Portrait) -> None:
        self._mesh = HeadMesh(portrait)
        self._face_height = portrait.face_height
        alpha = portrait.alpha.astype(np.float32) / 255
        premultiplied = (portrait.image * alpha[:, :, None]).astype(np.uint8)
        self._texture = np.dstack([premultiplied, portrait.alpha])
        self._lids = Eyelids(portrait, self._texture)

    def draw(self, frame: Image, head: Head, centre: tuple[float, float], face_height: float) -> None:
        """Draws into `frame`.

        Args:
            frame: H x W x 3 uint8 RGB, changed in place.
            head: what the head does; its offsets are the caller's business.
            centre: pixels of the frame where the middle of the face is (before it turns).
            face_height: pixels from hairline to chin at `head.scale` 1.
        """
        self._lids.close(head.eyes_closed)
        scale = face_height / self._face_height * head.scale
        # The shoulders stay where they are as the face comes closer: the face's middle sinks a little less.
        origin = np.array([centre[0] - scale * self._mesh.centre[0], centre[1] - scale * self._mesh.centre[1]])
        matrix = np.array([[scale, 0, origin[0]], [0, scale, origin[1]]])
        rows, columns = frame.shape[:2]
        left, top, right, bottom = self._bounds(scale, origin, columns, rows)
        if right - left < 4 or bottom - top < 4:
            return
        person = np.empty((bottom - top, right - left, 4), np.uint8)
        origin -= (left, top)
        taken = self._draw_head(person, head, scale, origin)
        for x0, y0, x1, y1 in _around(taken, right - left, bottom - top):
            matrix[:, 2] = origin - (x0, y0)
            shoulders = cv2.warpAffine(self._texture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
            person[y0:y1, x0:x1] = shoulders
        compose(frame[top:bottom, left:right], person)

    def _bounds(
        self, scale: float, origin: npt.NDArray[np.float64], columns: int, rows: int
    ) -> tuple[int, int, int, int]:
        height, width = self._texture.shape[:2]
        left, top = max(0, int(origin[0])), max(0, int(origin[1]))
        right, bottom = min(columns, int(origin[0] + scale * width)), min(rows, int(origin[1] + scale * height))
        return left, top, max(left, right), max(top, bottom)

    def _draw_head(
        self, person: npt.NDArray[np.uint8], head: Head, scale: float, origin: npt.NDArray[np.float64]
    ) -> tuple[int, int, int, int]:
        """Returns the rectangle of `person` that has been drawn: left, top, right, bottom."""
        vertices = self._mesh.vertices(head)
        placed = np.asarray(vertices[:, :2] * scale + origin, np.float32)
        left, top = np.maximum(0, np.floor(placed.min(axis=0))).astype(int).tolist()
        right, bottom = np.ceil(placed.max(axis=0)).astype(int).tolist()
        right, bottom = min(right, person.shape[1]), min(bottom, person.shape[0])
        if right - left < 8 or bottom - top < 8:
            return 0, 0, 0, 0
        local = np.asarray(placed - (left, top), np.float32)
        mesh, size = self._mesh, (right - left, bottom - top)
        patch = warp(self._texture, local, vertices[:, 2], mesh.texture, mesh.triangles, size, edged=False)
        if head.mouth_open > 0.02:
            _darken_mouth(patch, local[list(LIPS_INNER)], head.mouth_open)
        person[top:bottom, left:right] = patch
        return left, top, right, bottom


def _around(taken: tuple[int, int, int, int], width: int, height: int) -> list[tuple[int, int, int, int]]:
    """The rest of a `width` x `height` picture around the rectangle `taken`, as rectangles that are not empty."""
    left, top, right, bottom = taken
    rest = [(0, 0, width, top), (0, bottom, width, height), (0, top, left, bottom), (right, top, width, bottom)]
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in rest if x1 > x0 and y1 > y0]


def _darken_mouth(patch: npt.NDArray[np.uint8], lips: npt.NDArray[np.float32], amount: float) -> None:
    """The inside of an open mouth: dark, with the upper teeth still in the light."""
    left, top = np.maximum(0, np.floor(lips.min(axis=0)).astype(int) - 2).tolist()
    right, bottom = (np.ceil(lips.max(axis=0)).astype(int) + 3).tolist()
    part = patch[top:bottom, left:right]
    if part.shape[0] < 3 or part.shape[1] < 3:
        return
    mask = np.zeros(part.shape[:2], np.float32)
    corners = np.round((lips - (left, top)) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1.0, cv2.LINE_AA, _SHIFT)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.8))
    down = np.linspace(0, 1, part.shape[0], dtype=np.float32)[:, None]
    shade = 1 - soft * min(1.0, amount * 1.6) * np.clip((down - 0.25) * 3.5, 0, 0.84)
    part[:, :, :3] = (part[:, :, :3] * shade[:, :, None]).astype(np.uint8)
