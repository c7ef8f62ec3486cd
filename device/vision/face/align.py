"""A face turned, scaled and moved to where an embedder expects it.

In: an RGB image, five points in it and a template. Out: a square RGB crop. The map is the similarity that fits the
points best in the least-squares sense (Umeyama, IEEE PAMI 13(4), 1991, without reflection).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.errors import ConfigurationError
from device.vision.camera.base import Image

Points = npt.NDArray[np.float32]
Affine = npt.NDArray[np.float64]

RETAIL_0095_TEMPLATE: Final[Points] = np.array(
    [
        (0.31556875, 0.46157411),
        (0.68262292, 0.46157411),
        (0.50026250, 0.64050536),
        (0.34947188, 0.82469196),
        (0.65343646, 0.82469196),
    ],
    dtype=np.float32,
)
"""Where Open Model Zoo's face-reidentification-retail-0095 (its README) wants eye, eye, nose tip, mouth corner, mouth
corner, from image left to right, as fractions of the crop's side."""

TEMPLATES: Final[dict[str, Points]] = {"retail-0095": RETAIL_0095_TEMPLATE}
"""Templates by the name that a manifest's `parameters.template` may use instead of ten numbers."""


def aligned_crop(image: Image, five_points: Points, template: Points, size: int) -> Image:
    """The face of `five_points` brought to `template`.

    Args:
        image: H x W x 3 uint8 RGB.
        five_points: (5, 2) pixels in `image`, as `Landmarks.five`.
        template: (5, 2) where they shall come to lie, as fractions of the side.
        size: side of the crop in pixels.

    Returns:
        size x size x 3 uint8 RGB. What lies outside the image is its mirror image: streaks of a repeated
        border would be something that two faces have in common (docs/decisions/0093).
    """
    target = np.asarray(template, dtype=np.float64) * size
    matrix = similarity(np.asarray(five_points, dtype=np.float64), target)
    return warp(image, matrix, size)


def warp(image: Image, matrix: Affine, size: int) -> Image:
    """Applies a 2 x 3 image-to-crop map; where that shrinks, averages first, so that no fine texture is aliased in."""
    shrink = 1.0 / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6)
    if shrink > 2.0:
        factor = 1.0 / int(shrink)
        corners = np.array([[0, 0, 1], [size, 0, 1], [size, size, 1], [0, size, 1]], dtype=np.float64)
        around = corners @ cv2.invertAffineTransform(matrix).T
        left, top = np.maximum(np.floor(around.min(axis=0)).astype(int) - 2, 0)
        right, bottom = np.ceil(around.max(axis=0)).astype(int) + 2
        part = image[top:bottom, left:right]
        if part.size:
            small = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            # Pixel centres: (x + 0.5) of the part is (x + 0.5) * ratio of the small image.
            ratio = np.array([small.shape[1] / part.shape[1], small.shape[0] / part.shape[0]])
            shift = np.array([left, top]) + 0.5 / ratio - 0.5
            matrix = np.column_stack([matrix[:, :2] / ratio, matrix[:, 2] + matrix[:, :2] @ shift])
            image = np.asarray(small, dtype=np.uint8)
    crop = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(crop, dtype=np.uint8)


def similarity(source: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> Affine:
    """The 2 x 3 map (rotation, one scale, translation; no reflection) that brings (N, 2) `source` nearest to `target`.

    Points that all coincide have no scale: they give the map with scale 1.
    """
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    centred, wanted = source - from_mean, target - to_mean
    # In the plane the optimum has a closed form: the complex number a with wanted = a * centred in least squares.
    power = float((centred**2).sum())
    if power < 1e-12:
        turn = np.eye(2)
    else:
        cos = float((centred * wanted).sum()) / power
        sin = float((centred[:, 0] * wanted[:, 1] - centred[:, 1] * wanted[:, 0]).sum()) / power
        turn = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn, to_mean - turn @ from_mean])


def template_of(value: object) -> Points:
    """A manifest's `parameters.template`: a name in `TEMPLATES`, or five [x, y] pairs. Raises `ConfigurationError`."""
    if isinstance(value, str) and value in TEMPLATES:
        return TEMPLATES[value]
    try:
        points = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        points = np.empty(0, dtype=np.float32)
    if points.shape != (5, 2):
        raise ConfigurationError(
            f"parameters.template is {value!r}: give five [x, y] pairs or one of {list(TEMPLATES)}"
        )
    return points
