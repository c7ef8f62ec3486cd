"""The holding stage: a card that moves by itself, one that does not, and too few looks to tell."""

from types import SimpleNamespace

import numpy as np
import pytest

from device.protocol import CameraKind, Reason, Result
from device.vision.camera.base import CameraIdentity, Frame
from device.vision.face.matcher import Match
from device.vision.stages.base import Findings
from device.vision.stages.holding import LOOKS_ENOUGH, MATCHES_WANTED, HoldingStage

CAMERA = CameraIdentity(CameraKind.LIVE, "test")
IMAGE = np.zeros((480, 640, 3), np.uint8)


def view(left, width):
    box = (left, 100.0, left + width, 100.0 + 1.3 * width)
    points = np.array([[left + width / 2, 100.0 + 0.65 * width, 0.0]], np.float32)
    return SimpleNamespace(landmarks=SimpleNamespace(box=box, points=points), shape=(480, 640))


def reported(looks, *, moves=0.0, matches=True):
    """What is said after so many looks at a face with a portrait beside it that moves so many pixels a frame."""
    portraits = iter(view(340.0 + moves * number, 60.0) for number in range(looks))
    faces = SimpleNamespace(
        look=lambda _image: SimpleNamespace(main=view(80.0, 200.0)),
        search=lambda _image: [next(portraits)],
        near=lambda _image, _view: next(portraits),
    )
    embedder = SimpleNamespace(embed=lambda _image, _landmarks: np.ones(3, np.float32))
    matcher = SimpleNamespace(match=lambda _references, _probes, level: Match(0.9, matches, level))
    stage = HoldingStage(faces, embedder, matcher, Findings(portraits=[np.ones(3, np.float32)]))
    for number in range(looks):
        stage.observe(Frame(IMAGE, number / 15, number, CAMERA))
    (report,) = stage.reports()
    return report.result, report.reason


def test_a_card_that_comes_into_its_place_passes():
    assert reported(8, moves=10.0) == (Result.PASS, None)


def test_a_bystander_as_small_as_a_portrait_is_not_taken_for_it():
    """Somebody behind the person, larger than the portrait in hand and somebody else."""
    numbers = iter(range(20))
    bystander = view(500.0, 90.0)

    def search(_image):
        return [bystander, view(340.0 + 10 * next(numbers), 50.0)]

    faces = SimpleNamespace(
        look=lambda _image: SimpleNamespace(main=view(80.0, 200.0)),
        search=search,
        near=lambda _image, _view: view(340.0 + 10 * next(numbers), 50.0),
    )
    embedder = SimpleNamespace(embed=lambda _image, landmarks: np.full(3, landmarks.points[0, 0], np.float32))
    beside = bystander.landmarks.points[0, 0]
    matcher = SimpleNamespace(match=lambda _references, probes, level: Match(0.9, probes[0][0] != beside, level))
    stage = HoldingStage(faces, embedder, matcher, Findings(portraits=[np.ones(3, np.float32)]))
    for number in range(8):
        stage.observe(Frame(IMAGE, number / 15, number, CAMERA))
    (report,) = stage.reports()
    assert (report.result, report.reason) == (Result.PASS, None)


def test_a_card_that_never_moves_by_itself_is_part_of_one_picture():
    assert reported(LOOKS_ENOUGH) == (Result.FAIL, Reason.MOVES_AS_PLANE)


@pytest.mark.parametrize("matches", [True, False])
@pytest.mark.parametrize("looks", [MATCHES_WANTED, LOOKS_ENOUGH - 1])
def test_a_box_that_looked_too_seldom_says_nothing_against_a_person(looks, matches):
    result, reason = reported(looks, matches=matches)
    assert (result, reason) == (Result.NOT_PERFORMED, Reason.HOLDING_NOT_SEEN)


def test_a_portrait_of_somebody_else():
    assert reported(LOOKS_ENOUGH, matches=False) == (Result.FAIL, Reason.PORTRAIT_MISMATCH)
