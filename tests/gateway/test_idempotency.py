"""The same Idempotency-Key with the same body leads to the same verification."""

from device.gateway.table import IdempotencyKeys
from device.protocol import OpenVerification, Refusal, Refused
from tests.gateway.conftest import ROOMY, Box, request
from tests.gateway.scripted_notary import verified


def opened_with(box: Box) -> int:
    return sum(isinstance(r, OpenVerification) for r in box.notary.requests)


def test_the_same_key_and_body_get_the_same_answer(box: Box) -> None:
    document = request()
    first = box.caller.post(document, Idempotency_Key="6d1c")
    box.caller.events(f"{first.headers['Location']}/events")  # it has ended: the answer is still the first one
    second = box.caller.post(document, Idempotency_Key="6d1c")
    assert (second.status, second.body) == (201, first.body)
    assert second.headers["Location"] == first.headers["Location"]
    assert opened_with(box) == 1


def test_without_a_key_there_are_two(box: Box) -> None:
    document = request()
    assert box.caller.post(document).json["id"] != box.caller.post(document).json["id"]


def test_after_a_refusal_the_key_may_be_tried_again(box: Box) -> None:
    document = request()
    box.notary.script = lambda channel, _: channel.send(Refused(Refusal.BUSY, 5))
    assert box.caller.post(document, Idempotency_Key="k").status == 409
    box.notary.script = verified
    assert box.caller.post(document, Idempotency_Key="k").status == 201


def test_the_table_is_bounded_in_number_and_time(box: Box) -> None:
    now = [0.0]
    keys = IdempotencyKeys(ROOMY, clock=lambda: now[0])
    party = box.service.gateway.parties.authenticate(box.caller.token or "")
    assert party is not None
    answers = iter(range(10**6))
    run = lambda key: keys.run(party, key, b"{}", lambda: next(answers))  # type: ignore[arg-type,return-value]  # noqa: E731
    first = run("first")
    assert run("first") == first
    for number in range(ROOMY.idempotency_keys):
        run(f"other{number}")
    assert run("first") != first
    second = run("second")
    now[0] += ROOMY.keep_seconds + 1
    assert run("second") != second
