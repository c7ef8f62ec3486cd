"""A whole notary against a scripted vision: the course of a verification, consent, facts and health."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time

import msgspec

from device.protocol import (
    MORE_TIMES,
    AskDevice,
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
    MoreTime,
    Opened,
    Outcome,
    PolicyFact,
    Progress,
    Reason,
    Result,
    Stage,
)
from tests.notary.peers import (
    MODEL_DIGEST,
    Box,
    Worker,
    claims,
    good,
    health,
    passes,
    ready,
    rows,
    wait_for_probe,
)


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
    opened = threading.Event()

    def gives_up(worker: Worker) -> None:
        worker.channel.send(ready())
        opened.wait(10)

    box.vision.script = gives_up
    box.start()
    gateway = box.gateway()
    gateway.open(attested=False)
    box.vision.script = good
    opened.set()
    box.vision.settle()
    gateway.channel.send(Consent(True))

    assert gateway.rest().ended.outcome is Outcome.VERIFIED


def test_consent_refused_means_no_camera_and_no_verdict(box: Box) -> None:
    started = []

    def watch(worker: Worker) -> None:
        started.append(worker.start())

    box.vision.script = watch
    box.start()
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


def test_who_asks_for_more_time_has_all_of_it_again_ten_times_and_no_more(box: Box) -> None:
    config = msgspec.structs.replace(box.config, notary=msgspec.structs.replace(box.config.notary, consent_seconds=1))
    box.vision.script = good
    box.start(config)
    gateway = box.gateway()
    gateway.open(attested=False)
    began = time.monotonic()
    for _ in range(MORE_TIMES):
        time.sleep(0.5)
        gateway.channel.send(MoreTime())
        assert gateway.channel.receive(5) == Progress(Stage.CONSENT, Guidance.WAIT, 1)
    assert time.monotonic() - began > 3, "long after one second"
    gateway.channel.send(MoreTime())
    gateway.channel.send(MoreTime())
    assert gateway.rest().ended == Ended(Outcome.INCONCLUSIVE, Reason.CONSENT_TIME_LIMIT)


def test_yes_after_more_time(box: Box) -> None:
    box.vision.script = good
    box.start()
    gateway = box.gateway()
    gateway.open(attested=False)
    gateway.channel.send(MoreTime())
    assert isinstance(gateway.channel.receive(5), Progress)
    gateway.channel.send(Consent(True))
    assert gateway.rest().ended.outcome is Outcome.VERIFIED


# --- Facts, health, the end ------------------------------------------------------------------------------------------


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


def test_health_is_well(box: Box) -> None:
    box.start()
    wait_for_probe(box)
    assert health(box) == Health("", "", 0, False, CameraKind.EMULATED)


def test_health_names_a_key_that_is_gone(box: Box) -> None:
    box.start()
    (box.config.state / "keys/development/key.pem").unlink()
    assert "key.pem" in health(box).notary
