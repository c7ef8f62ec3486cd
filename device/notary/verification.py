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

import hashlib
import json
import logging
import secrets
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from device.channel import Channel
from device.errors import (
    ChannelClosed,
    ChannelTimeout,
    KeyStoreError,
    LedgerError,
    PeerError,
    ProtocolViolation,
)
from device.notary.admission import Admission, Office, admit
from device.notary.decision import decide
from device.notary.keystore.base import KeyStore
from device.notary.ledger import Row
from device.notary.policy import Policy
from device.notary.pseudonym import pseudonym
from device.notary.stop import Stop
from device.notary.verdict import Case, claims_of, measurement_table, sign_claims
from device.notary.vision_link import Meeting
from device.protocol import (
    Attribute,
    CheckReport,
    Consent,
    ConsentMethod,
    Ended,
    Finished,
    Opened,
    OpenVerification,
    Outcome,
    Progress,
    Reason,
    TokenPart,
)

log = logging.getLogger(__name__)

MARGIN: Final = 15.0
"""Seconds beyond the policy's own limits: opening the camera, and computing after the last frame."""
_PART: Final = 3500  # characters in a TokenPart
_MAX_SECONDS: Final = 3600


class _Cancelled(Exception):
    pass


class _Unconsented(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class _Observation:
    """What came of vision; `missing` is why anything that it did not report was not performed."""

    reports: tuple[CheckReport, ...] = ()
    attributes: Mapping[Attribute, str] | None = None
    subject: str = ""
    missing: Reason = Reason.NOT_REACHED


class Verification:
    """The course of one; used once, by one thread."""

    def __init__(self, office: Office, request: OpenVerification, gateway: Channel) -> None:
        self._office = office
        self._request = request
        self._gateway = gateway
        self._id = secrets.token_urlsafe(16)

    @property
    def longest(self) -> float:
        """Seconds that this one may take at most."""
        policy = self._office.policies.get(self._request.policy)
        return self._office.config.notary.consent_seconds + (policy.seconds if policy else 0) + MARGIN

    def run(self) -> Ended | None:
        """The last word, to be sent when the camera is free for the next; None if it was cancelled.

        Raises:
            RefusedError: it is not opened.
            PeerError: the gateway is gone.
        """
        admission = admit(self._office, self._request)
        with admission.meeting:
            try:
                self._open(admission)
                consent_at = self._consent(admission.method)
                observation, worker = self._observe(admission)
                return self._conclude(admission, consent_at, observation, worker)
            except _Unconsented as refused:
                log.info("verification %s: no consent (%s)", self._id, refused.reason)
                return Ended(Outcome.INCONCLUSIVE, refused.reason)
            except _Cancelled:
                log.info("verification %s: cancelled", self._id)
                return None

    def _open(self, admission: Admission) -> None:
        policy, asks = admission.policy, admission.method is ConsentMethod.KIOSK
        seconds = self._office.config.notary.consent_seconds if asks else int(policy.seconds + MARGIN)
        log.info("verification %s: opened for %s, policy %s", self._id, self._request.relying_party, policy.name)
        rules = policy.rules
        self._gateway.send(
            Opened(self._id, asks, min(seconds, _MAX_SECONDS), policy.checks, rules.attributes, rules.subject)
        )

    # --- 2. Consent --------------------------------------------------------------------------------------------------

    def _consent(self, method: ConsentMethod) -> int:
        """When the person agreed. Raises `_Unconsented` or `_Cancelled`."""
        if method is ConsentMethod.ATTESTED:
            assert self._request.consent_at is not None
            return self._request.consent_at
        deadline = time.monotonic() + self._office.config.notary.consent_seconds
        while True:
            readable = _wait([self._gateway, self._office.stop], deadline - time.monotonic())
            if self._office.stop in readable:
                raise _Unconsented(Reason.CANCELLED)
            if self._gateway in readable:
                message = self._hear_gateway()
                if message is None:
                    continue
                if not message.given:
                    raise _Unconsented(Reason.CONSENT_REFUSED)
                return int(time.time())
            if time.monotonic() >= deadline:
                raise _Unconsented(Reason.CONSENT_TIME_LIMIT)

    def _hear_gateway(self) -> Consent | None:
        """What the gateway said; None if not all of it is here yet. Raises `_Cancelled` if it hung up."""
        try:
            message = self._gateway.receive(1.0)
        except ChannelTimeout:
            return None
        except (ChannelClosed, ProtocolViolation) as error:
            raise _Cancelled from error
        assert isinstance(message, Consent)  # the protocol's order: nothing else can follow
        return message

    # --- 3. The check ------------------------------------------------------------------------------------------------

    def _observe(self, admission: Admission) -> tuple[_Observation, Meeting]:
        """Has vision look. The worker that was met may have given up waiting for consent; then another is met."""
        policy, meeting = admission.policy, admission.meeting
        if not meeting.fresh:
            meeting.channel.close()
            try:
                meeting = self._office.vision.meet()
            except PeerError as error:
                log.error("verification %s: vision is lost: %s", self._id, error)
                return _Observation(missing=Reason.VISION_LOST), meeting
        with meeting:
            try:
                meeting.channel.send(policy.order(self._id, challenge_seed(self._request.nonce)))
                observation = self._listen(policy, meeting.channel)
                log.info("verification %s: vision said %d bytes", self._id, meeting.channel.bytes_received)
                return observation, meeting
            except PeerError as error:
                log.error("verification %s: vision is lost: %s", self._id, error)
                self._office.vision.note(f"lost during a verification: {error}"[:128])
                return _Observation(missing=Reason.VISION_LOST), meeting

    def _listen(self, policy: Policy, vision: Channel) -> _Observation:
        """Passes progress on until vision has finished, is late, or is told to end. Raises `PeerError` if lost."""
        deadline = time.monotonic() + policy.seconds + MARGIN
        while time.monotonic() < deadline:
            readable = _wait([vision, self._gateway, self._office.stop], deadline - time.monotonic())
            if self._office.stop in readable:
                return _Observation(missing=Reason.CANCELLED)
            if self._gateway in readable:
                self._refuse_interruption()
            if vision not in readable:
                continue
            try:
                message = vision.receive(1.0)
            except ChannelTimeout:
                continue  # half a message so far
            if isinstance(message, Finished):
                return _Observation(message.checks, message.attributes, message.subject)
            assert isinstance(message, Progress)  # the protocol's order
            self._pass_on(message)
        log.error("verification %s: vision did not finish in time", self._id)
        return _Observation(missing=Reason.TIME_LIMIT)

    def _pass_on(self, progress: Progress) -> None:
        try:
            self._gateway.send(progress)
        except PeerError as error:
            raise _Cancelled from error

    def _refuse_interruption(self) -> NoReturn:
        """While the camera is open the gateway has nothing to say; if it can be read, it hung up or broke the rules."""
        raise _Cancelled

    # --- 4. The verdict ----------------------------------------------------------------------------------------------

    def _conclude(self, admission: Admission, consent_at: int, seen: _Observation, worker: Meeting) -> Ended:
        policy = admission.policy
        decision = decide(policy, seen.reports, missing=seen.missing)
        measurements = {
            **{f"model/{name}": digest for name, digest in worker.ready.measurements.items()},
            f"policy/{policy.name}": policy.digest,
        }
        case = Case(
            jti=self._id,
            audience=self._request.audience,
            nonce=self._request.nonce,
            policy=policy,
            decision=decision,
            camera=worker.ready.camera,
            consent=admission.method,
            consent_at=consent_at,
            issued_at=int(time.time()),
            lifetime=self._office.config.notary.verdict_lifetime,
            measurements=measurements,
            attributes=seen.attributes or {},
            subject=self._pseudonym(seen.subject),
            log=self._office.ledger.head,
        )
        try:
            token = self._sign_and_record(case, self._office.keys.for_camera(worker.ready.camera))
        except KeyStoreError as error:
            log.error("verification %s: no verdict: %s", self._id, error)
            return Ended(Outcome.INCONCLUSIVE, Reason.KEY_UNAVAILABLE)
        except LedgerError as error:
            log.error("verification %s: no verdict: %s", self._id, error)
            return Ended(Outcome.INCONCLUSIVE, Reason.LEDGER_UNAVAILABLE)
        for index, start in enumerate(range(0, len(token), _PART)):
            self._gateway.send(TokenPart(index, token[start : start + _PART]))
        log.info("verification %s: %s", self._id, decision.outcome)
        return Ended(decision.outcome, decision.reasons[0] if decision.reasons else None)

    def _pseudonym(self, document: str) -> str:
        return pseudonym(self._office.pseudonym_key, document, self._request.relying_party) if document else ""

    def _sign_and_record(self, case: Case, store: KeyStore) -> str:
        """The token, with its row on disk. Raises `KeyStoreError` or `LedgerError`, and then there is no verdict."""
        token = sign_claims(claims_of(case, self._office.box, store.purpose), store)
        table = json.dumps(measurement_table(case.measurements), sort_keys=True).encode()
        self._office.ledger.append(
            Row(
                jti=case.jti,
                time=case.issued_at,
                relying_party=self._request.relying_party,
                policy=case.policy.name,
                outcome=str(case.decision.outcome),
                reasons=tuple(str(reason) for reason in case.decision.reasons),
                measurements=hashlib.sha256(table).digest(),
                token_sha256=hashlib.sha256(token.encode()).digest(),
            )
        )
        return token


def challenge_seed(nonce: str) -> bytes:
    """32 bytes that neither the relying party nor the box can choose alone (HKDF, RFC 5869, with SHA-256)."""
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=nonce.encode(), info=b"vouchbox challenge 1").derive(
        secrets.token_bytes(32)
    )


def _wait(sources: list[Channel | Stop], timeout: float) -> list[Channel | Stop]:
    return select.select(sources, [], [], max(0.0, timeout))[0]
