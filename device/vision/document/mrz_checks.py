"""What a machine readable zone says and whether its own rules hold, given the text.

In: a layout and its lines. Out: `DocumentFields` and one answer for each rule. Nothing is repaired here.
ICAO Doc 9303 parts 3 to 7.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Final

from device.protocol import DocumentType, Reason, Result
from device.vision.document import mrz_fields
from device.vision.document.mrz_fields import DocumentFields, ImpossibleDate, PartialDate
from device.vision.document.mrz_grammar import FILLER, VALUES, CheckDigit, Layout, Span, check_digit
from device.vision.document.mrz_names import split_name

Answer = tuple[Result, Reason | None]
PASSED: Final[Answer] = (Result.PASS, None)

MANDATORY: Final = ("issuing_state", "document_number", "names", "surname")
"""What Doc 9303 lets no layout leave empty; a date of birth may be unknown, an expiry may not exist."""


LIFELONG: Final = ("990101", "991231")
LIFELONG_ISSUERS: Final = ("ESP", "ITA", "PRT")
"""Identity cards of the old say in full that they expire on the first or the last day of the year 9999. The zone has
two digits for the year; none of these states had cards of this format that expired in 1999."""


def digit_holds(check: CheckDigit, lines: Sequence[str]) -> bool:
    """Whether the check digit agrees with what it is over. A character outside the alphabet never agrees."""
    over, printed = "".join(span.of(lines) for span in check.over), check.at.of(lines)
    if any(character not in VALUES for character in over):
        return False
    if printed == FILLER:
        return check.optional and set(over) <= {FILLER}
    return printed == check_digit(over)


def judge(layout: Layout, lines: Sequence[str], today: datetime.date) -> tuple[DocumentFields, dict[str, Answer]]:
    """Fields and answers. Check digits carry the name of what they are over (`composite` for the last one);
    `characters`, `mandatory`, `date_of_birth_possible` and `date_of_expiry_possible` are the other rules."""
    answers: dict[str, Answer] = {}
    for check in layout.checks:
        answers[check.name] = PASSED if digit_holds(check, lines) else (Result.FAIL, Reason.CHECK_DIGIT_WRONG)
    answers["characters"] = (
        PASSED if _characters_allowed(layout, lines) else (Result.FAIL, Reason.CHARACTERS_NOT_ALLOWED)
    )
    texts = {element.name: element.span.of(lines) for element in layout.elements}
    if layout.name == "TD1" and texts["issuing_state"] in LIFELONG_ISSUERS and texts["date_of_expiry"] in LIFELONG:
        texts["date_of_expiry"] = FILLER * len(texts["date_of_expiry"])  # as other issuers write it
    missing = any(not texts[name].strip(FILLER) for name in MANDATORY if name in texts)
    answers["mandatory"] = (Result.FAIL, Reason.MANDATORY_ELEMENT_MISSING) if missing else PASSED
    dates: dict[str, PartialDate | None] = {}
    for name in ("date_of_birth", "date_of_expiry"):
        if name in texts:
            dates[name], answers[f"{name}_possible"] = _date(name, texts[name], today)
    return _fields(layout, texts, dates), answers


def _characters_allowed(layout: Layout, lines: Sequence[str]) -> bool:
    taken: set[tuple[int, int]] = set()
    for element in layout.elements:
        for offset, character in enumerate(element.span.of(lines)):
            taken.add((element.span.line, element.span.start + offset))
            if character not in element.allowed(offset):
                return False
    taken |= {(check.at.line, check.at.start) for check in layout.checks}
    free = (Span(line, index, index + 1) for line, length in enumerate(layout.lengths) for index in range(length))
    return all(span.of(lines) == FILLER for span in free if (span.line, span.start) not in taken)


def _date(name: str, text: str, today: datetime.date) -> tuple[PartialDate | None, Answer]:
    read = mrz_fields.date_of_birth if name == "date_of_birth" else mrz_fields.date_of_expiry
    try:
        return read(text, today), PASSED
    except ImpossibleDate:
        return None, (Result.FAIL, Reason.DATE_IMPOSSIBLE)


def _fields(layout: Layout, texts: Mapping[str, str], dates: Mapping[str, PartialDate | None]) -> DocumentFields:
    code, state = texts["document_code"].rstrip(FILLER), texts["issuing_state"].rstrip(FILLER)
    surname, given_names, truncated = _names(texts)
    optional = (texts.get(name, "").strip(FILLER) for name in ("optional_data", "optional_data_2"))
    sex = texts.get("sex", "")
    number = texts["document_number"] + texts.get("number_tail", "")
    return DocumentFields(
        document_code=code,
        document_type=document_type(layout.name, code, state),
        issuing_state=state,
        document_number=number.rstrip(FILLER).replace(FILLER, " "),
        surname=surname,
        given_names=given_names,
        nationality=texts.get("nationality", "FRA" if layout.name == "FRENCH-ID" else "").rstrip(FILLER),
        date_of_birth=dates.get("date_of_birth"),
        sex="X" if sex in ("X", FILLER) else sex,
        date_of_expiry=dates.get("date_of_expiry"),
        expires=set(texts.get("date_of_expiry", "0")) != {FILLER},
        optional_data=tuple(text.replace(FILLER, " ") for text in optional if text),
        name_truncated=truncated,
    )


def _names(texts: Mapping[str, str]) -> tuple[str, str, bool]:
    if "names" in texts:
        return split_name(texts["names"])
    surname, _, truncated = split_name(texts.get("surname", FILLER))
    # The French identity card separates given names by two fillers, not by one.
    given = texts.get("given_names", "")
    return surname, " ".join(part for part in given.split(FILLER) if part), truncated


def document_type(layout: str, code: str, state: str) -> DocumentType:
    """Kind of document by layout and document code (Doc 9303-4 to 9303-7, and issuers' own second letters)."""
    if layout in ("SWISS-LICENCE", "FRENCH-LICENCE", "LICENCE"):
        return DocumentType.DRIVING_LICENCE
    if layout in ("MRV-A", "MRV-B") or code.startswith(("V", "B")):
        return DocumentType.VISA
    if code.startswith("P"):
        return DocumentType.PASSPORT
    if code in ("IR", "AR", "CR") or (code, state) == ("IT", "NLD") or (code[:1], state) == ("C", "USA"):
        return DocumentType.RESIDENCE_PERMIT
    if code == "AC":  # crew member certificate, Doc 9303-5 section 4.2.2.1
        return DocumentType.OTHER
    return DocumentType.IDENTITY_CARD if code[:1] in ("I", "A", "C") else DocumentType.OTHER
