"""Verifications as the gateway knows them: one thread listens to the notary for each, and anyone may look.

In: an open channel. Out: `Snapshot`s, each a whole picture of where a verification stands, and at the end the token.
A snapshot is replaced, never changed, so a reader needs no lock; `wait` blocks until there is a newer one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from device import codes
from device.channel import Channel
from device.errors import ChannelTimeout, PeerError, ProtocolViolation
from device.gateway.notary import refusal_kind
from device.gateway.problems import Kind
from device.gateway.snapshot import Snapshot, finished, newly_opened, progressed
from device.gateway.wire import State
from device.protocol import (
    MORE_TIMES,
    Consent,
    Ended,
    Guidance,
    Message,
    MoreTime,
    Opened,
    OpenVerification,
    Progress,
    ProofPart,
    Reason,
    Refused,
    Stage,
    TokenPart,
)

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0  # how often the listening thread looks at the clock
RESULT_SECONDS: Final = 60.0  # a result stays on the screen for so long; then the next person sees nothing of it
CODES_SECONDS: Final = 180.0  # one that has codes to photograph stays longer; the person can end either
GRACE_SECONDS: Final = 20.0  # a notary that is silent for so long after a stage's end has hung
BY_CODE: Final = OpenVerification("", "", "", "")
"""Stands for a request that was shown to the camera: the notary has read it, and no relying party may ask about it."""
NOT_OPENED: Final = Opened("", False, 0, (), ())
"""What stands in place of the notary's answer while it is still looking for that request."""


Watcher = Callable[["Verification", Snapshot, Snapshot], None]
"""Told of each change: the verification, what was, what is now. Called on the listening thread."""


class Verification:
    """One verification. `id` is the public one; `party` may ask about it and nobody else may."""

    def __init__(
        self, id: str, party: str, party_name: str, request: OpenVerification, opened: Opened, channel: Channel,
        watcher: Watcher,
    ) -> None:  # fmt: skip
        self.id, self.party, self.party_name = id, party, party_name
        self.request, self.opened = request, opened
        self.opened_at = time.time()
        self.ended_at: float | None = None  # monotonic
        self.shown_from: float | None = None
        """When the result began to be shown, or the person asked for more time to look at it; monotonic."""
        self.more_times = MORE_TIMES
        self.streams = 0
        self.by_code = request is BY_CODE
        self._channel, self._watcher = channel, watcher
        self._changed = threading.Condition()
        self._speaking = threading.Lock()  # the person may press two buttons at once
        self._consent_said = False
        self._parts: list[str] = []
        self._proof: list[str] = []
        asks = opened.consent_needed
        self._snapshot = self.first = Snapshot(
            version=1,
            state=State.WAITING_FOR_CONSENT if asks else State.RUNNING,
            stage=Stage.CONSENT if asks else Stage.DOCUMENT,
            guidance=Guidance.WAIT,
            since=time.monotonic(),
            until=time.monotonic() + opened.seconds_left,
        )

    @property
    def snapshot(self) -> Snapshot:
        """The newest picture."""
        return self._snapshot

    @property
    def shows_codes(self) -> bool:
        """Whether the screen still shows what nobody can fetch later: the person has to take it along first."""
        return self._has_codes and not self.left_the_screen

    @property
    def _has_codes(self) -> bool:
        return bool(self._snapshot.verdict_codes or self._snapshot.proof_codes)

    @property
    def left_the_screen(self) -> bool:
        """Whether its result has been shown for long enough, or to a person who said so."""
        return self._snapshot.left or self.seconds_shown < 0

    @property
    def seconds_shown(self) -> float:
        """How long its result stays on the screen from now on."""
        if self.shown_from is None:
            return RESULT_SECONDS
        return self.shown_from + (CODES_SECONDS if self._has_codes else RESULT_SECONDS) - time.monotonic()

    def wait(self, version: int, timeout: float) -> Snapshot:
        """The newest picture, as soon as it is newer than `version`, else after `timeout` seconds as it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._snapshot.version > version, timeout)
            return self._snapshot

    def show_progress(self, progress: Progress) -> None:
        """Takes the first word of a scan, which came before this verification was made."""
        self._take(progress)

    def start(self) -> None:
        """Begins to listen to the notary."""
        threading.Thread(target=self._listen, name=f"listen-{self.id}", daemon=True).start()

    def consent(self, given: bool, proof: bool = False) -> bool:
        """Hands on the person's yes or no, and whether they want a proof of their own; False if it was not asked for,
        or was answered before."""
        with self._speaking:
            if self._snapshot.state is not State.WAITING_FOR_CONSENT or self._consent_said:
                return False
            self._consent_said = True
            self._say(Consent(given, given and proof))
        return True

    def give_more_time(self) -> None:
        """The person reads slowly: all of the time again for their answer, or for looking at the result."""
        with self._speaking:
            asked = self._snapshot.state is State.WAITING_FOR_CONSENT and not self._consent_said
            if self.more_times == 0 or not (asked or self.ended_at is not None):
                return
            self.more_times -= 1
            if asked:
                self._say(MoreTime())
            else:
                self.shown_from = time.monotonic()

    def _say(self, message: Consent | MoreTime) -> None:
        try:
            self._channel.send(message)
        except PeerError as error:
            self._fail(error)

    def cancel(self) -> None:
        """Ends it, if it has not ended: the notary sees the closed connection and the vision worker dies."""
        self._change(lambda old: replace(old, state=State.CANCELLED, reason=Reason.CANCELLED) if old.open else old)
        self._channel.close()

    def forget_tokens(self) -> None:
        """What was shown to the person alone leaves the memory: their proof, and a verdict that nobody can fetch."""

        def forgotten(old: Snapshot) -> Snapshot:
            if old.open or old.left:
                return old
            token = None if self.by_code else old.token
            return replace(old, token=token, verdict_codes=(), proof_codes=(), left=True)

        self._change(forgotten)

    def _listen(self) -> None:
        try:
            while self._snapshot.open:
                try:
                    message = self._channel.receive(timeout=LOOK_SECONDS)
                except ChannelTimeout:
                    if time.monotonic() > self._snapshot.until + GRACE_SECONDS:
                        raise
                    continue
                self._take(message)
        except PeerError as error:
            self._fail(error)
        except Exception as error:
            log.exception("the listening thread broke")
            self._fail(PeerError(f"an error in the gateway ({type(error).__name__})"))
        finally:
            self._channel.close()

    def _take(self, message: Message) -> None:
        match message:
            case Progress():
                self._change(lambda old: progressed(old, message, self._consent_said))
            case TokenPart(index=index, text=text):
                if index != len(self._parts):
                    raise ProtocolViolation(f"part {index} of a token where {len(self._parts)} was next")
                self._parts.append(text)
            case ProofPart(index=index, text=text):
                if index != len(self._proof):
                    raise ProtocolViolation(f"part {index} of a proof where {len(self._proof)} was next")
                self._proof.append(text)
            case Opened() if self.by_code and not self.opened.verification:
                self.opened, self.party_name = message, message.party
                self._change(lambda old: newly_opened(old, message))
            case Refused() if not self.opened.verification:
                kind = refusal_kind(message)
                self._change(lambda old: replace(old, state=State.FAILED, failure=kind) if old.open else old)
            case Ended():
                token, proof = "".join(self._parts) or None, "".join(self._proof)
                verdict_codes = codes.texts_of(codes.Kind.VERDICT, token) if token and self.by_code else []
                proof_codes = codes.texts_of(codes.Kind.PROOF, proof) if proof else []
                self._parts, self._proof = [], []
                self._change(
                    lambda old: (
                        replace(
                            finished(old, message, token),
                            verdict_codes=tuple(verdict_codes),
                            proof_codes=tuple(proof_codes),
                        )
                        if old.open
                        else old
                    )
                )
            case _:
                raise ProtocolViolation(f"{type(message).__name__} in the middle of a verification")

    def _fail(self, error: PeerError) -> None:
        def failed(old: Snapshot) -> Snapshot:
            if not old.open:
                return old
            log.error("verification %s failed, the notary was lost: %s", self.id, error)
            return replace(old, state=State.FAILED, failure=Kind.NOTARY_UNAVAILABLE, face=None, pose=None)

        self._change(failed)
        self._channel.close()

    def _change(self, change: Callable[[Snapshot], Snapshot]) -> None:
        with self._changed:
            old = self._snapshot
            new = change(old)
            if new is old:
                return
            self._snapshot = new = replace(new, version=old.version + 1)
            if not new.open:
                self.ended_at = self.ended_at or time.monotonic()
                self.shown_from = self.shown_from or self.ended_at
                self._parts, self._proof = [], []
            self._changed.notify_all()
        self._watcher(self, old, new)
