"""Vision, the gateway, the process or the disk failing at every stage: the answer is right, the ledger intact."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
import pytest

from device.certificates import b64url
from device.channel import connect
from device.errors import ChannelClosed
from device.notary.keys import open_keys
from device.notary.ledger import verify_ledger
from device.protocol import (
    CameraKind,
    Consent,
    Ended,
    Guidance,
    Opened,
    Outcome,
    Progress,
    Reason,
    Refusal,
    Refused,
    Stage,
)
from tests.notary.peers import (
    Box,
    Worker,
    claims,
    good,
    open_when_free,
    ready,
    rows,
)


def ends_without_vision(box: Box, script: Callable[[Worker], None]) -> dict[str, Any]:
    """The claims of a verification in which vision behaves as `script`: signed, and inconclusive for that reason."""
    box.vision.script = script
    box.start()
    gateway = box.gateway()
    gateway.open()
    answer = gateway.rest()
    assert answer.ended == Ended(Outcome.INCONCLUSIVE, Reason.VISION_LOST)
    told = claims(box, answer)
    assert told["verdict"] == "inconclusive"
    return told


def test_vision_dies_midway(box: Box) -> None:
    def dies(worker: Worker) -> None:
        worker.start()
        worker.channel.send(Progress(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 20))

    told = ends_without_vision(box, dies)

    assert {(check["result"], check["reason"]) for check in told["checks"].values()} == {
        ("not_performed", "vision_lost")
    }
    assert rows(box) == 1


def test_vision_says_more_than_its_budget(box: Box) -> None:
    def chatters(worker: Worker) -> None:
        worker.start()
        for number in range(4000):
            worker.channel.send(Progress(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, number % 3000))

    ends_without_vision(box, chatters)


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

    ends_without_vision(box, breaks)


def test_vision_speaks_out_of_order(box: Box) -> None:
    def twice_ready(worker: Worker) -> None:
        worker.start()
        words = msgspec.msgpack.encode(ready())
        worker.socket.sendall(len(words).to_bytes(2, "big") + words)
        worker.channel.receive(20)

    ends_without_vision(box, twice_ready)


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

    box.vision.script = waits
    box.start()
    gateway = box.gateway()
    gateway.open()
    time.sleep(0.2)
    gateway.channel.close()

    assert box.vision.ended.wait(5)
    box.vision.script = good
    assert isinstance(open_when_free(box), Opened)
    assert rows(box) == 0  # cancelled: there is no verdict


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


KILLED_BEFORE_THE_ANSWER = """
import os, signal, sys
from device.channel import Channel
from device.notary.service import main
from device.protocol import TokenPart
send = Channel.send
def send_or_die(self, message):
    if isinstance(message, TokenPart):
        os.kill(os.getpid(), signal.SIGKILL)
    send(self, message)
Channel.send = send_or_die
sys.exit(main(sys.argv[1:]))
"""


def test_kill_between_the_row_and_the_answer(box: Box) -> None:
    box.vision.script = good
    command = [sys.executable, "-c", KILLED_BEFORE_THE_ANSWER, f"--config={box.config_file}"]
    process = subprocess.Popen(command)
    box.wait_for_socket()
    gateway = box.gateway()
    gateway.open()
    with pytest.raises(ChannelClosed):
        gateway.rest()

    assert process.wait(10) == -signal.SIGKILL
    assert rows(box) == 1
    box.start_process()
    gateway = box.gateway()
    gateway.open()
    assert claims(box, gateway.rest())["log"]["size"] == 1


def test_the_head_is_signed_at_the_end_and_on_schedule(box: Box) -> None:
    box.vision.script = good
    stop = box.start()
    gateway = box.gateway()
    gateway.open()
    told = claims(box, gateway.rest())
    stop.set()
    deadline = time.monotonic() + 10
    signed: list[tuple[int, bytes, str]] = []
    while not signed and time.monotonic() < deadline:
        with sqlite3.connect(box.config.state / "ledger.sqlite") as database:
            signed = database.execute("SELECT size, hash, token FROM heads").fetchall()
        time.sleep(0.05)

    ((size, head, token),) = signed
    assert (size, told["log"]["size"]) == (1, 0)
    assert jwt.get_unverified_header(token)["typ"] == "vouchbox-ledger-head+jwt"
    public = open_keys(box.config).stores[0].public_key()
    statement = jwt.decode(token, public, algorithms=["ES256"])
    assert statement["log"] == {"size": 1, "head": b64url(head)}
    assert verify_ledger(box.config.state / "ledger.sqlite").size == 1


# --- Gateways that misbehave -----------------------------------------------------------------------------------------


NONSENSE = {
    "nothing": b"",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "oversized": b"\xff\xff" * 100,
    "not_msgpack": b"\x00\x01\xc1",
    "noise": random.Random(1).randbytes(4000),
}


@pytest.mark.parametrize("words", list(NONSENSE.values()), ids=list(NONSENSE))
def test_a_gateway_that_talks_nonsense_is_hung_up_on_and_nothing_else_happens(box: Box, words: bytes) -> None:
    box.vision.script = good
    box.start()
    connection = connect(box.config.notary_socket)
    connection.sendall(words)
    connection.shutdown(socket.SHUT_WR)
    try:
        assert connection.recv(100) == b""
    except ConnectionResetError:
        pass  # hung up on before all of it was read
    connection.close()
    gateway = box.gateway()
    gateway.open()
    assert gateway.rest().ended.outcome is Outcome.VERIFIED


def test_a_gateway_that_interrupts_cancels(box: Box) -> None:
    def waits(worker: Worker) -> None:
        worker.start()
        worker.channel.receive(20)

    box.vision.script = waits
    box.start()
    gateway = box.gateway()
    gateway.open()
    gateway.channel.send(Consent(True))  # the relying party had attested it: nobody was asked

    with pytest.raises(ChannelClosed):
        gateway.rest()
    assert rows(box) == 0


def test_a_gateway_that_leaves_before_consent_frees_the_box(box: Box) -> None:
    box.vision.script = good
    box.start()
    gateway = box.gateway()
    gateway.open(attested=False)
    gateway.channel.close()

    assert isinstance(open_when_free(box), Opened)


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
