"""What a verdict may say of a document: attributes that a policy asked for, and the subject of a pseudonym.

In: `DocumentFields`. Out: texts for `device.protocol.Finished`. What the document does not say is left out; nothing is
guessed.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Final

from device.protocol import Attribute
from device.vision.document.mrz_fields import DocumentFields, PartialDate

AGES: Final = {
    Attribute.AGE_OVER_16: 16,
    Attribute.AGE_OVER_18: 18,
    Attribute.AGE_OVER_21: 21,
    Attribute.AGE_OVER_65: 65,
}
MAX_TEXT: Final = 128
MAX_SUBJECT: Final = 64


def attributes(fields: DocumentFields, wanted: Sequence[Attribute], today: datetime.date) -> dict[Attribute, str]:
    """The wanted attributes that the document supports. Truths are "true" or "false", dates ISO 8601."""
    said: dict[Attribute, str] = {
        Attribute.DOCUMENT_TYPE: fields.document_type.value,
        Attribute.ISSUING_STATE: fields.issuing_state,
        Attribute.NATIONALITY: fields.nationality,
        Attribute.DOCUMENT_VALID: _valid(fields, today),
        Attribute.NAME: fields.name,
        Attribute.DATE_OF_BIRTH: fields.date_of_birth.text if fields.date_of_birth else "",
        Attribute.DOCUMENT_NUMBER: fields.document_number,
        Attribute.DATE_OF_EXPIRY: fields.date_of_expiry.text if fields.date_of_expiry else "",
    }
    for attribute, years in AGES.items():
        said[attribute] = _older(fields.date_of_birth, years, today)
    return {attribute: said[attribute][:MAX_TEXT] for attribute in wanted if said.get(attribute)}


def subject(fields: DocumentFields) -> str:
    """Document number and issuer, normalised, for the notary's pseudonym; "" if the document does not say both.

    Licence numbers are unique only within a jurisdiction, so that takes the state's place where there is one.
    """
    number = re.sub(r"[^A-Z0-9]", "", fields.document_number.upper())
    issuer = fields.jurisdiction or fields.issuing_state
    return f"{number}|{issuer}"[:MAX_SUBJECT] if number and issuer else ""


def _older(born: PartialDate | None, years: int, today: datetime.date) -> str:
    """Whether the holder has had that birthday. With a date known in part, only if every day it can mean agrees."""
    if born is None or not born.possible:
        return ""
    answers = {_birthday(day, years) <= today for day in (born.earliest, born.latest)}
    return "" if len(answers) > 1 else str(answers.pop()).lower()


def _birthday(born: datetime.date, years: int) -> datetime.date:
    """The day on which somebody is that old; for the 29th of February in other years the 1st of March."""
    try:
        return born.replace(year=born.year + years)
    except ValueError:
        return datetime.date(born.year + years, 3, 1)


def _valid(fields: DocumentFields, today: datetime.date) -> str:
    if not fields.expires:
        return "true"
    if fields.date_of_expiry is None:
        return ""
    return str(fields.date_of_expiry.latest >= today).lower()
