"""The zone is found among other print, on patterns, and in layouts that are not the standard's."""

import datetime

import cv2
import numpy as np
import pytest

from device.protocol import Reason, Result
from device.vision.document.geometry import Pyramid, TextBox
from device.vision.document.locate import find_bands, stages
from device.vision.document.parameters import parameters
from device.vision.document.textline import TextLineReader
from device.vision.document.zone import ZoneReader
from device.vision.document.zone_align import alignments, number_lines
from device.vision.document.zone_search import Zone, ZoneSearch
from device.vision.inference.manifest import load_manifest
from models.training.resident_scenes import ResidentCards
from models.training.textline_scenes import Scenes
from models.training.textline_stress import cloth, laid, text_page
from tests.vision.document import scenes

TODAY = datetime.date(2026, 6, 1)
Grey = np.ndarray


@pytest.fixture(scope="module")
def zones() -> ZoneReader:
    return ZoneReader(TextLineReader(load_manifest()), parameters("zone"))


@pytest.fixture(scope="module")
def search(zones: ZoneReader) -> ZoneSearch:
    return ZoneSearch(zones, parameters("reader"))


def grey_of(image: np.ndarray) -> Grey:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), np.uint8)


def said(zone: Zone) -> tuple[str, ...]:
    return zone.reading.lines if zone.reading is not None else ()


@pytest.mark.parametrize("layout", ["FRENCH-ID", "SWISS-LICENCE", "FRENCH-LICENCE", "LICENCE"])
def test_national_layouts(search: ZoneSearch, layout: str) -> None:
    scene = Scenes(17, hard=0.25, capital=(13.0, 22.0), layouts=(layout,)).sample()
    zone = search.find(grey_of(scene.image), TODAY)
    assert said(zone) == scene.lines
    assert zone.reading is not None
    assert zone.reading.layout == layout


@scenes.needs_chinese
def test_the_number_of_a_resident_card_is_read_alone(search: ZoneSearch) -> None:
    """Labels stand on the number's line, and it is shorter than any zone's."""
    cards = ResidentCards(19, hard=0.25, capital=(12.0, 22.0))
    for index in range(6):
        scene = cards.at(index)
        zone = search.find(grey_of(scene.image), TODAY)
        assert zone.card is not None
        assert (zone.card.number.text,) == scene.lines
        assert zone.card.consistent
        assert zone.holds
        assert zone.reading is None
        assert len(zone.lines) == 1


@scenes.needs_chinese
def test_a_wrong_resident_number_is_read_as_printed(search: ZoneSearch) -> None:
    cards = ResidentCards(20, hard=0.25, capital=(12.0, 22.0), altered=True)
    for index in range(6):
        scene = cards.at(index)
        zone = search.find(grey_of(scene.image), TODAY)
        assert zone.card is not None
        assert (zone.card.number.text,) == scene.lines
        assert zone.card.checks["check_digit"] == (Result.FAIL, Reason.CHECK_DIGIT_WRONG)
        assert not zone.holds


def test_a_part_of_a_zone_is_no_resident_number(zones: ZoneReader) -> None:
    """Eighteen digits inside a line do not stand alone."""
    scene = Scenes(41, hard=0.1, capital=(13.0, 14.0), layouts=("SWISS-LICENCE",)).sample()
    picture = grey_of(scene.image)
    pyramid = Pyramid(picture)
    lines = next(found for band in find_bands(picture) if (found := zones.read(pyramid, band)))
    assert any(sum(map(str.isdigit, line.evidence.text)) >= 18 for line in lines)
    assert list(number_lines(lines)) == []


@pytest.mark.parametrize("ground", ["page of print", "patterned cloth"])
def test_a_document_on_busy_ground(search: ZoneSearch, ground: str) -> None:
    rng = np.random.default_rng(4)
    exact = 0
    for scene in scenes.good(4, seed=51):
        below = text_page(rng, (1700, 2200)) if ground == "page of print" else cloth(rng, (1600, 1200))
        picture = laid(scene.image, below, 0.9, rng, rng.uniform(-8, 8))
        zone = search.find(grey_of(picture), TODAY)
        assert not zone.holds or said(zone) == scene.lines
        exact += said(zone) == scene.lines
    assert exact >= 3


def test_print_on_the_same_line_is_left_out(zones: ZoneReader) -> None:
    scene = Scenes(23, hard=0.1, capital=(13.0, 14.0), layouts=("TD1",)).sample()
    picture = grey_of(scene.image)
    pyramid = Pyramid(picture)
    lines = next(found for band in find_bands(picture) if len(found := zones.read(pyramid, band)) == 3)
    longer = [line.window(-8, 44) for line in lines]  # what stands beside the card was read as more of its lines
    offered = list(alignments(longer))
    assert {len(line.reading) for line in offered[0]} == {44}
    thirty = next(each for each in offered if {len(line.reading) for line in each} == {30})
    assert tuple(line.evidence.text for line in thirty) == scene.lines


def test_a_pattern_is_no_zone(search: ZoneSearch) -> None:
    dots = np.full((480, 640), 220, np.uint8)
    for y in (200, 230):
        for x in range(40, 600, 18):
            cv2.circle(dots, (x, y), 6, 30, 2)
    assert not search.find(dots, TODAY).holds


def test_looking_again_keeps_what_is_clear(zones: ZoneReader) -> None:
    scene = Scenes(29, hard=0.1, capital=(14.0, 15.0), layouts=("TD3",)).sample()
    picture = grey_of(scene.image)
    pyramid = Pyramid(picture)
    found = next(found for band in find_bands(picture) if (found := zones.read(pyramid, band)))
    again = [zones.again(pyramid, line) for line in found]
    assert tuple(line.evidence.text for line in again) == scene.lines
    assert all(np.allclose(line.evidence.probabilities.sum(axis=1), 1, atol=1e-5) for line in again)


def test_coarse_levels_come_first_and_agree_with_the_whole_search() -> None:
    picture = grey_of(scenes.good(1, seed=8)[0].image)
    *coarse, last = stages(picture)
    assert len(coarse) == 2
    assert 0 < len(coarse[1]) <= 8
    assert [band.lines for band in last] == [band.lines for band in find_bands(picture)]
    assert all(isinstance(line, TextBox) for bands in coarse for band in bands for line in band.lines)


def test_a_part_of_a_zone_is_not_vouched_for(zones: ZoneReader) -> None:
    """A passport's second line begins as a TD2 card's does: without its end all check digits but one hold."""
    scene = Scenes(31, hard=0.1, capital=(13.0, 14.0), layouts=("TD3",)).sample()
    picture = grey_of(scene.image)
    pyramid = Pyramid(picture)
    lines = next(found for band in find_bands(picture) if len(found := zones.read(pyramid, band)) == 2)
    assert not any(line.evidence.cut_off for line in lines)
    part = [line.window(0, 36) for line in lines]
    assert all(line.evidence.cut_off for line in part)
    whole = [offered for offered in alignments(part) if {len(line.reading) for line in offered} == {44}]
    assert tuple(line.evidence.text for line in whole[0]) == scene.lines


def test_further_lines_lie_as_the_first(zones: ZoneReader) -> None:
    """One cut of a line that lies like its neighbour says what two of its own would."""
    scene = Scenes(37, hard=0.1, capital=(13.0, 14.0), layouts=("TD1",)).sample()
    picture = grey_of(scene.image)
    pyramid = Pyramid(picture)
    found = next(found for band in find_bands(picture) if len(found := zones.read(pyramid, band)) == 3)
    assert tuple(line.evidence.text for line in found) == scene.lines
    assert zones._like(pyramid, found[0], found[2].box) is not None
    away = found[0].box.moved(0, -3 * found[0].box.height)
    assert zones._like(pyramid, found[0], away) is None
