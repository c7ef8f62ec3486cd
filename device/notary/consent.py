"""No consent, no camera: waiting for the person's yes or no at the kiosk page.

In: what the relying party asked, and the gateway's channel, on which the answer comes. Out: an `Agreement`; or
`UnconsentedError` with the reason. A person who reads slowly may have the whole time again, `MORE_TIMES` times.
"""

from __future__ import annotations

import select
import time

from device.channel import Channel
from device.errors import ChannelClosed, ChannelTimeout, PeerError, ProtocolViolation
from device.notary.admission import Office
from device.notary.conclusion import Agreement
from device.notary.scan import GatewayGoneError
from device.notary.stop import Stop
from device.protocol import (
    MORE_TIMES,
    Consent,
    ConsentMethod,
    Guidance,
    MoreTime,
    OpenVerification,
    Progress,
    Reason,
    Stage,
)


class UnconsentedError(Exception):
    """The person said no, or nothing in time."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def agreement(office: Office, request: OpenVerification, gateway: Channel, method: ConsentMethod) -> Agreement:
    """When the person agreed, and to what.

    Raises:
        UnconsentedError: they did not.
        GatewayGoneError: cancelled.
    """
    if method is ConsentMethod.ATTESTED:
        assert request.consent_at is not None
        return Agreement(method, request.consent_at)
    seconds, extensions = office.config.notary.consent_seconds, 0
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        sources: list[Channel | Stop] = [gateway, office.stop]
        readable = select.select(sources, [], [], left)[0]
        if office.stop in readable:
            raise UnconsentedError(Reason.CANCELLED)
        if gateway not in readable:
            continue
        message = _hear(gateway)
        if isinstance(message, MoreTime):
            if extensions < MORE_TIMES:
                extensions, deadline = extensions + 1, time.monotonic() + seconds
            _say_left(gateway, deadline)
        elif message is not None and not message.given:
            raise UnconsentedError(Reason.CONSENT_REFUSED)
        elif message is not None:
            return Agreement(method, int(time.time()), message.proof)
    raise UnconsentedError(Reason.CONSENT_TIME_LIMIT)


def _hear(gateway: Channel) -> Consent | MoreTime | None:
    """What the gateway said; None if not all of it is here yet. Raises `GatewayGoneError` if it hung up."""
    try:
        message = gateway.receive(1.0)
    except ChannelTimeout:
        return None
    except (ChannelClosed, ProtocolViolation) as error:
        raise GatewayGoneError from error
    assert isinstance(message, Consent | MoreTime)  # the protocol's order: nothing else can follow
    return message


def _say_left(gateway: Channel, deadline: float) -> None:
    try:
        gateway.send(Progress(Stage.CONSENT, Guidance.WAIT, max(0, round(deadline - time.monotonic()))))
    except PeerError as error:
        raise GatewayGoneError from error
