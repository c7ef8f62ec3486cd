"""What is looked at before a person is asked to stand there: a verification that cannot end well is not opened."""

from __future__ import annotations

import sqlite3

from device.protocol import (
    Ended,
    Finished,
    Outcome,
    Reason,
    Refusal,
    Refused,
)
from tests.notary.peers import (
    Box,
    Worker,
    good,
    passes,
)

# --- Refusals before a person is asked to stand there ----------------------------------------------------------------


def test_refused_for_an_unknown_policy(box: Box) -> None:
    box.start()
    assert box.gateway().open("no-such-policy") == Refused(Refusal.POLICY_UNKNOWN)


def test_refused_for_a_way_of_consent_that_the_policy_does_not_take(box: Box) -> None:
    box.start()
    assert box.gateway().open("age-over-18", attested=True) == Refused(Refusal.CONSENT_METHOD)


def test_refused_without_vision(box: Box) -> None:
    box.vision.close()
    box.config.vision_socket.unlink()
    box.start()

    refused = box.gateway().open()

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.VISION_UNAVAILABLE


def test_refused_when_the_key_is_gone(box: Box) -> None:
    box.vision.script = good
    box.start()
    (box.config.state / "keys/development/key.pem").unlink()

    refused = box.gateway().open()

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.KEY_UNAVAILABLE


def test_refused_when_others_can_read_the_key(box: Box) -> None:
    box.vision.script = good
    (box.config.state / "keys/development/key.pem").chmod(0o640)
    box.start()

    refused = box.gateway().open()

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.KEY_UNAVAILABLE


def test_refused_when_the_ledger_is_locked_by_someone_else(box: Box) -> None:
    box.vision.script = good
    box.start()
    intruder = sqlite3.connect(box.config.state / "ledger.sqlite", isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")

    refused = box.gateway().open()

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.LEDGER_UNAVAILABLE
    intruder.close()


def test_no_verdict_without_a_row(box: Box) -> None:
    intruders = []

    def locks_then_finishes(worker: Worker) -> None:
        order = worker.start()
        intruder = sqlite3.connect(box.config.state / "ledger.sqlite", isolation_level=None, check_same_thread=False)
        intruder.execute("BEGIN IMMEDIATE")
        intruders.append(intruder)
        worker.channel.send(Finished(passes(order)))

    box.vision.script = locks_then_finishes
    box.start()
    gateway = box.gateway()
    gateway.open()
    answer = gateway.rest()

    assert answer.messages == [Ended(Outcome.INCONCLUSIVE, Reason.LEDGER_UNAVAILABLE)]
    intruders[0].close()
