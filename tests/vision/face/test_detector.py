import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.vision.face.detector import Detection, FaceDetector, letterbox, settle, tiles, weighted_suppression
from tests.vision.face.pictures import moved, turned

EYES = np.array([[204, 102], [247, 105]])
"""Of the astronaut, by eye."""


def face(left, top, side, score=0.9, sure=True):
    return Detection((left, top, left + side, top + side), score, np.zeros((6, 2), np.float32), sure)


def test_finds_the_face_where_it_is(detector, astronaut):
    (found,) = detector.detect(astronaut)
    assert found.sure
    np.testing.assert_allclose(found.keypoints[:2], EYES, atol=6)
    left, top, right, bottom = found.box
    assert left < 200 < 250 < right
    assert top < 100 < 140 < bottom
    assert found.keypoints[2, 1] > found.keypoints[:2, 1].max(), "the nose is below the eyes"
    assert found.keypoints[3, 1] > found.keypoints[2, 1], "the mouth is below the nose"


def test_no_face_in_a_cup_of_coffee(detector, coffee):
    assert [one for one in detector.detect(coffee) if one.sure] == []


def test_no_face_in_an_even_picture(detector):
    assert detector.detect(np.full((480, 640, 3), 127, np.uint8)) == []


@pytest.mark.parametrize("degrees", [-25, -10, 10, 25])
def test_follows_a_tilted_head(detector, astronaut, degrees):
    image, matrix = turned(astronaut, degrees)
    found = detector.detect(image)[0]
    np.testing.assert_allclose(found.keypoints[:2], moved(EYES, matrix), atol=8)


def test_keypoints_scale_with_the_image(detector, astronaut):
    small = detector.detect(astronaut)[0]
    large = detector.detect(cv2.resize(astronaut, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC))[0]
    np.testing.assert_allclose(large.keypoints / 2.5, small.keypoints, atol=3)


@pytest.mark.parametrize("shape", [(512, 1280), (1280, 512)], ids=["wide", "tall"])
def test_letterboxed_pictures(detector, astronaut, shape):
    image = np.full((*shape, 3), 90, np.uint8)
    top, left = (shape[0] - 512) // 2, (shape[1] - 512) // 2
    image[top : top + 512, left : left + 512] = astronaut
    found = detector.detect(image)[0]
    np.testing.assert_allclose(found.keypoints[:2], EYES + np.array([left, top]), atol=12)


def test_two_people_largest_first(detector, astronaut, hopper):
    scene = np.hstack(
        [cv2.resize(hopper[80:420, 100:430], (512, 512)), cv2.resize(astronaut[20:276, 80:336], (512, 512))]
    )
    found = detector.detect(scene)
    assert len(found) == 2
    assert found[0].size >= found[1].size


def test_face_that_fills_the_picture(detector, astronaut):
    found = detector.detect(cv2.resize(astronaut[84:170, 182:268], (480, 480)))
    assert found


def test_search_finds_the_small_portrait_beside_a_person(detector, astronaut, hopper):
    scene = np.zeros((720, 1280, 3), np.uint8)
    scene[:, :720] = cv2.resize(astronaut[0:300, 80:380], (720, 720))
    scene[500:590, 900:980] = cv2.resize(hopper[120:390, 145:385], (80, 90))
    found = detector.search(scene)
    assert any(880 < one.keypoints[2, 0] < 1000 and 490 < one.keypoints[2, 1] < 600 for one in found)
    assert found[0].keypoints[2, 0] < 720, "the person is the largest"


def test_tiny_picture_is_no_error(detector):
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []
    assert detector.search(np.zeros((2, 90, 3), np.uint8)) == []


def test_measurements_name_both_models(manifest):
    for name, measurement in FaceDetector(manifest).measurements.items():
        assert measurement.hex() == manifest.entry(name).sha256


@pytest.mark.slow
def test_one_look_is_quick(detector, astronaut):
    detector.detect(astronaut)
    spent = []
    for _ in range(20):
        start = time.process_time()
        detector.detect(astronaut)
        spent.append(time.process_time() - start)
    assert np.median(spent) < 0.05, "ten times what it takes: XNNPACK is off?"


def test_unsure_faces_give_way_to_a_sure_one():
    kept = settle([face(0, 0, 400, 0.6, sure=False), face(50, 50, 100, 0.8)], 0.3)
    assert [one.size for one in kept] == [100]


def test_unsure_faces_stay_when_there_is_nothing_better():
    assert len(settle([face(0, 0, 40, 0.6, sure=False), face(100, 100, 40, 0.55, sure=False)], 0.3)) == 2


def test_one_face_seen_twice_is_one():
    kept = settle([face(0, 0, 100, 0.8), face(5, 5, 100, 0.9)], 0.3)
    assert [one.score for one in kept] == [0.9]


def test_suppression_averages_by_score():
    rows = np.array([[0, 0, 10, 10, 3], [2, 0, 12, 10, 9], [50, 50, 60, 60, 7]], np.float32)
    kept = weighted_suppression(rows, np.array([0.9, 0.3, 0.5], np.float32), 0.3)
    assert len(kept) == 2
    np.testing.assert_allclose(kept[0][0], [0.5, 0, 10.5, 10, 4.5], rtol=1e-5)
    assert kept[0][1] == pytest.approx(0.9)


def test_suppression_of_nothing_and_of_points():
    assert weighted_suppression(np.zeros((0, 5), np.float32), np.zeros(0, np.float32), 0.3) == []
    assert len(weighted_suppression(np.zeros((2, 5), np.float32), np.ones(2, np.float32), 0.3)) == 2


@given(width=st.integers(1, 400), height=st.integers(1, 400), margin=st.sampled_from([1.0, 1.5]))
def test_letterbox_keeps_proportion_and_place(width, height, margin):
    square, scale, left, top = letterbox(np.full((height, width, 3), 255, np.uint8), 128, margin)
    assert square.shape == (128, 128, 3)
    lit = np.argwhere(square[..., 0])
    assert abs(lit[:, 0].min() - top) <= 1
    assert abs(lit[:, 1].min() - left) <= 1
    assert max(width, height) * scale * margin == pytest.approx(128)


@given(width=st.integers(1, 3000), height=st.integers(1, 3000))
def test_tiles_lie_inside_and_cover(width, height):
    squares = tiles(width, height)
    for left, top, side in squares:
        assert left >= 0
        assert top >= 0
        assert left + side <= width
        assert top + side <= height
    if min(width, height) >= 64:
        assert min(left for left, _, _ in squares) == 0
        assert max(left + side for left, _, side in squares) == width
