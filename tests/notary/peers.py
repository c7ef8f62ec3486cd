"""A notary, a vision that follows a script, and a gateway: all over real Unix sockets, and what tests ask of them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from device.channel import Channel, connect, listen
from device.config import Config
from device.errors import PeerError
from device.notary.ledger import verify_ledger
from device.notary.service import run
from device.notary.stop import Stop
from device.protocol import (
    FROM_GATEWAY,
    FROM_VISION,
    NOTARY_MESSAGES,
    NOTARY_ORDERS,
    TO_GATEWAY,
    TO_VISION,
    AskHealth,
    Attribute,
    CameraKind,
    Check,
    CheckReport,
    Ended,
    Finished,
    Guidance,
    Health,
    Message,
    OpenVerification,
    Progress,
    Refusal,
    Refused,
    Result,
    Stage,
    StartCheck,
    TokenPart,
    VisionReady,
)
from device.verify import Verification, verify_verdict

Script = Callable[["Worker"], None]

NONCE = "a-fresh-nonce-0001"
AUDIENCE = "https://relying-party.example"
MODEL_DIGEST = bytes(range(32))


def ready(camera: CameraKind = CameraKind.EMULATED) -> VisionReady:
    return VisionReady(camera, "scripted", {"face_detection": MODEL_DIGEST})


@dataclass
class Worker:
    """The vision end of one conversation, as a script sees it."""

    channel: Channel
    socket: socket.socket

    def start(self, camera: CameraKind = CameraKind.EMULATED) -> StartCheck:
        self.channel.send(ready(camera))
        order = self.channel.receive(30)
        assert isinstance(order, StartCheck)
        return order


class ScriptedVision:
    """Listens at the vision socket; each connection plays the script of the moment in a thread."""

    def __init__(self, path: Path) -> None:
        self.script: Script = idle
        self.orders: list[StartCheck] = []
        self.ended = threading.Event()
        """Set when a script has come to its end, or was cut off because the notary hung up."""
        self._plays: list[threading.Thread] = []
        self._listener = listen(path)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._plays.append(threading.Thread(target=self._play, args=(connection, self.script), daemon=True))
            self._plays[-1].start()

    def settle(self) -> None:
        """Until every script that began is over: the notary's probe plays one too."""
        for play in list(self._plays):
            play.join(10)

    def _play(self, connection: socket.socket, script: Script) -> None:
        channel = Channel(connection, decoder=NOTARY_ORDERS, incoming=TO_VISION, outgoing=FROM_VISION)
        try:
            with channel:
                script(Worker(channel, connection))
        except PeerError:
            pass
        finally:
            self.ended.set()

    def close(self) -> None:
        """Idempotent."""
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()


def idle(worker: Worker) -> None:
    """Says what it is, and waits to be told to start or to be left."""
    worker.start()


def passes(order: StartCheck) -> tuple[CheckReport, ...]:
    """Every check that was asked for, passed."""
    return tuple(
        CheckReport(check, Result.PASS, method="scripted", fmr=order.fmr if check is Check.FACE_MATCH else None)
        for check in order.checks
    )


@dataclass
class Answer:
    """Everything that the notary said to a gateway."""

    messages: list[Message] = field(default_factory=list)

    @property
    def token(self) -> str:
        return "".join(part.text for part in self.messages if isinstance(part, TokenPart))

    @property
    def ended(self) -> Ended:
        assert isinstance(self.messages[-1], Ended)
        return self.messages[-1]


class Gateway:
    """A gateway's connection."""

    def __init__(self, config: Config) -> None:
        self.channel = Channel(
            connect(config.notary_socket), decoder=NOTARY_MESSAGES, incoming=TO_GATEWAY, outgoing=FROM_GATEWAY
        )

    def open(self, policy: str = "demo", *, attested: bool = True, relying_party: str = "bank") -> Message:
        consent_at = int(time.time()) if attested else None
        self.channel.send(OpenVerification(relying_party, AUDIENCE, NONCE, policy, consent_at))
        return self.channel.receive(10)

    def rest(self) -> Answer:
        answer = Answer()
        while not (answer.messages and isinstance(answer.messages[-1], Ended)):
            answer.messages.append(self.channel.receive(20))
        return answer


@dataclass
class Box:
    """A box in a temporary folder whose vision follows a script."""

    config: Config
    config_file: Path
    root: x509.Certificate
    vision: ScriptedVision
    _cleanup: list[Callable[[], None]] = field(default_factory=list)

    def start(self, config: Config | None = None) -> Stop:
        """The notary in a thread, up and listening."""
        stop = Stop()
        thread = threading.Thread(target=run, args=(config or self.config, stop), daemon=True)
        thread.start()
        self._cleanup += [stop.set, lambda: thread.join(25)]
        self.wait_for_socket()
        return stop

    def start_process(self) -> subprocess.Popen[bytes]:
        """The notary as it runs on a box: a process of its own."""
        command = [sys.executable, "-m", "device.notary.service", f"--config={self.config_file}"]
        process = subprocess.Popen(command)
        self._cleanup += [process.kill, lambda: process.wait() and None]
        self.wait_for_socket()
        return process

    def wait_for_socket(self) -> None:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                connect(self.config.notary_socket).close()
                return
            except PeerError:
                time.sleep(0.02)
        raise AssertionError("the notary did not come up")

    def gateway(self) -> Gateway:
        gateway = Gateway(self.config)
        self._cleanup.append(gateway.channel.close)
        return gateway

    def close(self) -> None:
        for step in self._cleanup:
            step()
        self.vision.close()


def check(box: Box, answer: Answer) -> Verification:
    return verify_verdict(
        answer.token, trust=[box.root], expected_audience=AUDIENCE, expected_nonce=NONCE, allow_emulated=True
    )


def claims(box: Box, answer: Answer) -> dict[str, Any]:
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


def open_when_free(box: Box) -> object:
    deadline = time.monotonic() + 5
    while True:
        message = box.gateway().open()
        if not (isinstance(message, Refused) and message.reason is Refusal.BUSY) or time.monotonic() > deadline:
            return message
        time.sleep(0.05)


def wait_for_probe(box: Box) -> None:
    """Until the notary has met a worker on its own account."""
    deadline = time.monotonic() + 10
    while health(box).vision and time.monotonic() < deadline:
        time.sleep(0.05)


def health(box: Box) -> Health:
    gateway = box.gateway()
    gateway.channel.send(AskHealth())
    answer = gateway.channel.receive(5)
    assert isinstance(answer, Health)
    return answer
