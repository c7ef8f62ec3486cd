"""One verification, from the relying party's question to the signed answer.

In: an `OpenVerification`, the gateway's channel, and what the notary has (policies, keys, ledger, vision).
Out, on the channel: `Refused`; or `Opened`, `Progress`…, the verdict's `TokenPart`s and `Ended`; or `Ended` alone where
the person was never asked to begin. The order of things:

1. Everything that can be known beforehand is looked at before a person is asked to stand there: the policy,
   the way of consent, the ledger, vision, the key.
2. No consent, no camera: until the person (or the relying party for them) has said yes, vision is told nothing.
3. Whatever happens once vision has been told to start ends in a signed verdict; unless the gateway hangs up, which
   cancels. What vision did not report was not performed.
4. The verdict's row is on disk before a character of the token leaves.
"""

from __future__ import annotations

import datetime
import logging
import secrets
import select
import time
from typing import Final, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from device.channel import Channel
from device.errors import (
    ChannelTimeout,
    InputError,
    PeerError,
    ProtocolViolation,
)
from device.logs import about
from device.notary.admission import Admission, Office, RefusedError, admit
from device.notary.conclusion import Concluding, Observation, conclude
from device.notary.consent import UnconsentedError, agreement
from device.notary.policy import Policy
from device.notary.proof import HolderKey, read_holder_key
from device.notary.request import ShownRequest
from device.notary.scan import NEXT_WORKER_SECONDS, GatewayGoneError, NotShownError, say_wait, scan
from device.notary.stop import Stop
from device.notary.vision_link import Meeting
from device.protocol import (
    MORE_TIMES,
    ConsentMethod,
    Ended,
    Finished,
    Opened,
    OpenVerification,
    Outcome,
    Progress,
    Reason,
    SealShown,
    Stage,
)

log = logging.getLogger(__name__)

MARGIN: Final = 15.0
"""Seconds beyond the policy's own limits: opening the camera, and computing after the last frame."""
_PART: Final = 3500  # characters in a TokenPart
_MAX_SECONDS: Final = 3600


class _Cancelled(Exception):
    pass


class Verification:
    """The course of one; used once, by one thread."""

    def __init__(
        self, office: Office, request: OpenVerification, gateway: Channel, shown: ShownRequest | None = None
    ) -> None:
        self._office = office
        self._request = request
        self._gateway = gateway
        self._shown = shown
        self._id = secrets.token_urlsafe(16)

    @property
    def longest(self) -> float:
        """Seconds that this one may take at most."""
        policy = self._office.policies.get(self._request.policy)
        asking = self._office.config.notary.consent_seconds * (1 + MORE_TIMES)
        return asking + (policy.seconds if policy else 0) + MARGIN

    def _about(self, *, reason: Reason | None = None) -> dict[str, str]:
        return about(verification=self._id, reason=reason)

    def run(self) -> Ended | None:
        """The last word, to be sent when the camera is free for the next; None if it was cancelled.

        Raises:
            RefusedError: it is not opened.
            PeerError: the gateway is gone.
        """
        admission = (
            admit(self._office, self._request)
            if self._shown is None
            else admit(self._office, self._request, NEXT_WORKER_SECONDS)
        )
        with admission.meeting:
            try:
                self._open(admission)
                consent = agreement(self._office, self._request, self._gateway, admission.method)
                holder = self._holder_key(admission) if consent.proof else None
                observation, worker = self._observe(admission)
                case = Concluding(self._id, self._request, admission.policy, consent, self._shown is not None)
                words, ended = conclude(self._office, case, observation, worker.ready, holder)
                for part in words:  # 4.
                    self._gateway.send(part)
                return ended
            except UnconsentedError as refused:
                log.info(
                    "verification %s: no consent (%s)",
                    self._id,
                    refused.reason,
                    extra=self._about(reason=refused.reason),
                )
                return Ended(Outcome.INCONCLUSIVE, refused.reason)
            except (_Cancelled, GatewayGoneError):
                log.info("verification %s: cancelled", self._id, extra=self._about(reason=Reason.CANCELLED))
                return None

    def _open(self, admission: Admission) -> None:
        policy, asks = admission.policy, admission.method is ConsentMethod.KIOSK
        seconds = self._office.config.notary.consent_seconds if asks else int(policy.seconds + MARGIN)
        log.info(
            "verification %s: opened for %s, policy %s",
            self._id,
            self._request.relying_party,
            policy.name,
            extra=self._about(),
        )
        rules = policy.rules
        self._gateway.send(
            Opened(
                self._id,
                asks,
                min(seconds, _MAX_SECONDS),
                policy.checks,
                rules.attributes,
                rules.subject,
                self._shown.party if self._shown else "",
                policy.name if self._shown else "",
                asks and rules.proof is not None,
            )
        )

    # --- 2. Consent: device/notary/consent.py; and the key of the person's telephone, if they want a proof -----------

    def _holder_key(self, admission: Admission) -> HolderKey | None:
        """The key that the person's proof is bound to; None if they showed none in time: the check goes on without."""
        if admission.policy.rules.proof is None:
            return None
        admission.meeting.channel.close()  # a worker does one thing in its life

        def take(text: str) -> tuple[HolderKey | None, int, int]:
            return read_holder_key(text), 0, 1

        try:
            return scan(self._office, self._gateway, Stage.HOLDER_KEY, take, NEXT_WORKER_SECONDS)
        except (NotShownError, RefusedError, InputError) as error:
            log.warning("verification %s: no proof for the person: %s", self._id, error)
            return None
        finally:
            say_wait(self._gateway, Stage.HOLDER_KEY)

    # --- 3. The check ------------------------------------------------------------------------------------------------

    def _observe(self, admission: Admission) -> tuple[Observation, Meeting]:
        """Has vision look. The worker that was met may have given up waiting for consent; then another is met."""
        policy, meeting = admission.policy, admission.meeting
        if not meeting.usable:
            meeting.channel.close()
            try:
                meeting = self._office.vision.meet(NEXT_WORKER_SECONDS)
            except PeerError as error:
                log.error(
                    "verification %s: vision is lost: %s", self._id, error, extra=self._about(reason=Reason.VISION_LOST)
                )
                return Observation(missing=Reason.VISION_LOST), meeting
        with meeting:
            try:
                meeting.channel.send(policy.order(self._id, challenge_seed(self._request.nonce)))
                observation = self._listen(policy, meeting.channel)
                said = meeting.channel.bytes_received
                log.info("verification %s: vision said %d bytes", self._id, said, extra=self._about())
                return observation, meeting
            except PeerError as error:
                log.error(
                    "verification %s: vision is lost: %s", self._id, error, extra=self._about(reason=Reason.VISION_LOST)
                )
                self._office.vision.note(f"lost during a verification: {error}"[:128])
                return Observation(missing=Reason.VISION_LOST), meeting

    def _listen(self, policy: Policy, vision: Channel) -> Observation:
        """Passes progress on until vision has finished, is late, or is told to end. Raises `PeerError` if lost."""
        deadline = time.monotonic() + policy.seconds + MARGIN
        seal: SealShown | None = None
        while time.monotonic() < deadline:
            readable = _wait([vision, self._gateway, self._office.stop], deadline - time.monotonic())
            if self._office.stop in readable:
                return Observation(missing=Reason.CANCELLED)
            if self._gateway in readable:
                self._refuse_interruption()
            if vision not in readable:
                continue
            try:
                message = vision.receive(1.0)
            except ChannelTimeout:
                continue  # half a message so far
            if isinstance(message, SealShown):
                seal = message
                continue
            if isinstance(message, Finished):
                now = datetime.datetime.now(tz=datetime.UTC)
                checks = self._office.seal_anchors.answered(message.checks, seal, now)
                return Observation(checks, message.attributes, message.subject)
            if not isinstance(message, Progress):
                raise ProtocolViolation(f"{type(message).__name__} in a verification")
            self._pass_on(message)
        log.error(
            "verification %s: vision did not finish in time", self._id, extra=self._about(reason=Reason.TIME_LIMIT)
        )
        return Observation(missing=Reason.TIME_LIMIT)

    def _pass_on(self, progress: Progress) -> None:
        try:
            self._gateway.send(progress)
        except PeerError as error:
            raise _Cancelled from error

    def _refuse_interruption(self) -> NoReturn:
        """While the camera is open the gateway has nothing to say; if it can be read, it hung up or broke the rules."""
        raise _Cancelled


def challenge_seed(nonce: str) -> bytes:
    """32 bytes that neither the relying party nor the box can choose alone (HKDF, RFC 5869, with SHA-256)."""
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=nonce.encode(), info=b"vouchbox challenge 1").derive(
        secrets.token_bytes(32)
    )


def _wait(sources: list[Channel | Stop], timeout: float) -> list[Channel | Stop]:
    return select.select(sources, [], [], max(0.0, timeout))[0]
