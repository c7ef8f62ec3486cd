"""The last door before the wall: which of the document's fields the notary may hear.

Only what the policy named goes through; what can be answered with yes or no is answered here, so that a date of
birth stays inside when the question is an age.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from device.protocol import Attribute
from device.vision.document import consistency
from device.vision.document.mrz_fields import DocumentFields


def attributes_of(fields: DocumentFields | None, wanted: Sequence[Attribute], today: date) -> dict[Attribute, str]:
    """What the document says of the attributes wanted; one that it does not say is left out."""
    return dict(consistency.attributes(fields, wanted, today)) if fields is not None and wanted else {}


def subject_of(fields: DocumentFields | None) -> str:
    """The normalised document number and state that the notary makes a pseudonym of; empty if they were not read."""
    return consistency.subject(fields) if fields is not None else ""
