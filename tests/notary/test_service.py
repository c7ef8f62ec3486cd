"""A whole notary against a scripted vision: every way in which a verification can go."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import msgspec
import pytest

from device.errors import ChannelClosed
from device.notary.ledger import verify_ledger
from device.protocol import (
    AskDevice,
    AskHealth,
    Attribute,
    CameraKind,
    Check,
    CheckReport,
    Consent,
    End,
    Ended,
    Finished,
    Guidance,
    Health,
    Key,
    Measurement,
    Opened,
    Outcome,
    PolicyFact,
    Progress,
    Reason,
    Refusal,
    Refused,
    Result,
    Stage,
)
from device.verify import Verification, verify_verdict
from tests.notary.conftest import AUDIENCE, MODEL_DIGEST, NONCE, Answer, Box, Worker, passes, ready


def check(box: Box, answer: Answer) -> Verification:
    return verify_verdict(
        answer.token, trust=[box.root], expected_audience=AUDIENCE, expected_nonce=NONCE, allow_emulated=True
    )


def claims(box: Box, answer: Answer) -> dict[str, object]:
    verification = check(box, answer)
    assert verification.valid, verification.reason
    assert verification.claims is not None
    return verification.claims


def good(worker: Worker) -> None:
    order = worker.start()
    worker.channel.send(Progress(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 20))
    worker.channel.send(Progress(Stage.SELFIE, Guidance.TURN_LEFT, 30, 1, 3))
    worker.channel.send(
        Finished(
            passes(order),
            {Attribute.AGE_OVER_18: "true", Attribute.DOCUMENT_TYPE: "passport", Attribute.NAME: "ERIKSSON"},
            "L898902C3|UTO",
        )
    )


def rows(box: Box) -> int:
    return verify_ledger(box.config.state / "ledger.sqlite").size


def test_everything_passes(box: Box) -> None:
    box.vision.script = good
    box.start()
    gateway = box.gateway()

    opened = gateway.open()
    answer = gateway.rest()

    assert isinstance(opened, Opened)
    assert not opened.consent_needed
    assert [type(message) for message in answer.messages[:2]] == [Progress, Progress]
    assert answer.ended == Ended(Outcome.VERIFIED)
    told = claims(box, answer)
    assert told["verdict"] == "verified"
    assert told["jti"] == opened.verification
    assert told["camera"] == "emulated"
    assert told["dbgstat"] == "enabled"
    assert told["consent"]["method"] == "attested"
    assert told["attributes"] == {"age_over_18": True, "document_type": "passport"}  # the name was not asked for
    assert told["measurements"][0][1]["model/face_detection"] == MODEL_DIGEST.hex()
    assert set(told["measurements"][0][1]) == {"model/face_detection", "policy/demo"}


def test_the_row_is_on_disk_before_the_token_arrives(box: Box) -> None:
    box.vision.script = good
    box.start()
    gateway = box.gateway()
    gateway.open()
    answer = gateway.rest()

    with sqlite3.connect(box.config.state / "ledger.sqlite") as database:
        jti, outcome, digest = database.execute("SELECT jti, outcome, token_sha256 FROM verdicts").fetchone()

    assert (jti, outcome) == (claims(box, answer)["jti"], "verified")
    assert digest == hashlib.sha256(answer.token.encode()).digest()


def test_each_verdict_carries_the_ledgers_head_before_it(box: Box) -> None:
    box.vision.script = good
    box.start()
    sizes = []
    for _ in range(3):
        gateway = box.gateway()
        gateway.open()
        sizes.append(claims(box, gateway.rest())["log"]["size"])

    assert sizes == [0, 1, 2]


def test_the_pseudonym_is_pairwise_and_stable(box: Box) -> None:
    box.vision.script = good
    box.start()

    def subject(relying_party: str) -> object:
        gateway = box.gateway()
        gateway.open(relying_party=relying_party)
        return claims(box, gateway.rest())["subject"]

    assert subject("bank") == subject("bank")
    assert subject("bank") != subject("lender")


def test_a_failed_check_rejects_and_tells_nothing_of_the_document(box: Box) -> None:
    def mismatch(worker: Worker) -> None:
        order = worker.start()
        reports = tuple(
            CheckReport(Check.FACE_MATCH, Result.FAIL, Reason.FACE_MISMATCH)
            if report.check is Check.FACE_MATCH
            else report
            for report in passes(order)
        )
        worker.channel.send(Finished(reports, {Attribute.AGE_OVER_18: "true"}, "L898902C3|UTO"))

    box.vision.script = mismatch
    box.start()
    gateway = box.gateway()
    gateway.open()
    answer = gateway.rest()

    assert answer.ended == Ended(Outcome.REJECTED, Reason.FACE_MISMATCH)
    told = claims(box, answer)
    assert told["verdict"] == "rejected"
    assert told["checks"]["face.match"]["reason"] == "face_mismatch"
    assert "attributes" not in told
    assert "subject" not in told


def test_the_challenge_seed_is_new_each_time_even_for_the_same_nonce(box: Box) -> None:
    seeds = []

    def keep(worker: Worker) -> None:
        order = worker.start()
        seeds.append(order.challenge_seed)
        worker.channel.send(Finished(passes(order)))

    box.vision.script = keep
    box.start()
    for _ in range(2):
        gateway = box.gateway()
        gateway.open()
        gateway.rest()

    assert len(set(seeds)) == 2


def test_vision_dies_midway(box: Box) -> None:
    def dies(worker: Worker) -> None:
        worker.start()
        worker.channel.send(Progress(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 20))

    box.vision.script = dies
    box.start()
    gateway = box.gateway()
    gateway.open()
    answer = gateway.rest()

    assert answer.ended == Ended(Outcome.INCONCLUSIVE, Reason.VISION_LOST)
    told = claims(box, answer)
    assert {(check["result"], check["reason"]) for check in told["checks"].values()} == {
        ("not_performed", "vision_lost")
    }
    assert rows(box) == 1


def test_vision_says_more_than_its_budget(box: Box) -> None:
    def chatters(worker: Worker) -> None:
        worker.start()
        for number in range(4000):
            worker.channel.send(Progress(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, number % 3000))

    box.vision.script = chatters
    box.start()
    gateway = box.gateway()
    gateway.open()
    answer = gateway.rest()

    assert answer.ended == Ended(Outcome.INCONCLUSIVE, Reason.VISION_LOST)
    assert claims(box, answer)["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    "words",
    [
        b"\x00\x04abcd",  # not a message
        b"\xff\xff",  # a longer message than there is
        b"\x00\x0a" + msgspec.msgpack.encode(["fin", [], {}, "", {}, "extra"])[:10],
    ],
    ids=["garbage", "oversized", "unknown_field"],
)
def test_vision_breaks_the_protocol(box: Box, words: bytes) -> None:
    def breaks(worker: Worker) -> None:
        worker.start()
        worker.socket.sendall(words)
        worker.channel.receive(20)

    box.vision.script = breaks
    box.start()
    gateway = box.gateway()
    gateway.open()
    answer = gateway.rest()

    assert answer.ended == Ended(Outcome.INCONCLUSIVE, Reason.VISION_LOST)
    assert claims(box, answer)["verdict"] == "inconclusive"


def test_vision_speaks_out_of_order(box: Box) -> None:
    def twice_ready(worker: Worker) -> None:
        worker.start()
        words = msgspec.msgpack.encode(ready())
        worker.socket.sendall(len(words).to_bytes(2, "big") + words)
        worker.channel.receive(20)

    box.vision.script = twice_ready
    box.start()
    gateway = box.gateway()
    gateway.open()

    assert gateway.rest().ended == Ended(Outcome.INCONCLUSIVE, Reason.VISION_LOST)


def test_vision_does_not_finish_in_time(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    policies = box.config.state.parent / "policies"
    policies.mkdir()
    (policies / "short.toml").write_text(
        'documents = ["passport"]\nrequired = ["document.read"]\nconsent = ["attested"]\n'
        "[limits]\ndocument = 1\nselfie = 1\nretries = 0\n"
    )
    monkeypatch.setattr("device.notary.verification.MARGIN", 0.0)

    def dawdles(worker: Worker) -> None:
        worker.start()
        time.sleep(30)

    box.vision.script = dawdles
    config = msgspec.structs.replace(
        box.config, notary=msgspec.structs.replace(box.config.notary, policies=str(policies))
    )
    box.start(config)
    gateway = box.gateway()
    gateway.open("short")
    started = time.monotonic()
    answer = gateway.rest()

    assert answer.ended == Ended(Outcome.INCONCLUSIVE, Reason.TIME_LIMIT)
    assert time.monotonic() - started < 6
    assert claims(box, answer)["checks"]["document.read"]["reason"] == "time_limit"


def test_the_gateway_hangs_up_and_the_worker_is_let_go(box: Box) -> None:
    def waits(worker: Worker) -> None:
        worker.start()
        box.vision.ended.clear()
        worker.channel.receive(20)  # ends when the notary closes

    box.start()
    box.vision.script = waits
    gateway = box.gateway()
    gateway.open()
    time.sleep(0.2)
    gateway.channel.close()

    assert box.vision.ended.wait(5)
    box.vision.script = good
    assert isinstance(open_when_free(box), Opened)
    assert rows(box) == 0  # cancelled: there is no verdict


def open_when_free(box: Box) -> object:
    deadline = time.monotonic() + 5
    while True:
        message = box.gateway().open()
        if not (isinstance(message, Refused) and message.reason is Refusal.BUSY) or time.monotonic() > deadline:
            return message
        time.sleep(0.05)


def test_one_at_a_time(box: Box) -> None:
    def waits(worker: Worker) -> None:
        worker.start()
        worker.channel.receive(20)

    box.vision.script = waits
    box.start()
    first, second = box.gateway(), box.gateway()
    assert isinstance(first.open(), Opened)

    refused = second.open()

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.BUSY
    assert refused.retry_after > 0


# --- Consent ---------------------------------------------------------------------------------------------------------


def test_consent_at_the_kiosk(box: Box) -> None:
    box.vision.script = good
    box.start()
    gateway = box.gateway()

    opened = gateway.open(attested=False)
    assert isinstance(opened, Opened)
    assert opened.consent_needed
    gateway.channel.send(Consent(True))
    answer = gateway.rest()

    assert claims(box, answer)["consent"]["method"] == "kiosk"
    assert answer.ended.outcome is Outcome.VERIFIED


def test_consent_comes_after_the_worker_gave_up_waiting(box: Box) -> None:
    def gives_up(worker: Worker) -> None:
        worker.channel.send(ready())
        box.vision.script = good

    box.start()
    wait_for_probe(box)
    box.vision.script = gives_up
    gateway = box.gateway()
    gateway.open(attested=False)
    time.sleep(0.3)
    gateway.channel.send(Consent(True))

    assert gateway.rest().ended.outcome is Outcome.VERIFIED


def test_consent_refused_means_no_camera_and_no_verdict(box: Box) -> None:
    started = []

    def watch(worker: Worker) -> None:
        started.append(worker.start())

    box.start()
    box.vision.script = watch
    gateway = box.gateway()
    gateway.open(attested=False)
    gateway.channel.send(Consent(False))
    answer = gateway.rest()

    assert answer.messages == [Ended(Outcome.INCONCLUSIVE, Reason.CONSENT_REFUSED)]
    assert started == []
    assert rows(box) == 0


def test_consent_never_comes(box: Box) -> None:
    config = msgspec.structs.replace(box.config, notary=msgspec.structs.replace(box.config.notary, consent_seconds=1))
    box.start(config)
    gateway = box.gateway()
    gateway.open(attested=False)

    assert gateway.rest().messages == [Ended(Outcome.INCONCLUSIVE, Reason.CONSENT_TIME_LIMIT)]


# --- Refusals before a person is asked to stand there ----------------------------------------------------------------


def test_refused_for_an_unknown_policy(box: Box) -> None:
    box.start()
    assert box.gateway().open("no-such-policy") == Refused(Refusal.POLICY_UNKNOWN)


def test_refused_for_a_way_of_consent_that_the_policy_does_not_take(box: Box) -> None:
    box.start()
    assert box.gateway().open("age-over-18", attested=True) == Refused(Refusal.CONSENT_METHOD)


def test_refused_without_vision(box: Box) -> None:
    box.start()
    box.vision.close()
    box.config.vision_socket.unlink()

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


# --- Facts, health, the end ------------------------------------------------------------------------------------------


def wait_for_probe(box: Box) -> None:
    assert box.vision.ended.wait(5)
    box.vision.ended.clear()


def test_device_facts(box: Box) -> None:
    box.start()
    wait_for_probe(box)
    gateway = box.gateway()
    gateway.channel.send(AskDevice())
    facts = []
    while not (facts and isinstance(facts[-1], End)):
        facts.append(gateway.channel.receive(5))

    keys = [fact for fact in facts if isinstance(fact, Key)]
    assert [key.development for key in keys] == [True]
    assert {fact.name for fact in facts if isinstance(fact, Measurement)} == {
        "model/face_detection",
        "policy/standard",
        "policy/demo",
        "policy/age-over-18",
    }
    assert {fact.name for fact in facts if isinstance(fact, PolicyFact)} == {"standard", "demo", "age-over-18"}


def health(box: Box) -> Health:
    gateway = box.gateway()
    gateway.channel.send(AskHealth())
    answer = gateway.channel.receive(5)
    assert isinstance(answer, Health)
    return answer


def test_health_is_well(box: Box) -> None:
    box.start()
    wait_for_probe(box)
    assert health(box) == Health("", "", 0, False, CameraKind.EMULATED)


def test_health_names_a_key_that_is_gone(box: Box) -> None:
    box.start()
    (box.config.state / "keys/development/key.pem").unlink()
    assert "key.pem" in health(box).notary


def test_sigterm_ends_a_running_verification_in_an_inconclusive_verdict(box: Box) -> None:
    def waits(worker: Worker) -> None:
        worker.start()
        worker.channel.receive(20)

    box.vision.script = waits
    process = box.start_process()
    gateway = box.gateway()
    gateway.open()
    process.send_signal(signal.SIGTERM)
    answer = gateway.rest()

    assert answer.ended == Ended(Outcome.INCONCLUSIVE, Reason.CANCELLED)
    assert claims(box, answer)["checks"]["document.read"]["reason"] == "cancelled"
    assert process.wait(10) == 0
    assert rows(box) == 1


def test_kill_in_the_middle_leaves_an_intact_ledger_and_the_next_one_works(box: Box) -> None:
    box.vision.script = good
    process = box.start_process()
    gateway = box.gateway()
    gateway.open()
    gateway.rest()

    def waits(worker: Worker) -> None:
        worker.start()
        worker.channel.receive(20)

    box.vision.script = waits
    gateway = box.gateway()
    gateway.open()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(ChannelClosed):
        gateway.rest()

    assert rows(box) == 1
    box.vision.script = good
    box.start_process()
    gateway = box.gateway()
    gateway.open()
    assert claims(box, gateway.rest())["log"]["size"] == 1


def test_a_live_camera_never_falls_back_from_a_broken_production_key(box: Box) -> None:
    (box.config.state / "keys/production").mkdir()

    def live(worker: Worker) -> None:
        worker.start(CameraKind.LIVE)

    box.vision.script = live
    box.start()

    refused = box.gateway().open()

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.KEY_UNAVAILABLE


def test_the_notary_does_not_start_on_a_tampered_ledger(box: Box) -> None:
    box.vision.script = good
    stop = box.start()
    gateway = box.gateway()
    gateway.open()
    gateway.rest()
    stop.set()
    with sqlite3.connect(box.config.state / "ledger.sqlite") as database:
        database.execute("DROP TRIGGER verdicts_no_update")
        database.execute("UPDATE verdicts SET outcome = 'rejected'")

    command = [sys.executable, "-m", "device.notary.service", f"--config={box.config_file}"]
    ended = subprocess.run(command, timeout=20, capture_output=True, text=True)

    assert ended.returncode == 2
    assert "row 1 was changed" in ended.stderr
    assert "Traceback" not in ended.stderr
