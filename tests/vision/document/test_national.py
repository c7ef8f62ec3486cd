"""National numbers: each rule of GB 11643, other schemes by python-stdnum, and the number line of the Chinese card."""

import datetime
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import get_cc_module

from device.protocol import DocumentType, Reason, Result
from device.vision.document import national
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from tests.vision.document.synthetic import TODAY, doubt, evidence

REGIONS = ("110101", "310104", "440113", "360426")


def _number(region: str, born: datetime.date, sequence: int) -> str:
    """A number with its check character, by the table of GB 11643 and not by the code under test."""
    body = f"{region}{born:%Y%m%d}{sequence:03d}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return body + "10X98765432"[sum(w * int(c) for w, c in zip(weights, body, strict=True)) % 11]


NUMBERS = st.builds(
    _number,
    st.sampled_from(REGIONS),
    st.dates(datetime.date(1900, 1, 1), datetime.date(2025, 12, 31)),
    st.integers(0, 999),
)
WITH_X = next(number for s in range(999) if (number := _number("110101", datetime.date(1990, 3, 7), s)).endswith("X"))


@given(NUMBERS)
def test_every_right_number_is_right(text: str) -> None:
    number = national.resident_number(text, TODAY)
    assert number.valid
    assert number.date_of_birth == PartialDate(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    assert number.sex == ("M" if int(text[16]) % 2 else "F")


@given(st.sampled_from(REGIONS), st.dates(datetime.date(1900, 1, 1), datetime.date(2025, 12, 31)), st.integers(0, 999))
def test_composed_numbers_have_the_check_character_of_the_table(region: str, born: datetime.date, number: int) -> None:
    assert national.compose_resident_number(region, born, number) == _number(region, born, number)


@given(NUMBERS, st.integers(0, 17), st.sampled_from("0123456789X"))
def test_every_single_change_is_caught(text: str, index: int, character: str) -> None:
    changed = text[:index] + character + text[index + 1 :]
    assert national.resident_number(changed, TODAY).valid == (changed == text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_number("990101", datetime.date(1990, 1, 1), 7), Reason.CHARACTERS_NOT_ALLOWED),
        (_number("110101", datetime.date(2027, 1, 1), 7), Reason.DATE_IMPOSSIBLE),
        (WITH_X[:-1], Reason.CHARACTERS_NOT_ALLOWED),
        (WITH_X[:-1] + "0", Reason.CHECK_DIGIT_WRONG),
        ("X" + WITH_X[1:], Reason.CHARACTERS_NOT_ALLOWED),
    ],
    ids=["no such region", "born tomorrow", "seventeen digits", "X replaced", "X in front"],
)
def test_defects(text: str, reason: Reason) -> None:
    assert national.resident_number(text, TODAY).reason is reason


def test_a_card_is_read_from_evidence_with_x() -> None:
    reading = national.read_resident_card(evidence(WITH_X), TODAY)
    assert reading is not None
    assert reading.consistent
    assert reading.fields.document_type is DocumentType.IDENTITY_CARD
    assert (reading.fields.issuing_state, reading.fields.document_number) == ("CHN", WITH_X)
    assert reading.fields.date_of_birth == PartialDate(1990, 3, 7)


def test_an_open_digit_is_settled_by_the_check_character() -> None:
    line = doubt(evidence(WITH_X), 15, {WITH_X[15]: 0.4, str((int(WITH_X[15]) + 5) % 10): 0.5})
    reading = national.read_resident_card(line, TODAY)
    assert reading is not None
    assert reading.number.text == WITH_X


@given(NUMBERS, st.integers(0, 17), st.sampled_from("0123456789X"))
@settings(max_examples=60, deadline=None)
def test_a_clear_wrong_number_is_not_repaired(text: str, index: int, character: str) -> None:
    changed = text[:index] + character + text[index + 1 :]
    reading = national.read_resident_card(evidence(changed), TODAY)
    assert reading is None or reading.number.text == changed or not reading.consistent
    if changed != text:
        assert reading is None or not reading.consistent


@pytest.mark.parametrize(
    ("index", "character", "reason"),
    [(6, "5", Reason.DATE_IMPOSSIBLE), (10, "7", Reason.DATE_IMPOSSIBLE), (0, "0", Reason.CHARACTERS_NOT_ALLOWED)],
)
def test_a_clear_digit_that_may_not_stand_there_is_read_as_printed(index: int, character: str, reason: Reason) -> None:
    changed = WITH_X[:index] + character + WITH_X[index + 1 :]
    reading = national.read_resident_card(evidence(changed), TODAY)
    assert reading is not None
    assert reading.number.text == changed
    assert reading.number.reason is reason
    assert not reading.consistent
    assert reading.plausible


def test_other_lines_are_no_card() -> None:
    assert national.read_resident_card(evidence("ABCDEFGHIJKLMNOPQR"), TODAY) is None
    assert national.read_resident_card(evidence("12345"), TODAY) is None


def test_noise_is_never_consistent() -> None:
    generator = np.random.default_rng(2)
    for _ in range(50):
        text = "".join(generator.choice(list("0123456789"), 18))
        reading = national.read_resident_card(evidence(text, 0.6, int(generator.integers(1 << 30))), TODAY)
        assert reading is None or not reading.consistent


@pytest.mark.parametrize(
    ("state", "optional", "born", "expected"),
    [
        ("SWE", ("199003071231",), PartialDate(1990, 3, 7), "19900307-1231"),
        ("BGR", ("7501021009",), PartialDate(1975, 1, 2), "7501021009"),
        ("ROU", ("1310012",), PartialDate(1988, 3, 20), None),
        ("UTO", ("7501021009",), None, None),
    ],
)
def test_numbers_in_optional_data(
    state: str, optional: tuple[str, ...], born: PartialDate | None, expected: str | None
) -> None:
    fields = DocumentFields(
        document_type=DocumentType.IDENTITY_CARD, issuing_state=state, optional_data=optional, date_of_birth=born
    )
    number = national.number_in(fields, TODAY)
    assert (number.text if number else None) == expected


def test_the_romanian_number_takes_its_date_from_the_zone() -> None:
    module = get_cc_module("ro", "cnp")
    body = "163061512345"
    whole = body + module.calc_check_digit(body)
    assert module.is_valid(whole)
    fields = DocumentFields(
        document_type=DocumentType.IDENTITY_CARD,
        issuing_state="ROU",
        optional_data=(whole[0] + whole[7:],),
        date_of_birth=PartialDate(1963, 6, 15),
    )
    number = national.number_in(fields, TODAY)
    assert number is not None
    assert number.text == whole


@given(st.sampled_from(sorted(national.SCHEMES.values())), st.text(max_size=60))
def test_any_text_ends_in_a_result(scheme: str, text: str) -> None:
    number = national.judge(scheme, text, TODAY)
    assert number is not None
    assert len(number.text) <= national.MAX_LENGTH


def test_unknown_schemes() -> None:
    assert national.judge("xx_number", "1", TODAY) is None


@pytest.mark.shared
def test_vectors_of_other_projects(shared: Path) -> None:
    vectors = json.loads((shared / "data/documents/national_number_vectors/numbers.json").read_text())
    today = datetime.date(2026, 1, 1)
    assert len(vectors) == 21
    judged = 0
    for scheme, lists in vectors.items():
        for text in lists["valid_list"]:
            number = national.judge(scheme, text, today)
            assert number is not None
            assert number.valid, (scheme, text)
            judged += 1
        peer = get_cc_module(*scheme.split("_", 1))
        for text in lists["mentioned"]:
            number = national.judge(scheme, text, today)
            assert number is not None
            assert (number.reason is None) == peer.is_valid(text), (scheme, text)
            assert all(result in (Result.PASS, Result.FAIL) for result, _ in number.checks.values())
            judged += 1
    print(f"{judged} numbers of {len(vectors)} national schemes judged right")


@pytest.mark.parametrize(
    ("scheme", "text", "known"),
    [
        ("my_nric", "040730145678", False),
        ("se_personnummer", "900307-1231", False),
        ("se_personnummer", "19900307-1231", True),
        ("bg_egn", "7501021009", True),
    ],
)
def test_whether_a_number_says_its_century(scheme: str, text: str, known: bool) -> None:
    number = national.judge(scheme, text, TODAY)
    assert number is not None
    assert number.valid
    assert number.century_known is known
