"""Sources of one document agree or do not, field by field; what follows is reported, and what is not known is not."""

import datetime
from dataclasses import replace

import pytest

from device.protocol import Attribute, Check, DocumentType, Reason, Result
from device.vision.document import aamva, consistency, mrz
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.mrz_layouts import compose
from device.vision.document.national import number_in
from tests.vision.document.synthetic import SPECIMEN, TODAY, doubt, evidence, with_fields
from tests.vision.document.test_aamva import ELEMENTS, payload


def _zone(**changes: object) -> mrz.MrzReading:
    reading = mrz.parse(compose("TD3", with_fields(**changes)), TODAY)
    assert reading is not None
    return reading


def _barcode(**changes: str) -> aamva.AamvaDocument:
    document = aamva.parse(payload(ELEMENTS | changes), TODAY)
    assert document is not None
    return document


def _reasons(judgement: consistency.Judgement) -> dict[Check, Reason | None]:
    return {report.check: report.reason for report in judgement.reports}


def test_a_sound_passport() -> None:
    judgement = consistency.judge(mrz=_zone(), today=TODAY)
    assert all(report.result is Result.PASS for report in judgement.reports)
    assert judgement.fields is not None
    assert judgement.fields.surname == "ERIKSSON"


@pytest.mark.parametrize("seen", [False, True])
def test_nothing_read(seen: bool) -> None:
    judgement = consistency.judge(today=TODAY, seen=seen)
    expected = Reason.DOCUMENT_UNREADABLE if seen else Reason.DOCUMENT_NOT_FOUND
    assert {report.reason for report in judgement.reports} == {expected}
    assert {report.result for report in judgement.reports} == {Result.NOT_PERFORMED}


def test_expired() -> None:
    judgement = consistency.judge(mrz=_zone(date_of_expiry=PartialDate(2026, 5, 31)), today=TODAY)
    assert _reasons(judgement)[Check.DOCUMENT_CONSISTENCY] is Reason.DOCUMENT_EXPIRED
    last_day = consistency.judge(mrz=_zone(date_of_expiry=PartialDate(2026, 6, 1)), today=TODAY)
    assert _reasons(last_day)[Check.DOCUMENT_CONSISTENCY] is None


def test_type_not_accepted() -> None:
    judgement = consistency.judge(mrz=_zone(), today=TODAY, accepted=(DocumentType.IDENTITY_CARD,))
    assert _reasons(judgement)[Check.DOCUMENT_READ] is Reason.DOCUMENT_TYPE_NOT_ACCEPTED


def test_wrong_check_digit_comes_before_expired() -> None:
    upper, lower = compose("TD3", with_fields(date_of_expiry=PartialDate(2020, 1, 1)))
    reading = mrz.parse([upper, lower[:9] + str((int(lower[9]) + 1) % 10) + lower[10:]], TODAY)
    judgement = consistency.judge(mrz=reading, today=TODAY)
    assert _reasons(judgement)[Check.DOCUMENT_CONSISTENCY] is Reason.CHECK_DIGIT_WRONG


def test_weak_evidence_is_no_answer() -> None:
    upper, lower = compose("TD3", SPECIMEN)
    reading = mrz.decode([doubt(evidence(upper), 8, {"K": 0.5, "X": 0.4}), evidence(lower)], TODAY)
    judgement = consistency.judge(mrz=reading, today=TODAY)
    assert {report.result for report in judgement.reports} == {Result.NOT_PERFORMED}
    assert _reasons(judgement)[Check.DOCUMENT_CONSISTENCY] is Reason.EVIDENCE_WEAK


def test_zone_and_barcode_of_one_licence_agree() -> None:
    zone = mrz.parse(
        compose(
            "TD1",
            with_fields(
                document_code="ID",
                issuing_state="USA",
                nationality="USA",
                document_number="T64235789",
                date_of_expiry=PartialDate(2031, 3, 11),
                optional_data=(),
            ),
        ),
        TODAY,
    )
    judgement = consistency.judge(mrz=zone, barcode=_barcode(), today=TODAY)
    assert _reasons(judgement) == {Check.DOCUMENT_READ: None, Check.DOCUMENT_CONSISTENCY: None}
    compared = {name for name in judgement.details if name.startswith("agreement.")}
    assert compared == {
        f"agreement.{name}"
        for name in (
            "document_number", "date_of_birth", "date_of_expiry", "surname", "given_names", "sex", "issuing_state",
        )
    }  # fmt: skip
    assert judgement.fields is not None
    assert judgement.fields.jurisdiction == "US-VA"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"DAQ": "T64235780"}, "document_number"),
        ({"DBB": "08131974"}, "date_of_birth"),
        ({"DCS": "ERICSON"}, "surname"),
        ({"DAC": "HANNA"}, "given_names"),
        ({"DBC": "1"}, "sex"),
    ],
)
def test_each_field_that_disagrees_is_named(changes: dict[str, str], field: str) -> None:
    zone = _zone(document_number="T64235789", issuing_state="USA", date_of_expiry=PartialDate(2031, 3, 11))
    judgement = consistency.judge(mrz=zone, barcode=_barcode(**changes), today=TODAY)
    assert _reasons(judgement)[Check.DOCUMENT_CONSISTENCY] is Reason.SOURCES_DISAGREE
    wrong = {name for name, answer in judgement.details.items() if answer[1] is Reason.SOURCES_DISAGREE}
    assert wrong == {f"agreement.{field}"}


@pytest.mark.parametrize(
    ("one", "other", "cut", "same"),
    [
        ("MUELLER", "MÜLLER", False, True),
        ("MUELLER", "MULLER", False, True),
        ("ANNA MARIA", "ANNA", False, True),
        ("ANNA MARIA", "MARIA", False, False),
        ("O'CONNOR", "OCONNOR", False, True),
        ("SMITH JONES", "SMITH-JONES", False, True),
        ("PAPANDROPOULOUS", "PAPANDROP", True, True),
        ("PAPANDROPOULOUS", "PAPANDROP", False, False),
        ("NILAVADHANANANDA CHAYAPA", "NILAVADHANANANDA C", True, True),
        ("ERIKSSON", "ERICSSON", True, False),
    ],
)
def test_spellings(one: str, other: str, cut: bool, same: bool) -> None:
    assert consistency.same_name(one, other, cut) is same
    assert consistency.same_name(other, one, cut) is same


def test_national_number_must_have_the_birth_date() -> None:
    fields = with_fields(document_code="ID", issuing_state="BGR", nationality="BGR", optional_data=("", "7501021009"))
    for born, expected in ((PartialDate(1975, 1, 2), None), (PartialDate(1975, 1, 3), Reason.SOURCES_DISAGREE)):
        zone = mrz.parse(compose("TD1", replace(fields, date_of_birth=born)), TODAY)
        judgement = consistency.judge(mrz=zone, today=TODAY)
        assert _reasons(judgement)[Check.DOCUMENT_CONSISTENCY] is expected
        assert judgement.fields is not None
        assert judgement.fields.national_number == "7501021009"


# --- Attributes and subject ------------------------------------------------------------------------------------------


def _said(fields: DocumentFields, today: datetime.date = TODAY) -> dict[Attribute, str]:
    return consistency.attributes(fields, tuple(Attribute), today)


def test_only_what_was_asked_for() -> None:
    assert consistency.attributes(SPECIMEN, (Attribute.AGE_OVER_18,), TODAY) == {Attribute.AGE_OVER_18: "true"}
    assert set(_said(SPECIMEN)) == set(Attribute)


@pytest.mark.parametrize(
    ("born", "today", "expected"),
    [
        (PartialDate(2008, 6, 1), datetime.date(2026, 6, 1), "true"),
        (PartialDate(2008, 6, 2), datetime.date(2026, 6, 1), "false"),
        (PartialDate(2008, 2, 29), datetime.date(2026, 2, 28), "false"),
        (PartialDate(2008, 2, 29), datetime.date(2026, 3, 1), "true"),
        (PartialDate(2008), datetime.date(2026, 6, 1), None),
        (PartialDate(2007), datetime.date(2026, 6, 1), "true"),
        (None, datetime.date(2026, 6, 1), None),
    ],
)
def test_age(born: PartialDate | None, today: datetime.date, expected: str | None) -> None:
    assert _said(with_fields(date_of_birth=born), today).get(Attribute.AGE_OVER_18) == expected


def test_validity() -> None:
    assert _said(SPECIMEN)[Attribute.DOCUMENT_VALID] == "true"
    assert _said(with_fields(date_of_expiry=PartialDate(2020, 1, 1)))[Attribute.DOCUMENT_VALID] == "false"
    assert Attribute.DOCUMENT_VALID not in _said(with_fields(date_of_expiry=None))
    assert _said(_zone(date_of_expiry=None).fields)[Attribute.DOCUMENT_VALID] == "true"


def test_subject_is_the_same_for_the_same_document() -> None:
    assert consistency.subject(SPECIMEN) == "L898902C3|UTO"
    assert consistency.subject(with_fields(document_number="l898 902-C3")) == "L898902C3|UTO"
    assert consistency.subject(_barcode().fields) == "T64235789|US-VA"
    assert consistency.subject(with_fields(document_number="")) == ""


@pytest.mark.parametrize(
    ("state", "number", "born"),
    [
        ("MYS", "040730145678", PartialDate(2004, 7, 30)),
        ("MYS", "740730145678", PartialDate(1974, 7, 30)),
        ("IDN", "3171011708450001", PartialDate(1945, 8, 17)),
        ("IDN", "3171011708040001", PartialDate(2004, 8, 17)),
        ("ZAF", "0407305009083", PartialDate(2004, 7, 30)),
    ],
)
def test_a_number_without_a_century_agrees_with_either(state: str, number: str, born: PartialDate) -> None:
    zone = DocumentFields(issuing_state=state, date_of_birth=born, optional_data=(number,))
    found = number_in(zone, TODAY)
    assert found is not None
    assert consistency.agreement({"mrz": zone}, found) == {"national_number": consistency.PASSED}
    another_day = replace(zone, date_of_birth=PartialDate(born.year, born.month, born.day - 1))
    assert consistency.agreement({"mrz": another_day}, found) == {"national_number": consistency.DISAGREE}
    another_year = replace(zone, date_of_birth=PartialDate(born.year + 1, born.month, born.day))
    assert consistency.agreement({"mrz": another_year}, found) == {"national_number": consistency.DISAGREE}


def test_a_malaysian_passport_of_somebody_born_after_2000() -> None:
    zone = _zone(
        issuing_state="MYS",
        nationality="MYS",
        date_of_birth=PartialDate(2004, 7, 30),
        optional_data=("040730145678",),
    )
    judgement = consistency.judge(mrz=zone, today=TODAY)
    assert _reasons(judgement)[Check.DOCUMENT_CONSISTENCY] is None
    assert judgement.fields is not None
    assert judgement.fields.national_number == "040730145678"
