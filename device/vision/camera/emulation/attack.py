"""What is held before the camera instead of a face: prints, screens and paper masks (ISO/IEC 30107-3 calls them
presentation attack instruments).

In: the portrait of who is impersonated, a `Species`, and for each frame the `Head` that somebody in front of the camera
would like to show. Out: the instrument drawn into the frame. A print can only be turned as a sheet; a screen plays what
was recorded; the mask moves with the head that wears it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Image
from device.vision.camera.emulation.eyelids import Eyelids
from device.vision.camera.emulation.face_mesh import rotation
from device.vision.camera.emulation.person import Head
from device.vision.camera.emulation.portrait import FACE_OVAL, Portrait
from device.vision.camera.emulation.puppet import Puppet
from device.vision.camera.emulation.scenario import Species
from device.vision.camera.emulation.warp import Floats, compose, warp

_DISTANCE: Final = 3.4
"""From the lens, in heights of the face shown."""
_NECK: Final = (0.0, 0.38, 0.45)
"""What a mask turns about, in face heights from its middle: right, down, away. A sheet turns about its middle."""
_COLUMNS, _ROWS = 15, 7
"""Vertices of the sheet."""


@dataclass(frozen=True)
class _Kind:
    """An instrument: its size in heights of the face that it shows, the arc across it in radians, the width of a
    screen's frame (0: paper), how much of a turn is imitated by tilting it, whether eyes or a recording move."""

    width: float
    height: float
    bend: float = 0.0
    bezel: float = 0.0
    tilt: float = 0.9
    eyes: bool = False
    replay: bool = False
    mask: bool = False


KINDS: Final = {
    Species.PRINT_FLAT: _Kind(2.0, 2.4),
    Species.PRINT_BENT: _Kind(2.0, 2.4, bend=1.3),
    Species.PRINT_EYE_HOLES: _Kind(2.0, 2.4, eyes=True),
    Species.PHONE_REPLAY: _Kind(1.35, 2.35, bezel=0.07, tilt=0.0, replay=True),
    Species.TABLET_REPLAY: _Kind(2.1, 2.8, bezel=0.17, tilt=0.0, replay=True),
    Species.LAPTOP_REPLAY: _Kind(3.6, 2.3, bezel=0.10, tilt=0.0, replay=True),
    Species.PAPER_MASK: _Kind(1.1, 1.35, bend=1.7, tilt=1.0, eyes=True, mask=True),
    Species.REPLAY_WRONG_CHALLENGE: _Kind(2.1, 2.8, bezel=0.17, tilt=0.0, replay=True),
    Species.REPLAY_LATE_CHALLENGE: _Kind(2.1, 2.8, bezel=0.17, tilt=0.0, replay=True),
}


class Instrument:
    """One instrument that can be drawn.

    Args:
        portrait: the person impersonated.
        species: one of `KINDS`.
        seed: of the paper's grain and of the room in the recording.
        wearer: who is behind a mask.
    """

    def __init__(self, portrait: Portrait, species: Species, seed: int, wearer: Puppet | None = None) -> None:
        self._kind, self._portrait, self._wearer = KINDS[species], portrait, wearer
        self._unit = portrait.face_height
        self._random = np.random.default_rng([seed, 21])
        self._picture = portrait.image.copy()
        self._lids = Eyelids(portrait, self._picture) if self._kind.eyes else None
        self._puppet = Puppet(portrait) if self._kind.replay else None
        width, height = self._size = (round(self._kind.width * self._unit), round(self._kind.height * self._unit))
        self._grain = 1 + 0.035 * self._random.standard_normal((height, width, 1), np.float32)
        self._backdrop = self._recorded_room(width, height)
        self._alpha = self._outline(width, height)
        xs, ys = np.meshgrid(np.linspace(0, 1, _COLUMNS), np.linspace(0, 1, _ROWS))
        self._grid = np.column_stack([xs.ravel(), ys.ravel()]).astype(np.float32)
        self._triangles = _grid_triangles()

    def draw(self, frame: Image, head: Head, centre: tuple[float, float], face_height: float) -> None:
        """Draws into `frame`; arguments as `Puppet.draw`."""
        if self._wearer is not None:
            self._wearer.draw(frame, head, centre, face_height)
        texture = np.dstack([self._content(head), self._alpha])
        texture[:, :, :3] = cv2.multiply(texture[:, :, :3], cv2.merge([self._alpha] * 3), scale=1 / 255)
        tilt = self._kind.tilt
        held = replace(head, yaw=head.yaw * tilt, pitch=head.pitch * tilt, roll=head.roll)
        corners, depth = self._corners(held)
        scale = face_height * (1.0 if self._kind.replay else head.scale)
        placed = np.asarray(corners * scale + np.array(centre), np.float32)
        left, top = np.maximum(0, np.floor(placed.min(axis=0))).astype(int).tolist()
        right, bottom = np.ceil(placed.max(axis=0)).astype(int).tolist()
        right, bottom = min(right, frame.shape[1]), min(bottom, frame.shape[0])
        if right - left < 8 or bottom - top < 8:
            return
        source = self._grid * np.array(texture.shape[1::-1], np.float32)
        local = np.asarray(placed - (left, top), np.float32)
        size = (right - left, bottom - top)
        compose(frame[top:bottom, left:right], warp(texture, local, depth, source, self._triangles, size))

    def _corners(self, held: Head) -> tuple[Floats, Floats]:
        """(n, 2) places of the sheet's vertices in face heights around its middle, and (n,) depths."""
        across = (self._grid[:, 0] - 0.5) * self._kind.width
        down = (self._grid[:, 1] - 0.5) * self._kind.height
        away = np.zeros_like(across)
        if self._kind.bend:
            radius = self._kind.width / self._kind.bend
            across, away = radius * np.sin(across / radius), radius * (1 - np.cos(across / radius))
        pivot = np.array(_NECK if self._kind.mask else (0.0, 0.0, 0.0))
        points = (np.column_stack([across, down, away]) - pivot) @ rotation(held).T + pivot
        near = _DISTANCE / (_DISTANCE + points[:, 2])
        return np.asarray(points[:, :2] * near[:, None], np.float32), np.asarray(points[:, 2], np.float32)

    # --- what is on it ---

    def _content(self, head: Head) -> Image:
        if self._puppet is not None:
            shown = self._backdrop.copy()
            self._puppet.draw(shown, head, (shown.shape[1] / 2, shown.shape[0] / 2), self._unit)
            return self._on_screen(shown)
        if self._lids is not None:
            self._lids.close(head.eyes_closed)
        return self._on_paper(_cut(self._picture, self._portrait, self._size))

    def _on_paper(self, picture: Image) -> Image:
        """A colour laser print: fewer colours, darker darks lost, the paper's grain."""
        ink = picture.astype(np.float32)
        grey = ink.mean(axis=2, keepdims=True)
        ink = 30 + (grey + (ink - grey) * 0.8) * (205 / 255)
        paper = np.asarray(np.clip(ink * self._grain, 0, 255), np.uint8)
        if not self._kind.mask:
            margin = round(0.05 * self._unit)
            paper[:margin] = paper[-margin:] = 236
            paper[:, :margin] = paper[:, -margin:] = 236
        return paper

    def _on_screen(self, picture: Image) -> Image:
        """Light from sub-pixels behind glass: bluish white, raised blacks, a grid, a reflection, the bezel."""
        height, width = picture.shape[:2]
        light = picture.astype(np.float32) * np.array([0.96, 1.0, 1.06], np.float32) * 1.04 + 9
        for channel in range(3):
            light[:, :, channel] *= 0.88
            light[:, channel::3, channel] *= 1.34
        light[::3] *= 0.86
        x, y = np.linspace(0, 1, width, dtype=np.float32)[None, :], np.linspace(0, 1, height, dtype=np.float32)[:, None]
        light += (34 * np.exp(-(((x + 0.6 * y - 0.55) / 0.16) ** 2)))[:, :, None]
        edge = round(self._kind.bezel * self._unit)
        light[:edge] = light[-edge:] = light[:, :edge] = light[:, -edge:] = 16
        return np.asarray(np.clip(light, 0, 255), np.uint8)

    def _recorded_room(self, width: int, height: int) -> Image:
        tone = self._random.integers(120, 190, 3)
        shade = np.linspace(1.05, 0.85, width, dtype=np.float32)[None, :, None]
        return np.asarray(np.clip(np.broadcast_to(tone * shade, (height, width, 3)), 0, 255), np.uint8)

    def _outline(self, width: int, height: int) -> npt.NDArray[np.uint8]:
        alpha = np.full((height, width), 255, np.uint8)
        if self._kind.mask:
            middle = self._portrait.points[[10, 152, 234, 454], :2].mean(axis=0)
            oval = (self._portrait.points[list(FACE_OVAL), :2] - middle) * 1.06 + (width / 2, height / 2)
            alpha[:] = 0
            cv2.fillPoly(alpha, [np.round(oval).astype(np.int32)], 255, cv2.LINE_AA)
        return alpha


def _cut(picture: Image, portrait: Portrait, size: tuple[int, int]) -> Image:
    """`size` pixels of the picture around the middle of the face; its edges go on where it ends."""
    middle = portrait.points[[10, 152, 234, 454], :2].mean(axis=0)
    shift = np.array([[1, 0, size[0] / 2 - middle[0]], [0, 1, size[1] / 2 - middle[1]]], np.float64)
    return np.asarray(cv2.warpAffine(picture, shift, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _grid_triangles() -> npt.NDArray[np.int32]:
    found = []
    for row in range(_ROWS - 1):
        for column in range(_COLUMNS - 1):
            first = row * _COLUMNS + column
            below = first + _COLUMNS
            found += [(first, first + 1, below), (first + 1, below + 1, below)]
    return np.array(found, np.int32)
