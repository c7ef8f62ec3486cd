"""One look at the faces of a picture, and how little of it the kiosk page learns."""

from types import SimpleNamespace

import numpy as np
import pytest

from device.protocol import FaceBox, HeadPose
from device.vision.face.landmarks import Pose
from device.vision.face.view import FaceFinder, FaceView
from tests.vision.face import pictures


def view(box=(0.0, 0.0, 10.0, 10.0), pose=(0.0, 0.0, 0.0), shape=(480, 640)):
    return FaceView(SimpleNamespace(box=box), None, Pose(*pose), None, None, shape)


def test_a_box_is_told_in_sixteenths_of_the_picture():
    assert view((201.0, 99.0, 439.0, 381.0)).box() == FaceBox(5, 3, 11, 13)
    near = {view((200.0 + right, 100.0, 440.0, 380.0)).box() for right in range(15)}
    assert len(near) == 1, "fifteen pixels of difference are not told"


@pytest.mark.parametrize(
    ("pose", "told"),
    [((12.4, -12.6, 2.4), (2, -3, 0)), ((400.0, -400.0, 92.6), (18, -18, 18))],
    ids=["rounded", "held_within_limits"],
)
def test_a_pose_is_told_in_steps_of_five_degrees(pose, told):
    assert view(pose=pose).head_pose() == HeadPose(*told)


def test_a_look_measures_the_largest_face(finder, astronaut, hopper):
    small = hopper[::3, ::3]
    both = np.zeros((512, 512 + small.shape[1], 3), np.uint8)
    both[:, :512] = astronaut
    both[: small.shape[0], 512:] = small
    scene = finder.look(both)
    assert scene.main is not None
    assert scene.main.detection is scene.detections[0]
    assert scene.main.detection.box[2] < 512
    assert scene.main.size == pytest.approx(scene.main.landmarks.inter_eye / both.shape[1])


def test_a_larger_pattern_without_landmarks_is_passed_over(detector, landmarker, astronaut):
    real = detector.detect(astronaut)[0]
    pattern = real.moved(0, 0)
    landmarks = landmarker.find(astronaut, real)
    answers = iter([None, landmarks])
    finder = FaceFinder(
        SimpleNamespace(detect=lambda _image: [pattern, real]), SimpleNamespace(find=lambda *_: next(answers))
    )
    scene = finder.look(astronaut)
    assert scene.detections == (real,)
    assert scene.main.landmarks is landmarks


def test_a_picture_of_nobody_has_no_main_face(finder):
    assert finder.look(pictures.coffee()).main is None


def test_a_face_is_found_again_near_where_it_was(finder, astronaut):
    before = finder.look(astronaut).main
    shifted = np.roll(astronaut, (6, 10), axis=(0, 1))
    again = finder.near(shifted, before)
    assert again.landmarks.five == pytest.approx(before.landmarks.five + np.array([10, 6]), abs=3)


def test_nobody_is_found_near_where_nobody_is(finder, astronaut):
    before = finder.look(astronaut).main
    assert finder.near(np.zeros_like(astronaut), before) is None
