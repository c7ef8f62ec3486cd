"""The journal's fields: a verification's id, stage, reason and outcome, and nothing else."""

import logging

import pytest

from device.logs import JournalHandler, about
from device.protocol import Outcome, Reason, Stage

ID = "6Jgu8GG7-mE7Eh9_IWxZqw"


def sent(**extra) -> dict:
    """What reaches the journal of one record."""
    calls: list[dict] = []
    handler = JournalHandler("notary", lambda message, **fields: calls.append({"MESSAGE": message, **fields}))
    record = logging.LogRecord("device.notary", logging.ERROR, "f", 1, "vision is %s", ("lost",), None)
    record.__dict__.update(extra)
    handler.emit(record)
    return calls[0]


def test_a_record_about_a_verification_has_its_fields():
    fields = sent(**about(verification=ID, stage=Stage.SELFIE, reason=Reason.VISION_LOST, outcome=Outcome.INCONCLUSIVE))
    assert fields == {
        "MESSAGE": "vision is lost",
        "PRIORITY": 3,
        "SYSLOG_IDENTIFIER": "vouchbox-notary",
        "LOGGER": "device.notary",
        "VOUCHBOX_VERIFICATION": ID,
        "VOUCHBOX_STAGE": "selfie",
        "VOUCHBOX_REASON": "vision_lost",
        "VOUCHBOX_OUTCOME": "inconclusive",
    }


def test_what_else_hangs_on_a_record_stays_out_of_the_journal():
    assert "ERIKSSON" not in str(sent(name_of_person="ERIKSSON"))


@pytest.mark.parametrize("text", ["ERIKSSON ANNA MARIA", "short", "L898902C3<6UTO7408122"])
def test_what_is_no_id_of_a_verification_is_refused(text):
    with pytest.raises(ValueError, match="no id"):
        about(verification=text)


def test_nothing_is_said_of_what_is_not_known():
    assert about(verification=ID) == {"verification": ID}
