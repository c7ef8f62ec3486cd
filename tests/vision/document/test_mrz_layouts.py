"""Composing and judging: what a layout writes, its own rules accept, and what they can catch, they catch."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.errors import InputError
from device.vision.document import mrz
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.mrz_layouts import LAYOUTS, VALUES, check_digit, compose
from device.vision.document.mrz_names import name_field, split_name, transliterate
from tests.vision.document.synthetic import SPECIMEN, TODAY, documents, with_fields


def test_specimens_of_doc_9303() -> None:
    expired = with_fields(date_of_expiry=PartialDate(2012, 4, 15))
    assert compose("TD3", expired) == (
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
        "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    )
    card = with_fields(expired, document_code="I", document_number="D23145890", optional_data=())
    assert compose("TD2", card)[1] == "D231458907UTO7408122F1204159<<<<<<<6"
    assert compose("TD1", card) == (
        "I<UTOD231458907<<<<<<<<<<<<<<<",
        "7408122F1204159UTO<<<<<<<<<<<6",
        "ERIKSSON<<ANNA<MARIA<<<<<<<<<<",
    )


def test_long_document_number_overflows_into_the_optional_data() -> None:
    lines = compose("TD1", with_fields(document_code="I", document_number="D23145890734", optional_data=()))
    assert lines[0] == "I<UTOD23145890<7349<<<<<<<<<<<"
    reading = mrz.parse(lines, TODAY)
    assert reading is not None
    assert reading.consistent
    assert reading.fields.document_number == "D23145890734"


@pytest.mark.parametrize(("tail", "counted"), [("015", False), ("601", True)])
def test_long_number_check_digit_with_and_without_the_filler(tail: str, counted: bool) -> None:
    head = "591234567"
    digit = check_digit(head + ("<" if counted else "") + tail)
    lines = list(compose("TD1", with_fields(document_code="ID", document_number=head + tail, optional_data=())))
    lines[0] = (lines[0][:15] + tail + digit).ljust(30, "<")
    upper = lines[0][5:] + lines[1][:7] + lines[1][8:15] + lines[1][18:29]
    lines[1] = lines[1][:29] + check_digit(upper)
    reading = mrz.parse(lines, TODAY)
    assert reading is not None
    assert reading.consistent
    assert reading.fields.document_number == head + tail


@given(documents())
def test_every_valid_document_passes_and_reads_back(document: tuple[str, DocumentFields]) -> None:
    layout, fields = document
    lines = compose(layout, fields)
    assert tuple(map(len, lines)) == LAYOUTS[layout].lengths
    reading = mrz.parse(lines, TODAY)
    assert reading is not None
    assert reading.reason is None, (lines, reading.checks)
    assert reading.layout == layout
    assert reading.fields.document_number == fields.document_number
    if fields.date_of_birth and layout not in ("LICENCE", "FRENCH-LICENCE"):
        assert reading.fields.date_of_birth is not None
        assert reading.fields.date_of_birth.mrz == fields.date_of_birth.mrz


def _detectable(layout: str, line: int, index: int, before: str, after: str) -> bool:
    """Whether some check digit's sum changes, computed from the definition of the sums alone."""
    for check in LAYOUTS[layout].checks:
        if (check.at.line, check.at.start) == (line, index):
            return True
        offset = 0
        for span in check.over:
            if span.line == line and span.start <= index < span.stop:
                weight = (7, 3, 1)[(offset + index - span.start) % 3]
                if weight * (VALUES[before] - VALUES[after]) % 10:
                    return True
            offset += len(span)
    return False


@given(documents(), st.data())
def test_every_change_that_the_check_digits_can_catch_is_caught(
    document: tuple[str, DocumentFields], data: st.DataObject
) -> None:
    layout, fields = document
    lines = list(compose(layout, fields))
    line = data.draw(st.integers(0, len(lines) - 1))
    index = data.draw(st.integers(0, len(lines[line]) - 1))
    before = lines[line][index]
    after = data.draw(st.sampled_from([character for character in VALUES if character != before]))
    lines[line] = lines[line][:index] + after + lines[line][index + 1 :]
    reading = mrz.parse(lines, TODAY)
    assert reading is not None
    assert reading.lines == tuple(lines)
    if _detectable(layout, line, index, before, after):
        assert not reading.consistent, (lines, reading)


def test_document_without_expiry_and_with_unspecified_sex() -> None:
    reading = mrz.parse(compose("TD3", with_fields(date_of_expiry=None, sex="X")), TODAY)
    assert reading is not None
    assert reading.consistent
    assert reading.fields.date_of_expiry is None
    assert reading.fields.sex == "X"


def test_composing_refuses_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="longer than TD3"):
        compose("TD3", with_fields(document_number="L898902C3456"))
    with pytest.raises(InputError, match="no layout"):
        compose("TD9", SPECIMEN)
    with pytest.raises(InputError, match="optional_data"):
        compose("TD3", with_fields(optional_data=("X" * 15,)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Müller", "MUELLER"),
        ("Strauß-Øster", "STRAUSS<OESTER"),
        ("O'Connor", "OCONNOR"),
        ("Nuñez  de Ávila", "NUNEZ<DE<AVILA"),
        ("Þórður Ægisson", "THORDUR<AEGISSON"),
        ("Łukasz", "LUKASZ"),
    ],
)
def test_transliteration(name: str, expected: str) -> None:
    assert transliterate(name) == expected


def test_names_without_latin_letters_are_refused() -> None:
    with pytest.raises(InputError, match="Latin"):
        transliterate("Эрикссон")


WORDS = st.lists(st.text(string.ascii_uppercase, min_size=1, max_size=20), min_size=1, max_size=4).map(" ".join)


@given(WORDS, st.one_of(st.just(""), WORDS), st.sampled_from((30, 31, 39)))
def test_name_fields_fit_and_keep_both_identifiers(surname: str, given_names: str, width: int) -> None:
    field = name_field(surname, given_names, width)
    assert len(field) == width
    read_surname, read_given, truncated = split_name(field)
    if len(surname) + len(given_names) + 2 < width:
        assert (read_surname, read_given, truncated) == (surname, given_names, False)
    else:
        assert read_surname
        assert surname.startswith(read_surname[:1])
        assert not given_names or read_given


@given(st.sampled_from(("TD1", "TD2")), st.text(string.ascii_uppercase + string.digits, min_size=10, max_size=15))
def test_long_numbers_read_back(layout: str, number: str) -> None:
    lines = compose(layout, with_fields(document_code="I", document_number=number, optional_data=()))
    reading = mrz.parse(lines, TODAY)
    assert reading is not None
    assert reading.consistent
    assert reading.fields.document_number == number


@pytest.mark.parametrize(
    ("layout", "changes", "kind"),
    [
        ("TD2", {"document_code": "ID", "issuing_state": "ROU", "optional_data": ("1310012",)}, "identity_card"),
        ("TD1", {"document_code": "ID", "issuing_state": "BGR", "optional_data": ("", "7501021009")}, "identity_card"),
        ("TD1", {"document_code": "B1", "issuing_state": "USA", "nationality": "MEX"}, "visa"),
        ("TD1", {"document_code": "ID", "issuing_state": "BEL", "document_number": "591234567015"}, "identity_card"),
        ("SWISS-LICENCE", {"document_code": "FA", "optional_data": ("123456789001",)}, "driving_licence"),
        ("FRENCH-LICENCE", {"document_code": "D1", "document_number": "21BC54321"}, "driving_licence"),
    ],
    ids=["Romania", "Bulgaria", "border crossing card", "Belgium", "Swiss licence", "French licence"],
)
def test_national_documents(layout: str, changes: dict[str, object], kind: str) -> None:
    state = "CHE" if layout.startswith("SWISS") else "FRA" if layout.startswith("FRENCH") else changes["issuing_state"]
    fields = with_fields(**{"optional_data": (), **changes, "issuing_state": state})
    reading = mrz.parse(compose(layout, fields), TODAY)
    assert reading is not None
    assert reading.reason is None, reading
    assert reading.layout == layout
    assert reading.fields.document_type.value == kind
    assert reading.fields.document_number == fields.document_number


@given(st.sampled_from(((30, 30, 30), (36, 36), (44, 44), (9, 30, 30), (30,))), st.data())
def test_any_text_ends_in_a_result(lengths: tuple[int, ...], data: st.DataObject) -> None:
    lines = [data.draw(st.text(min_size=length, max_size=length)) for length in lengths]
    reading = mrz.parse(lines, TODAY)
    assert reading is not None
    assert reading.lines == tuple(lines)
    assert not reading.consistent or set("".join(lines)) <= set(VALUES)
