"""The PDF417 of North American licences and identification cards.

In: the bytes of a barcode. Out: an `AamvaDocument`, or None if they are no such document.
AAMVA DL/ID Card Design Standard, versions 01 (2000) to 10 (2020), annex D. Genuine cards break it in many ways: headers
with other control characters, offsets that point nowhere, a subfile that begins without its name. What identifies an
element is its three letters at the beginning of a line, so that is what is relied on; what the header says is
compared with what is there and reported in `defects`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from device.protocol import DocumentType, Reason, Result
from device.vision.document.aamva_tables import CANADIAN_PROVINCES, COUNTRIES, ESSENTIAL, ISSUERS, mandatory
from device.vision.document.mrz_fields import DocumentFields, PartialDate

Answer = tuple[Result, Reason | None]

MAX_BYTES: Final = 4096
MAX_ELEMENTS: Final = 160
MAX_VALUE: Final = 256

_HEADER: Final = re.compile(r"(?:ANSI|AAMVA)[ ]{0,3}(\d{6})(\d{2})")
"""File type, issuer identification number, version. Version 01 writes AAMVA without a blank."""
_DESIGNATOR: Final = re.compile(r"([A-Z]{2})(\d{4})(\d{4})")
_BEGIN: Final = re.compile(r"(DL|ID|EN)?\s*(?=D[A-D][A-Z])")
_ELEMENT: Final = re.compile(r"(D[A-D][A-Z]|Z[A-Z][A-Z0-9])(.*)", re.DOTALL)
_SEPARATORS: Final = re.compile("[\n\r\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f|]+")
"""Data element separator is LF, segment terminator CR; some encoders write others, or a bar."""
_UNKNOWN: Final = frozenset(("", "NONE", "UNAVL", "UNK", "N/A", "<<<<"))
_SEX: Final = {"1": "M", "2": "F", "9": "X", "M": "M", "F": "F", "X": "X"}
_NO_EXPIRY: Final = frozenset(("NONE", "NONEXP", "NOEXPIRY", "99999999", "99991231", "12319999", "00000000", "INDEF"))

POUND_KG: Final = 0.45359237
INCH_CM: Final = 2.54


@dataclass(frozen=True)
class AamvaDocument:
    """A licence's barcode.

    elements: the DL or ID subfile, by element identifier. subfiles: the jurisdiction's own. missing: mandatory
    elements of this version that are not there. defects: how the header differs from the standard, by name.
    height_cm and weight_kg are rounded; None if not said.
    """

    issuer: str
    version: int
    subfile: str
    elements: Mapping[str, str]
    subfiles: Mapping[str, Mapping[str, str]]
    fields: DocumentFields
    checks: Mapping[str, Answer]
    missing: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    height_cm: int | None = None
    weight_kg: int | None = None

    @property
    def reason(self) -> Reason | None:
        """The first rule that does not hold; None if all do."""
        return next((reason for result, reason in self.checks.values() if result is Result.FAIL), None)


def parse(data: bytes, today: datetime.date) -> AamvaDocument | None:
    """Parse a payload; None if it has no AAMVA header or not one element."""
    if not 0 < len(data) <= MAX_BYTES:
        return None
    text = _text(data)
    header = _HEADER.search(text)
    if header is None:
        return None
    issuer, version = header[1], int(header[2])
    types, position, defects = _designators(text, header.end(), version)
    begin = _BEGIN.search(text, position)
    if begin is None:
        return None
    subfile = begin[1] or next((name for name in types if name in ("DL", "ID", "EN")), "DL")
    elements, subfiles = _elements(text[begin.end() :], [name for name in types if name.startswith("Z")])
    if not elements:
        return None
    if not text.startswith("@\n"):
        defects.append("compliance_indicator")
    if not begin[1]:
        defects.append("subfile_without_type")
    kind = "ID" if subfile == "ID" else "DL"
    missing = tuple(
        name for name in mandatory(version, kind) if name not in elements and not _stands_in(name, elements)
    )
    fields, checks = _fields(elements, issuer, kind, today)
    return AamvaDocument(
        issuer, version, subfile, elements, subfiles, fields, checks | _presence(fields, elements), missing,
        tuple(defects), _height(elements, version), _weight(elements),
    )  # fmt: skip


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.lstrip()


def _designators(text: str, position: int, version: int) -> tuple[list[str], int, list[str]]:
    """Types of the subfiles, where their list ends, and what is wrong with it.

    From version 02 a jurisdiction version stands before the number of entries.
    """
    defects: list[str] = []
    digits = re.compile(r"\d{0,4}").match(text, position)
    assert digits is not None
    wanted = 2 if version <= 1 else 4
    if len(digits[0]) < wanted:
        return [], digits.end(), ["header_short"]
    entries = int(digits[0][wanted - 2 : wanted])
    position += wanted
    types: list[str] = []
    while (match := _DESIGNATOR.match(text, position)) and len(types) < 10:
        types.append(match[1])
        position = match.end()
        offset, length = int(match[2]), int(match[3])
        # Offsets count from the compliance indicator.
        if text[offset : offset + 2] != match[1] and "subfile_offset" not in defects:
            defects.append("subfile_offset")
        if offset + length > len(text) + 2 and "truncated" not in defects:
            defects.append("truncated")
    if entries != len(types):
        defects.append("subfile_count")
    return types, position, defects


def _elements(text: str, jurisdiction: list[str]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Elements of the first subfile and of the jurisdiction's own. What is no element is left out."""
    for name in jurisdiction:
        # A jurisdiction's subfile begins with its type and an element that begins with the same letters.
        text = re.sub(f"{name}(?={name}[A-Z0-9])", f"\n{name}\n", text)
    main: dict[str, str] = {}
    subfiles: dict[str, dict[str, str]] = {name: {} for name in jurisdiction}
    current = main
    for count, line in enumerate(_SEPARATORS.split(text)):
        if count > MAX_ELEMENTS:
            break
        stripped = line.strip()
        if stripped in subfiles:
            current = subfiles[stripped]
            continue
        match = _ELEMENT.fullmatch(stripped)
        if match is None:
            continue
        target = main if match[1].startswith("D") else current
        if match[1].startswith("Z") and current is main:
            target = subfiles.setdefault(match[1][:2], {})
        target.setdefault(match[1], match[2].strip()[:MAX_VALUE])
    return main, subfiles


def _stands_in(name: str, elements: Mapping[str, str]) -> bool:
    """Whether other elements say what this one would: versions differ in how they split a name."""
    if name in ("DCS", "DAC", "DAD", "DCT", "DDE", "DDF", "DDG"):
        # Truncation marks (DDE to DDG) say something only of names that are split as from version 04 on.
        return name not in ("DCS", "DAC", "DCT") if "DCT" in elements or "DAA" in elements else False
    return name == "DAA" and "DAB" in elements


# --- Fields ----------------------------------------------------------------------------------------------------------


def _known(elements: Mapping[str, str], name: str) -> str:
    value = elements.get(name, "")
    return "" if value.upper() in _UNKNOWN else value


def _fields(
    elements: Mapping[str, str], issuer: str, subfile: str, today: datetime.date
) -> tuple[DocumentFields, dict[str, Answer]]:
    checks: dict[str, Answer] = {}
    dates: dict[str, PartialDate | None] = {}
    for name, element in (("date_of_birth", "DBB"), ("date_of_expiry", "DBA"), ("date_of_issue", "DBD")):
        dates[name] = None
        # A mandatory element may be there and say nothing; that is as good as one that is not (decision 0042).
        if _known(elements, element) or element in ESSENTIAL:
            dates[name], checks[f"{name}_possible"] = _date(elements.get(element, ""), element == "DBA")
    checks["dates_in_order"] = _in_order(dates, today)
    jurisdiction = ISSUERS.get(issuer, "") or _address_jurisdiction(elements)
    surname, given_names = _names(elements)
    country = COUNTRIES.get(jurisdiction[:2], "") or elements.get("DCG", "")[:3]
    fields = DocumentFields(
        document_code=subfile,
        document_type=DocumentType.IDENTITY_CARD if subfile == "ID" else DocumentType.DRIVING_LICENCE,
        issuing_state=country,
        jurisdiction=jurisdiction,
        document_number=_known(elements, "DAQ"),
        surname=surname,
        given_names=given_names,
        date_of_birth=dates["date_of_birth"],
        sex=_SEX.get(elements.get("DBC", "").upper()[:1], ""),
        date_of_expiry=dates["date_of_expiry"],
        expires=not (checks["date_of_expiry_possible"][0] is Result.PASS and dates["date_of_expiry"] is None),
        date_of_issue=dates["date_of_issue"],
        name_truncated="T" in (elements.get("DDE"), elements.get("DDF"), elements.get("DDG")),
    )
    return fields, checks


def _address_jurisdiction(elements: Mapping[str, str]) -> str:
    """For an issuer number that AAMVA did not give out: the jurisdiction of the holder's address."""
    code = elements.get("DAJ", "").upper()
    if not re.fullmatch(r"[A-Z]{2}", code):
        return ""
    return f"CA-{code}" if code in CANADIAN_PROVINCES else f"US-{code}"


def _names(elements: Mapping[str, str]) -> tuple[str, str]:
    """Surname and given names: DCS, DAC, DAD from version 04; DCS and DCT in 02 and 03; DAA, or DAB to DAD, in 01."""
    surname = _known(elements, "DCS") or _known(elements, "DAB")
    given = [_known(elements, "DAC"), _known(elements, "DAD")]
    if not any(given):
        given = [_known(elements, "DCT")]
    full = _known(elements, "DAA")
    if full and not (surname and any(given)):
        parts = [part.strip() for part in re.split(r"[,@$]", full)]
        surname = surname or parts[0]
        given = [part for part in parts[1:3] if part.upper() not in _UNKNOWN]
    words = re.split(r"[\s,]+", " ".join(given))
    return surname.upper(), " ".join(word for word in words if word).upper()


def _date(text: str, expiry: bool) -> tuple[PartialDate | None, Answer]:
    """CCYYMMDD (version 01, Canada) or MMDDCCYY (United States). No month begins a century, so the digits say which."""
    compact = re.sub(r"[\s/-]", "", text).upper()
    if expiry and compact in _NO_EXPIRY:
        return None, (Result.PASS, None)
    digits = re.match(r"\d{8}", compact)
    if digits is None:
        missing = Reason.MANDATORY_ELEMENT_MISSING if not compact else Reason.DATE_IMPOSSIBLE
        return None, (Result.FAIL, missing)
    value = digits[0]
    year, month, day = (
        (value[:4], value[4:6], value[6:]) if value[:2] in ("19", "20") else (value[4:], value[:2], value[2:4])
    )
    date = PartialDate(int(year), int(month), int(day))
    if not date.possible or not 1900 <= date.year <= 2100:
        return None, (Result.FAIL, Reason.DATE_IMPOSSIBLE)
    return date, (Result.PASS, None)


def _in_order(dates: Mapping[str, PartialDate | None], today: datetime.date) -> Answer:
    """Born, then issued, then expiring; nobody is born and nothing issued tomorrow."""
    born, issued, expires = (dates[name] for name in ("date_of_birth", "date_of_issue", "date_of_expiry"))
    known = [date.earliest for date in (born, issued, expires) if date]
    past = all(date.earliest <= today for date in (born, issued) if date)
    return (Result.PASS, None) if known == sorted(known) and past else (Result.FAIL, Reason.DATE_IMPOSSIBLE)


def _presence(fields: DocumentFields, elements: Mapping[str, str]) -> dict[str, Answer]:
    """Whether what identifies is there. An expiry may say that there is none."""
    values = {name: _known(elements, name) for name in ESSENTIAL} | {
        "name": fields.surname,
        "DBA": elements.get("DBA", ""),
    }
    complete = all(values.values())
    return {"mandatory": (Result.PASS, None) if complete else (Result.FAIL, Reason.MANDATORY_ELEMENT_MISSING)}


def _height(elements: Mapping[str, str], version: int) -> int | None:
    """DAU with its unit; version 01 writes feet and inches as three digits (506); DAV is centimetres."""
    if match := re.fullmatch(r"(\d{2,3})\s*CM", elements.get("DAU", "").upper()):
        return int(match[1])
    if match := re.fullmatch(r"(\d{2,3})\s*IN", elements.get("DAU", "").upper()):
        return round(int(match[1]) * INCH_CM)
    if version <= 1 and (match := re.fullmatch(r"(\d)-?(\d{2})", elements.get("DAU", ""))):
        return round((12 * int(match[1]) + int(match[2])) * INCH_CM)
    if match := re.fullmatch(r"(\d{2,3})(\s*CM)?", elements.get("DAV", "").upper()):
        return int(match[1])
    return None


def _weight(elements: Mapping[str, str]) -> int | None:
    """DAW in pounds unless it names kilograms; DAX in kilograms."""
    if match := re.fullmatch(r"(\d{2,3})\s*KG", elements.get("DAW", "").upper()):
        return int(match[1])
    if match := re.fullmatch(r"(\d{2,3})\s*(LBS?)?", elements.get("DAW", "").upper()):
        return round(int(match[1]) * POUND_KG)
    if match := re.fullmatch(r"(\d{2,3})\s*(KG)?", elements.get("DAX", "").upper()):
        return int(match[1])
    return None
