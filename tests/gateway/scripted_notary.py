"""A notary for the gateway's tests: a real Unix socket, real channels, and a script instead of a key and a camera.

In: for each conversation, a function that speaks on its channel. Out: what the gateway said (`requests`).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from device.channel import Channel, listen
from device.errors import PeerError
from device.protocol import (
    FROM_GATEWAY,
    GATEWAY_REQUESTS,
    TO_GATEWAY,
    AskDevice,
    AskHealth,
    Check,
    End,
    Ended,
    FaceBox,
    Guidance,
    HeadPose,
    Health,
    Key,
    Measurement,
    Message,
    OpenByCode,
    Opened,
    OpenVerification,
    Outcome,
    PolicyFact,
    Progress,
    ProofPart,
    Stage,
    TokenPart,
)

TOKEN = "eyJhbGciOiJFUzI1NiJ9." + "e30." * 0 + "x" * 5000 + ".c2lnbmF0dXJl"
CHECKS = (Check.DOCUMENT_READ, Check.FACE_MATCH)
Script = Callable[[Channel, OpenVerification], None]


def opened(*, consent: bool = False, seconds: int = 30) -> Opened:
    return Opened(secrets.token_urlsafe(16), consent, seconds, CHECKS, ())


def progress(stage: Stage = Stage.DOCUMENT, guidance: Guidance = Guidance.SHOW_DOCUMENT, **more: object) -> Progress:
    return Progress(stage, guidance, 20, face=FaceBox(4, 4, 12, 12), pose=HeadPose(3, -1), **more)  # type: ignore[arg-type]


def send_verdict(
    channel: Channel,
    outcome: Outcome = Outcome.VERIFIED,
    token: str = TOKEN,
    proof: str = "",
    end: bool = True,
) -> None:
    for kind, text in ((TokenPart, token), (ProofPart, proof)):
        for index, start in enumerate(range(0, len(text), 3500)):
            channel.send(kind(index, text[start : start + 3500]))
    if end:
        channel.send(Ended(outcome))


def verified(channel: Channel, _request: OpenVerification) -> None:
    """A whole verification that goes well, at once."""
    channel.send(opened())
    channel.send(progress())
    channel.send(progress(Stage.SELFIE, Guidance.TURN_LEFT, step=1, steps=4))
    channel.send(progress(Stage.DECIDING, Guidance.WAIT))
    send_verdict(channel)


def wait_for_end(channel: Channel) -> Message | None:
    """What the gateway says next, or None when it has hung up."""
    try:
        return channel.receive(timeout=20)
    except PeerError:
        return None


def runs_until_cancelled(channel: Channel, _request: OpenVerification) -> None:
    channel.send(opened())
    channel.send(progress())
    wait_for_end(channel)


class ScriptedNotary:
    """Listens at `path` until `stop`. `script` speaks in verifications; `health` and `facts` answer the questions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.script: Script = verified
        self.by_code: Callable[[Channel, Message], None] = lambda channel, _: channel.close()
        self.health = Health("", "", 3, False)
        self.facts: tuple[Key | Measurement | PolicyFact, ...] = ()
        self.requests: list[Message] = []
        self.hung_up = threading.Semaphore(0)
        """Released each time that a verification's script is over."""
        self._channels: list[Channel] = []
        self._listener = listen(path)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            channel = Channel(connection, decoder=GATEWAY_REQUESTS, incoming=FROM_GATEWAY, outgoing=TO_GATEWAY)
            self._channels.append(channel)
            threading.Thread(target=self._converse, args=(channel,), daemon=True).start()

    def _converse(self, channel: Channel) -> None:
        try:
            with channel:
                request = channel.receive(timeout=10)
                self.requests.append(request)
                match request:
                    case OpenVerification():
                        self.script(channel, request)
                    case OpenByCode():
                        self.by_code(channel, request)
                    case AskHealth():
                        channel.send(self.health)
                    case AskDevice():
                        for fact in (*self.facts, End()):
                            channel.send(fact)
        except PeerError:
            pass
        finally:
            if self.requests and isinstance(self.requests[-1], OpenVerification):
                self.hung_up.release()

    def stop(self) -> None:
        """Dies as a process does: every connection breaks."""
        self._listener.close()
        for channel in self._channels:
            channel.close()
        self.path.unlink(missing_ok=True)
