"""Whether a verification may be opened: everything that can be known before a person is asked to stand there.

In: a relying party's question, and what the notary has (its `Office`). Out: the policy, the way of consent, and a
vision worker that has said what it is; or `RefusedError`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from device.config import Config
from device.errors import KeyStoreError, LedgerError, PeerError
from device.notary.document_seal import SealAnchors
from device.notary.keys import Keys
from device.notary.ledger import Ledger
from device.notary.policy import Policy
from device.notary.request import UsedRequests
from device.notary.stop import Stop
from device.notary.verdict import Box
from device.notary.vision_link import Meeting, VisionLink
from device.protocol import ConsentMethod, OpenVerification, Refusal

_GREETING_SECONDS: Final = 8.0  # a gateway waits ten for its answer
_CLOCK_SKEW: Final = 300  # seconds that a relying party's clock may be ahead when it attests consent


@dataclass(frozen=True)
class Office:
    """What the notary has, for as long as it runs."""

    config: Config
    policies: Mapping[str, Policy]
    keys: Keys
    ledger: Ledger
    box: Box
    pseudonym_key: bytes
    vision: VisionLink
    stop: Stop
    used_requests: UsedRequests
    seal_anchors: SealAnchors


@dataclass(frozen=True)
class Admission:
    """The verification can be opened. Whoever has this closes the meeting."""

    policy: Policy
    method: ConsentMethod
    meeting: Meeting


class RefusedError(Exception):
    """The verification is not opened; `refusal` says why to the gateway, the text to the operator."""

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(text)
        self.refusal = refusal


def admit(office: Office, request: OpenVerification, patience: float = _GREETING_SECONDS) -> Admission:
    """Raises `RefusedError` for the first thing that stands in the way; a worker has `patience` seconds to be ready."""
    policy = office.policies.get(request.policy)
    if policy is None:
        raise RefusedError(Refusal.POLICY_UNKNOWN, f"there is no policy {request.policy!r}")
    method = ConsentMethod.KIOSK if request.consent_at is None else ConsentMethod.ATTESTED
    if method not in policy.rules.consent:
        raise RefusedError(Refusal.CONSENT_METHOD, f"policy {policy.name!r} does not take consent by {method}")
    if request.consent_at is not None and request.consent_at > time.time() + _CLOCK_SKEW:
        raise RefusedError(Refusal.CONSENT_METHOD, "the consent attested lies in the future: compare the clocks")
    try:
        office.ledger.check_writable()
    except LedgerError as error:
        raise RefusedError(Refusal.LEDGER_UNAVAILABLE, str(error)) from error
    try:
        meeting = office.vision.meet(patience)
    except PeerError as error:
        raise RefusedError(Refusal.VISION_UNAVAILABLE, str(error)) from error
    if trouble := _key_trouble(office, meeting):
        meeting.channel.close()
        raise RefusedError(Refusal.KEY_UNAVAILABLE, trouble)
    return Admission(policy, method, meeting)


def _key_trouble(office: Office, meeting: Meeting) -> str:
    try:
        return office.keys.for_camera(meeting.ready.camera).health()
    except KeyStoreError as error:
        return str(error)
