"""AAMVA payloads: every version, sound and broken headers, dates and units of three countries, hostile bytes."""

import datetime
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.protocol import DocumentType, Reason, Result
from device.vision.document import aamva
from device.vision.document.aamva_tables import ISSUERS, mandatory
from device.vision.document.mrz_fields import PartialDate
from tests.slowness import SLOWNESS

TODAY = datetime.date(2026, 6, 1)
ELEMENTS = {
    "DCA": "C", "DCB": "NONE", "DCD": "NONE", "DBA": "03112031", "DCS": "ERIKSSON", "DAC": "ANNA", "DAD": "MARIA",
    "DBD": "03112023", "DBB": "08121974", "DBC": "2", "DAY": "GRN", "DAU": "066 IN", "DAG": "1 SPECIMEN ST",
    "DAI": "UTOPOLIS", "DAJ": "VA", "DAK": "220000000  ", "DAQ": "T64235789", "DCF": "2424244747474786102204",
    "DCG": "USA", "DDE": "N", "DDF": "N", "DDG": "N", "DAW": "150",
}  # fmt: skip


def payload(
    elements: dict[str, str] | None = None,
    version: int = 9,
    issuer: str = "636000",
    subfile: str = "DL",
    extra: dict[str, str] | None = None,
) -> bytes:
    """A payload as the standard writes it."""
    body = subfile + "".join(f"{name}{value}\n" for name, value in (elements or ELEMENTS).items()) + "\r"
    own = "" if extra is None else "ZV" + "".join(f"{name}{value}\n" for name, value in extra.items()) + "\r"
    entries = 1 if extra is None else 2
    head = f"@\n\x1e\rANSI {issuer}{version:02d}" + ("" if version <= 1 else "00") + f"{entries:02d}"
    start = len(head) + 10 * entries
    head += f"{subfile}{start:04d}{len(body):04d}"
    if extra is not None:
        head += f"ZV{start + len(body):04d}{len(own):04d}"
    return (head + body + own).encode()


def _read(data: bytes) -> aamva.AamvaDocument:
    document = aamva.parse(data, TODAY)
    assert document is not None
    return document


def test_a_sound_payload() -> None:
    document = _read(payload(extra={"ZVA": "01"}))
    fields = document.fields
    assert (document.version, document.subfile, document.defects, document.missing) == (9, "DL", (), ())
    assert document.reason is None
    assert (fields.surname, fields.given_names, fields.document_number) == ("ERIKSSON", "ANNA MARIA", "T64235789")
    assert (fields.issuing_state, fields.jurisdiction) == ("USA", "US-VA")
    assert fields.document_type is DocumentType.DRIVING_LICENCE
    assert fields.date_of_birth == PartialDate(1974, 8, 12)
    assert fields.date_of_expiry == PartialDate(2031, 3, 11)
    assert (fields.sex, document.height_cm, document.weight_kg) == ("F", 168, 68)
    assert document.subfiles == {"ZV": {"ZVA": "01"}}


@pytest.mark.parametrize("version", range(2, 11))
def test_every_version_from_02(version: int) -> None:
    elements = dict(ELEMENTS)
    if version <= 3:
        elements["DCT"] = f"{elements.pop('DAC')},{elements.pop('DAD')}"
    document = _read(payload(elements, version))
    assert document.version == version
    assert (document.fields.given_names, document.missing, document.reason) == ("ANNA MARIA", (), None)


def test_version_01_has_one_name_and_feet() -> None:
    elements = {
        "DAA": "ERIKSSON,ANNA,MARIA", "DAG": "1 SPECIMEN ST", "DAI": "UTOPOLIS", "DAJ": "VA", "DAK": "22000",
        "DAQ": "T64235789", "DAR": "D", "DAS": "", "DAT": "", "DBA": "20310311", "DBB": "19740812", "DBC": "F",
        "DBD": "20230311", "DAU": "506",
    }  # fmt: skip
    document = _read(payload(elements, version=1))
    assert (document.fields.surname, document.fields.given_names) == ("ERIKSSON", "ANNA MARIA")
    assert document.fields.date_of_birth == PartialDate(1974, 8, 12)
    assert (document.height_cm, document.fields.sex, document.missing) == (168, "F", ())


def test_canadian_dates_and_units() -> None:
    elements = ELEMENTS | {"DBB": "19740812", "DBA": "20310311", "DBD": "20230311", "DCG": "CAN", "DAU": "168 cm"}
    elements |= {"DAW": "068 kg", "DAJ": "ON"}
    document = _read(payload(elements, issuer="636012"))
    assert document.fields.date_of_birth == PartialDate(1974, 8, 12)
    assert (document.fields.issuing_state, document.fields.jurisdiction) == ("CAN", "CA-ON")
    assert (document.height_cm, document.weight_kg, document.reason) == (168, 68, None)


def test_identification_card() -> None:
    elements = {name: value for name, value in ELEMENTS.items() if name not in ("DCA", "DCB", "DCD")}
    document = _read(payload(elements, subfile="ID"))
    assert document.fields.document_type is DocumentType.IDENTITY_CARD
    assert document.missing == ()


@pytest.mark.parametrize("version", [1, 2, 4, 10])
@pytest.mark.parametrize("subfile", ["DL", "ID"])
def test_every_mandatory_element_is_missed(version: int, subfile: str) -> None:
    full = dict.fromkeys(mandatory(version, subfile), "X")
    if version > 1:
        full |= {name: ELEMENTS[name] for name in full if name in ELEMENTS}
    for name in full:
        elements = {other: value for other, value in full.items() if other != name}
        assert name in _read(payload(elements, version, subfile=subfile)).missing


@pytest.mark.parametrize("name", ["DCS", "DAQ", "DBB", "DBA"])
def test_what_identifies_must_be_there(name: str) -> None:
    elements = {other: value for other, value in ELEMENTS.items() if other != name}
    document = _read(payload(elements))
    assert document.checks["mandatory"] == (Result.FAIL, Reason.MANDATORY_ELEMENT_MISSING)


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"DBB": "13121974"}, "date_of_birth_possible"),
        ({"DBB": "02301974"}, "date_of_birth_possible"),
        ({"DBA": "ABC"}, "date_of_expiry_possible"),
        ({"DBB": "08122023", "DBD": "03112023"}, "dates_in_order"),
        ({"DBD": "03112031", "DBA": "03112030"}, "dates_in_order"),
        ({"DBB": "08122030"}, "dates_in_order"),
    ],
)
def test_impossible_dates(changes: dict[str, str], check: str) -> None:
    assert _read(payload(ELEMENTS | changes)).checks[check] == (Result.FAIL, Reason.DATE_IMPOSSIBLE)


@pytest.mark.parametrize("nothing", ["", "NONE", "UNAVL", "UNK"])
def test_an_issue_date_that_says_nothing_is_as_good_as_none(nothing: str) -> None:
    document = _read(payload(ELEMENTS | {"DBD": nothing}))
    assert document.fields.date_of_issue is None
    assert document.reason is None
    assert _read(payload(ELEMENTS | {"DBB": nothing})).reason is not None


def test_a_card_without_expiry() -> None:
    document = _read(payload(ELEMENTS | {"DBA": "99999999"}))
    assert document.fields.date_of_expiry is None
    assert document.reason is None


@pytest.mark.parametrize(
    ("before", "after", "defect"),
    [
        (b"@\n\x1e\r", b"6", "compliance_indicator"),
        (b"DL00310", b"DL09990", "subfile_offset"),
        (b"0001DL", b"0003DL", "subfile_count"),
        (b"DLDCA", b"DCA", "subfile_without_type"),
    ],
    ids=["no compliance indicator", "offset points nowhere", "wrong count", "subfile without its type"],
)
def test_malformed_headers_are_read_and_named(before: bytes, after: bytes, defect: str) -> None:
    data = payload()
    assert before in data
    document = _read(data.replace(before, after, 1))
    assert defect in document.defects
    assert document.fields.document_number == "T64235789"
    assert document.fields.surname == "ERIKSSON"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: b"  \n" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"|"),
        lambda data: data.replace(b"\n", b"\xc2\x90\n\xc2\x90"),
        lambda data: data.replace(b"ANSI ", b"AAMVA"),
    ],
    ids=["byte order mark", "leading blanks", "carriage returns", "bars", "undefined characters", "old file type"],
)
def test_other_encoders(change) -> None:  # type: ignore[no-untyped-def]
    document = _read(change(payload()))
    assert document.fields.given_names == "ANNA MARIA"
    assert document.reason is None


def test_truncated_payload_says_so() -> None:
    data = payload()
    document = _read(data[: len(data) // 2])
    assert "truncated" in document.defects
    assert document.missing


@pytest.mark.parametrize(
    "data", [b"", b"@", b"ANSI", b"ANSI 63600009", b"https://example.org", b"x" * 5000, b"\xff" * 40]
)
def test_what_is_no_such_payload(data: bytes) -> None:
    assert aamva.parse(data, TODAY) is None


@given(st.binary(max_size=600))
def test_any_bytes_end_in_a_result(data: bytes) -> None:
    for raw in (data, b"@\n\x1e\rANSI 636000090001DL00310300DL" + data):
        document = aamva.parse(raw, TODAY)
        assert document is None or document.elements


def test_ten_thousand_mutations_parse_or_are_refused() -> None:
    generator = np.random.default_rng(20260601)
    sound = np.frombuffer(payload(extra={"ZVA": "01"}), np.uint8)
    start = time.process_time()
    parsed = 0
    for _ in range(10_000):
        data = sound.copy()
        places = generator.integers(0, len(data), generator.integers(1, 40))
        data[places] = generator.integers(0, 256, len(places))
        cut, end = sorted(generator.integers(0, len(data) + 1, 2))
        raw = bytes(data[cut:end]) if generator.random() < 0.3 else bytes(data)
        document = aamva.parse(raw, TODAY)
        parsed += document is not None
        assert document is None or len(document.elements) <= aamva.MAX_ELEMENTS
    assert 1000 < parsed < 10_000
    assert time.process_time() - start < 30 * SLOWNESS


def test_repeated_elements_do_not_grow() -> None:
    start = time.process_time()
    document = aamva.parse(payload()[:31] + b"DL" + b"ZVZV" * 900, TODAY)
    assert document is None
    aamva.parse(payload() + b"DAQ1\n" * 600, TODAY)
    assert time.process_time() - start < 1


def test_issuers_are_codes_of_iso_3166_2() -> None:
    assert len(ISSUERS) == 72
    assert all(code == "US" or code[:3] in ("US-", "CA-", "MX-") for code in ISSUERS.values())


@pytest.mark.shared
def test_payloads_of_other_projects(shared: Path) -> None:
    """Each payload's fields against its own lines, looked up here without the parser."""
    files = [path for path in sorted((shared / "data/documents/aamva_text").glob("*.txt")) if path.stem != "SOURCE"]
    assert len(files) == 39
    for path in files:
        data = path.read_bytes()
        document = _read(data)
        text = data.decode("utf-8-sig").replace("\x90", "").replace("|", "\n")

        def after(element: str, pattern: str, text: str = text) -> str:
            match = re.search(rf"(?:^|DL){element}({pattern})", text, re.MULTILINE)
            assert match is not None, element
            return match[1].strip()

        assert document.fields.document_number == after("DAQ", ".*"), path.stem
        assert document.fields.jurisdiction[3:] == after("DAJ", ".."), path.stem
        born = document.fields.date_of_birth
        assert born is not None
        digits = f"{born.year:04d}{born.month:02d}{born.day:02d}"
        assert after("DBB", ".{8}") in (digits, digits[4:] + digits[:4]), path.stem
        assert document.fields.surname, path.stem
        assert document.checks["mandatory"][0] is Result.PASS, path.stem
    print(f"{len(files)} payloads of licences parsed to the right fields")
