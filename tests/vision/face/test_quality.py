from dataclasses import replace

import cv2
import numpy as np
import pytest

from device.errors import ConfigurationError
from device.protocol import Guidance
from device.vision.face.landmarks import Expression, Landmarks, Pose, head_pose
from device.vision.face.quality import QualityGates, assess, covering, load_gates
from models.training.face_masks import COLOURS, masked


@pytest.fixture(scope="module")
def gates(manifest) -> QualityGates:
    return load_gates(manifest)


@pytest.fixture(scope="module")
def face(detector, landmarker, hopper):
    landmarks = landmarker.find(hopper, detector.detect(hopper)[0])
    return landmarks, head_pose(landmarks)


def looked_at(image, face, gates, pose=None):
    landmarks, straight = face
    return assess(image, landmarks, pose or straight, gates)


def test_good_picture_passes_both_gates(hopper, face, gates):
    quality = looked_at(hopper, face, gates)
    assert quality.guidance is None
    assert quality.usable_portrait
    assert quality.inter_eye == pytest.approx(face[0].inter_eye)
    assert 0.3 < quality.mean < 0.8
    assert quality.contrast > 0.2


def darkened(image):
    return (image * 0.15).astype(np.uint8)


def brightened(image):
    return np.clip(image.astype(int) + 150, 0, 255).astype(np.uint8)


def blurred(image):
    return cv2.GaussianBlur(image, (0, 0), 7)


def motion_blurred(image):
    return cv2.blur(image, (43, 1))  # half the distance between the eyes


def foggy(image):
    return (image * 0.1 + 120).astype(np.uint8)


@pytest.mark.parametrize(
    ("spoil", "guidance"),
    [
        (darkened, {Guidance.TOO_DARK}),
        (brightened, {Guidance.GLARE, Guidance.TOO_BRIGHT}),
        (blurred, {Guidance.HOLD_STILL}),
        (motion_blurred, {Guidance.HOLD_STILL}),
        (foggy, {Guidance.TOO_DARK, Guidance.TOO_BRIGHT}),
    ],
)
def test_spoilt_picture_is_named(hopper, face, gates, spoil, guidance):
    assert looked_at(spoil(hopper), face, gates).guidance in guidance


@pytest.mark.parametrize(
    "pose", [Pose(30, 0, 0), Pose(-30, 0, 0), Pose(0, 40, 0), Pose(0, -40, 0), Pose(0, 0, 50)], ids=str
)
def test_turned_away(hopper, face, gates, pose):
    assert looked_at(hopper, face, gates, pose).guidance is Guidance.LOOK_STRAIGHT


def test_far_away_is_asked_closer_but_may_be_a_portrait(hopper, face, gates):
    scale = 24 / face[0].inter_eye
    small = cv2.resize(hopper, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    landmarks = Landmarks(face[0].points * np.float32(scale), 1.0)
    quality = assess(small, landmarks, face[1], gates)
    assert quality.guidance is Guidance.MOVE_CLOSER
    assert quality.usable_portrait


def test_unsure_face_is_asked_to_uncover(hopper, face, gates):
    landmarks = replace(face[0], presence=0.6)
    assert assess(hopper, landmarks, face[1], gates).guidance is Guidance.UNCOVER_FACE


@pytest.mark.parametrize("colour", ["white", "surgical", "black"])
def test_masked_face_is_asked_to_uncover(hopper, face, gates, colour):
    assert looked_at(masked(hopper, face[0], COLOURS[colour]), face, gates).guidance is Guidance.UNCOVER_FACE


@pytest.mark.parametrize(
    "shown",
    [Expression(eye_openness=0.0, mouth_openness=0.0), Expression(eye_openness=0.4, mouth_openness=0.9)],
    ids=["eyes_shut", "mouth_open"],
)
def test_shut_eyes_and_an_open_mouth_are_not_matched(hopper, face, gates, shown, monkeypatch):
    monkeypatch.setattr("device.vision.face.quality.expression", lambda _landmarks: shown)
    assert looked_at(hopper, face, gates).guidance is Guidance.LOOK_STRAIGHT


def test_grey_picture_is_not_taken_for_covered(hopper, face, gates):
    grey = cv2.cvtColor(cv2.cvtColor(hopper, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    quality = looked_at(grey, face, gates)
    assert quality.covered == 0.0
    assert quality.guidance is None


def test_covering_of_a_face_outside_the_picture_is_nothing(hopper, face):
    away = Landmarks(face[0].points + np.array([5000, 0, 0], np.float32), 1.0)
    assert covering(hopper, away) == 0.0


def test_sharpness_falls_with_blur_and_not_with_contrast(hopper, face, gates):
    plain = looked_at(hopper, face, gates).sharpness
    falling = [looked_at(cv2.GaussianBlur(hopper, (0, 0), sigma), face, gates).sharpness for sigma in (1, 2, 4, 8)]
    assert all(later < earlier for earlier, later in zip([plain, *falling], falling, strict=False))
    softer = (hopper * 0.5 + 60).astype(np.uint8)
    assert looked_at(softer, face, gates).sharpness == pytest.approx(plain, abs=0.1)


def test_sharpness_is_of_the_face_not_of_its_size(hopper, face, gates):
    large = cv2.resize(hopper, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    twice = assess(large, Landmarks(face[0].points * 2, 1.0), face[1], gates)
    assert twice.sharpness == pytest.approx(looked_at(hopper, face, gates).sharpness, abs=0.15)


def test_face_at_the_edge_of_the_picture_is_measured(hopper, face, gates):
    landmarks = Landmarks(face[0].points - np.array([250, 150, 0], np.float32), 1.0)
    assert np.isfinite(assess(hopper, landmarks, face[1], gates).sharpness)


def test_gates_are_ordered(gates):
    assert gates.printed.inter_eye < gates.live.inter_eye, "a document's portrait may be smaller"
    assert gates.printed.sharpness < gates.live.sharpness, "and softer"


@pytest.mark.parametrize("change", ["misspelt", "missing", "text"])
def test_wrong_gates_name_the_key(manifest, change, monkeypatch):
    entry = manifest.default("face_landmarks")
    gate = dict(entry.parameters["quality"]["live"])
    if change == "misspelt":
        gate["sharpnes"] = 1.0
    elif change == "missing":
        del gate["yaw"]
    else:
        gate["yaw"] = "wide"
    broken = {"quality": {"live": gate, "printed": entry.parameters["quality"]["printed"]}}

    class Other:
        name = entry.name
        parameters = broken

    monkeypatch.setattr(type(manifest), "default", lambda self, task: Other)
    with pytest.raises(ConfigurationError, match=r"parameters\.quality"):
        load_gates(manifest)
