"""The rendered head as the box's own networks see it: what the person is told to do must be what is measured."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from device.vision.camera.base import Image
from device.vision.camera.emulation.face_mesh import HeadMesh
from device.vision.camera.emulation.person import Head
from device.vision.camera.emulation.portrait import FACE_OVAL, load_portrait
from device.vision.camera.emulation.puppet import Puppet
from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import Expression, FaceLandmarker, Landmarks, Pose, expression, head_pose
from device.vision.inference.manifest import Task, load_manifest
from device.vision.liveness.depth_fit import STABLE, head_residual, mean_shape, plane_residual

FACES = ("astronaut", "grace_hopper")
Look = Callable[[str, Head], tuple[Landmarks, Pose, Expression]]


@pytest.fixture(scope="module")
def look() -> Look:
    manifest = load_manifest()
    for task in (Task.FACE_DETECTION, Task.FACE_LANDMARKS):
        if manifest.find(manifest.default(task)) is None:
            pytest.skip("MediaPipe's models are not installed: vouchbox models install")
    detector, landmarker = FaceDetector(manifest), FaceLandmarker(manifest)
    puppets = {face: Puppet(load_portrait(face)) for face in FACES}

    def measure(face: str, head: Head) -> tuple[Landmarks, Pose, Expression]:
        frame = backdrop()
        puppets[face].draw(frame, head, (640, 370), 288)
        landmarks = landmarker.find(frame, detector.detect(frame)[0])
        assert landmarks is not None
        return landmarks, head_pose(landmarks), expression(landmarks)

    return measure


def backdrop() -> Image:
    return np.full((720, 1280, 3), (150, 160, 170), np.uint8)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("yaw", [28, -28])
def test_a_turn_of_28_degrees_measures_at_least_20(look: Look, face: str, yaw: float) -> None:
    straight, turned = look(face, Head())[1], look(face, Head(yaw=yaw))[1]
    assert (turned.yaw - straight.yaw) * np.sign(yaw) >= 20
    assert abs(turned.pitch - straight.pitch) < 8


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("pitch", [18, -18])
def test_a_nod_of_18_degrees_measures_at_least_13(look: Look, face: str, pitch: float) -> None:
    straight, nodded = look(face, Head())[1], look(face, Head(pitch=pitch))[1]
    assert (nodded.pitch - straight.pitch) * np.sign(pitch) >= 13
    assert abs(nodded.yaw - straight.yaw) < 6


@pytest.mark.parametrize("roll", [12, -12])
def test_a_tilt_is_measured_with_its_sign(look: Look, roll: float) -> None:
    assert look("astronaut", Head(roll=roll))[1].roll - look("astronaut", Head())[1].roll == pytest.approx(roll, abs=4)


@pytest.mark.parametrize("face", FACES)
def test_an_open_mouth_measures_open(look: Look, face: str) -> None:
    closed, open_ = look(face, Head())[2], look(face, Head(mouth_open=1))[2]
    assert open_.mouth_openness > closed.mouth_openness + 0.18


@pytest.mark.parametrize("face", FACES)
def test_coming_closer_makes_the_face_larger(look: Look, face: str) -> None:
    assert look(face, Head(scale=1.38))[0].inter_eye > 1.25 * look(face, Head())[0].inter_eye


@pytest.mark.parametrize("face", FACES)
def test_the_mesh_turns_as_a_head_and_not_as_a_plane(face: str) -> None:
    mesh = HeadMesh(load_portrait(face))
    reference = mean_shape(mesh.vertices(Head())[STABLE][None].astype(float))
    frames = np.stack([mesh.vertices(Head(yaw=yaw))[STABLE, :2] for yaw in (-26, -20, 20, 26)]).astype(float)
    plane = np.sqrt(np.mean([plane_residual(reference[:, :2], frame) ** 2 for frame in frames]))
    head = np.sqrt(np.mean(np.square(head_residual(reference, frames))))
    assert plane > 3 * head


@pytest.mark.parametrize("face", FACES)
def test_a_head_that_does_nothing_is_the_portrait(face: str) -> None:
    """At the portrait's own scale, the warp changes next to nothing inside the face."""
    portrait = load_portrait(face)
    mesh = HeadMesh(portrait)
    frame = np.zeros_like(portrait.image)
    Puppet(portrait).draw(frame, Head(), mesh.centre, portrait.face_height)
    outline = portrait.points[list(FACE_OVAL)]
    (left, top), (right, bottom) = outline.min(axis=0)[:2].astype(int), outline.max(axis=0)[:2].astype(int)
    inside = np.s_[top + 20 : bottom - 20, left + 30 : right - 30]
    assert np.abs(frame[inside].astype(int) - portrait.image[inside]).mean() < 3


def test_whoever_is_outside_the_picture_leaves_it_as_it_was() -> None:
    frame, puppet = backdrop(), Puppet(load_portrait("astronaut"))
    puppet.draw(frame, Head(yaw=30), (3000, 370), 288)
    puppet.draw(frame, Head(), (-2500, 370), 288)
    assert np.array_equal(frame, backdrop())


@pytest.mark.parametrize("centre", [(0, 0), (1280, 720), (1260, 60), (-100, 800), (640, -150)])
@pytest.mark.parametrize("height", [12, 288, 900])
def test_a_face_at_any_edge_and_of_any_size_is_drawn(centre: tuple[float, float], height: float) -> None:
    frame = backdrop()
    Puppet(load_portrait("astronaut")).draw(frame, Head(yaw=20, mouth_open=1, eyes_closed=0.5), centre, height)
    assert frame.shape == (720, 1280, 3)


def test_the_cut_out_is_a_person(tmp_path: Path) -> None:
    for face in FACES:
        portrait = load_portrait(face)
        x, y = portrait.points[1, :2].astype(int)
        assert portrait.alpha[y, x] == 255
        assert portrait.alpha[: y // 8, :].mean() < 40
        assert 0.15 < (portrait.alpha > 128).mean() < 0.85
