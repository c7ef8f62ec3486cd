"""Depth from motion on ideal shapes with noise, and (with ../shared) on real clips and photographs turned by hand."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from device.protocol import Check, Reason, Result
from device.vision.face.landmarks import Landmarks, Pose
from device.vision.liveness.depth_fit import (
    STABLE,
    head_residual,
    mean_shape,
    plane_residual,
    shape_change,
    sheet_residual,
)
from device.vision.liveness.parallax import Parallax
from device.vision.liveness.parameters import load_parameters

EYES = 100.0
BLANK = np.zeros((480, 640, 3), np.uint8)
"""Nothing to follow: the landmarks' own tracks are judged."""


def head_shape(seed=3):
    """468 points of something like a head: an ellipsoid's front with a ridge, eyes `EYES` apart, pixels."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1, 1, 468) * 70, rng.uniform(-1, 1, 468) * 90
    x[[33, 133, 362, 263]] = [-65, -35, 35, 65]
    y[[33, 133, 362, 263]] = -25
    z = -70 * np.sqrt(np.maximum(0.0, 1 - (x / 90) ** 2 - (y / 120) ** 2)) - 25 * np.exp(
        -((x / 12) ** 2) - ((y / 30) ** 2)
    )
    return np.column_stack([x, y, z])


def rotation(yaw, pitch=0.0):
    a, b = math.radians(yaw), math.radians(pitch)
    about_y = np.array([[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), math.sin(b)], [0, -math.sin(b), math.cos(b)]])
    return about_x @ about_y


def seen(shape, yaw, pitch=0.0, noise=1.0, seed=0, perspective=0.0):
    """The shape turned, in a picture; z is what the network would claim: always a head's."""
    rng = np.random.default_rng(seed)
    turned = shape @ rotation(yaw, pitch).T
    near = 1 / (1 + perspective * turned[:, 2:] / 1000)
    points = np.column_stack([turned[:, :2] * near + (320, 240), turned[:, 2]]) * 1.1
    points[:, :2] += rng.normal(0, noise, (468, 2))
    return points.astype(np.float32)


def watch(frames, poses):
    parallax = Parallax()
    for points, (yaw, pitch) in zip(frames, poses, strict=True):
        parallax.add(BLANK, Landmarks(points, 1.0), Pose(yaw, pitch, 0.0))
    return parallax


def sweep(reach, count=30):
    return [(reach * math.sin(2 * math.pi * index / count), 0.0) for index in range(count)]


def flat(shape):
    paper = shape.copy()
    paper[:, 2] = 0
    return paper


def as_claimed(points, shape):
    """The network imagines a head's depth on paper as well."""
    claimed = points.copy()
    claimed[:, 2] = shape[:, 2] * 1.1
    return claimed


@pytest.mark.parametrize("reach", [18.0, 25.0, 40.0])
@pytest.mark.parametrize("perspective", [0.0, 1.0])
def test_a_turning_head_is_a_head(reach, perspective):
    shape = head_shape()
    poses = sweep(reach)
    frames = [seen(shape, *pose, seed=index, perspective=perspective) for index, pose in enumerate(poses)]
    parallax = watch(frames, poses)
    report = parallax.report()
    assert (report.check, report.result, report.reason) == (Check.LIVENESS_PARALLAX, Result.PASS, None)
    assert parallax.evidence().ratio > 1.9


@pytest.mark.parametrize("claims", [0.0, 0.7], ids=["pose_stays", "pose_follows"])
def test_a_turning_photograph_is_a_plane_whatever_pose_is_imagined(claims):
    shape = head_shape()
    angles = sweep(38)
    frames = [as_claimed(seen(flat(shape), *pose, seed=i, perspective=1.0), shape) for i, pose in enumerate(angles)]
    report = watch(frames, [(claims * yaw, 0.0) for yaw, _ in angles]).report()
    assert (report.result, report.reason) == (Result.FAIL, Reason.MOVES_AS_PLANE)


def test_a_bent_photograph_is_no_head():
    shape = head_shape()
    bent = flat(shape)
    bent[:, 2] = -90 * (np.cos(bent[:, 0] / 110) - 1) * -1
    angles = sweep(35)
    frames = [as_claimed(seen(bent, *pose, seed=i), shape) for i, pose in enumerate(angles)]
    assert watch(frames, [(0.6 * yaw, 0.0) for yaw, _ in angles]).report().result is Result.FAIL


@pytest.mark.parametrize("radius", [75.0, 110.0])
@pytest.mark.parametrize("upright", [True, False], ids=["around_an_upright_axis", "around_a_level_axis"])
def test_a_photograph_wrapped_around_a_cylinder_is_no_head(radius, upright):
    shape = head_shape()
    wrapped = flat(shape)
    across = wrapped[:, 0 if upright else 1]
    bow = np.clip(across / radius, -1.4, 1.4)
    wrapped[:, 0 if upright else 1], wrapped[:, 2] = radius * np.sin(bow), radius * (1 - np.cos(bow))
    angles = sweep(35)
    frames = [as_claimed(seen(wrapped, *pose, seed=i), shape) for i, pose in enumerate(angles)]
    parallax = watch(frames, [(0.7 * yaw, 0.0) for yaw, _ in angles])
    assert parallax.report().reason is Reason.MOVES_AS_PLANE
    assert parallax.evidence().sheet_ratio < 1.0


def test_a_nod_alone_says_nothing():
    shape = head_shape()
    poses = [(0.0, pitch) for pitch, _ in sweep(25)]
    report = watch([seen(shape, *pose, seed=i) for i, pose in enumerate(poses)], poses).report()
    assert (report.result, report.reason) == (Result.NOT_PERFORMED, Reason.MOTION_INSUFFICIENT)


def test_a_face_that_hardly_moves_says_nothing():
    shape = head_shape()
    poses = sweep(6)
    report = watch([seen(shape, *pose, seed=i, noise=0.5) for i, pose in enumerate(poses)], poses).report()
    assert (report.result, report.reason) == (Result.NOT_PERFORMED, Reason.MOTION_INSUFFICIENT)
    assert Parallax().report().reason is Reason.MOTION_INSUFFICIENT


def test_a_shifting_and_growing_picture_says_nothing():
    shape = head_shape()
    frames = []
    for index in range(30):
        points = seen(shape, 0, seed=index, noise=0.4)
        points[:, :2] = points[:, :2] * (1 + 0.01 * index) + index
        frames.append(points)
    assert watch(frames, [(0.0, 0.0)] * 30).report().reason is Reason.MOTION_INSUFFICIENT


def test_residuals_are_zero_for_what_they_explain():
    shape = head_shape()[STABLE]
    planes = np.stack([seen(flat(head_shape()), yaw, noise=0, perspective=1.0)[STABLE][:, :2] for yaw in (10, 30)])
    heads = np.stack([seen(head_shape(), yaw, noise=0)[STABLE][:, :2] for yaw in (10, 30)])
    assert max(plane_residual(shape[:, :2], plane) for plane in planes.astype(float)) < 1e-3 * EYES
    assert head_residual(shape, heads.astype(float)).max() < 2e-3 * EYES
    assert sheet_residual(shape[:, :2], planes.astype(float)).max() < 3e-3 * EYES
    assert sheet_residual(shape[:, :2], heads.astype(float))[1] > 0.02 * EYES
    assert head_residual(shape, planes.astype(float))[1] > 0.01 * EYES
    assert plane_residual(shape[:, :2], heads[1].astype(float)) > 0.03 * EYES


def test_mean_shape_and_change_do_not_mind_shift_turn_and_scale():
    shape = head_shape()[STABLE]
    angle = 0.4
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    moved = np.column_stack([(shape[:, :2] @ turn) * 1.7 + (5, 9), shape[:, 2] * 1.7])
    mean = mean_shape(np.stack([shape, moved]))
    assert np.abs(mean - (shape - shape.mean(axis=0))).max() < 1e-6
    assert shape_change(shape[:, :2], moved[None, :, :2])[0] < 1e-4


def test_the_answer_follows_the_thresholds():
    shape = head_shape()
    poses = sweep(25)
    parallax = Parallax(msgspec.structs.replace(load_parameters().parallax, ratio=99.0))
    for index, pose in enumerate(poses):
        parallax.add(BLANK, Landmarks(seen(shape, *pose, seed=index), 1.0), Pose(*pose, 0.0))
    assert parallax.report().reason is Reason.MOVES_AS_PLANE


@pytest.mark.shared
@pytest.mark.slow
def test_real_heads_and_their_photographs(shared: Path):
    """Every face of the clips that turns 15 degrees from a straight look is a head; its photographs are planes."""
    study = pytest.importorskip("models.training.parallax_study")
    from device.errors import ModelError
    from device.vision.face.detector import FaceDetector
    from device.vision.face.landmarks import FaceLandmarker
    from device.vision.inference.manifest import load_manifest

    try:
        detector, landmarker = FaceDetector(load_manifest()), FaceLandmarker(load_manifest())
    except ModelError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(1)
    turned = 0
    for clip in sorted((shared / "data/attacks/clips").glob("head-pose*female.gif")):
        frames = study.clip_frames(clip)
        tracks = study.Tracks(detector, landmarker)
        for frame in frames:
            tracks.add(frame)
        for face in tracks.faces:
            if face.turns:
                turned += 1
                assert face.parallax.report().result is Result.PASS
        photo = study.straightest(tracks.faces[0], frames)
        for kind in ("flat", "tilted"):
            copies = study.Tracks(detector, landmarker)
            for frame in study.held_photograph(rng, photo, kind, frames=16):
                copies.add(frame)
            assert all(face.parallax.report().reason is Reason.MOVES_AS_PLANE for face in copies.faces)
    assert turned >= 1
