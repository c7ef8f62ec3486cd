"""Rendered documents: what the machine readable zone says, where it is, and how large it is before the camera."""

import dataclasses
import datetime

import numpy as np
import pytest

from device.errors import ConfigurationError
from device.vision.camera.emulation.document_art import DocumentArt, draw_document
from device.vision.camera.emulation.held_document import HeldDocument
from device.vision.camera.emulation.person import Held
from device.vision.camera.emulation.portrait import load_portrait
from device.vision.camera.emulation.printing import DOTS
from device.vision.camera.emulation.scenario import Document, Fields, Holding, Tampering, load_scenario
from device.vision.document.mrz_layouts import check_digit
from device.vision.document.national import resident_number

TODAY = datetime.date(2030, 5, 17)


def drawn(document: Document) -> DocumentArt:
    return draw_document(document, load_portrait("astronaut").document_picture(), TODAY, 1)


def test_a_passport_carries_its_fields_and_right_check_digits() -> None:
    art = drawn(load_scenario("standard").document)
    assert art.printed == art.true
    assert art.printed[0] == "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<"
    second = art.printed[1]
    assert second[:10] == "L898902C3" + check_digit("L898902C3")
    expiry = TODAY + datetime.timedelta(days=load_scenario("standard").document.fields.expires_in_days)
    assert second[21:27] == expiry.strftime("%y%m%d")
    assert second[43] == check_digit(second[:10] + second[13:20] + second[21:43])


def test_a_card_has_its_zone_on_the_back() -> None:
    art = drawn(load_scenario("identity_card").document)
    assert [len(line) for line in art.printed] == [30, 30, 30]
    assert art.back is not None
    assert art.back.shape == art.front.shape


def test_a_resident_card_has_a_right_number_of_its_birth_date_on_the_front() -> None:
    art = drawn(load_scenario("resident_card").document)
    assert art.back is None
    (number,) = art.printed
    born = TODAY - datetime.timedelta(days=load_scenario("resident_card").document.fields.born_days_ago)
    assert number[6:14] == born.strftime("%Y%m%d")
    assert resident_number(number, TODAY).valid
    assert resident_number(number, TODAY).sex == "F"


def test_dates_move_with_the_day() -> None:
    expired = drawn(load_scenario("expired_document").document).printed[1][21:27]
    assert expired < TODAY.strftime("%y%m%d")


def test_tampering_changes_one_character_and_no_check_digit() -> None:
    art = drawn(load_scenario("tampered_mrz").document)
    differing = [(one, two) for one, two in zip("".join(art.printed), "".join(art.true), strict=True) if one != two]
    assert len(differing) == 1
    assert check_digit(art.printed[1][:9]) != art.printed[1][9]


def test_tampering_that_changes_nothing_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="already stands there"):
        drawn(Document(tampering=Tampering(line=1, column=1, character="P")))


def test_the_portrait_is_printed_large_enough_to_match() -> None:
    for name in ("standard", "identity_card", "resident_card"):
        left, top, right, bottom = drawn(load_scenario(name).document).portrait_box
        assert 300 <= (bottom - top) * DOTS <= 500
        assert 0.7 < (right - left) / (bottom - top) < 0.85


@pytest.mark.parametrize("layout", ["TD3", "TD1", "GB11643"])
def test_characters_are_at_least_14_pixels_high_as_the_document_is_held(layout: str) -> None:
    art = drawn(Document(layout=layout))
    how = Holding()
    held = Held(layout == "TD1", how.height, how.x, how.y, how.tilt_x, how.tilt_y, how.turn, how.glare, how.blur)
    corners = HeldDocument(art).corners(held, (1280, 720))
    height = min(np.linalg.norm(corners[3] - corners[0]), np.linalg.norm(corners[2] - corners[1]))
    assert height / art.size[1] * 2.4 >= 14  # 2.4 mm: capital letters of OCR-B size 1
    assert corners.min() > 0
    assert (corners < (1280, 720)).all()


def test_a_document_with_the_wrong_day_of_birth_is_not_drawn() -> None:
    with pytest.raises(ConfigurationError, match=r"document\.fields"):
        drawn(Document(fields=Fields(document_number="L898902C3X9")))


def test_the_glare_wanders_as_the_document_tilts() -> None:
    art = drawn(Document())
    plain = dataclasses.replace(art, front=np.full_like(art.front, 90))
    document = HeldDocument(plain)
    places = []
    for tilt in (-6, 6):
        frame = np.full((720, 1280, 3), 60, np.uint8)
        document.draw(frame, Held(False, 0.8, 0.5, 0.5, 0, tilt, 0, 0.9, 0.3))
        bright = np.argwhere(frame[:, :, 2] > 140)
        places.append(bright.mean(axis=0))
    assert abs(places[0][1] - places[1][1]) > 60
