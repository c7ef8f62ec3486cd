"""A verification as a relying party lives it."""

import json
import time

from device.channel import Channel
from device.protocol import (
    Consent,
    Ended,
    Guidance,
    OpenVerification,
    Outcome,
    Reason,
    Stage,
)
from tests.gateway.conftest import AUDIENCE, Box
from tests.gateway.scripted_notary import (
    TOKEN,
    opened,
    progress,
    runs_until_cancelled,
    send_verdict,
    verified,
    wait_for_end,
)


def finished(box: Box, location: str) -> dict[str, object]:
    name, state = box.caller.events(f"{location}/events")[-1]
    assert name == "finished"
    return state


def test_a_whole_verification_ends_with_its_verdict(box: Box) -> None:
    answer = box.caller.open(nonce="nonce-of-the-bank", consent={"attested_at": 1_700_000_000})
    assert answer.status == 201, answer.body
    location = answer.headers["Location"]
    assert location == f"/v1/verifications/{answer.json['id']}"
    assert answer.json["state"] == "running"
    order = next(r for r in box.notary.requests if isinstance(r, OpenVerification))
    assert order == OpenVerification("bank", AUDIENCE, "nonce-of-the-bank", "standard", 1_700_000_000)
    state = finished(box, location)
    assert (state["state"], state["outcome"], state["stage"]) == ("finished", "verified", "finished")
    assert state["verdict"] == f"{location}/verdict"
    verdict = box.caller.get(f"{location}/verdict")
    assert verdict.headers["Content-Type"].startswith("application/vouchbox-verdict+jwt")
    assert verdict.body.decode() == TOKEN


def test_events_show_progress_and_nothing_of_the_face(box: Box) -> None:
    def slowly(channel: Channel, _request: OpenVerification) -> None:
        channel.send(opened())
        for step in range(1, 4):
            time.sleep(0.1)
            channel.send(progress(Stage.SELFIE, Guidance.TURN_LEFT, step=step, steps=4))
        time.sleep(0.5)
        send_verdict(channel, Outcome.REJECTED)

    box.notary.script = slowly
    location = box.caller.open().headers["Location"]
    events = box.caller.events(f"{location}/events")
    steps = [state["step"] for name, state in events if name == "progress" and state["stage"] == "selfie"]
    assert steps == [1, 2, 3]
    assert (":", None) in events  # a heartbeat while nothing happened
    assert events[-1][0] == "finished"
    assert events[-1][1]["outcome"] == "rejected"
    said = json.dumps(events)
    assert 'face":' not in said
    assert "pose" not in said


def test_a_verdict_is_too_early_while_it_runs_and_cancelling_is_idempotent(box: Box) -> None:
    box.notary.script = runs_until_cancelled
    location = box.caller.open().headers["Location"]
    early = box.caller.get(f"{location}/verdict")
    assert (early.status, early.problem) == (425, "too-early")
    assert int(early.headers["Retry-After"]) >= 1
    for _ in range(2):
        gone = box.caller.call("DELETE", location)
        assert (gone.status, gone.body) == (204, b"")
    assert box.notary.hung_up.acquire(timeout=5), "the notary was not hung up on"
    state = box.caller.get(location).json
    assert (state["state"], state["reason"]) == ("cancelled", "cancelled")
    assert box.caller.get(f"{location}/verdict").problem == "cancelled"
    assert finished(box, location)["state"] == "cancelled"


def test_cancelling_one_that_has_ended_leaves_its_verdict(box: Box) -> None:
    location = box.caller.open().headers["Location"]
    finished(box, location)
    assert box.caller.call("DELETE", location).status == 204
    assert box.caller.get(f"{location}/verdict").status == 200


def test_a_notary_that_dies_is_named(box: Box) -> None:
    box.notary.script = runs_until_cancelled
    location = box.caller.open().headers["Location"]
    box.notary.stop()
    state = finished(box, location)
    assert (state["state"], state["problem"]) == ("failed", "urn:vouchbox:problem:notary-unavailable")
    verdict = box.caller.get(f"{location}/verdict")
    assert (verdict.status, verdict.problem, verdict.json["part"]) == (503, "notary-unavailable", "notary")


def test_a_notary_that_dies_within_the_token_gives_no_verdict(box: Box) -> None:
    def dies(channel: Channel, _request: OpenVerification) -> None:
        from device.protocol import TokenPart

        channel.send(opened())
        channel.send(TokenPart(0, "eyJ"))

    box.notary.script = dies
    location = box.caller.open().headers["Location"]
    assert finished(box, location)["state"] == "failed"
    assert box.caller.get(f"{location}/verdict").status == 503


def test_token_parts_out_of_order_give_no_verdict(box: Box) -> None:
    def confused(channel: Channel, _request: OpenVerification) -> None:
        from device.protocol import TokenPart

        channel.send(opened())
        channel.send(TokenPart(1, "eyJ"))
        channel.send(Ended(Outcome.VERIFIED))

    box.notary.script = confused
    location = box.caller.open().headers["Location"]
    assert finished(box, location)["state"] == "failed"


def test_the_next_verification_works_after_the_notary_was_lost(box: Box) -> None:
    from tests.gateway.scripted_notary import ScriptedNotary

    box.notary.stop()
    lost = box.caller.open()
    assert (lost.status, lost.problem) == (503, "notary-unavailable")
    box.notary = ScriptedNotary(box.config.notary_socket)
    assert box.caller.open().status == 201


def test_ended_without_a_verdict_says_why(box: Box) -> None:
    def refuses(channel: Channel, _request: OpenVerification) -> None:
        channel.send(opened(consent=True))
        channel.send(Ended(Outcome.INCONCLUSIVE, Reason.CONSENT_TIME_LIMIT))

    box.notary.script = refuses
    location = box.caller.open().headers["Location"]
    state = finished(box, location)
    assert state["problem"] == "urn:vouchbox:problem:ended-without-verdict"
    verdict = box.caller.get(f"{location}/verdict")
    assert (verdict.status, verdict.problem, verdict.json["reason"]) == (
        410,
        "ended-without-verdict",
        "consent_time_limit",
    )


def test_consent_goes_to_the_notary_once(box: Box) -> None:
    said: list[object] = []

    def asks(channel: Channel, _request: OpenVerification) -> None:
        channel.send(opened(consent=True))
        said.append(wait_for_end(channel))
        channel.send(progress())
        send_verdict(channel)

    box.notary.script = asks
    answer = box.caller.open()
    assert (answer.json["state"], answer.json["stage"]) == ("waiting_for_consent", "consent")
    verification = box.service.gateway.verifications.newest()
    assert verification is not None
    assert verification.consent(True)
    assert not verification.consent(False)
    assert finished(box, answer.headers["Location"])["outcome"] == "verified"
    assert said == [Consent(True)]


def test_a_notary_that_falls_silent_is_given_up(box: Box, monkeypatch) -> None:
    monkeypatch.setattr("device.gateway.verifications.GRACE_SECONDS", 0.0)
    monkeypatch.setattr("device.gateway.verifications.LOOK_SECONDS", 0.1)

    def silent(channel: Channel, _request: OpenVerification) -> None:
        channel.send(opened(seconds=1))
        wait_for_end(channel)

    box.notary.script = silent
    location = box.caller.open().headers["Location"]
    assert finished(box, location)["state"] == "failed"
    assert box.notary.hung_up.acquire(timeout=5)


def test_stopping_the_gateway_cancels_what_runs(box: Box) -> None:
    box.notary.script = runs_until_cancelled
    box.caller.open()
    box.service.stop()
    assert box.notary.hung_up.acquire(timeout=5)


def test_the_script_of_a_good_verification_is_what_the_protocol_allows(box: Box) -> None:
    box.notary.script = verified
    assert box.caller.open().status == 201
