import datetime
from dataclasses import replace

import numpy as np
import pytest

from device.protocol import Check, DocumentType, Guidance, Reason, Result, StageLimits
from device.vision.document import mrz
from device.vision.document.barcode import Barcode
from device.vision.document.evidence import ALPHABET, INDEX, LineEvidence
from device.vision.document.fusion import DocumentFusion
from device.vision.document.mrz_layouts import compose
from device.vision.document.reader import DocumentReading
from tests.vision.document.synthetic import SPECIMEN, TODAY, with_fields
from tests.vision.document.test_seal import vds

QUAD = np.array([[0, 0], [700, 0], [700, 20], [0, 20]], np.float32)
LINES = compose("TD3", SPECIMEN)
LICENCE = (
    "@\n\x1e\rANSI 636026080002DL00410235ZA02760014DLDAQD12345678\nDCSSAMPLE\nDACMICHAEL\nDADNONE\nDBD08242015\n"
    "DBB01311970\nDBA01312035\nDBC1\nDAU069 IN\nDAYGRN\nDAG2300 WEST BROAD STREET\nDAIPHOENIX\nDAJAZ\nDAK850070000  \n"
    "DCF83D9BN217QO983B1\nDCGUSA\nDCAD\nDCBNONE\nDCDNONE\nDDEN\nDDFN\nDDGN\rZAZAAN\r"
).encode("latin-1")


def evidence(text: str, sure: float = 0.995, rng: np.random.Generator | None = None) -> LineEvidence:
    """Probabilities that favour the text; with `rng`, blurred by noise of its own."""
    rest = (1 - sure) / (len(ALPHABET) - 1)
    rows = np.full((len(text), len(ALPHABET)), rest)
    for row, character in zip(rows, text, strict=True):
        row[INDEX[character]] = sure
    if rng is not None:
        rows = np.exp(np.log(rows) + rng.normal(0, 1.5, rows.shape))
    return LineEvidence((rows / rows.sum(axis=1, keepdims=True)).astype(np.float32), QUAD)


def frame(lines: tuple[str, ...], sure: float = 0.995, rng: np.random.Generator | None = None) -> DocumentReading:
    seen = tuple(evidence(line, sure, rng) for line in lines)
    return DocumentReading(None, None, seen, mrz.decode(seen, TODAY), (), None, 1.0)


def blank(*barcodes: Barcode) -> DocumentReading:
    return DocumentReading(None, None, (), None, barcodes, Guidance.SHOW_DOCUMENT, 1.0)


def fused(*frames: DocumentReading) -> DocumentFusion:
    fusion = DocumentFusion(TODAY)
    for reading in frames:
        fusion.add(reading)
    return fusion


def test_a_line_that_was_cut_off_in_most_frames_is_not_vouched_for() -> None:
    part = tuple(replace(evidence(line), cut_off=True) for line in LINES)
    reading = DocumentReading(None, None, part, mrz.decode(part, TODAY), (), None, 1.0)
    assert reading.mrz is not None
    assert reading.mrz.reason is Reason.EVIDENCE_WEAK
    assert not fused(reading, reading, frame(LINES)).sure
    assert fused(reading, frame(LINES), frame(LINES)).sure


def test_the_policy_says_how_many_frames_are_enough() -> None:
    fusion = DocumentFusion(TODAY, StageLimits(frames_consistent=3))
    for sure in (False, False, True):
        fusion.add(frame(LINES))
        assert fusion.sure is sure


def test_two_clear_frames_are_enough() -> None:
    fusion = fused(frame(LINES))
    assert not fusion.sure
    fusion.add(frame(LINES))
    assert fusion.sure
    result = fusion.result()
    assert result.lines == LINES
    assert result.format == "TD3"
    assert result.document_type is DocumentType.PASSPORT
    assert result.fields is not None
    assert result.fields.surname == "ERIKSSON"
    assert {check: report.result for check, report in result.checks.items()} == {
        Check.DOCUMENT_READ: Result.PASS,
        Check.DOCUMENT_CONSISTENCY: Result.PASS,
    }
    assert result.details["mrz.composite"] == (Result.PASS, None)


def test_nothing_seen_is_not_performed() -> None:
    fusion = fused(blank())
    assert not fusion.sure
    result = fusion.result()
    assert result.document_type is None
    assert result.lines == ()
    assert {(report.result, report.reason) for report in result.checks.values()} == {
        (Result.NOT_PERFORMED, Reason.DOCUMENT_NOT_FOUND)
    }


def test_something_unreadable_is_not_performed_either() -> None:
    unread = DocumentReading(None, None, (evidence("A<B<C<D<"),), None, (), Guidance.HOLD_STILL, 1.0)
    report = fused(unread).result().checks[Check.DOCUMENT_READ]
    assert (report.result, report.reason) == (Result.NOT_PERFORMED, Reason.DOCUMENT_UNREADABLE)


def test_noisy_frames_together_say_what_none_says_alone() -> None:
    rng = np.random.default_rng(4)
    frames = [frame(LINES, 0.75, rng) for _ in range(12)]
    alone = [reading.mrz.lines == LINES for reading in frames if reading.mrz is not None]
    assert not any(alone)
    assert fused(*frames).result().lines == LINES


def test_a_wrong_check_digit_is_looked_at_longer_and_then_fails() -> None:
    digit = "0" if LINES[1][9] != "0" else "1"
    wrong = (LINES[0], LINES[1][:9] + digit + LINES[1][10:])
    fusion = fused(*[frame(wrong, 0.999)] * 2)
    assert not fusion.sure
    few = fusion.result().checks[Check.DOCUMENT_CONSISTENCY]
    assert (few.result, few.reason) == (Result.NOT_PERFORMED, Reason.EVIDENCE_WEAK), "time was over too soon to say it"
    for _ in range(4):
        fusion.add(frame(wrong, 0.999))
    assert fusion.sure
    result = fusion.result()
    assert result.lines == wrong  # as printed, not repaired
    report = result.checks[Check.DOCUMENT_CONSISTENCY]
    assert (report.result, report.reason) == (Result.FAIL, Reason.CHECK_DIGIT_WRONG)
    assert result.checks[Check.DOCUMENT_READ].result is Result.PASS


def test_weak_evidence_never_makes_sure() -> None:
    vague = evidence(LINES[1], 0.35)
    reading = DocumentReading(
        None,
        None,
        (evidence(LINES[0], 0.35), vague),
        mrz.decode((evidence(LINES[0], 0.35), vague), TODAY),
        (),
        None,
        1.0,
    )
    fusion = fused(reading, reading, reading)
    report = fusion.result().checks[Check.DOCUMENT_CONSISTENCY]
    assert not fusion.sure
    assert report.result is Result.NOT_PERFORMED


def test_an_expired_document_is_read_but_fails() -> None:
    fusion = DocumentFusion(datetime.date(2031, 1, 1))
    for _ in range(6):
        fusion.add(frame(LINES))
    checks = fusion.result().checks
    assert fusion.sure
    assert checks[Check.DOCUMENT_READ].result is Result.PASS
    assert checks[Check.DOCUMENT_CONSISTENCY].reason is Reason.DOCUMENT_EXPIRED


def test_a_second_document_does_not_mix_with_the_first() -> None:
    from dataclasses import replace

    other = compose("TD3", replace(SPECIMEN, surname="MUSTERMANN", given_names="ERIKA", document_number="C01X00T47"))
    fusion = fused(frame(LINES), frame(other), frame(LINES), frame(other), frame(LINES))
    assert fusion.result().lines == LINES


@pytest.mark.parametrize("lengths", [(44,), (44, 43), (30, 30), (1, 2, 3)])
def test_frames_of_other_shapes_are_no_error(lengths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    seen = tuple(evidence("".join(rng.choice(list(ALPHABET), length)), 0.5, rng) for length in lengths)
    odd = DocumentReading(None, None, seen, mrz.decode(seen, TODAY), (), None, 1.0)
    fusion = fused(odd, frame(LINES), frame(LINES), odd)
    assert fusion.result().lines == LINES


def test_a_licence_barcode_alone_is_enough() -> None:
    fusion = fused(blank(Barcode("PDF417", LICENCE, QUAD)))
    result = fusion.result()
    assert fusion.sure
    assert result.format == "AAMVA"
    assert result.document_type is DocumentType.DRIVING_LICENCE
    assert result.fields is not None
    assert result.fields.surname == "SAMPLE"
    assert result.checks[Check.DOCUMENT_READ].method == "barcode"


def test_other_barcodes_are_no_document() -> None:
    fusion = fused(blank(Barcode("QR", b"https://example.org", QUAD)))
    assert not fusion.sure
    assert fusion.result().format == ""


def test_a_barcode_that_contradicts_the_zone() -> None:
    fusion = fused(*[frame(LINES)] * 6, blank(Barcode("PDF417", LICENCE, QUAD)))
    report = fusion.result().checks[Check.DOCUMENT_CONSISTENCY]
    assert (report.result, report.reason) == (Result.FAIL, Reason.SOURCES_DISAGREE)


def test_the_number_of_a_resident_card() -> None:
    number = evidence("11010519491231002X", 0.999)
    reading = DocumentReading(None, None, (number,), None, (), None, 1.0)
    fusion = fused(reading, reading)
    result = fusion.result()
    assert fusion.sure
    assert result.format == "GB11643"
    assert result.lines == ("11010519491231002X",)
    assert result.document_type is DocumentType.IDENTITY_CARD


def test_a_seal_is_handed_on_only_if_it_names_this_document() -> None:
    zone = compose("TD2", with_fields(document_code="I", document_number="D23145890", optional_data=()))
    symbol = Barcode("DataMatrix", vds("".join(zone)), QUAD)
    fusion = fused(frame(zone), blank(symbol))
    shown = fusion.seal_shown()
    assert shown is not None
    assert (shown.signer, shown.reference, shown.signature) == ("UTSG", "7A", b"\x01" * 64)
    report = fusion.seal_report()
    assert (report.result, report.reason) == (Result.NOT_PERFORMED, Reason.SEAL_UNTRUSTED)
    another = compose("TD2", with_fields(document_code="I", document_number="D23145891", optional_data=()))
    other = fused(frame(another), blank(symbol))
    assert other.seal_shown() is None
    assert other.seal_report().reason is Reason.SEAL_INVALID
    assert fused(blank(symbol)).seal_report().reason is Reason.EVIDENCE_WEAK
    assert fused(frame(zone)).seal_report().reason is Reason.SEAL_MISSING


def vague(*lengths: int, seed: int = 0) -> DocumentReading:
    """Other print, taken for lines of a zone."""
    rng = np.random.default_rng(seed)
    seen = tuple(evidence("".join(rng.choice(list(ALPHABET), length)), 0.5, rng) for length in lengths)
    reading = mrz.decode(seen, TODAY)
    assert reading is not None
    assert reading.checks["evidence"] == (Result.FAIL, Reason.EVIDENCE_WEAK)
    return DocumentReading(None, None, seen, reading, (), None, 1.0)


@pytest.mark.parametrize("lengths", [(30,), (36, 36)])
def test_print_beside_a_licences_barcode_says_nothing_about_the_licence(lengths: tuple[int, ...]) -> None:
    licence = Barcode("PDF417", LICENCE, QUAD)
    fusion = fused(replace(vague(*lengths), barcodes=(licence,)))
    assert fusion.sure
    assert fused(vague(*lengths), *[blank(licence)] * 2).sure
    result = fusion.result()
    assert (result.format, result.lines) == ("AAMVA", ())
    assert {report.result for report in result.checks.values()} == {Result.PASS}
    assert {report.method for report in result.checks.values()} == {"barcode"}


def test_a_number_line_read_badly_beside_a_licences_barcode() -> None:
    number = DocumentReading(None, None, (evidence("11010519491231002X", 0.5),), None, (), None, 1.0)
    alone = fused(number).result().checks[Check.DOCUMENT_READ]
    assert (alone.result, alone.method) == (Result.NOT_PERFORMED, "card")
    fusion = fused(number, blank(Barcode("PDF417", LICENCE, QUAD)))
    assert fusion.sure
    assert fusion.result().checks[Check.DOCUMENT_READ].method == "barcode"


def test_an_expired_licence_beside_other_print_is_said_to_be_expired() -> None:
    expired = Barcode("PDF417", LICENCE.replace(b"DBA01312035", b"DBA01312024"), QUAD)
    report = fused(vague(30), blank(expired)).result().checks[Check.DOCUMENT_CONSISTENCY]
    assert (report.result, report.reason) == (Result.FAIL, Reason.DOCUMENT_EXPIRED)


def test_a_back_that_holds_goes_before_many_frames_of_a_front_that_does_not() -> None:
    back = compose("TD1", with_fields(document_code="I", optional_data=()))
    fusion = fused(*[vague(36, 36)] * 20, frame(back))
    assert not fusion.sure
    fusion.add(frame(back))
    assert fusion.sure
    assert fusion.result().lines == back
