"""The eyes' reader on a portrait whose lids are closed by the emulator."""

import numpy as np
import pytest

from device.vision.camera.base import Image
from device.vision.camera.emulation.person import Head
from device.vision.camera.emulation.portrait import load_portrait
from device.vision.camera.emulation.puppet import Puppet
from device.vision.face.detector import FaceDetector
from device.vision.face.iris import EyeReader
from device.vision.face.landmarks import FaceLandmarker, Landmarks
from device.vision.inference.manifest import Task, load_manifest

MANIFEST = load_manifest()
pytestmark = pytest.mark.skipif(
    any(
        MANIFEST.find(MANIFEST.default(task)) is None for task in (Task.IRIS, Task.FACE_LANDMARKS, Task.FACE_DETECTION)
    ),
    reason="MediaPipe's models are not installed: vouchbox models install",
)


def look(head: Head) -> tuple[Image, Landmarks]:
    frame = np.full((720, 1280, 3), (150, 160, 170), np.uint8)
    Puppet(load_portrait("astronaut")).draw(frame, head, (640, 370), 288)
    landmarks = FaceLandmarker(MANIFEST).find(frame, FaceDetector(MANIFEST).detect(frame)[0])
    assert landmarks is not None
    return frame, landmarks


@pytest.mark.parametrize("roll", [0, 12, -12])
def test_a_closed_eye_measures_less_than_half_of_an_open_one(roll: float) -> None:
    reader = EyeReader(MANIFEST)
    open_, closed = (reader.openness(*look(Head(roll=roll, eyes_closed=shut))) for shut in (0.0, 1.0))
    assert 0.2 < open_ < 0.6
    assert closed < 0.5 * open_


def test_half_closed_lies_between() -> None:
    reader = EyeReader(MANIFEST)
    values = [reader.openness(*look(Head(eyes_closed=shut))) for shut in (0.0, 0.5, 1.0)]
    assert values == sorted(values, reverse=True)


def test_landmarks_of_no_size_are_no_open_eye() -> None:
    frame, landmarks = look(Head())
    point = Landmarks(np.full_like(landmarks.points, 100), 1.0)
    assert EyeReader(MANIFEST).openness(frame, point) == 0.0
