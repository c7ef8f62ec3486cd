"""Where the parts of a face are: 468 points in three dimensions, and what follows from them at once.

In: an RGB image and a detection, or the landmarks of the frame before. Out: `Landmarks`, head pose, eye and mouth
opening. The crop and its rotation follow MediaPipe's face landmark graph (Kartynnik et al., arXiv:1907.06724).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Image
from device.vision.face.canonical import CANONICAL
from device.vision.face.detector import Detection
from device.vision.inference.manifest import Manifest
from device.vision.inference.model import Model, load_model, prepare

Points = npt.NDArray[np.float32]

# Indices in the topology of MediaPipe's face mesh. Left and right are the image's.
EYE_LEFT_CORNERS: Final = (33, 133)
EYE_RIGHT_CORNERS: Final = (362, 263)
EYE_LEFT_LIDS: Final = ((160, 144), (159, 145), (158, 153))
EYE_RIGHT_LIDS: Final = ((385, 380), (386, 374), (387, 373))
NOSE_TIP: Final = 1
MOUTH_CORNERS: Final = (61, 291)
LIPS_INNER: Final = ((82, 87), (13, 14), (312, 317))
OUTER_EYE_CORNERS: Final = (33, 263)

_RIGID: Final = [row[0] for row in CANONICAL]
_MEAN: Final = np.array([row[1:4] for row in CANONICAL], dtype=np.float64)
_WEIGHTS: Final = np.array([row[4] for row in CANONICAL], dtype=np.float64)


@dataclass(frozen=True)
class Landmarks:
    """468 points of one face.

    Attributes:
        points: (468, 3) float32; x and y in pixels of the whole image, z in the same scale, smaller is nearer.
        presence: 0..1, how sure the model is that this is a face.
    """

    points: Points
    presence: float

    @property
    def five(self) -> Points:
        """(5, 2) float32 pixels: eye centre at image left, at image right, nose tip, mouth corner left, right."""
        xy = self.points[:, :2]
        eyes = [xy[list(corners)].mean(axis=0) for corners in (EYE_LEFT_CORNERS, EYE_RIGHT_CORNERS)]
        return np.stack([*eyes, xy[NOSE_TIP], *xy[list(MOUTH_CORNERS)]]).astype(np.float32)

    @property
    def inter_eye(self) -> float:
        """Distance between the eye centres in pixels."""
        left, right = self.five[:2]
        return float(np.linalg.norm(right - left))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of all points in pixels."""
        (left, top), (right, bottom) = self.points[:, :2].min(axis=0).tolist(), self.points[:, :2].max(axis=0).tolist()
        return left, top, right, bottom


@dataclass(frozen=True)
class Pose:
    """Head pose in degrees, signs as `device.protocol.HeadPose`: yaw positive to the person's left (image right in an
    image that is not mirrored), pitch positive upwards, roll positive towards the person's left shoulder."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class Expression:
    """Scale-free ratios: lid distance over eye width (mean of both eyes), inner lip distance over mouth width."""

    eye_openness: float
    mouth_openness: float


class FaceLandmarker:
    """Finds the landmarks of one face. Raises `ModelError` as `Model` does."""

    def __init__(self, manifest: Manifest, threads: int = 1):
        self._entry = manifest.default("face_landmarks")
        self._model: Model = load_model(manifest, self._entry, threads)
        self._crop_scale = self._entry.number("crop_scale")
        self._presence = self._entry.threshold("presence")

    @property
    def measurements(self) -> dict[str, bytes]:
        return {self._entry.name: self._model.measurement}

    def find(self, image: Image, detection: Detection) -> Landmarks | None:
        """Landmarks of a detected face in an H x W x 3 uint8 RGB image; None if the model sees no face there."""
        return self._look(image, detection.box, detection.keypoints[0], detection.keypoints[1])

    def track(self, image: Image, previous: Landmarks) -> Landmarks | None:
        """Landmarks of the face that was at `previous` one frame ago; None if it is no longer there."""
        eyes = previous.points[list(OUTER_EYE_CORNERS), :2]
        return self._look(image, previous.box, eyes[0], eyes[1])

    def _look(
        self, image: Image, box: tuple[float, float, float, float], eye_left: Points, eye_right: Points
    ) -> Landmarks | None:
        left, top, right, bottom = box
        side = max(right - left, bottom - top) * self._crop_scale
        if not math.isfinite(side) or side < 2:
            return None
        angle = math.atan2(float(eye_right[1] - eye_left[1]), float(eye_right[0] - eye_left[0]))
        size = self._entry.input.width
        to_image = _crop_to_image(((left + right) / 2, (top + bottom) / 2), side, angle, size)
        crop = cv2.warpAffine(
            image,
            to_image,
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        raw, logit = self._model.run(prepare(self._entry, np.asarray(crop, dtype=np.uint8)))
        presence = 1.0 / (1.0 + math.exp(-float(np.clip(logit.ravel()[0], -80, 80))))
        if presence < self._presence:
            return None
        points = raw.reshape(-1, 3)
        xy = points[:, :2] @ to_image[:, :2].T + to_image[:, 2]
        z = points[:, 2:] * (side / size)
        return Landmarks(np.concatenate([xy, z], axis=1).astype(np.float32), presence)


def head_pose(landmarks: Landmarks) -> Pose:
    """Head pose from the rotation that brings the mean rigid face nearest to the landmarks (Kabsch, weighted).

    Yaw and pitch tell where the face points, as seen from the camera: somebody at the edge of the picture who looks
    into the lens has neither. No focal length is needed.
    """
    turn = fit_rotation(landmarks.points[_RIGID].astype(np.float64))
    return Pose(
        yaw=math.degrees(math.atan2(-turn[0, 2], turn[2, 2])),
        pitch=math.degrees(math.asin(float(np.clip(turn[1, 2], -1, 1)))),
        roll=math.degrees(math.atan2(turn[1, 0], turn[1, 1])),
    )


def fit_rotation(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The 3 x 3 rotation from the mean face (x to image right, y down, z away) to (K, 3) observed rigid points."""
    centred = points - np.average(points, axis=0, weights=_WEIGHTS)
    u, _, vt = np.linalg.svd((_MEAN * _WEIGHTS[:, None]).T @ centred)
    sign = 1.0 if np.linalg.det(u @ vt) >= 0 else -1.0
    rotation: npt.NDArray[np.float64] = vt.T @ np.diag([1.0, 1.0, sign]) @ u.T
    return rotation


def expression(landmarks: Landmarks) -> Expression:
    """How far the eyes and the mouth are open, as ratios that do not depend on the size of the face."""
    points = landmarks.points
    eyes = [
        _openness(points, EYE_LEFT_LIDS, EYE_LEFT_CORNERS),
        _openness(points, EYE_RIGHT_LIDS, EYE_RIGHT_CORNERS),
    ]
    return Expression(sum(eyes) / 2, _openness(points, LIPS_INNER, MOUTH_CORNERS))


def _openness(points: Points, lids: tuple[tuple[int, int], ...], corners: tuple[int, int]) -> float:
    gaps = [float(np.linalg.norm(points[upper] - points[lower])) for upper, lower in lids]
    width = float(np.linalg.norm(points[corners[0]] - points[corners[1]]))
    return sum(gaps) / len(gaps) / max(width, 1e-6)


def _crop_to_image(centre: tuple[float, float], side: float, angle: float, size: int) -> npt.NDArray[np.float64]:
    """2 x 3 affine map from crop to image pixels of a square of `side`, turned by `angle` (radians, clockwise)."""
    scale = side / size
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    half = size / 2
    return np.array(
        [
            [cos, -sin, centre[0] - cos * half + sin * half],
            [sin, cos, centre[1] - sin * half - cos * half],
        ]
    )
