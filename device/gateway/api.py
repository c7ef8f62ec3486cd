"""The calls of DESIGN section 6 (prefix /v1): relying parties open a verification, watch it and fetch its verdict.

In: HTTP requests. Out: JSON, event streams, one signed verdict, problem details. No call takes an image and none gives
one; the states that go out have no face box and no pose (those are for the kiosk page alone).
"""

from __future__ import annotations

import time
from typing import Final

import msgspec
from flask import Blueprint, Response, request
from msgspec import UNSET

from device.errors import PeerError
from device.gateway import events, metrics, openapi, wire
from device.gateway.app import Gateway, from_this_machine, json_answer
from device.gateway.auth import RelyingParty
from device.gateway.describe import device_description, health_report, key_set
from device.gateway.problems import Kind, Problem
from device.gateway.snapshot import Snapshot
from device.gateway.table import Opening
from device.gateway.verifications import Verification
from device.protocol import OpenVerification, Reason

VERDICT_TYPE: Final = "application/vouchbox-verdict+jwt"
_FAULTS: Final[dict[Reason | None, tuple[Kind, str]]] = {
    Reason.KEY_UNAVAILABLE: (Kind.KEY_UNAVAILABLE, "notary"),
    Reason.LEDGER_UNAVAILABLE: (Kind.LEDGER_UNAVAILABLE, "notary"),
    Reason.VISION_LOST: (Kind.VISION_UNAVAILABLE, "vision"),
}
CLOCK_SKEW: Final = 60  # seconds that a relying party's clock may be ahead of the box's


def blueprint(gateway: Gateway) -> Blueprint:
    """All calls of the API."""
    calls = Blueprint("api", __name__)
    _verifications(calls, gateway)
    _device(calls, gateway)
    return calls


def _verifications(calls: Blueprint, gateway: Gateway) -> None:
    @calls.post("/v1/verifications")
    def open_verification() -> Response:
        party = gateway.authenticate()
        gateway.by_opening.take(party.id)
        body = _json_body()
        order = _order(party, wire.decode_request(body))

        def action() -> Opening:
            verification = gateway.verifications.open(party, order)
            answer = msgspec.json.encode(state(verification, verification.first))
            return Opening(f"/v1/verifications/{verification.id}", answer)

        opening = gateway.idempotency.run(party, request.headers.get("Idempotency-Key"), body, action)
        return Response(opening.body, 201, {"Location": opening.location}, mimetype="application/json")

    @calls.get("/v1/verifications/<id>")
    def get_state(id: str) -> Response:
        verification = gateway.verifications.get(gateway.authenticate(), id)
        return json_answer(state(verification, verification.snapshot))

    @calls.get("/v1/verifications/<id>/events")
    def get_events(id: str) -> Response:
        verification = gateway.verifications.get(gateway.authenticate(), id)
        if request.method == "HEAD":
            return Response(mimetype=events.MEDIA_TYPE)
        stream = gateway.streams.stream(verification, lambda v, s: msgspec.json.encode(state(v, s)))
        return Response(stream, mimetype=events.MEDIA_TYPE)

    @calls.get("/v1/verifications/<id>/verdict")
    def get_verdict(id: str) -> Response:
        verification = gateway.verifications.get(gateway.authenticate(), id)
        return Response(verdict(verification.snapshot), mimetype=VERDICT_TYPE)

    @calls.delete("/v1/verifications/<id>")
    def cancel(id: str) -> Response:
        gateway.verifications.get(gateway.authenticate(), id).cancel()
        return Response(status=204)


def _device(calls: Blueprint, gateway: Gateway) -> None:
    @calls.get("/.well-known/jwks.json")
    def get_keys() -> Response:
        facts = gateway.notary.facts()
        try:
            camera = gateway.notary.health().camera
        except PeerError:
            camera = None
        return json_answer(key_set(facts, camera))

    @calls.get("/v1/device")
    def get_device() -> Response:
        return json_answer(device_description(gateway.notary.facts()))

    @calls.get("/healthz")
    def get_health() -> Response:
        report = health_report(gateway.notary, gateway.parties, details=from_this_machine())
        return json_answer(report, 200 if report.status is wire.Condition.WELL else 503)

    @calls.get("/metrics")
    def get_metrics() -> Response:
        if not from_this_machine() and not gateway.authenticate().monitor:
            raise Problem(Kind.NOT_AT_THE_BOX, "From another machine this needs the token of a party with `monitor`.")
        report = health_report(gateway.notary, gateway.parties, details=False)
        return Response(gateway.metrics.text(report, gateway.streams.open), content_type=metrics.MEDIA_TYPE)

    @calls.get("/v1/openapi.json")
    def get_openapi() -> Response:
        return Response(openapi.document(), mimetype="application/json")


def _json_body() -> bytes:
    if request.mimetype != "application/json":
        raise Problem(
            Kind.UNSUPPORTED_MEDIA_TYPE,
            "Send `Content-Type: application/json`.",
            headers={"Accept": "application/json"},
        )
    return request.get_data(cache=False)


def _order(party: RelyingParty, asked: wire.OpenRequest) -> OpenVerification:
    """What the notary is asked for, if this relying party may ask for it."""
    if asked.policy not in party.policies:
        raise Problem(
            Kind.POLICY_NOT_ALLOWED, f"Policy {asked.policy!r} is not among those registered for {party.id!r}."
        )
    if asked.audience not in party.audiences:
        raise Problem(
            Kind.AUDIENCE_NOT_ALLOWED, f"Audience {asked.audience!r} is not among those registered for {party.id!r}."
        )
    consent_at = None
    if asked.consent is not UNSET:
        consent_at = int(asked.consent.attested_at)
        if consent_at > time.time() + CLOCK_SKEW:
            raise Problem(Kind.CONSENT_TIME_IMPOSSIBLE, "`consent.attested_at` is in seconds since 1970, UTC.")
    return OpenVerification(
        relying_party=party.id,
        audience=asked.audience,
        nonce=asked.nonce,
        policy=asked.policy,
        consent_at=consent_at,
    )


def state(verification: Verification, snapshot: Snapshot) -> wire.VerificationState:
    """What a relying party may know of a verification."""
    here = f"/v1/verifications/{verification.id}"
    return wire.VerificationState(
        id=verification.id,
        state=snapshot.state,
        policy=verification.request.policy,
        audience=verification.request.audience,
        stage=snapshot.stage,
        guidance=snapshot.guidance,
        step=snapshot.step,
        steps=snapshot.steps,
        seconds_left=snapshot.seconds_left,
        opened_at=round(verification.opened_at),
        deadline=snapshot.deadline,
        checks=verification.opened.checks,
        attributes=verification.opened.attributes,
        events=f"{here}/events",
        outcome=snapshot.outcome or UNSET,
        reason=snapshot.reason or UNSET,
        verdict=f"{here}/verdict" if snapshot.token else UNSET,
        problem=_end_of(snapshot).kind.type if not snapshot.open and not snapshot.token else UNSET,
    )


def verdict(snapshot: Snapshot) -> str:
    """The signed verdict. Raises `Problem`: it is too early, or there is none and this is why."""
    if snapshot.token is not None:
        return snapshot.token
    if snapshot.open:
        raise Problem(
            Kind.TOO_EARLY,
            "There is no verdict yet; the event stream says when.",
            retry_after=min(5, snapshot.seconds_left),
        )
    raise _end_of(snapshot)


def _end_of(snapshot: Snapshot) -> Problem:
    reason = snapshot.reason.value if snapshot.reason else None
    match snapshot.state:
        case wire.State.CANCELLED:
            return Problem(Kind.CANCELLED, "It was cancelled and nothing of it is kept; open a new one.", reason=reason)
        case wire.State.FAILED:
            return Problem(
                snapshot.failure or Kind.NOTARY_UNAVAILABLE,
                "The notary process was lost during this verification; open a new one.",
                part="notary",
            )
        case _ if snapshot.reason in _FAULTS:
            kind, part = _FAULTS[snapshot.reason]
            return Problem(kind, "It ended because a part of the box failed; open a new one.", part=part, reason=reason)
        case _:
            return Problem(
                Kind.ENDED_WITHOUT_VERDICT,
                "It ended before there was anything to decide; open a new one.",
                reason=reason,
            )
