"""The gateway's side of its one conversation partner: the notary.

In: the path of the notary's socket. Out: an open channel for a verification, or the answers to the two questions that
the gateway may ask (device facts, health), or `Problem`s that name the part at fault. Answers are kept for a moment, so
that many callers cannot make the notary work.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from device.channel import Channel, connect
from device.errors import PeerError
from device.gateway.problems import Kind, Problem
from device.protocol import (
    FROM_GATEWAY,
    NOTARY_MESSAGES,
    TO_GATEWAY,
    AskDevice,
    AskHealth,
    DeviceId,
    End,
    Health,
    Key,
    Measurement,
    Message,
    OpenByCode,
    Opened,
    OpenVerification,
    PolicyFact,
    Progress,
    Refusal,
    Refused,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
BY_CODE_SECONDS: Final = 25.0  # the notary waits twenty for a vision worker to be ready
HEALTH_SECONDS: Final = 3.0
MAX_FACTS: Final = 200
FACTS_KEPT: Final = 5.0
HEALTH_KEPT: Final = 1.0


@dataclass(frozen=True)
class DeviceFacts:
    """All that the notary says about this box."""

    keys: tuple[Key, ...]
    measurements: tuple[Measurement, ...]
    policies: tuple[PolicyFact, ...]
    ueid: str = ""


class _Kept(Generic[T]):
    """The answer of `ask`, or its failure, asked again when it is older than `seconds`.

    One caller asks and the others wait for it; a failure is kept too, so that a notary that hangs costs one wait and
    not one for each caller.
    """

    def __init__(self, ask: Callable[[], T], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._lock = threading.Lock()
        self._then = float("-inf")
        self._answer: T | PeerError = PeerError("not asked yet")

    def get(self) -> T:
        with self._lock:
            if time.monotonic() - self._then > self._seconds:
                try:
                    self._answer = self._ask()
                except PeerError as error:
                    self._answer = error
                self._then = time.monotonic()
            if isinstance(self._answer, PeerError):
                raise PeerError(str(self._answer))
            return self._answer


class NotaryClient:
    """Opens conversations with the notary. Safe to use from many threads: each conversation has its own connection."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._facts = _Kept(self._ask_facts, FACTS_KEPT)
        self._health = _Kept(self._ask_health, HEALTH_KEPT)

    def open(self, request: OpenVerification) -> tuple[Channel, Opened]:
        """A channel on which a verification has begun.

        Raises:
            Problem: the notary refused (`busy`, `policy-unknown`, …), or is not there (`notary-unavailable`).
        """
        channel, answer = self._begin(request)
        if isinstance(answer, Opened):
            return channel, answer
        channel.close()
        if isinstance(answer, Refused):
            raise _refusal(answer, request)
        raise _unavailable(PeerError(f"it answered {type(answer).__name__} to a request to open a verification"))

    def open_by_code(self) -> tuple[Channel, Progress]:
        """A channel on which the camera looks for a request that a person shows.

        Raises:
            Problem: as `open`.
        """
        channel, answer = self._begin(OpenByCode())
        if isinstance(answer, Progress):
            return channel, answer
        channel.close()
        if isinstance(answer, Refused):
            raise _refusal(answer, None)
        raise _unavailable(PeerError(f"it answered {type(answer).__name__} to a person with a code"))

    def _begin(self, request: OpenVerification | OpenByCode) -> tuple[Channel, Message]:
        try:
            channel = self._channel()
            try:
                channel.send(request)
                return channel, channel.receive(
                    timeout=BY_CODE_SECONDS if isinstance(request, OpenByCode) else ANSWER_SECONDS
                )
            except BaseException:
                channel.close()
                raise
        except PeerError as error:
            raise _unavailable(error) from error

    def facts(self) -> DeviceFacts:
        """Keys, measurements and policies of this box. Raises `Problem` `notary-unavailable`."""
        try:
            return self._facts.get()
        except PeerError as error:
            raise _unavailable(error) from error

    def health(self) -> Health:
        """State of notary and vision. Raises `PeerError` if the notary cannot be asked."""
        return self._health.get()

    def _channel(self) -> Channel:
        connection = connect(self._socket, timeout=CONNECT_SECONDS)
        return Channel(connection, decoder=NOTARY_MESSAGES, incoming=TO_GATEWAY, outgoing=FROM_GATEWAY)

    def _ask_health(self) -> Health:
        with self._channel() as channel:
            channel.send(AskHealth())
            answer = channel.receive(timeout=HEALTH_SECONDS)
        if not isinstance(answer, Health):
            raise PeerError(f"the notary answered {type(answer).__name__} to a question about its health")
        return answer

    def _ask_facts(self) -> DeviceFacts:
        keys: list[Key] = []
        measurements: list[Measurement] = []
        policies: list[PolicyFact] = []
        ueid = ""
        deadline = time.monotonic() + ANSWER_SECONDS
        with self._channel() as channel:
            channel.send(AskDevice())
            for _ in range(MAX_FACTS):
                match channel.receive(timeout=max(0.0, deadline - time.monotonic())):
                    case DeviceId() as box:
                        ueid = box.ueid
                    case Key() as key:
                        keys.append(key)
                    case Measurement() as measurement:
                        measurements.append(measurement)
                    case PolicyFact() as policy:
                        policies.append(policy)
                    case End():
                        return DeviceFacts(tuple(keys), tuple(measurements), tuple(policies), ueid)
                    case other:
                        raise PeerError(f"the notary answered {type(other).__name__} to a question about this box")
        raise PeerError(f"the notary has more than {MAX_FACTS} facts to tell")


def _unavailable(error: PeerError) -> Problem:
    log.error("the notary is not available: %s", error)
    return Problem(
        Kind.NOTARY_UNAVAILABLE,
        "The notary process does not answer, so nothing can be checked or signed now; see its log on the box.",
        retry_after=5,
        part="notary",
    )


def refusal_kind(refused: Refused) -> Kind:
    """The kind of problem for a refusal that comes when a person has shown their request."""
    return _refusal(refused, None).kind


def _refusal(refused: Refused, asked: OpenVerification | None) -> Problem:
    retry = refused.retry_after or 5
    request = asked or OpenVerification("", "", "", "")  # what a code asks for is the notary's to know
    match refused.reason:
        case Refusal.BUSY:
            return Problem(
                Kind.BUSY, "A verification is running; this box checks one person at a time.", retry_after=retry
            )
        case Refusal.POLICY_UNKNOWN:
            return Problem(Kind.POLICY_UNKNOWN, f"There is no policy {request.policy!r} here; /v1/device lists them.")
        case Refusal.CONSENT_METHOD:
            return Problem(
                Kind.CONSENT_NOT_ACCEPTED,
                f"Policy {request.policy!r} does not take consent "
                + ("attested by the relying party." if request.consent_at is not None else "given on the kiosk page.")
                + " /v1/device says which kinds it takes.",
            )
        case Refusal.KEY_UNAVAILABLE:
            return Problem(Kind.KEY_UNAVAILABLE, "The box cannot sign now.", retry_after=retry, part="notary")
        case Refusal.LEDGER_UNAVAILABLE:
            return Problem(Kind.LEDGER_UNAVAILABLE, "The box cannot write now.", retry_after=retry, part="notary")
        case Refusal.VISION_UNAVAILABLE:
            return Problem(
                Kind.VISION_UNAVAILABLE, "The camera process is not ready.", retry_after=retry, part="vision"
            )
