"""The end of a verification: decided, signed, recorded, and only then told.

In: what was asked, what the person agreed to, what vision observed. Out: the parts of the verdict (and of the person's
proof, if they wanted one) and the last word. Every signed token's row is on disk before a character of it leaves.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from device.errors import KeyStoreError, LedgerError
from device.logs import about as log_fields
from device.notary.admission import Office
from device.notary.decision import Decision, decide
from device.notary.ledger import Row
from device.notary.policy import Policy
from device.notary.proof import HolderKey, make_proof
from device.notary.pseudonym import pseudonym
from device.notary.verdict import Case, claims_of, measurement_table, sign_claims
from device.protocol import (
    Attribute,
    CheckReport,
    ConsentMethod,
    Ended,
    OpenVerification,
    Outcome,
    ProofPart,
    Reason,
    Stage,
    TokenPart,
    VisionReady,
)

log = logging.getLogger(__name__)

_PART: Final = 3500  # characters in a TokenPart


@dataclass(frozen=True)
class Agreement:
    """How the person agreed and when (seconds since the epoch), and whether they want a proof of their own."""

    method: ConsentMethod
    at: int
    proof: bool = False


@dataclass(frozen=True)
class Observation:
    """What came of vision; `missing` is why anything that it did not report was not performed."""

    reports: tuple[CheckReport, ...] = ()
    attributes: Mapping[Attribute, str] | None = None
    subject: str = ""
    missing: Reason = Reason.NOT_REACHED


@dataclass(frozen=True)
class Concluding:
    """What is to be concluded. `by_code`: the request was shown to the camera, and is used up by a verdict."""

    id: str
    request: OpenVerification
    policy: Policy
    consent: Agreement
    by_code: bool


def conclude(
    office: Office, about: Concluding, seen: Observation, ready: VisionReady, holder: HolderKey | None
) -> tuple[list[TokenPart | ProofPart], Ended]:
    """What to tell, and the last word. Where nothing could be signed or recorded there is only the latter."""
    decision = decide(about.policy, seen.reports, missing=seen.missing)
    case = _case(office, about, seen, ready, decision)
    try:
        token, proof = _sign(office, about, case, holder)
    except KeyStoreError as error:
        fields = log_fields(verification=about.id, reason=Reason.KEY_UNAVAILABLE)
        log.error("verification %s: no verdict: %s", about.id, error, extra=fields)
        return [], Ended(Outcome.INCONCLUSIVE, Reason.KEY_UNAVAILABLE)
    except LedgerError as error:
        fields = log_fields(verification=about.id, reason=Reason.LEDGER_UNAVAILABLE)
        log.error("verification %s: no verdict: %s", about.id, error, extra=fields)
        return [], Ended(Outcome.INCONCLUSIVE, Reason.LEDGER_UNAVAILABLE)
    why = decision.reasons[0] if decision.reasons else None
    fields = log_fields(verification=about.id, stage=Stage.DECIDING, reason=why, outcome=decision.outcome)
    log.info("verification %s: %s", about.id, decision.outcome, extra=fields)
    parts: list[TokenPart | ProofPart] = [TokenPart(index, text) for index, text in enumerate(_split(token))]
    parts += [ProofPart(index, text) for index, text in enumerate(_split(proof))]
    return parts, Ended(decision.outcome, why)


def _case(office: Office, about: Concluding, seen: Observation, ready: VisionReady, decision: Decision) -> Case:
    measurements = {
        **{f"model/{name}": digest for name, digest in ready.measurements.items()},
        f"policy/{about.policy.name}": about.policy.digest,
    }
    request = about.request
    subject = pseudonym(office.pseudonym_key, seen.subject, request.relying_party) if seen.subject else ""
    return Case(
        jti=about.id,
        audience=request.audience,
        nonce=request.nonce,
        policy=about.policy,
        decision=decision,
        camera=ready.camera,
        consent=about.consent.method,
        consent_at=about.consent.at,
        issued_at=int(time.time()),
        lifetime=office.config.notary.verdict_lifetime,
        measurements=measurements,
        attributes=seen.attributes or {},
        subject=subject,
        log=office.ledger.head,
    )


def _sign(office: Office, about: Concluding, case: Case, holder: HolderKey | None) -> tuple[str, str]:
    """The verdict and the proof (empty if there is none), with their rows on disk.

    Raises:
        KeyStoreError, LedgerError: then nothing is given out.
    """
    store = office.keys.for_camera(case.camera)
    token = sign_claims(claims_of(case, office.box, store.purpose), store)
    _record(office, about, case, token, case.jti)
    proof, rules = "", about.policy.rules
    if holder is not None and rules.proof is not None and case.decision.outcome is Outcome.VERIFIED:
        proof = make_proof(case, office.box, store, holder, rules.proof.days)
        _record(office, about, case, proof, f"{case.jti}.proof")
    if about.by_code:
        office.used_requests.use(about.request)
    return token, proof


def _record(office: Office, about: Concluding, case: Case, token: str, jti: str) -> None:
    table = json.dumps(measurement_table(case.measurements), sort_keys=True).encode()
    office.ledger.append(
        Row(
            jti=jti,
            time=case.issued_at,
            relying_party=about.request.relying_party,
            policy=case.policy.name,
            outcome=str(case.decision.outcome),
            reasons=tuple(str(reason) for reason in case.decision.reasons),
            measurements=hashlib.sha256(table).digest(),
            token_sha256=hashlib.sha256(token.encode()).digest(),
        )
    )


def _split(text: str) -> list[str]:
    return [text[start : start + _PART] for start in range(0, len(text), _PART)]
