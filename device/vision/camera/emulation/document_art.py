"""Draws the emulator's documents: specimens of the state of Utopia (UTO) that ICAO Doc 9303 made up for examples.

In: what a scenario says is on the document, and a portrait. Out: `DocumentArt`: the printed sides as images, their
size in millimetres, and the machine readable lines as printed and as they would be right. Zones follow Doc 9303-4
(TD3) and 9303-5 (TD1). The front of a Chinese resident identity card has a number by GB 11643 instead; its labels are
in Latin letters, since the emulator carries no Chinese font.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

from device.errors import ConfigurationError, InputError
from device.vision.camera.base import Image
from device.vision.camera.emulation.printing import LINE_PITCH, TD1_LINE_PITCH, Canvas
from device.vision.camera.emulation.scenario import Document, Fields, Tampering
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.mrz_layouts import compose
from device.vision.document.national import compose_resident_number

PAPERS: Final = {"TD3": (214, 226, 232), "TD1": (226, 230, 214), "GB11643": (226, 232, 236)}
TD3_SIZE: Final = (125.0, 88.0)
TD1_SIZE: Final = (85.6, 53.98)
"""Millimetres (ISO/IEC 7810 ID-3 and ID-1)."""
RESIDENT_CARD: Final = "GB11643"
REGION: Final = "110101"
"""GB/T 2260. With it goes sequence 0 or 1: a specimen's number should be nobody's, and sequences begin with 1."""

_CODES: Final = {"passport": "P", "identity_card": "I", "residence_permit": "IR", "visa": "V"}


@dataclass(frozen=True, eq=False)
class DocumentArt:
    """A printed document.

    Attributes:
        front, back: H x W x 3 uint8 RGB; `back` is None where nobody reads it.
        size: width and height in millimetres.
        printed: the machine readable lines as they stand on it.
        true: the lines that its fields would have; differs from `printed` where it was tampered with.
        portrait_box: left, top, right, bottom of the portrait on the front in millimetres.
    """

    front: Image
    back: Image | None
    size: tuple[float, float]
    printed: tuple[str, ...]
    true: tuple[str, ...]
    portrait_box: tuple[float, float, float, float]


def draw_document(document: Document, portrait: Image, today: datetime.date, seed: int) -> DocumentArt:
    """Draws the document of a scenario.

    Args:
        document: from the scenario; its layout is not `none`.
        portrait: head and shoulders, 35:45, any resolution.
        today: what the dates are counted from.
        seed: of the security background.

    Raises:
        ConfigurationError: a field does not fit the layout, or the tampering changes nothing.
    """
    fields = document_fields(document, today)
    true = _lines(document.layout, fields)
    printed = _tamper(true, document.tampering)
    draw = {"TD1": _draw_card, RESIDENT_CARD: _draw_resident_card}.get(document.layout, _draw_passport)
    return draw(fields, portrait, printed, true, seed)


def _lines(layout: str, fields: DocumentFields) -> tuple[str, ...]:
    if layout == RESIDENT_CARD:
        assert fields.date_of_birth is not None
        return (compose_resident_number(REGION, fields.date_of_birth.latest, int(fields.sex == "M")),)
    try:
        return compose(layout, fields)
    except InputError as error:
        raise ConfigurationError(f"scenario: document.fields: {error}") from error


def document_fields(document: Document, today: datetime.date) -> DocumentFields:
    """The scenario's fields with dates counted from `today`."""
    given = document.fields
    personal = given.personal_number
    return DocumentFields(
        document_code=_CODES.get(given.type.value, "I"),
        document_type=given.type,
        issuing_state=given.issuing_state,
        document_number=given.document_number,
        surname=given.surname,
        given_names=given.given_names,
        nationality=given.nationality,
        date_of_birth=_day(today, -given.born_days_ago),
        sex=given.sex,
        date_of_expiry=_day(today, given.expires_in_days),
        date_of_issue=_day(today, -given.issued_days_ago),
        optional_data=(personal,) if personal else (),
    )


def _day(today: datetime.date, days: int) -> PartialDate:
    date = today + datetime.timedelta(days=days)
    return PartialDate(date.year, date.month, date.day)


def _tamper(lines: tuple[str, ...], tampering: Tampering | None) -> tuple[str, ...]:
    if tampering is None:
        return lines
    if tampering.line > len(lines) or tampering.column > len(lines[0]):
        raise ConfigurationError("scenario: document.tampering: the document has no such line or column")
    line = lines[tampering.line - 1]
    if line[tampering.column - 1] == tampering.character:
        raise ConfigurationError(f"scenario: document.tampering.character: {tampering.character} already stands there")
    altered = line[: tampering.column - 1] + tampering.character + line[tampering.column :]
    return (*lines[: tampering.line - 1], altered, *lines[tampering.line :])


def _shown(date: PartialDate | None) -> str:
    """As Doc 9303-3 section 4.8 prints dates: 12 AUG 1974."""
    assert date is not None
    return date.latest.strftime("%d %b %Y").upper()


_SURNAME = "Surname/Nom"
_GIVEN = "Given names/Prénoms"
_NATIONALITY = "Nationality/Nationalité"
_BIRTH = "Date of birth/Date de naissance"
_EXPIRY = "Date of expiry/Date d'expiration"
_ISSUE = "Date of issue/Date de délivrance"


def _draw_passport(
    fields: DocumentFields, portrait: Image, printed: tuple[str, ...], true: tuple[str, ...], seed: int
) -> DocumentArt:
    canvas = Canvas(*TD3_SIZE, PAPERS["TD3"], seed)
    canvas.lighten(64.5, 0.75)
    canvas.title(6, 4, "UTOPIA")
    canvas.field(42, 4, "Type/Type", fields.document_code)
    canvas.field(58, 4, "Code/Code", fields.issuing_state)
    canvas.field(78, 4, "Passport No./No. du passeport", fields.document_number, 3.2)
    canvas.field(42, 11.5, _SURNAME, fields.surname)
    canvas.field(42, 19, _GIVEN, fields.given_names)
    canvas.field(42, 26.5, _NATIONALITY, "UTOPIAN" if fields.nationality == "UTO" else fields.nationality)
    canvas.field(42, 34, _BIRTH, _shown(fields.date_of_birth))
    canvas.field(88, 34, "Personal No./No. personnel", (*fields.optional_data, "")[0])
    canvas.field(42, 41.5, "Sex/Sexe", fields.sex)
    canvas.field(58, 41.5, "Place of birth/Lieu de naissance", "ZENITH")
    canvas.field(42, 49, _ISSUE, _shown(fields.date_of_issue))
    canvas.field(88, 49, "Authority/Autorité", "PASSPORT OFFICE")
    canvas.field(42, 56.5, _EXPIRY, _shown(fields.date_of_expiry))
    box = (5.0, 13.5, 37.0, 54.6)
    canvas.portrait(box[0], box[1], portrait, box[2] - box[0], box[3] - box[1])
    canvas.machine_readable(6.6, 74.6, printed, LINE_PITCH)
    return DocumentArt(canvas.image, None, TD3_SIZE, printed, true, box)


def _draw_card(
    fields: DocumentFields, portrait: Image, printed: tuple[str, ...], true: tuple[str, ...], seed: int
) -> DocumentArt:
    front = Canvas(*TD1_SIZE, PAPERS["TD1"], seed)
    front.title(4, 2.6, "UTOPIA   IDENTITY CARD", 2.8)
    front.field(31, 9, _SURNAME, fields.surname, 2.4)
    front.field(31, 15.5, _GIVEN, fields.given_names, 2.4)
    front.field(31, 22, "Sex/Sexe", fields.sex, 2.4)
    front.field(43, 22, _NATIONALITY, fields.nationality, 2.4)
    front.field(31, 28.5, _BIRTH, _shown(fields.date_of_birth), 2.4)
    front.field(31, 35, _EXPIRY, _shown(fields.date_of_expiry), 2.4)
    front.field(31, 41.5, "Document No./No. du document", fields.document_number, 2.8)
    box = (3.5, 10.0, 28.5, 42.0)
    front.portrait(box[0], box[1], portrait, box[2] - box[0], box[3] - box[1])
    back = Canvas(*TD1_SIZE, PAPERS["TD1"], seed + 1)
    back.lighten(30.8, 0.75)
    back.field(4, 4, _ISSUE, _shown(fields.date_of_issue), 2.4)
    back.field(44, 4, "Authority/Autorité", "REGISTRY OF ZENITH", 2.4)
    back.field(4, 12, "Place of birth/Lieu de naissance", "ZENITH", 2.4)
    back.machine_readable(4.7, 38.4, printed, TD1_LINE_PITCH)
    return DocumentArt(front.image, back.image, TD1_SIZE, printed, true, box)


def _draw_resident_card(
    fields: DocumentFields, portrait: Image, printed: tuple[str, ...], true: tuple[str, ...], seed: int
) -> DocumentArt:
    """Name, sex, people, birth date and address on the left, the portrait on the right, the number at the foot."""
    born = fields.date_of_birth
    assert born is not None
    front = Canvas(*TD1_SIZE, PAPERS[RESIDENT_CARD], seed)
    front.field(6, 5, "Xingming", f"{fields.surname} {fields.given_names}", 2.6)
    front.field(6, 12, "Xingbie", fields.sex, 2.6)
    front.field(20, 12, "Minzu", "UTO", 2.6)
    front.field(6, 19, "Chusheng", f"{born.year} {born.month} {born.day}", 2.6)
    front.field(6, 26, "Zhuzhi", "ZENITH, BEIJIE 12 HAO", 2.6)
    front.title(6, 44.9, "Gongmin shenfen haoma", 1.7)
    front.machine_readable(30, 47, printed, LINE_PITCH)
    box = (57.5, 7.0, 82.4, 39.0)
    front.portrait(box[0], box[1], portrait, box[2] - box[0], box[3] - box[1])
    return DocumentArt(front.image, None, TD1_SIZE, printed, true, box)


__all__ = ["DocumentArt", "Fields", "document_fields", "draw_document"]
