"""SIGKILL of any process at any stage: a correct answer at the API, an intact ledger, and the next person is served."""

import base64
import json
import os
import signal
import time

import pytest

from device.commands.relying_party import ApiError
from device.notary.ledger import verify_ledger
from tests.processes.conftest import AUDIENCE, NONCE

STAGES = ("document", "holding", "selfie")


def claims_of(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def intact(box):
    return verify_ledger(box.config.state / "ledger.sqlite")


def open_when_free(box, timeout=30.0):
    """Opens a verification; the box may still be getting up, or ending the one before."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return box.party.open(AUDIENCE, NONCE, "demo", int(time.time()))
        except (ApiError, OSError) as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"the next verification cannot be opened: {error}") from error
            time.sleep(0.2)


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_worker_gives_a_signed_inconclusive_verdict(box, stage):
    verification = open_when_free(box)
    assert box.until(verification, stage)["stage"] == stage
    os.kill(box.worker(), signal.SIGKILL)
    state = box.finish(verification)
    assert state["outcome"] == "inconclusive"
    checks = claims_of(box.party.verdict(verification))["checks"]
    assert any(check.get("reason") == "vision_lost" for check in checks.values())
    assert intact(box)


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_notary_is_named(box, stage):
    verification = open_when_free(box)
    assert box.until(verification, stage)["stage"] == stage
    box.services.process("notary").kill()
    deadline = time.monotonic() + 20
    while box.party.state(verification)["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(ApiError) as refused:
        box.party.verdict(verification)
    assert refused.value.status == 503
    assert "notary" in refused.value.problem["type"]
    assert intact(box)


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_gateway_says_that_it_was_restarted(box, stage):
    verification = open_when_free(box)
    assert box.until(verification, stage)["stage"] == stage
    (box.config.runtime / "gateway.json").unlink()
    box.services.process("gateway").kill()
    time.sleep(1.0)
    box.party = type(box.party)(box.services.wait_ready(), box.party._token)
    with pytest.raises(ApiError) as gone:
        box.party.state(verification)
    assert gone.value.status == 410
    assert "restarted" in gone.value.problem["type"]
    assert intact(box)


def test_a_killed_vision_service_takes_nobody_with_it_for_long(box):
    verification = open_when_free(box)
    box.until(verification, "document")
    box.services.process("vision").kill()
    assert box.finish(verification)["state"] in ("finished", "failed")
    assert intact(box)


def test_after_all_that_a_whole_verification_works(box):
    verification = open_when_free(box)
    assert box.finish(verification)["outcome"] == "verified"
    assert intact(box)
