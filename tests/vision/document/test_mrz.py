"""Decoding evidence: what is printed is read, what is open is settled by the standard, and nothing is repaired."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.protocol import DocumentType, Reason, Result
from device.vision.document import mrz
from device.vision.document.evidence import ALPHABET, LineEvidence
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.mrz_layouts import LAYOUTS, compose
from tests.vision.document.synthetic import QUAD, TODAY, documents, doubt, evidence, specimen_lines, with_fields


def _decode(lines: tuple[str, ...] | list[str], sure: float = 0.9998) -> mrz.MrzReading:
    reading = mrz.decode([evidence(line, sure, seed) for seed, line in enumerate(lines)], TODAY)
    assert reading is not None
    return reading


@pytest.mark.parametrize("layout", LAYOUTS)
def test_clear_evidence_is_read_and_consistent(layout: str) -> None:
    lines = specimen_lines(layout)
    reading = _decode(lines)
    assert reading.layout == layout
    assert reading.lines == lines
    assert reading.reason is None, reading


@given(documents())
@settings(max_examples=60, deadline=None)
def test_every_valid_document_decodes(document: tuple[str, DocumentFields]) -> None:
    layout, fields = document
    lines = compose(layout, fields)
    reading = _decode(lines)
    assert (reading.layout, reading.lines, reading.reason) == (layout, lines, None)


@given(documents(), st.data(), st.sampled_from((0.98, 0.999)))
@settings(max_examples=200, deadline=None)
def test_an_altered_character_is_read_as_printed(
    document: tuple[str, DocumentFields], data: st.DataObject, sure: float
) -> None:
    layout, fields = document
    lines = list(compose(layout, fields))
    line = data.draw(st.integers(0, len(lines) - 1))
    index = data.draw(st.integers(0, len(lines[line]) - 1))
    after = data.draw(st.sampled_from([character for character in ALPHABET if character != lines[line][index]]))
    lines[line] = lines[line][:index] + after + lines[line][index + 1 :]
    reading = _decode(lines, sure)
    judged = mrz.parse(lines, TODAY)
    assert judged is not None
    if reading.lines != tuple(lines):
        assert not reading.consistent, (lines, reading)
    elif reading.layout == judged.layout and not judged.consistent:
        assert not reading.consistent
        assert reading.reason is judged.reason


def test_wrong_check_digit_is_reported_and_not_repaired() -> None:
    upper, lower = specimen_lines("TD3")
    altered = lower[:13] + "8" + lower[14:]
    reading = _decode([upper, altered])
    assert reading.lines == (upper, altered)
    assert reading.checks["date_of_birth"] == (Result.FAIL, Reason.CHECK_DIGIT_WRONG)
    assert reading.checks["composite"] == (Result.FAIL, Reason.CHECK_DIGIT_WRONG)
    assert reading.checks["document_number"] == (Result.PASS, None)
    assert not reading.consistent


def test_a_clear_wrong_digit_counts_even_where_the_name_is_worn() -> None:
    upper, lower = specimen_lines("TD3")
    altered = evidence(lower[:13] + "8" + lower[14:], 0.9998)
    reading = mrz.decode([doubt(evidence(upper), 7, {"I": 0.5, "L": 0.4}), altered], TODAY)
    assert reading is not None
    assert reading.reason is Reason.CHECK_DIGIT_WRONG
    assert reading.checks["evidence"] == (Result.PASS, None)


def test_a_blurred_wrong_digit_is_weak_evidence() -> None:
    upper, lower = specimen_lines("TD3")
    blurred = doubt(evidence(lower, 0.9998), 13, {"8": 0.9, "3": 0.05})
    reading = mrz.decode([evidence(upper, 0.9998), blurred], TODAY)
    assert reading is not None
    assert reading.checks["evidence"] == (Result.FAIL, Reason.EVIDENCE_WEAK)


def test_open_characters_are_settled_by_the_check_digits() -> None:
    upper, lower = specimen_lines("TD3")
    second = doubt(evidence(lower), 3, {"B": 0.5, "8": 0.45})
    reading = mrz.decode([evidence(upper), second], TODAY)
    assert reading is not None
    assert reading.lines == (upper, lower)
    assert reading.reason is Reason.EVIDENCE_WEAK  # read, and not vouched for: only the check digit told B from 8


def test_letters_give_way_to_digits_where_only_digits_may_stand() -> None:
    upper, lower = specimen_lines("TD3")
    second = doubt(evidence(lower), 16, {"O": 0.6, "8": 0.35})
    reading = mrz.decode([evidence(upper), second], TODAY)
    assert reading is not None
    assert reading.lines == (upper, lower)


def test_a_clear_letter_in_a_date_is_not_called_consistent() -> None:
    upper, lower = specimen_lines("TD3")
    assert lower[22] == "0"
    reading = _decode([upper, lower[:22] + "O" + lower[23:]])
    assert not reading.consistent


def test_weak_name_is_not_called_consistent() -> None:
    upper, lower = specimen_lines("TD3")
    first = doubt(evidence(upper), 7, {"I": 0.5, "L": 0.4})
    reading = mrz.decode([first, evidence(lower)], TODAY)
    assert reading is not None
    assert reading.lines == (upper, lower)
    assert reading.reason is Reason.EVIDENCE_WEAK


def test_noise_is_never_consistent() -> None:
    generator = np.random.default_rng(3)
    for lengths in ((44, 44), (36, 36), (30, 30, 30), (30,)):
        for _ in range(20):
            rows = [generator.dirichlet(np.full(37, 0.1), size=length).astype(np.float32) for length in lengths]
            reading = mrz.decode([LineEvidence(row, QUAD) for row in rows], TODAY)
            assert reading is not None
            assert not reading.consistent


def test_a_stray_letter_among_fillers_is_a_filler_unless_it_is_clear() -> None:
    upper, lower = specimen_lines("TD3")
    first = doubt(evidence(upper), 35, {"K": 0.6, "<": 0.35})
    reading = mrz.decode([first, evidence(lower)], TODAY)
    assert reading is not None
    assert reading.lines[0] == upper
    clear = _decode([upper[:35] + "K" + upper[36:], lower])
    assert clear.lines[0][35] == "K"


def test_a_missed_and_an_invented_filler_are_made_good() -> None:
    upper, lower = specimen_lines("TD3")
    for text in (upper[:-1], upper[:-2], upper + "<"):
        reading = mrz.decode([evidence(text), evidence(lower)], TODAY)
        assert reading is not None
        assert reading.lines == (upper, lower)


def test_a_missed_digit_is_not_invented() -> None:
    upper, lower = specimen_lines("TD3")
    reading = mrz.decode([evidence(upper), evidence(lower[:20] + lower[21:])], TODAY)
    assert reading is not None
    assert reading.reason is Reason.EVIDENCE_WEAK or not reading.consistent


def test_lines_of_no_layout() -> None:
    assert mrz.decode([evidence("A" * 20)], TODAY) is None
    assert mrz.decode([], TODAY) is None
    assert mrz.parse(["A" * 20], TODAY) is None


@pytest.mark.parametrize(
    ("layout", "changes", "expected"),
    [
        ("TD3", {}, DocumentType.PASSPORT),
        ("MRV-B", {}, DocumentType.VISA),
        ("TD1", {"document_code": "IR"}, DocumentType.RESIDENCE_PERMIT),
        ("TD1", {"document_code": "ID"}, DocumentType.IDENTITY_CARD),
        ("TD1", {"document_code": "C1", "issuing_state": "USA"}, DocumentType.RESIDENCE_PERMIT),
        ("TD1", {"document_code": "VB", "issuing_state": "USA"}, DocumentType.VISA),
        ("TD1", {"document_code": "AC"}, DocumentType.OTHER),
        ("LICENCE", {"document_code": "D1"}, DocumentType.DRIVING_LICENCE),
    ],
)
def test_document_types(layout: str, changes: dict[str, object], expected: DocumentType) -> None:
    code = {"MRV-B": "V", "TD3": "P"}.get(layout, "I")
    fields = with_fields(**{"document_code": code, "optional_data": (), **changes})
    reading = mrz.parse(compose(layout, fields), TODAY)
    assert reading is not None
    assert reading.fields.document_type is expected


# --- Vectors of other projects ---------------------------------------------------------------------------------------


def _digit(text: str) -> str:
    """The check digit again, written independently of the code under test."""
    order = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return str(sum((7, 3, 1)[i % 3] * max(order.find(c), 0) for i, c in enumerate(text)) % 10)


def _expected(line: str) -> dict[str, bool]:
    """Which of a line's own check digits are right; nothing for lines that have none."""
    if re.match(r"^[A-Z0-9<]{9}.[A-Z<]{3}[0-9]{6}.[MFX<][0-9]{6}.", line) and len(line) in (36, 44):
        return {
            "document_number": line[9] == _digit(line[:9]),
            "date_of_birth": line[19] == _digit(line[13:19]),
            "date_of_expiry": line[27] == _digit(line[21:27]),
        }
    if re.match(r"^[0-9<]{6}.[MFX<][0-9<]{6}.[A-Z<]{3}", line) and len(line) == 30:
        return {"date_of_birth": line[6] == _digit(line[:6]), "date_of_expiry": line[14] == _digit(line[8:14])}
    if re.match(r"^[0-9]{4}[A-Z0-9]{8}.[A-Z<]{14}[0-9]{6}", line) and len(line) == 36:
        return {"document_number": line[12] == _digit(line[:12]), "date_of_birth": line[33] == _digit(line[27:33])}
    if re.match(r"^[IAC][A-Z<][A-Z<]{3}[A-Z0-9]{9}", line) and len(line) == 30:
        if line[14] == "<":
            tail, digit = (match := line[15:].split("<")[0])[:-1], match[-1]
            return {"document_number": digit in (_digit(line[5:14] + tail), _digit(line[5:14] + "<" + tail))}
        return {"document_number": line[14] == _digit(line[5:14])}
    return {}


def _document(line: str) -> list[str]:
    """A whole zone around one line: its neighbours are the specimen's."""
    td1 = specimen_lines("TD1")
    if len(line) == 30:
        return [line, td1[1], td1[2]] if line[0] in "IAC" else [td1[0], line, td1[2]]
    if len(line) == 36 and line[13:27].replace("<", "").isalpha():
        return [specimen_lines("FRENCH-ID")[0], line]
    return [specimen_lines("TD3" if len(line) == 44 else "TD2")[0], line]


@pytest.mark.shared
def test_vectors_of_other_projects_are_judged_right(shared: Path) -> None:
    with (shared / "data/documents/mrz_text_vectors/lines.csv").open(newline="") as file:
        lines = [row["mrz_line"] for row in csv.DictReader(file)]
    judged = 0
    for line in lines:
        expected = _expected(line)
        if not expected:
            continue
        reading = mrz.parse(_document(line), TODAY)
        assert reading is not None
        for name, right in expected.items():
            assert (reading.checks[name][0] is Result.PASS) == right, (line, name)
            judged += 1
    assert judged > 150
    print(f"{judged} check digits of {len(lines)} lines of other projects judged right")


@pytest.mark.parametrize("expiry", [PartialDate(9999, 1, 1), PartialDate(9999, 12, 31)])
@pytest.mark.parametrize("state", ["ESP", "ITA", "PRT"])
def test_identity_cards_for_life(state: str, expiry: PartialDate) -> None:
    card = with_fields(document_code="ID", issuing_state=state, nationality=state, date_of_expiry=expiry)
    reading = mrz.parse(compose("TD1", card), TODAY)
    assert reading is not None
    assert reading.consistent
    assert (reading.fields.date_of_expiry, reading.fields.expires) == (None, False)


@pytest.mark.parametrize(
    ("layout", "state", "month"),
    [("TD1", "UTO", 1), ("TD1", "FRA", 12), ("TD3", "ESP", 1), ("TD1", "ESP", 6)],
    ids=["another state", "France", "a passport", "another day"],
)
def test_other_documents_of_1999_have_expired(layout: str, state: str, month: int) -> None:
    day = 31 if month == 12 else 1
    fields = with_fields(
        document_code="P" if layout == "TD3" else "ID",
        issuing_state=state,
        date_of_expiry=PartialDate(1999, month, day),
        optional_data=(),
    )
    reading = mrz.parse(compose(layout, fields), TODAY)
    assert reading is not None
    assert (reading.fields.date_of_expiry, reading.fields.expires) == (PartialDate(1999, month, day), True)
