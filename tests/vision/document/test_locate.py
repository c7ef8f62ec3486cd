import cv2
import numpy as np
import pytest

from device.vision.document import outline
from device.vision.document.geometry import Pyramid, StripMap, TextBox
from device.vision.document.locate import find_bands
from tests.vision.document import scenes


def text_page(angle: float, size: tuple[int, int] = (700, 1000)) -> np.ndarray:
    """Two rows of strokes, as a zone looks from afar, turned by so many degrees about the middle."""
    page = np.full(size, 230, np.uint8)
    for row in (340, 375):
        for column in range(44):
            x = 130 + column * 17
            cv2.line(page, (x, row), (x + (column % 3) * 3, row - 15), 20, 2)
            cv2.line(page, (x, row - 8), (x + 8, row - 8), 20, 2)
    matrix = cv2.getRotationMatrix2D((size[1] / 2, size[0] / 2), angle, 0.8)
    return cv2.warpAffine(page, matrix, size[::-1], borderValue=230)


@pytest.mark.parametrize("angle", [0, 7, -18, 90, 101, 180, 270, 255])
def test_two_rows_are_found_at_any_orientation(angle: float) -> None:
    band = find_bands(text_page(angle))[0]
    assert len(band.lines) == 2
    for line in band.lines:
        turned = (np.rad2deg(line.angle) + angle) % 180
        assert min(turned, 180 - turned) < 3
        assert 0.85 * 44 * 17 * 0.8 < line.length < 1.15 * 44 * 17 * 0.8


@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_small_and_large_pictures(scale: float) -> None:
    page = cv2.resize(text_page(3), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    band = find_bands(page)[0]
    assert len(band.lines) == 2
    assert abs(band.lines[0].length / (44 * 17 * 0.8 * scale) - 1) < 0.2


def test_nothing_is_found_on_a_blank_page() -> None:
    assert find_bands(np.full((480, 640), 200, np.uint8)) == []


@pytest.mark.parametrize("shape", [(16, 16), (16, 3000), (3000, 16), (17, 640)])
def test_thin_pictures_are_no_error(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)
    assert isinstance(find_bands(picture), list)


def test_a_strip_is_cut_where_the_box_is() -> None:
    page = text_page(0)
    box = TextBox((500.0, 346.0), 0.0, 600.0, 13.0)
    strip = StripMap.of_box(box, 832, 16.0)
    cut = strip.cut(Pyramid(page), 32)
    assert cut.shape == (32, 832)
    places = strip.to_image(np.array([0.0, 415.5, 831.0]), np.array([15.5, 15.5, 15.5]), 32)
    assert np.allclose(places[1], box.centre, atol=0.5)
    assert np.allclose(places[2] - places[0], [831 * 13 / 16, 0], atol=0.5)


def test_the_pyramid_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (512, 256))
    strip = StripMap.of_box(TextBox((256.0, 256.0), 0.0, 400.0, 64.0), 100, 8.0)
    assert strip.cut(Pyramid(stripes), 16).std() < 10


def test_the_document_follows_from_its_zone() -> None:
    page = (100.0, 50.0, 8.0)  # left, top, px a millimetre
    lines = []
    for row in (1, 0):
        y = page[1] + (88 - 9 - row * 6.35) * page[2]
        width = 44 * 2.54 * page[2]
        lines.append((TextBox((page[0] + 125 * page[2] / 2, y), 0.0, width, 20.0), 44))
    quad = outline.from_zone(lines)
    assert quad is not None
    expected = np.array([(0, 0), (125, 0), (125, 88), (0, 88)]) * page[2] + page[:2]
    assert np.allclose(quad, expected, atol=2)


def test_the_outline_is_found_without_a_zone() -> None:
    picture = np.full((600, 800, 3), 40, np.uint8)
    corners = np.array([(150, 120), (640, 160), (620, 470), (130, 430)], np.int32)
    cv2.fillConvexPoly(picture, corners, (220, 225, 215))
    quad = outline.from_edges(picture)
    assert quad is not None
    assert np.abs(quad - corners).max() < 12
    flat = outline.rectify(picture, quad)
    assert flat is not None
    assert flat.shape[1] > flat.shape[0]
    assert flat.mean() > 200


def test_no_outline_on_grey() -> None:
    assert outline.from_edges(scenes.flat()) is None
