"""Where each machine readable zone keeps what: lines, elements, alphabets and check digits, and how to write one.

In: nothing but the standards. Out: `Layout` values in `LAYOUTS`, and `compose`, which writes the zone
that a document with the given fields would carry (for rendering and for tests).

ICAO Doc 9303 parts 4 (TD3), 5 (TD1), 6 (TD2) and 7 (MRV-A, MRV-B); ISO/IEC 18013-3 annex (one-line licence);
the French identity card of 1988 and the Swiss and French driving licences are national layouts of their own.
Positions are counted from 0 here, from 1 in the standards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from device.errors import InputError
from device.vision.document.mrz_fields import DocumentFields
from device.vision.document.mrz_grammar import (
    ALPHA,
    ANY,
    DATE,
    DIGITS,
    FILLER,
    SEX,
    VALUES,
    CheckDigit,
    Element,
    Layout,
    Span,
    check_digit,
)
from device.vision.document.mrz_names import name_field, transliterate

__all__ = ["LAYOUTS", "VALUES", "Layout", "check_digit", "compose", "long_number"]


def _upper(codes: str) -> tuple[Element, ...]:
    return (
        Element("document_code", Span(0, 0, 2), (codes, ANY)),
        Element("issuing_state", Span(0, 2, 5), (ALPHA,)),
    )


def _lower(length: int, optional_stop: int) -> tuple[Element, ...]:
    return (
        Element("names", Span(0, 5, length), (ALPHA,)),
        Element("document_number", Span(1, 0, 9)),
        Element("nationality", Span(1, 10, 13), (ALPHA,)),
        Element("date_of_birth", Span(1, 13, 19), DATE),
        Element("sex", Span(1, 20, 21), (SEX,)),
        Element("date_of_expiry", Span(1, 21, 27), DATE),
        Element("optional_data", Span(1, 28, optional_stop)),
    )


_TWO_LINE_CHECKS: Final = (
    CheckDigit("document_number", Span(1, 9, 10), (Span(1, 0, 9),)),
    CheckDigit("date_of_birth", Span(1, 19, 20), (Span(1, 13, 19),), optional=True),
    CheckDigit("date_of_expiry", Span(1, 27, 28), (Span(1, 21, 27),), optional=True),
)


def _composite(stop: int) -> CheckDigit:
    return CheckDigit(
        "composite", Span(1, stop, stop + 1), (Span(1, 0, 10), Span(1, 13, 20), Span(1, 21, stop)), composite=True
    )


TD3: Final = Layout(
    "TD3",
    (44, 44),
    _upper("PIAC") + _lower(44, 42),
    (
        *_TWO_LINE_CHECKS,
        CheckDigit("optional_data", Span(1, 42, 43), (Span(1, 28, 42),), optional=True),
        _composite(43),
    ),
    ("P", "I", "A", "C"),
)
"""I, A and C are those of official travel documents of this size, which editions of Doc 9303 before the seventh had."""
TD2: Final = Layout(
    "TD2", (36, 36), _upper("IACP") + _lower(36, 35), (*_TWO_LINE_CHECKS, _composite(35)), ("I", "A", "C", "P")
)
MRV_A: Final = Layout("MRV-A", (44, 44), _upper("V") + _lower(44, 44), _TWO_LINE_CHECKS, ("V",))
MRV_B: Final = Layout("MRV-B", (36, 36), _upper("V") + _lower(36, 36), _TWO_LINE_CHECKS, ("V",))
TD1: Final = Layout(
    "TD1",
    (30, 30, 30),
    (
        *_upper("IACPVB"),
        Element("document_number", Span(0, 5, 14)),
        Element("optional_data", Span(0, 15, 30)),
        Element("date_of_birth", Span(1, 0, 6), DATE),
        Element("sex", Span(1, 7, 8), (SEX,)),
        Element("date_of_expiry", Span(1, 8, 14), DATE),
        Element("nationality", Span(1, 15, 18), (ALPHA,)),
        Element("optional_data_2", Span(1, 18, 29)),
        Element("names", Span(2, 0, 30), (ALPHA,)),
    ),
    (
        CheckDigit("document_number", Span(0, 14, 15), (Span(0, 5, 14),)),
        CheckDigit("date_of_birth", Span(1, 6, 7), (Span(1, 0, 6),), optional=True),
        CheckDigit("date_of_expiry", Span(1, 14, 15), (Span(1, 8, 14),), optional=True),
        CheckDigit(
            "composite",
            Span(1, 29, 30),
            (Span(0, 5, 30), Span(1, 0, 7), Span(1, 8, 15), Span(1, 18, 29)),
            composite=True,
        ),
    ),
    ("I", "A", "C", "P", "V", "B"),
)
"""V and B are those of the border crossing cards of the United States, which are otherwise TD1."""

FRENCH_IDENTITY_CARD: Final = Layout(
    "FRENCH-ID",
    (36, 36),
    (
        Element("document_code", Span(0, 0, 2), ("I", "D")),
        Element("issuing_state", Span(0, 2, 5), ("F", "R", "A")),
        Element("surname", Span(0, 5, 30), (ALPHA,)),
        Element("optional_data", Span(0, 30, 36)),
        Element("document_number", Span(1, 0, 12)),
        Element("given_names", Span(1, 13, 27), (ALPHA,)),
        Element("date_of_birth", Span(1, 27, 33), DATE),
        Element("sex", Span(1, 34, 35), (SEX,)),
    ),
    (
        CheckDigit("document_number", Span(1, 12, 13), (Span(1, 0, 12),)),
        CheckDigit("date_of_birth", Span(1, 33, 34), (Span(1, 27, 33),)),
        CheckDigit("composite", Span(1, 35, 36), (Span(0, 0, 36), Span(1, 0, 35)), composite=True),
    ),
    ("I",),
    "FRA",
)
"""The laminated card of 1988 to 2021: no date of expiry; the number begins with year and month of issue."""

SWISS_LICENCE: Final = Layout(
    "SWISS-LICENCE",
    (9, 30, 30),
    (
        Element("document_number", Span(0, 0, 9)),
        Element("document_code", Span(1, 0, 2), ("F", "A")),
        Element("issuing_state", Span(1, 2, 5), ("CL", "HI", "EH")),
        Element("optional_data", Span(1, 5, 17), (DIGITS + FILLER,)),
        Element("date_of_birth", Span(1, 19, 25), DATE),
        Element("names", Span(2, 0, 30), (ALPHA,)),
    ),
    (),
    ("F",),
)
"""Blank number; register number and version, date of birth; names. It has no check digit at all."""

FRENCH_LICENCE: Final = Layout(
    "FRENCH-LICENCE",
    (30,),
    (
        Element("document_code", Span(0, 0, 2), ("D", ANY)),
        Element("issuing_state", Span(0, 2, 5), ("F", "R", "A")),
        Element("document_number", Span(0, 5, 14)),
        Element("date_of_expiry", Span(0, 15, 21), DATE),
        Element("surname", Span(0, 21, 29), (ALPHA,)),
    ),
    (
        CheckDigit("document_number", Span(0, 14, 15), (Span(0, 5, 14),)),
        CheckDigit("composite", Span(0, 29, 30), (Span(0, 0, 29),), composite=True),
    ),
    ("D",),
    "FRA",
)
LICENCE: Final = Layout(
    "LICENCE",
    (30,),
    (
        Element("document_code", Span(0, 0, 2), ("D", ANY)),
        Element("issuing_state", Span(0, 2, 5), (ALPHA,)),
        Element("document_number", Span(0, 5, 29)),
    ),
    (CheckDigit("composite", Span(0, 29, 30), (Span(0, 0, 29),), composite=True),),
    ("D",),
)
"""ISO/IEC 18013-3: the key of basic access protection; what stands between state and check digit is the issuer's."""

LAYOUTS: Final[Mapping[str, Layout]] = {
    layout.name: layout
    for layout in (TD1, TD2, TD3, MRV_A, MRV_B, FRENCH_IDENTITY_CARD, SWISS_LICENCE, FRENCH_LICENCE, LICENCE)
}


def long_number(layout: Layout, tail: int, skip_filler: bool) -> Layout:
    """The layout for a document number of nine characters and a `tail` in the optional data.

    Doc 9303-5 and 9303-6, note j: a filler stands in the place of the check digit, the rest of the number and its
    check digit begin the optional data. The check digit is over the number; some issuers (among them Belgium on
    cards before 2020) count the filler as well (`skip_filler` False), which shifts the weights.
    """
    number, optional = layout.element("document_number"), layout.element("optional_data")
    assert number is not None
    assert optional is not None
    head, start = number.span, optional.span.start
    rest = Span(optional.span.line, start, start + tail)
    at = Span(optional.span.line, start + tail, start + tail + 1)
    between = Span(head.line, head.stop, head.stop + 1)
    over = (head, rest) if skip_filler else (head, between, rest)
    elements = tuple(
        replace(element, span=replace(element.span, start=at.stop)) if element is optional else element
        for element in layout.elements
    )
    return replace(
        layout,
        elements=(*elements, Element("number_filler", between, (FILLER,)), Element("number_tail", rest)),
        checks=(CheckDigit("document_number", at, over), *layout.checks[1:]),
        number_tail=rest,
    )


def compose(layout: Layout | str, fields: DocumentFields) -> tuple[str, ...]:
    """The lines of a machine readable zone with these fields and right check digits.

    A document number of more than nine characters overflows into the optional data of TD1 and TD2. Dates that are
    None become fillers. `optional_data` fills the optional elements in order.

    Raises:
        InputError: a field does not fit the layout; the text names it.
    """
    if isinstance(layout, str):
        if layout not in LAYOUTS:
            raise InputError(f"no layout is called {layout!r}: take one of {', '.join(LAYOUTS)}")
        layout = LAYOUTS[layout]
    texts = _texts(layout, fields)
    number, place = texts["document_number"], layout.element("document_number")
    if place is not None and len(number) > len(place.span):
        if layout.name not in ("TD1", "TD2"):
            raise InputError(f"document number {number!r} is longer than {layout.name} has place for")
        layout = long_number(layout, len(number) - len(place.span), skip_filler=True)
        texts |= {"document_number": number[: len(place.span)], "number_tail": number[len(place.span) :]}
    rows = [[FILLER] * length for length in layout.lengths]
    for element in layout.elements:
        _place(rows, element, texts.get(element.name, ""))
    for check in layout.checks:
        if check.optional and all(set(span.of(["".join(row) for row in rows])) <= {FILLER} for span in check.over):
            digit = FILLER
        else:
            digit = check_digit("".join(span.of(["".join(row) for row in rows]) for span in check.over))
        rows[check.at.line][check.at.start] = digit
    return tuple("".join(row) for row in rows)


def _texts(layout: Layout, fields: DocumentFields) -> dict[str, str]:
    """What goes into each element."""
    names = layout.element("names")
    optional = (*fields.optional_data, "", "")
    return {
        "document_code": fields.document_code or layout.document_codes[0],
        "issuing_state": layout.issuing_state or fields.issuing_state,
        "names": name_field(fields.surname, fields.given_names, len(names.span)) if names else "",
        "surname": transliterate(fields.surname),
        # Only the French identity card has given names of their own; it puts two fillers between them.
        "given_names": (FILLER * 2).join(transliterate(part) for part in fields.given_names.split()),
        "document_number": fields.document_number.replace(" ", FILLER).replace("-", FILLER),
        "nationality": fields.nationality,
        "date_of_birth": fields.date_of_birth.mrz if fields.date_of_birth else "",
        "date_of_expiry": fields.date_of_expiry.mrz if fields.date_of_expiry else "",
        "sex": FILLER if fields.sex in ("", "X") else fields.sex,
        "optional_data": optional[0].replace(" ", FILLER),
        "optional_data_2": optional[1].replace(" ", FILLER),
    }


def _place(rows: list[list[str]], element: Element, text: str) -> None:
    width = len(element.span)
    if element.name in ("surname", "given_names"):
        text = text[:width]
    if len(text) > width:
        raise InputError(f"{element.name} {text!r} is longer than the {width} characters that there are for it")
    for offset, character in enumerate(text.ljust(width, FILLER)):
        allowed = element.allowed(offset)
        if character not in allowed:
            raise InputError(f"{element.name} {text!r} has {character!r}, where one of {allowed} may stand")
        rows[element.span.line][element.span.start + offset] = character
