"""Two-digit years become the dates that they can only mean."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.vision.document.mrz_fields import ImpossibleDate, PartialDate, date_of_birth, date_of_expiry

TODAY = datetime.date(2026, 6, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("740812", "1974-08-12"), ("260601", "2026-06-01"), ("260602", "1926-06-02"), ("000229", "2000-02-29")],
)
def test_a_birth_is_past(text: str, expected: str) -> None:
    date = date_of_birth(text, TODAY)
    assert date is not None
    assert date.text == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("300415", "2030-04-15"), ("751231", "2075-12-31"), ("990101", "1999-01-01")]
)
def test_an_expiry_is_near(text: str, expected: str) -> None:
    date = date_of_expiry(text, TODAY)
    assert date is not None
    assert date.text == expected


def test_unknown_parts_span_all_that_they_can_mean() -> None:
    date = date_of_birth("7408<<", TODAY)
    assert date == PartialDate(1974, 8)
    assert date.earliest == datetime.date(1974, 8, 1)
    assert date.latest == datetime.date(1974, 8, 31)
    year = date_of_birth("74<<<<", TODAY)
    assert year is not None
    assert year.latest == datetime.date(1974, 12, 31)
    assert date_of_birth("<<<<<<", TODAY) is None


@pytest.mark.parametrize("text", ["741312", "740832", "000000", "7O0812", "<<0812", "74<<12", "990229"])
def test_impossible_dates(text: str) -> None:
    with pytest.raises(ImpossibleDate):
        date_of_birth(text, TODAY)
    with pytest.raises(ImpossibleDate):
        date_of_expiry(text, TODAY)


@given(st.dates(datetime.date(1927, 1, 1), TODAY))
def test_births_of_the_last_99_years_read_back(day: datetime.date) -> None:
    assert date_of_birth(day.strftime("%y%m%d"), TODAY) == PartialDate(day.year, day.month, day.day)


@given(st.dates(datetime.date(1977, 1, 1), datetime.date(2075, 12, 31)))
def test_expiries_within_fifty_years_read_back(day: datetime.date) -> None:
    assert date_of_expiry(day.strftime("%y%m%d"), TODAY) == PartialDate(day.year, day.month, day.day)
