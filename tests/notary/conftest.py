"""A notary, a vision that follows a script, and a gateway: all over real Unix sockets."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509

from device.channel import Channel, connect, listen
from device.config import BoxConfig, Config, NotaryConfig, write_config
from device.errors import PeerError
from device.notary.service import run
from device.notary.stop import Stop
from device.protocol import (
    FROM_GATEWAY,
    FROM_VISION,
    NOTARY_MESSAGES,
    NOTARY_ORDERS,
    TO_GATEWAY,
    TO_VISION,
    CameraKind,
    Check,
    CheckReport,
    Ended,
    Message,
    OpenVerification,
    Result,
    StartCheck,
    TokenPart,
    VisionReady,
)
from provisioning.authority import ensure_development_identity

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
        self._listener = listen(path)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._play, args=(connection, self.script), daemon=True).start()

    def _play(self, connection: socket.socket, script: Script) -> None:
        channel = Channel(connection, decoder=NOTARY_ORDERS, incoming=TO_VISION, outgoing=FROM_VISION)
        with channel:
            try:
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


@pytest.fixture
def box() -> Iterator[Box]:
    folder = Path(tempfile.mkdtemp(prefix="vb"))  # short: a Unix socket's path has at most 107 bytes
    config = Config(
        box=BoxConfig(runtime=str(folder / "run"), state=str(folder / "state")),
        notary=NotaryConfig(consent_seconds=10, issuer="urn:example:box"),
    )
    config.runtime.mkdir()
    identity = ensure_development_identity(config.state)
    config_file = folder / "config.toml"
    write_config(config, config_file)
    box = Box(
        config,
        config_file,
        x509.load_pem_x509_certificate(identity.root.read_bytes()),
        ScriptedVision(config.vision_socket),
    )
    yield box
    box.close()
    shutil.rmtree(folder)
