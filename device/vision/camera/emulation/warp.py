"""Piecewise affine warping: a textured mesh of triangles drawn into a picture, nearest triangles last.

In: a texture, where each vertex lies in it, and where it goes. Out: the picture, with an alpha channel. The mesh is
rasterised back to front into an index of triangles at half the resolution; each triangle's affine map gives the place
in the texture that every pixel shows.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Image

Floats = npt.NDArray[np.float32]

_STEP: Final = 2
"""Pixels of the picture to one cell of the triangle index."""
_SHIFT: Final = 3  # fractional bits of OpenCV's polygon corners


def warp(
    texture: npt.NDArray[np.uint8],
    corners: Floats,
    depth: Floats,
    source: Floats,
    triangles: npt.NDArray[np.int32],
    size: tuple[int, int],
    *,
    edged: bool = True,
) -> npt.NDArray[np.uint8]:
    """Draws a mesh.

    Args:
        texture: H x W x 4 uint8, colour premultiplied by alpha.
        corners: (n, 2) pixels of the result where each vertex goes.
        depth: (n,) for sorting; smaller is nearer.
        source: (n, 2) pixels of the texture where each vertex is.
        triangles: (t, 3) indices of vertices.
        size: width and height of the result.
        edged: whether the mesh ends inside the result; one that fills it has no edge to draw.

    Returns:
        height x width x 4 uint8, transparent where there is no mesh.
    """
    width, height = size
    cells = ((width + _STEP - 1) // _STEP, (height + _STEP - 1) // _STEP)
    index = _rasterise(np.asarray(corners / _STEP - 0.25, np.float32), depth, triangles, cells)
    full = (cells[0] * _STEP, cells[1] * _STEP)
    x, y = (
        cv2.resize(plane, full, interpolation=cv2.INTER_LINEAR)[:height, :width]
        for plane in _places(index, corners[triangles], source[triangles])
    )
    drawn = np.asarray(cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8)
    if edged:  # between the last cell of the mesh and the first beside it, places run through the whole texture
        covered = cv2.resize((index >= 0).astype(np.float32), full, interpolation=cv2.INTER_LINEAR)[:height, :width]
        drawn[np.asarray(covered) < 0.999] = 0
    return drawn


def compose(under: Image, over: npt.NDArray[np.uint8]) -> None:
    """Lays `over` (H x W x 4, premultiplied) on `under` (H x W x 3), which is changed in place."""
    open_ = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(over, 3)), cv2.COLOR_GRAY2RGB)
    cv2.multiply(under, open_, under, 1 / 255)
    cv2.add(under, cv2.cvtColor(over, cv2.COLOR_RGBA2RGB), under)


def _rasterise(
    corners: Floats, depth: Floats, triangles: npt.NDArray[np.int32], cells: tuple[int, int]
) -> npt.NDArray[np.int32]:
    """For each cell the number of the nearest triangle that covers it, or -1."""
    a, b, c = (corners[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    facing = np.abs(area) > 0.02
    order = np.argsort(-depth[triangles].mean(axis=1), kind="stable")
    shifted = np.round(corners * (1 << _SHIFT)).astype(np.int32)[triangles]
    index = np.full((cells[1], cells[0]), -1, np.int32)
    for number in order[facing[order]].tolist():
        cv2.fillConvexPoly(index, shifted[number], number, cv2.LINE_8, _SHIFT)
    return index


def _places(index: npt.NDArray[np.int32], corners: Floats, texture: Floats) -> Floats:
    """(2, rows, columns) float32: x and y of the texture's pixel that each cell's centre shows, -10 where none does.

    `corners` and `texture` are (t, 3, 2): each triangle in the patch and in the texture.
    """
    edge, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = edge[:, 0] * other[:, 1] - edge[:, 1] * other[:, 0]
    area = np.where(np.abs(area) < 1e-3, np.inf, area)[:, None]
    along, across = texture[:, 1] - texture[:, 0], texture[:, 2] - texture[:, 0]
    per_x = (along * other[:, 1:] - across * edge[:, 1:]) / area
    per_y = (across * edge[:, :1] - along * other[:, :1]) / area
    offset = texture[:, 0] - per_x * corners[:, 0, :1] - per_y * corners[:, 0, 1:]
    affine = np.concatenate([per_x, per_y, offset], axis=1).astype(np.float32)
    affine = np.concatenate([affine, np.array([[0, 0, 0, 0, -10, -10]], np.float32)])  # index -1: nothing there
    x = np.arange(index.shape[1], dtype=np.float32)[None, :] * _STEP + (_STEP - 1) / 2
    y = np.arange(index.shape[0], dtype=np.float32)[:, None] * _STEP + (_STEP - 1) / 2
    place = np.empty((2, *index.shape), np.float32)
    for axis in range(2):  # a coefficient at a time: numpy is slow on rows of two
        by_x, by_y, start = (np.ascontiguousarray(affine[:, column]) for column in (axis, 2 + axis, 4 + axis))
        along = by_x.take(index, mode="wrap")
        along *= x
        down = by_y.take(index, mode="wrap")
        down *= y
        along += down
        along += start.take(index, mode="wrap")
        place[axis] = along
    return place
