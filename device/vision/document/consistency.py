"""Whether all that a document says is possible and agrees: zone, barcode and national number, field by field.

In: what the sources of one document said (`MrzReading`, `AamvaDocument`, `NationalNumber`). Out: the answers to
`document.read` and `document.consistency`, one answer for each field that two sources have, and the fields as one.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from device.errors import InputError
from device.protocol import Check, CheckReport, DocumentType, Reason, Result
from device.vision.document.aamva import AamvaDocument
from device.vision.document.attributes import attributes, subject
from device.vision.document.mrz import MrzReading
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.mrz_names import transliterate
from device.vision.document.national import CardReading, NationalNumber, number_in

__all__ = ["Judgement", "agreement", "attributes", "judge", "same_name", "subject"]

Answer = tuple[Result, Reason | None]
PASSED: Final[Answer] = (Result.PASS, None)
DISAGREE: Final[Answer] = (Result.FAIL, Reason.SOURCES_DISAGREE)

ORDER: Final = (
    Reason.CHECK_DIGIT_WRONG,
    Reason.CHARACTERS_NOT_ALLOWED,
    Reason.MANDATORY_ELEMENT_MISSING,
    Reason.DATE_IMPOSSIBLE,
    Reason.SOURCES_DISAGREE,
    Reason.DOCUMENT_EXPIRED,
)
"""Which reason is given where several rules fail: what speaks most against the document first."""


@dataclass(frozen=True)
class Judgement:
    """All sources of one document together.

    reports: of `document.read` and `document.consistency`. details: each rule of each source, as `mrz.composite`,
    `barcode.mandatory`, `agreement.surname`, `expiry`. fields: the sources merged, None if nothing was read.
    """

    reports: tuple[CheckReport, CheckReport]
    details: Mapping[str, Answer]
    fields: DocumentFields | None


def judge(
    *,
    mrz: MrzReading | None = None,
    barcode: AamvaDocument | None = None,
    card: CardReading | None = None,
    today: datetime.date,
    seen: bool = False,
    accepted: Collection[DocumentType] = (),
) -> Judgement:
    """Judge what was read of one document.

    seen: something like a document was there, whether or not it could be read.
    accepted: kinds of document that the policy takes; empty means all.
    """
    fields = _merged([source.fields for source in (mrz, barcode, card) if source is not None])
    if fields is None:
        reason = Reason.DOCUMENT_UNREADABLE if seen else Reason.DOCUMENT_NOT_FOUND
        reports = tuple(CheckReport(check, Result.NOT_PERFORMED, reason) for check in _CHECKS)
        return Judgement((reports[0], reports[1]), {}, None)
    details: dict[str, Answer] = {}
    for name, source in (("mrz", mrz), ("barcode", barcode), ("card", card)):
        if source is not None:
            details |= {f"{name}.{rule}": answer for rule, answer in source.checks.items()}
    number = number_in(mrz.fields, today) if mrz is not None else None
    sources = {name: source.fields for name, source in (("mrz", mrz), ("barcode", barcode), ("card", card)) if source}
    details |= {f"agreement.{name}": answer for name, answer in agreement(sources, number).items()}
    details["expiry"] = _expiry(fields, today)
    details["dates_in_order"] = _in_order(fields)
    method = "+".join(sources)
    if number is not None:
        fields = replace(fields, national_number=number.text)
    read, consistency = _read_report(fields, details, method, accepted), _consistency_report(details, method)
    return Judgement((read, consistency), details, fields)


_CHECKS: Final = (Check.DOCUMENT_READ, Check.DOCUMENT_CONSISTENCY)


def _read_report(
    fields: DocumentFields, details: Mapping[str, Answer], method: str, accepted: Collection[DocumentType]
) -> CheckReport:
    """Read means that the pixels carry the text. A barcode carries its own error correction."""
    if _weak(details):
        return CheckReport(Check.DOCUMENT_READ, Result.NOT_PERFORMED, Reason.DOCUMENT_UNREADABLE, method)
    if accepted and fields.document_type not in accepted:
        return CheckReport(Check.DOCUMENT_READ, Result.FAIL, Reason.DOCUMENT_TYPE_NOT_ACCEPTED, method)
    return CheckReport(Check.DOCUMENT_READ, Result.PASS, None, method)


def _consistency_report(details: Mapping[str, Answer], method: str) -> CheckReport:
    """Nobody is turned away for what a blurred picture seems to say: weak evidence is no answer."""
    if _weak(details):
        return CheckReport(Check.DOCUMENT_CONSISTENCY, Result.NOT_PERFORMED, Reason.EVIDENCE_WEAK, method)
    reasons = {reason for result, reason in details.values() if result is Result.FAIL}
    first = next((reason for reason in ORDER if reason in reasons), None)
    result = Result.PASS if first is None else Result.FAIL
    return CheckReport(Check.DOCUMENT_CONSISTENCY, result, first, method)


def _weak(details: Mapping[str, Answer]) -> bool:
    return any(reason is Reason.EVIDENCE_WEAK for _, reason in details.values())


# --- Agreement -------------------------------------------------------------------------------------------------------


def agreement(sources: Mapping[str, DocumentFields], number: NationalNumber | None = None) -> dict[str, Answer]:
    """One answer for each field that two sources have. Zone and barcode of one document have the same number, holder
    and dates; names may be cut off, transliterated or lack a middle name; a date may be known in part."""
    answers: dict[str, Answer] = {}
    ordered = list(sources.values())
    for index, one in enumerate(ordered):
        for other in ordered[index + 1 :]:
            for name, same in _compared(one, other).items():
                answers[name] = answers.get(name, PASSED) if same else DISAGREE
    for fields in ordered:
        if number is not None and number.date_of_birth and fields.date_of_birth:
            same = _same_date(number.date_of_birth, fields.date_of_birth, number.century_known)
            answers["national_number"] = answers.get("national_number", PASSED) if same else DISAGREE
    return answers


def _compared(one: DocumentFields, other: DocumentFields) -> dict[str, bool]:
    """Field name to whether it is the same, for what both say."""
    same: dict[str, bool] = {}
    if one.document_number and other.document_number:
        same["document_number"] = _same_number(one.document_number, other.document_number)
    for name in ("date_of_birth", "date_of_expiry"):
        first, second = getattr(one, name), getattr(other, name)
        if first and second:
            same[name] = _same_date(first, second)
    cut = one.name_truncated or other.name_truncated
    for name in ("surname", "given_names"):
        first, second = getattr(one, name), getattr(other, name)
        if first and second:
            same[name] = same_name(first, second, cut)
    for name in ("sex", "issuing_state"):
        first, second = getattr(one, name), getattr(other, name)
        if first and second and "X" not in (first, second):
            same[name] = first == second
    return same


def _same_number(one: str, other: str) -> bool:
    first, second = (re.sub(r"[^A-Z0-9]", "", text.upper()) for text in (one, other))
    return first == second


def _same_date(one: PartialDate, other: PartialDate, century_known: bool = True) -> bool:
    years = (one.year, other.year) if century_known else (one.year % 100, other.year % 100)
    pairs = (years, (one.month, other.month), (one.day, other.day))
    return all(first is None or second is None or first == second for first, second in pairs)


def same_name(one: str, other: str, cut: bool = False) -> bool:
    """Whether two spellings can be of the same names: letters only, umlauts written out or not, one possibly with
    fewer names at its end; with `cut`, the shorter may end within a name."""
    first, second = (_words(text) for text in (one, other))
    shorter, longer = sorted((first, second), key=lambda words: len("".join(words)))
    if not shorter:
        return not longer
    if cut:
        return "".join(longer).startswith("".join(shorter)) or _initials(shorter, longer)
    return shorter == longer[: len(shorter)] or "".join(shorter) == "".join(longer)


def _words(text: str) -> list[str]:
    try:
        latin = transliterate(text)
    except InputError:
        latin = re.sub(r"[^A-Z]+", "<", text.upper())
    # AE, OE, UE and AA stand for one letter; barcodes leave the diacritic out instead.
    for digraph, letter in (("AE", "A"), ("OE", "O"), ("UE", "U"), ("AA", "A")):
        latin = latin.replace(digraph, letter)
    return [word for word in latin.split("<") if word]


def _initials(shorter: list[str], longer: list[str]) -> bool:
    """A truncated zone may keep one letter of a name (Doc 9303-4 section 4.2.3)."""
    return len(shorter) <= len(longer) and all(
        full.startswith(part) for part, full in zip(shorter, longer, strict=False)
    )


def _expiry(fields: DocumentFields, today: datetime.date) -> Answer:
    expiry = fields.date_of_expiry
    if expiry is not None and expiry.latest < today:
        return (Result.FAIL, Reason.DOCUMENT_EXPIRED)
    return PASSED


def _in_order(fields: DocumentFields) -> Answer:
    born, expires = fields.date_of_birth, fields.date_of_expiry
    if born is not None and expires is not None and expires.latest <= born.earliest:
        return (Result.FAIL, Reason.DATE_IMPOSSIBLE)
    return PASSED


def _merged(sources: list[DocumentFields]) -> DocumentFields | None:
    """The first source, with what it does not say taken from the others."""
    if not sources:
        return None
    merged = sources[0]
    for other in sources[1:]:
        empty = {
            name: getattr(other, name)
            for name in merged.__dataclass_fields__
            if getattr(merged, name) in ("", None, ()) and getattr(other, name)
        }
        merged = replace(merged, **empty)
    return merged
