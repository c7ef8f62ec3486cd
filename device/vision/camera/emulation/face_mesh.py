"""The shape of a head: a portrait's landmarks and what is around them as a mesh that turns and opens its mouth.

In: a `Portrait`, then a `Head`. Out: where every vertex of the mesh lies in three dimensions.
Inside the face's outline the vertices are the landmarks; around it are rings that fall back as a skull does; the
outermost vertices do not move, so that the head joins the shoulders.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.emulation.person import Head
from device.vision.camera.emulation.portrait import FACE_OVAL, Portrait

Floats = npt.NDArray[np.float32]

# Indices in the topology of MediaPipe's face mesh; left and right are the image's. Corner to corner.
LIP_UPPER: Final = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LIP_LOWER: Final = (95, 88, 178, 87, 14, 317, 402, 318, 324)
_LIP_CORNERS: Final = (78, 308)
LIPS_INNER: Final = (78, *LIP_UPPER, 308, *reversed(LIP_LOWER))
"""The inner edge of the lips in order around the mouth."""
_LOWER_LIP: Final = (
    *LIP_LOWER,
    *(96, 89, 179, 86, 15, 316, 403, 319, 325),
    *(77, 90, 180, 85, 16, 315, 404, 320, 307),
    *(146, 91, 181, 84, 17, 314, 405, 321, 375),
)
_UPPER_LIP: Final = (
    *(78, *LIP_UPPER, 308),
    *(62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292),
    *(76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306),
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
)
"""Every landmark of each lip, from its inner edge outwards; the corners of the mouth are with the upper one."""

_RINGS: Final = ((1.14, 0.11), (1.32, 0.24), (1.55, 0.34))
"""Scale of each ring of the head about the face's outline, and how much further back it lies, in face widths."""
_HEIGHT_OF_JAW_DROP: Final = 0.17
"""Face heights by which the lower lip moves when the mouth is wide open."""
_DISTANCE: Final = 3.8
"""Distance from the lens at `scale` 1, in face widths (0.14 m): arm's length."""


class HeadMesh:
    """Geometry of one portrait.

    Attributes:
        texture: (n, 2) float32: the pixel of the portrait's image that each vertex shows.
        triangles: (t, 3) int32 indices of vertices.
        box: left, top, right, bottom of the part of the image that the mesh covers, in pixels.
    """

    def __init__(self, portrait: Portrait) -> None:
        self._width, self._height = portrait.face_width, portrait.face_height
        points = portrait.points.astype(np.float32)
        self._chin, self._centre = points[152], points[[10, 152, 234, 454]].mean(axis=0)
        self._ear_depth = float(points[[234, 454], 2].mean())
        rest, still = self._with_head_around(points, portrait.image.shape)
        self._rest = rest
        self._freedom = self._free(rest, still)
        self.texture = rest[:, :2].copy()
        self.box = (*rest[:, :2].min(axis=0), *rest[:, :2].max(axis=0))
        self.triangles = _triangulate(self._with_mouth(Head(mouth_open=0.4))[:, :2])
        self._pivot = np.array([self._centre[0], self._chin[1] - 0.12 * self._height, self._ear_depth], np.float32)

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the face in pixels of the portrait's image."""
        return float(self._centre[0]), float(self._centre[1])

    def vertices(self, head: Head) -> Floats:
        """(n, 3) float32: every vertex for this head, x and y in pixels of the portrait's image after perspective (the
        frame's scale is not applied), z for sorting, smaller is nearer."""
        points = self._with_mouth(head)
        turned = (points - self._pivot) @ rotation(head).T + self._pivot
        points += self._freedom[:, None] * (turned - points)
        moves = self._freedom > 0
        depth = _DISTANCE * self._width / max(0.2, head.scale)
        nearness = depth / (depth + (points[:, 2] - self._ear_depth) * moves)
        # The portrait was already seen in perspective: only what changed against it counts.
        at_rest = _DISTANCE * self._width
        known = at_rest / (at_rest + (self._rest[:, 2] - self._ear_depth) * moves)
        points[:, :2] = self._centre[:2] + (points[:, :2] - self._centre[:2]) * (nearness / known)[:, None]
        return points

    def _with_head_around(self, points: Floats, shape: tuple[int, ...]) -> tuple[Floats, int]:
        """The landmarks, the rings around them, and a frame of still points; and how many of the last there are."""
        outline = points[list(FACE_OVAL)]
        rings = []
        for scale, back in _RINGS:
            ring = outline.copy()
            ring[:, :2] = self._centre[:2] + (outline[:, :2] - self._centre[:2]) * scale
            ring[:, 2] = np.minimum(outline[:, 2] + back * self._width, self._ear_depth + 0.25 * self._width)
            above = np.clip((self._centre[1] - ring[:, 1]) / self._height, 0, 1)
            ring[:, 1] -= above * (scale - 1) * 0.55 * self._height  # hair stands higher than it is wide
            rings.append(ring)
        x0, x1 = self._centre[0] - 1.15 * self._width, self._centre[0] + 1.15 * self._width
        y0, y1 = self._centre[1] - 1.40 * self._height, self._chin[1] + 0.60 * self._height
        xs, ys = np.linspace(x0, x1, 9), np.linspace(y0, y1, 10)
        frame = [(x, y) for x in xs for y in (y0, y1)] + [(x, y) for y in ys[1:-1] for x in (x0, x1)]
        still = np.array([(x, y, self._ear_depth) for x, y in frame], np.float32)
        every = np.concatenate([points, *rings, still])
        every[:, 0] = np.clip(every[:, 0], x0, x1)
        every[:, 1] = np.clip(every[:, 1], y0, y1)
        del shape
        return every, len(still)

    def _free(self, rest: Floats, still: int) -> Floats:
        """1 where a vertex follows the head, falling to 0 down the neck and at the frame of the mesh."""
        below = (rest[:, 1] - self._chin[1] - 0.02 * self._height) / (0.42 * self._height)
        sideways = np.abs(rest[:, 0] - self._centre[0]) / self._width
        freedom = 1 - _smooth(np.clip(below, 0, 1))
        freedom[-still:] = 0
        freedom *= 1 - _smooth(np.clip((sideways - 0.95) / 0.2, 0, 1))
        return freedom.astype(np.float32)

    def _with_mouth(self, head: Head) -> Floats:
        points = self._rest.copy()
        if head.mouth_open > 0:
            self._open_mouth(points, head.mouth_open)
        return points

    def _open_mouth(self, points: Floats, amount: float) -> None:
        """The jaw drops and swings back a little. The lower lip follows as a whole, the corners less far and inwards,
        the upper lip stays, and what is around follows less towards the ears and not above the mouth."""
        faces = points[:468]
        corners = self._rest[list(_LIP_CORNERS), :2]
        middle, half = corners.mean(axis=0), float(np.ptp(corners[:, 0])) / 2
        beside = np.clip((faces[:, 0] - middle[0]) / half, -1, 1)
        sideways = np.clip(np.abs(faces[:, 0] - self._centre[0]) / (0.52 * self._width), 0, 1)
        follows = _smooth(np.clip(0.5 + (faces[:, 1] - middle[1]) / (0.2 * self._height), 0, 1)) * (1 - sideways**2)
        lower, upper = list(_LOWER_LIP), list(_UPPER_LIP)
        follows[lower] = 0.75 + 0.25 * (1 - beside[lower] ** 2)
        follows[upper] = 0.75 * beside[upper] ** 4
        drop = amount * _HEIGHT_OF_JAW_DROP * self._height
        faces[:, 1] += follows * drop
        faces[:, 2] += follows * drop * 0.25
        lips = lower + upper
        faces[lips, 0] -= (faces[lips, 0] - middle[0]) * 0.1 * amount
        # The neck under the chin is pushed together, so that no edge opens between them.
        for number, share in enumerate((0.92, 0.62, 0.3)):
            ring = points[468 + number * len(FACE_OVAL) : 468 + (number + 1) * len(FACE_OVAL)]
            aside = np.clip(np.abs(ring[:, 0] - self._centre[0]) / (0.52 * self._width), 0, 1)
            below = _smooth(np.clip(0.5 + (ring[:, 1] - middle[1]) / (0.2 * self._height), 0, 1))
            ring[:, 1] += below * (1 - aside**2) * share * drop


def _smooth(value: npt.NDArray[np.floating]) -> Floats:
    return np.asarray(value * value * (3 - 2 * value), np.float32)


def rotation(head: Head) -> Floats:
    """Signs as `HeadPose`: yaw turns the nose to the image's right, pitch lifts it, roll leans to the image's right."""
    yaw, pitch, roll = (math.radians(angle) for angle in (head.yaw, head.pitch, head.roll))
    about_y = [[math.cos(yaw), 0, -math.sin(yaw)], [0, 1, 0], [math.sin(yaw), 0, math.cos(yaw)]]
    about_x = [[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]]
    about_z = [[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]]
    return np.asarray(np.array(about_z) @ np.array(about_y) @ np.array(about_x), np.float32)


def _triangulate(points: Floats) -> npt.NDArray[np.int32]:
    """Delaunay's triangles of (n, 2) points, as indices."""
    low, high = points.min(axis=0) - 8, points.max(axis=0) + 8
    division = cv2.Subdiv2D((int(low[0]), int(low[1]), int(high[0] - low[0] + 8), int(high[1] - low[1] + 8)))
    index: dict[tuple[float, float], int] = {}
    for number, (x, y) in enumerate(points.tolist()):
        if (x, y) not in index:
            index[x, y] = number
            division.insert((x, y))
    corners = np.asarray(division.getTriangleList(), np.float32).reshape(-1, 3, 2).tolist()
    found = [[index.get((x, y), -1) for x, y in triangle] for triangle in corners]
    return np.array([triangle for triangle in found if min(triangle) >= 0], np.int32)
