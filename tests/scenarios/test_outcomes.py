"""Every scenario ends as it should, with the reason that it should, and only the honest one is verified."""

import pytest

from device.protocol import Check, Outcome, Reason, Result
from device.vision.camera.emulation.scenario import BUILT_IN
from tests.scenarios.conftest import play

EXPECTED = {
    "wrong_person": (Outcome.REJECTED, Check.FACE_MATCH, Reason.FACE_MISMATCH),
    "expired_document": (Outcome.REJECTED, Check.DOCUMENT_CONSISTENCY, Reason.DOCUMENT_EXPIRED),
    "tampered_mrz": (Outcome.REJECTED, Check.DOCUMENT_CONSISTENCY, Reason.CHECK_DIGIT_WRONG),
    "no_face": (Outcome.INCONCLUSIVE, Check.HOLDING, Reason.FACE_NOT_FOUND),
    "two_faces": (Outcome.INCONCLUSIVE, Check.LIVENESS_CHALLENGE, Reason.FACE_MULTIPLE),
    "covered_camera": (Outcome.INCONCLUSIVE, Check.LIVENESS_CHALLENGE, Reason.CAMERA_BLACK),
    "challenge_ignored": (Outcome.REJECTED, Check.LIVENESS_CHALLENGE, Reason.CHALLENGE_IGNORED),
    "walks_away": (Outcome.INCONCLUSIVE, Check.LIVENESS_CHALLENGE, Reason.PERSON_LEFT),
}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_it_ends_with_its_reason_and_is_never_verified(instruments, scenario):
    outcome, check, reason = EXPECTED[scenario]
    played = play(scenario, instruments)
    assert played.checks[check].reason is reason, played.checks
    assert played.outcome is outcome, played.checks


def test_a_resident_card_with_an_altered_number_is_rejected(instruments, tmp_path):
    scenario = tmp_path / "altered.toml"
    text = (BUILT_IN / "resident_card.toml").read_text()
    scenario.write_text(f'{text}\n[document.tampering]\nline = 1\ncolumn = 9\ncharacter = "3"\n')
    played = play(str(scenario), instruments)
    assert played.checks[Check.DOCUMENT_READ].result is Result.PASS
    assert played.checks[Check.DOCUMENT_CONSISTENCY].reason is Reason.CHECK_DIGIT_WRONG
    assert played.outcome is Outcome.REJECTED


@pytest.mark.parametrize("scenario", ["standard", "identity_card", "resident_card"])
def test_an_honest_person_is_verified(instruments, scenario):
    played = play(scenario, instruments)
    assert played.outcome is Outcome.VERIFIED, played.checks
