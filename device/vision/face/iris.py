"""How far the eyes are open, looked at one by one. The face landmark model hardly notices a closing lid (its lid points
follow the face around them: closed eyes measure about two thirds of open ones); the eye model does.

In: an RGB image and the landmarks in it. Out: lid distance over eye width, the mean of both eyes. The crops and the
order of the contour follow MediaPipe's iris landmark graph (Ablavatski et al., arXiv:2006.11341).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from device.vision.camera.base import Image
from device.vision.face.landmarks import EYE_LEFT_CORNERS, EYE_RIGHT_CORNERS, Landmarks, Points
from device.vision.inference.manifest import Manifest, Task
from device.vision.inference.model import Model, load_model, prepare

_CROP: Final = 2.3
"""Side of the crop in eye widths."""
_CORNERS: Final = (0, 8)
_LOWER, _UPPER = (3, 4, 5), (11, 12, 13)
"""Of the contour's first 16 points: 0 to 8 run along the lower lid, 9 to 15 along the upper one."""


class EyeReader:
    """Reads both eyes of a face. Raises `ModelError` as `Model` does."""

    def __init__(self, manifest: Manifest, threads: int = 1):
        self._entry = manifest.default(Task.IRIS)
        self._model: Model = load_model(manifest, self._entry, threads)

    @property
    def measurements(self) -> dict[str, bytes]:
        return {self._entry.name: self._model.measurement}

    def openness(self, image: Image, landmarks: Landmarks) -> float:
        """Lid distance over eye width, mean of both eyes: about 0.3 when open, below 0.1 when closed.

        Args:
            image: H x W x 3 uint8 RGB.
            landmarks: of the face in it.
        """
        eyes = ((EYE_LEFT_CORNERS, False), (EYE_RIGHT_CORNERS, True))
        return sum(self._openness(image, landmarks.points[list(corners), :2], flip) for corners, flip in eyes) / 2

    def _openness(self, image: Image, corners: Points, flip: bool) -> float:
        """The model knows left eyes (in the image) only: the other one is shown to it mirrored."""
        size = self._entry.input.width
        first, second = corners.astype(np.float64)
        along = second - first
        width = float(np.hypot(*along))
        if width < 2:
            return 0.0
        scale = size / (_CROP * width)
        cos, sin = along / width * scale
        middle = (first + second) / 2
        to_crop = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])
        to_crop[:, 2] = size / 2 - to_crop[:, :2] @ middle
        crop = cv2.warpAffine(image, to_crop, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        shown = np.ascontiguousarray(crop[:, ::-1]) if flip else crop
        contour = self._model.run(prepare(self._entry, np.asarray(shown, np.uint8)))[0].reshape(-1, 3)[:16, :2]
        opening = float(contour[list(_LOWER), 1].mean() - contour[list(_UPPER), 1].mean())
        across = float(np.linalg.norm(contour[_CORNERS[1]] - contour[_CORNERS[0]]))
        return max(0.0, opening) / max(across, 1e-6)
