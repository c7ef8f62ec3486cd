"""Valid documents of every layout, and evidence of lines as a reader would give it, for the tests of the decoder."""

from __future__ import annotations

import datetime
import string

import numpy as np
from hypothesis import strategies as st

from device.vision.document.evidence import ALPHABET, INDEX, LineEvidence
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.mrz_layouts import LAYOUTS, compose

TODAY = datetime.date(2026, 6, 1)
QUAD = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
CODES = {
    "TD1": ("I", "ID", "IR", "AR", "C1"),
    "TD2": ("I", "ID"),
    "TD3": ("P", "PD", "PO"),
    "MRV-A": ("V", "VN"),
    "MRV-B": ("V", "VC"),
    "FRENCH-ID": ("ID",),
    "SWISS-LICENCE": ("FA",),
    "FRENCH-LICENCE": ("D1",),
    "LICENCE": ("D1", "D"),
}
OPTIONAL = {"TD1": (15, 11), "TD2": (7,), "TD3": (14,), "MRV-A": (16,), "MRV-B": (8,), "FRENCH-ID": (6,)}
NUMBER = {"FRENCH-ID": 12, "LICENCE": 24}
SPECIMEN = DocumentFields(
    document_code="P",
    issuing_state="UTO",
    document_number="L898902C3",
    surname="ERIKSSON",
    given_names="ANNA MARIA",
    nationality="UTO",
    date_of_birth=PartialDate(1974, 8, 12),
    sex="F",
    date_of_expiry=PartialDate(2030, 4, 15),
    optional_data=("ZE184226B",),
)
"""The specimen of Doc 9303-4, with an expiry that lies ahead."""

_ALNUM = string.ascii_uppercase + string.digits


def _text(alphabet: str, low: int, high: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=low, max_size=high)


def dates(low: int, high: int) -> st.SearchStrategy[PartialDate]:
    """Whole, known dates."""
    days = st.dates(datetime.date(low, 1, 1), datetime.date(high, 12, 31))
    return days.map(lambda day: PartialDate(day.year, day.month, day.day))


@st.composite
def documents(draw: st.DrawFn, names: tuple[str, ...] = tuple(LAYOUTS)) -> tuple[str, DocumentFields]:
    """A layout's name and fields that fit it."""
    layout = draw(st.sampled_from(names))
    words = st.lists(_text(string.ascii_uppercase, 1, 12), min_size=1, max_size=3).map(" ".join)
    optional = tuple(draw(_text(_ALNUM, 0, width)) for width in OPTIONAL.get(layout, ()))
    if layout == "SWISS-LICENCE":
        optional = (draw(_text(string.digits, 12, 12)),)
    # A number of nine characters and a filler where its digit should be would read as a long number.
    fields = DocumentFields(
        document_code=draw(st.sampled_from(CODES[layout])),
        issuing_state="CHE" if layout == "SWISS-LICENCE" else draw(st.sampled_from(("UTO", "D", "FIN", "CHE", "ROU"))),
        document_number=draw(_text(_ALNUM, 5, NUMBER.get(layout, 9))),
        surname=draw(words),
        given_names=draw(st.one_of(st.just(""), words)),
        nationality=draw(st.sampled_from(("UTO", "D", "XXA", "GBN"))),
        date_of_birth=draw(dates(1930, 2025)),
        sex=draw(st.sampled_from(("F", "M", "X"))),
        date_of_expiry=draw(st.one_of(st.none(), dates(1990, 2070))),
        optional_data=optional,
    )
    if layout in ("FRENCH-ID", "FRENCH-LICENCE"):
        fields = DocumentFields(**{**_as_dict(fields), "issuing_state": "FRA"})
    return layout, fields


def _as_dict(fields: DocumentFields) -> dict[str, object]:
    return {name: getattr(fields, name) for name in fields.__dataclass_fields__}


def with_fields(fields: DocumentFields = SPECIMEN, **changes: object) -> DocumentFields:
    """The fields with some of them changed."""
    return DocumentFields(**{**_as_dict(fields), **changes})  # type: ignore[arg-type]


def specimen_lines(layout: str) -> tuple[str, ...]:
    """The specimen in a layout."""
    changes: dict[str, object] = {"document_code": CODES[layout][0], "optional_data": ()}
    if layout == "SWISS-LICENCE":
        changes |= {"issuing_state": "CHE", "optional_data": ("123456789001",)}
    if layout.startswith("FRENCH"):
        changes |= {"issuing_state": "FRA"}
    if layout == "FRENCH-ID":
        changes |= {"document_number": "900375123456"}
    return compose(layout, with_fields(**changes))


def evidence(text: str, sure: float = 0.999, seed: int = 0) -> LineEvidence:
    """Evidence in which every character of `text` has probability `sure` and the others share the rest at random."""
    generator = np.random.default_rng(seed)
    rest = generator.dirichlet(np.full(len(ALPHABET), 0.3), size=len(text)) * (1 - sure)
    for index, character in enumerate(text):
        rest[index, INDEX[character]] += sure
    return LineEvidence((rest / rest.sum(axis=1, keepdims=True)).astype(np.float32), QUAD)


def doubt(line: LineEvidence, index: int, shares: dict[str, float]) -> LineEvidence:
    """The line with other probabilities at one position; what `shares` leaves is spread evenly."""
    rows = line.probabilities.copy()
    rows[index] = (1 - sum(shares.values())) / len(ALPHABET)
    for character, share in shares.items():
        rows[index, INDEX[character]] += share
    return LineEvidence(rows, line.quad)
