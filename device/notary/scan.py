"""Having vision look for a code: a relying party's request, or the key of the person's own telephone.

In: the gateway's channel and a function that says what a code's text means. Out: what it means; or `NotShownError` with
the reason. A worker that scans does nothing else in its life, and of what it says nothing goes on to the gateway.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable
from typing import Final, TypeVar

from device.channel import Channel
from device.codes import Assembly, Kind
from device.errors import ChannelTimeout, ConfigurationError, InputError, LedgerError, PeerError, ProtocolViolation
from device.notary.admission import Office, RefusedError
from device.notary.request import RequestError, ShownRequest, check_request
from device.notary.requesters import load_requesters, requesters_file
from device.notary.stop import Stop
from device.notary.vision_link import GREETING_SECONDS
from device.protocol import Code, Guidance, Progress, Reason, Refusal, ScanEnded, Stage, StartScan

log = logging.getLogger(__name__)

T = TypeVar("T")

SCAN_SECONDS: Final = 60
"""How long a person has to hold the code before the camera."""
NEXT_WORKER_SECONDS: Final = 40.0
"""How long the person waits for the worker after the one that scanned: it may only now be loading its models."""
_MARGIN: Final = 10.0  # opening the camera
_STEPS: Final = 8  # parts that a `Progress` can count
_GUIDANCE: Final = {Stage.REQUEST: Guidance.SHOW_REQUEST, Stage.HOLDER_KEY: Guidance.SHOW_HOLDER_KEY}

Take = Callable[[str], tuple[T | None, int, int]]
"""What a code's text means, or None if more is needed; and how many parts there are, of how many."""


class NotShownError(Exception):
    """Nothing that could be used was shown; `reason` is what the person is told."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class GatewayGoneError(Exception):
    """The gateway hung up, which cancels."""


def request_from_code(office: Office, gateway: Channel) -> ShownRequest:
    """The request that a person shows to the camera.

    Raises:
        NotShownError: none was seen, or it is not taken.
        GatewayGoneError: cancelled.
        RefusedError: vision is not there.
    """
    assembly = Assembly(Kind.REQUEST)

    def take(text: str) -> tuple[str | None, int, int]:
        return assembly.add(text), *assembly.progress

    try:
        token = scan(office, gateway, Stage.REQUEST, take)
        requesters = load_requesters(requesters_file(office.config))
        shown = check_request(token, requesters, office.box.id, int(time.time()))
        used = office.used_requests.used(shown.order)
    except RequestError as error:
        log.warning("a request that was shown is refused: %s", error)
        raise NotShownError(error.reason) from error
    except (InputError, ConfigurationError) as error:
        log.error("a request that was shown cannot be read: %s", error)
        raise NotShownError(Reason.REQUEST_INVALID) from error
    except LedgerError as error:
        raise RefusedError(Refusal.LEDGER_UNAVAILABLE, str(error)) from error
    say_wait(gateway, Stage.REQUEST)
    if used:
        log.warning("a request of %s was shown that has had its verdict", shown.order.relying_party)
        raise NotShownError(Reason.REQUEST_USED)
    return shown


def scan(office: Office, gateway: Channel, stage: Stage, take: Take[T], patience: float = GREETING_SECONDS) -> T:
    """What the codes mean that are shown in `stage`. Raises as `request_from_code`, and whatever `take` raises."""
    try:
        meeting = office.vision.meet(patience)
    except PeerError as error:
        raise RefusedError(Refusal.VISION_UNAVAILABLE, str(error)) from error
    with meeting:
        _say(gateway, stage, 0, 0, SCAN_SECONDS)
        try:
            meeting.channel.send(StartScan(stage, SCAN_SECONDS))
            return _listen(office.stop, gateway, meeting.channel, stage, take)
        except PeerError as error:
            log.error("vision is lost while it scans: %s", error)
            raise NotShownError(Reason.VISION_LOST) from error


def _listen(stop: Stop, gateway: Channel, vision: Channel, stage: Stage, take: Take[T]) -> T:
    deadline = time.monotonic() + SCAN_SECONDS
    while (left := deadline + _MARGIN - time.monotonic()) > 0:
        sources: list[Channel | Stop] = [vision, gateway, stop]
        readable = select.select(sources, [], [], left)[0]
        if stop in readable:
            raise NotShownError(Reason.CANCELLED)
        if gateway in readable:
            raise GatewayGoneError  # while the camera is open the gateway has nothing to say
        if vision not in readable:
            continue
        try:
            message = vision.receive(1.0)
        except ChannelTimeout:
            continue  # half a message so far
        if isinstance(message, ScanEnded):
            raise NotShownError(message.reason or Reason.CODE_NOT_SEEN)
        if not isinstance(message, Code):
            raise ProtocolViolation(f"{type(message).__name__} in a scan")
        meaning, parts, count = take(message.text)
        if meaning is not None:
            return meaning
        if count > 1:
            _say(gateway, stage, parts, count, deadline - time.monotonic())
    raise NotShownError(Reason.CODE_NOT_SEEN)


def say_wait(gateway: Channel, stage: Stage) -> None:
    """The code has been read; the next worker may take a moment. Raises `GatewayGoneError`."""
    try:
        gateway.send(Progress(stage, Guidance.WAIT, round(NEXT_WORKER_SECONDS)))
    except PeerError as error:
        raise GatewayGoneError from error


def _say(gateway: Channel, stage: Stage, parts: int, count: int, seconds: float) -> None:
    left = max(0, round(seconds))
    try:
        gateway.send(Progress(stage, _GUIDANCE[stage], left, min(parts, _STEPS), min(count, _STEPS)))
    except PeerError as error:
        raise GatewayGoneError from error
