"""One look at the faces of an image: detect, place landmarks, measure pose, expression and quality.

In: an image (H x W x 3 uint8 RGB). Out: a `FaceScene`; the main face is the largest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from device.protocol import FaceBox, HeadPose
from device.vision.camera.base import Image
from device.vision.face.detector import Detection, FaceDetector
from device.vision.face.landmarks import Expression, FaceLandmarker, Landmarks, Pose, expression, head_pose
from device.vision.face.quality import FaceQuality, assess


@dataclass(frozen=True, eq=False)
class FaceView:
    """A face with everything measured on it. `shape` is the image's (height, width)."""

    detection: Detection
    landmarks: Landmarks
    pose: Pose
    expression: Expression
    quality: FaceQuality
    shape: tuple[int, int]

    @property
    def size(self) -> float:
        """Inter-eye distance as a fraction of the image's width."""
        return self.landmarks.inter_eye / self.shape[1]

    def box(self) -> FaceBox:
        """The face's box rounded to sixteenths of the frame: as much as the kiosk page may know."""
        left, top, right, bottom = self.detection.box
        height, width = self.shape
        return FaceBox(
            _round(left / width, 16), _round(top / height, 16), _round(right / width, 16), _round(bottom / height, 16)
        )

    def head_pose(self) -> HeadPose:
        """The pose rounded to five degrees."""
        return HeadPose(
            *(max(-18, min(18, round(angle / 5))) for angle in (self.pose.yaw, self.pose.pitch, self.pose.roll))
        )


@dataclass(frozen=True)
class FaceScene:
    """All faces found, largest first, and the view of the largest (None without a face, or if no landmarks fit it)."""

    detections: tuple[Detection, ...]
    main: FaceView | None


class FaceFinder:
    """Detector and landmarker in one. Thread-compatible."""

    def __init__(self, detector: FaceDetector, landmarker: FaceLandmarker) -> None:
        self._detector = detector
        self._landmarker = landmarker

    def look(self, image: Image) -> FaceScene:
        """Every face, with the largest one measured."""
        detections = tuple(self._detector.detect(image))
        for number, detection in enumerate(detections):
            view = self.view(image, detection)
            if view is not None:  # larger ones without landmarks were patterns
                return FaceScene(detections[number:], view)
        return FaceScene(detections, None)

    def search(self, image: Image) -> list[FaceView]:
        """Every face that its landmarks confirm, small ones such as a document's portrait too, largest first.

        Some twenty times the work of `look`.
        """
        views = (self.view(image, detection) for detection in self._detector.search(image))
        return [view for view in views if view is not None]

    def near(self, image: Image, view: FaceView) -> FaceView | None:
        """The face that was at `view` a frame ago, looked for in the square three times its size around it."""
        left, top, right, bottom = view.landmarks.box
        side = 3 * max(right - left, bottom - top)
        x, y = max(0, round((left + right - side) / 2)), max(0, round((top + bottom - side) / 2))
        part = np.ascontiguousarray(image[y : y + round(side), x : x + round(side)])
        found = self._detector.detect(part) if min(part.shape[:2]) > 0 else []
        return self.view(image, found[0].moved(x, y)) if found else None

    def view(self, image: Image, detection: Detection) -> FaceView | None:
        """Measures one detected face; None if the landmark model sees no face there."""
        landmarks = self._landmarker.find(image, detection)
        if landmarks is None:
            return None
        pose = head_pose(landmarks)
        shape = (int(image.shape[0]), int(image.shape[1]))
        return FaceView(detection, landmarks, pose, expression(landmarks), assess(image, landmarks, pose), shape)


def _round(fraction: float, steps: int) -> int:
    return max(0, min(steps, round(fraction * steps)))
