import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.errors import ConfigurationError
from device.vision.face.align import RETAIL_0095_TEMPLATE, TEMPLATES, aligned_crop, similarity, template_of, warp

SOURCE = np.array([[30, 40], [70, 42], [50, 60], [36, 80], [66, 81]], np.float64)


def image_of(points, size=200):
    """Black, with a soft white spot at each point."""
    image = np.zeros((size, size, 3), np.uint8)
    for x, y in points:
        cv2.circle(image, (round(float(x)), round(float(y))), 5, (255, 255, 255), -1, cv2.LINE_AA)
    return image


def spots(image):
    count, _, _, centres = cv2.connectedComponentsWithStats((image[..., 0] > 100).astype(np.uint8))
    assert count == 6
    return centres[1:]


@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.05, 20),
    right=st.floats(-500, 500),
    down=st.floats(-500, 500),
)
def test_similarity_is_found_again(angle, scale, right, down):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    wanted = np.array([[cos, -sin, right], [sin, cos, down]])
    found = similarity(SOURCE, SOURCE @ wanted[:, :2].T + wanted[:, 2])
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 * (1 + abs(right) + abs(down)))


def test_similarity_never_mirrors():
    found = similarity(SOURCE, SOURCE * [-1, 1])
    assert np.linalg.det(found[:, :2]) >= 0


def test_points_in_one_place_give_a_finite_map():
    found = similarity(np.ones((5, 2)), SOURCE)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, :2], np.eye(2))


@pytest.mark.parametrize("size", [64, 112, 128])
def test_points_come_to_lie_on_the_template(size):
    target = RETAIL_0095_TEMPLATE.astype(np.float64) * 170 + 12  # same shape as the template: the fit is exact
    crop = aligned_crop(image_of(target), target.astype(np.float32), RETAIL_0095_TEMPLATE, size)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    found = spots(crop)
    wanted = RETAIL_0095_TEMPLATE * size
    for point in wanted:
        assert np.linalg.norm(found - point, axis=1).min() < 0.8


def test_large_faces_are_averaged_not_sampled():
    fine = np.zeros((800, 800, 3), np.uint8)
    fine[:, ::2] = 255  # stripes far finer than the crop can show
    points = RETAIL_0095_TEMPLATE * 700 + 50
    crop = aligned_crop(fine, points, RETAIL_0095_TEMPLATE, 64)
    inner = crop[8:-8, 8:-8].astype(float)
    assert inner.mean() == pytest.approx(127, abs=4)
    assert inner.std() < 12


def test_shrinking_keeps_the_place():
    target = RETAIL_0095_TEMPLATE.astype(np.float64) * 800 + 60
    image = np.zeros((900, 900, 3), np.uint8)
    for x, y in target:
        cv2.circle(image, (round(float(x)), round(float(y))), 40, (255, 255, 255), -1, cv2.LINE_AA)
    found = spots(aligned_crop(image, target.astype(np.float32), RETAIL_0095_TEMPLATE, 128))
    for point in RETAIL_0095_TEMPLATE * 128:
        assert np.linalg.norm(found - point, axis=1).min() < 0.8


def test_what_lies_beyond_the_picture_is_its_mirror_image():
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], 20, axis=0).repeat(3, axis=2)
    crop = warp(ramp, np.array([[1.0, 0, 8], [0, 1.0, 0]]), 20)
    assert crop[5, :9, 0].tolist() == ramp[5, 8::-1, 0].tolist(), "left of the border the columns come back"
    assert crop[5, 8:, 0].tolist() == ramp[5, :12, 0].tolist()


def test_face_far_outside_the_picture_gives_a_crop_all_the_same():
    crop = warp(np.full((20, 20, 3), 77, np.uint8), np.array([[4.0, 0, 900], [0, 4.0, 900]]), 32)
    assert (crop == 77).all()
    far = aligned_crop(
        np.full((50, 50, 3), 9, np.uint8), SOURCE.astype(np.float32) * 30 + 5000, RETAIL_0095_TEMPLATE, 32
    )
    assert far.shape == (32, 32, 3)
    assert (far == 9).all()


def test_template_by_name_or_by_numbers():
    assert template_of("retail-0095") is TEMPLATES["retail-0095"]
    numbers = [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]
    np.testing.assert_allclose(template_of(numbers), numbers)


@pytest.mark.parametrize("value", ["arcface", None, 3, [[1, 2]], [[1, 2, 3]] * 5, ["a", "b"], [[1, 2], [3]]])
def test_template_that_is_none(value):
    with pytest.raises(ConfigurationError, match=r"parameters\.template"):
        template_of(value)
