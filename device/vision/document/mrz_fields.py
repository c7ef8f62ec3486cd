"""What a document says about itself and its holder, whichever zone or code it was read from.

In: values that `mrz.py`, `aamva.py` or `national.py` have read. Out: `DocumentFields`, `PartialDate`, and the rules
that turn two-digit years into dates (ICAO Doc 9303-3 section 4.8: a birth is past, an expiry is near).
"""

from __future__ import annotations

import calendar
import datetime
from dataclasses import dataclass
from typing import Final

from device.protocol import DocumentType

EXPIRY_WINDOW_YEARS: Final = 50
"""A two-digit year of expiry means the year nearest to today; no document is issued for half a century."""


@dataclass(frozen=True, order=True)
class PartialDate:
    """A date of which month and day may be unknown (ICAO Doc 9303-3 section 4.8 lets fillers stand for both)."""

    year: int
    month: int | None = None
    day: int | None = None

    @property
    def possible(self) -> bool:
        """Whether the calendar has such a day."""
        if not 1 <= self.year <= 9999 or (self.month is None and self.day is not None):
            return False
        if self.month is None:
            return True
        if not 1 <= self.month <= 12:
            return False
        return self.day is None or 1 <= self.day <= calendar.monthrange(self.year, self.month)[1]

    @property
    def earliest(self) -> datetime.date:
        """First day that it can mean. Only for a `possible` date."""
        return datetime.date(self.year, self.month or 1, self.day or 1)

    @property
    def latest(self) -> datetime.date:
        """Last day that it can mean. Only for a `possible` date."""
        month = self.month or 12
        return datetime.date(self.year, month, self.day or calendar.monthrange(self.year, month)[1])

    @property
    def text(self) -> str:
        """ISO 8601, cut where it is unknown: `1974-08-12`, `1974-08`, `1974`."""
        parts = [f"{self.year:04d}", *(f"{part:02d}" for part in (self.month, self.day) if part is not None)]
        return "-".join(parts)

    @property
    def mrz(self) -> str:
        """YYMMDD with fillers for what is unknown."""
        parts = (f"{part:02d}" if part is not None else "<<" for part in (self.month, self.day))
        return f"{self.year % 100:02d}" + "".join(parts)


@dataclass(frozen=True)
class DocumentFields:
    """The fields of one source. Empty text means that the source does not say.

    Names are in capital letters with spaces as on the document; states and nationality are ICAO three-letter codes
    without fillers ("D", "UTO"); `jurisdiction` is the part of the state that issued it (ISO 3166-2); `sex` is "F",
    "M", "X" (unspecified) or "" (not said).
    `expires` is False only if the document says that it has no expiry; a source may also just not say it.
    """

    document_code: str = ""
    document_type: DocumentType = DocumentType.OTHER
    issuing_state: str = ""
    jurisdiction: str = ""
    document_number: str = ""
    surname: str = ""
    given_names: str = ""
    nationality: str = ""
    date_of_birth: PartialDate | None = None
    sex: str = ""
    date_of_expiry: PartialDate | None = None
    expires: bool = True
    date_of_issue: PartialDate | None = None
    national_number: str = ""
    optional_data: tuple[str, ...] = ()
    name_truncated: bool = False

    @property
    def name(self) -> str:
        """Surname and given names as one text, in the order of the machine readable zone."""
        return ", ".join(part for part in (self.surname, self.given_names) if part)


class ImpossibleDate(ValueError):
    """The characters are not a date; the caller reports `DATE_IMPOSSIBLE`."""


def _parts(text: str) -> tuple[int, int | None, int | None] | None:
    """Two-digit year, month and day of YYMMDD with fillers; None if the year is unknown."""
    if set(text) <= {"<"}:
        return None
    year, month, day = text[0:2], text[2:4], text[4:6]
    if year == "<<":
        raise ImpossibleDate(text)
    numbers: list[int | None] = []
    for part in (year, month, day):
        if part == "<<":
            numbers.append(None)
        elif part.isascii() and part.isdigit():
            numbers.append(int(part))
        else:
            raise ImpossibleDate(text)
    assert numbers[0] is not None
    return numbers[0], numbers[1], numbers[2]


def _in_year(year: int, month: int | None, day: int | None, text: str) -> PartialDate:
    date = PartialDate(year, month, day)
    if not date.possible:
        raise ImpossibleDate(text)
    return date


def date_of_birth(text: str, today: datetime.date) -> PartialDate | None:
    """Date of YYMMDD that lies in the past, in the latest century possible; None if it is all fillers.

    Raises:
        ImpossibleDate: the calendar has no such day in the last two hundred years.
    """
    parts = _parts(text)
    if parts is None:
        return None
    short, month, day = parts
    century = today.year // 100 * 100
    for year in (century + short, century - 100 + short):
        date = PartialDate(year, month, day)
        if date.possible and date.earliest <= today:
            return date
    raise ImpossibleDate(text)


def date_of_expiry(text: str, today: datetime.date) -> PartialDate | None:
    """Date of YYMMDD nearest to today; None for a document without expiry (all fillers).

    Raises:
        ImpossibleDate: the calendar has no such day.
    """
    parts = _parts(text)
    if parts is None:
        return None
    short, month, day = parts
    year = today.year // 100 * 100 + short
    if year - today.year > EXPIRY_WINDOW_YEARS:
        year -= 100
    elif today.year - year >= EXPIRY_WINDOW_YEARS:
        year += 100
    return _in_year(year, month, day, text)
