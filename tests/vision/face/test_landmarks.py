import cv2
import numpy as np
import pytest

from device.vision.face.canonical import CANONICAL
from device.vision.face.landmarks import Landmarks, Pose, expression, head_pose
from tests.vision.face.pictures import moved, turned


@pytest.fixture(scope="module")
def seen(detector, landmarker, astronaut):
    return landmarker.find(astronaut, detector.detect(astronaut)[0])


def posed(yaw=0.0, pitch=0.0, roll=0.0, scale=80.0):
    """Landmarks of the mean face turned by angles in degrees; points that are not part of it stay at its middle."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    turn_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    points = np.zeros((468, 3), np.float32)
    for index, x, y_, z, _ in CANONICAL:
        points[index] = turn_y @ turn_x @ turn_z @ np.array([x, y_, z]) * scale
    return Landmarks(points + np.array([320, 240, 0], np.float32), 1.0)


def test_points_lie_on_the_face(seen):
    np.testing.assert_allclose(seen.five[:2], [[204, 102], [247, 105]], atol=5)
    assert seen.points.shape == (468, 3)
    assert seen.points.dtype == np.float32
    assert seen.presence > 0.99
    assert seen.inter_eye == pytest.approx(43, abs=4)


def test_five_points_in_their_order(seen):
    left_eye, right_eye, nose, left_mouth, right_mouth = seen.five
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_nose_is_nearest(seen):
    assert seen.points[1, 2] < seen.points[[234, 454], 2].min()


def test_nothing_where_there_is_no_face(landmarker, detector, astronaut, coffee):
    assert landmarker.find(coffee, detector.detect(astronaut)[0]) is None


def test_tracking_agrees_with_finding(landmarker, astronaut, seen):
    again = landmarker.track(astronaut, seen)
    error = np.linalg.norm(again.points[:, :2] - seen.points[:, :2], axis=1)
    assert np.median(error) < 0.04 * seen.inter_eye


def test_tracking_follows_a_step_to_the_side(landmarker, astronaut, seen):
    shifted = np.roll(astronaut, 12, axis=1)
    again = landmarker.track(shifted, seen)
    np.testing.assert_allclose(again.five - [12, 0], seen.five, atol=3)


def test_tracking_ends_when_the_face_is_gone(landmarker, astronaut, seen):
    empty = np.full_like(astronaut, 120)
    assert landmarker.track(empty, seen) is None


@pytest.mark.parametrize("degrees", [-40, -20, 20, 40])
def test_tilted_head(detector, landmarker, astronaut, seen, degrees):
    image, matrix = turned(astronaut, degrees)
    found = landmarker.find(image, detector.detect(image)[0])
    np.testing.assert_allclose(found.five, moved(seen.five, matrix), atol=4)
    # Turned counter-clockwise in the picture, the head leans to image left: the person's right.
    change = head_pose(found).roll - head_pose(seen).roll
    assert change == pytest.approx(-degrees, abs=4)


def test_mirrored_picture_mirrors_yaw_and_roll(detector, landmarker, hopper):
    mirrored = np.ascontiguousarray(hopper[:, ::-1])
    straight = head_pose(landmarker.find(hopper, detector.detect(hopper)[0]))
    other = head_pose(landmarker.find(mirrored, detector.detect(mirrored)[0]))
    assert other.yaw == pytest.approx(-straight.yaw, abs=4)
    assert other.pitch == pytest.approx(straight.pitch, abs=4)
    assert other.roll == pytest.approx(-straight.roll, abs=3)


@pytest.mark.parametrize(
    "pose", [Pose(0, 0, 0), Pose(35, 0, 0), Pose(-20, 0, 0), Pose(0, 25, 0), Pose(0, 0, -30), Pose(25, -15, 10)]
)
def test_pose_of_a_face_turned_by_known_angles(pose):
    found = head_pose(posed(pose.yaw, pose.pitch, pose.roll))
    assert found.yaw == pytest.approx(pose.yaw, abs=0.01)
    assert found.pitch == pytest.approx(pose.pitch, abs=0.01)
    assert found.roll == pytest.approx(pose.roll, abs=0.01)


def test_signs_of_pose():
    straight, left, up = posed(), posed(yaw=30), posed(pitch=30)
    assert left.points[1, 0] > straight.points[1, 0], "a turn to the person's left moves the nose to image right"
    assert up.points[1, 1] < straight.points[1, 1], "looking up moves the nose up"
    tilted = posed(roll=30)
    assert tilted.points[10, 0] > straight.points[10, 0], (
        "leaning to the left shoulder moves the forehead to image right"
    )


def test_pose_does_not_depend_on_size_or_place():
    small, large = posed(20, 5, 3, scale=20), posed(20, 5, 3, scale=200)
    assert head_pose(small).yaw == pytest.approx(head_pose(large).yaw, abs=0.01)


def test_openness_is_scale_free_and_rises(seen):
    plain = expression(seen)
    assert 0.15 < plain.eye_openness < 0.6
    larger = expression(Landmarks(seen.points * 3, 1.0))
    assert larger.eye_openness == pytest.approx(plain.eye_openness, rel=1e-4)
    opened = seen.points.copy()
    opened[[87, 14, 317], 1] += 0.5 * seen.inter_eye
    assert expression(Landmarks(opened, 1.0)).mouth_openness > plain.mouth_openness + 0.3


def test_measurement_is_the_manifests(landmarker, manifest):
    entry = manifest.default("face_landmarks")
    assert landmarker.measurements[entry.name].hex() == entry.sha256


@pytest.mark.shared
def test_real_head_turns_have_the_right_signs(shared, detector, landmarker):
    yaws = poses_of(shared / "data/attacks/clips/head-pose-face-detection-female.gif", detector, landmarker)
    # She looks to image left first (her right), then to image right, then back.
    assert yaws[0].yaw < -30
    assert max(pose.yaw for pose in yaws) > 25
    assert yaws[-1].yaw < -20


@pytest.mark.shared
def test_real_head_tilt_has_the_right_sign(shared, detector, landmarker):
    poses = poses_of(shared / "data/attacks/clips/head-pose-face-detection-female-and-male.gif", detector, landmarker)
    assert poses[-1].roll < -30, "they lean to image left: their right shoulder"


def poses_of(path, detector, landmarker):
    pillow = pytest.importorskip("PIL.Image")
    poses, landmarks = [], None
    with pillow.open(path) as clip:
        for number in range(clip.n_frames):
            clip.seek(number)
            image = np.array(clip.convert("RGB"))
            landmarks = (landmarks and landmarker.track(image, landmarks)) or landmarker.find(
                image, detector.detect(image)[0]
            )
            poses.append(head_pose(landmarks))
    return poses


def test_grey_picture_is_a_picture(detector, landmarker, astronaut, seen):
    grey = cv2.cvtColor(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    found = landmarker.find(grey, detector.detect(grey)[0])
    np.testing.assert_allclose(found.five, seen.five, atol=3)
