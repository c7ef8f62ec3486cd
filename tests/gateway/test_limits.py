"""Nobody gets more than their share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device.gateway.limits import MAX_KEYS, Buckets, Limits, Rate, address_key, is_loopback
from device.gateway.problems import Problem
from tests.gateway.conftest import ROOMY, Box


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    now = [100.0]
    buckets = Buckets(Rate(2, 3), "requests", clock=lambda: now[0])
    for _ in range(3):
        buckets.take("a")
    with pytest.raises(Problem) as refused:
        buckets.take("a")
    assert refused.value.headers["Retry-After"] == "1"
    buckets.take("b")
    now[0] += 0.5
    buckets.take("a")
    with pytest.raises(Problem):
        buckets.take("a")


def test_a_refused_caller_is_not_punished_for_asking() -> None:
    now = [0.0]
    buckets = Buckets(Rate(1, 1), "requests", clock=lambda: now[0])
    buckets.take("a")
    for _ in range(50):
        with pytest.raises(Problem):
            buckets.take("a")
    now[0] += 1
    buckets.take("a")


def test_buckets_are_bounded_in_number() -> None:
    buckets = Buckets(Rate(1, 1), "requests")
    for number in range(MAX_KEYS + 100):
        buckets.take(str(number))
    assert len(buckets._levels) == MAX_KEYS


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
    ],
)
def test_who_an_address_counts_as(address: str, key: str) -> None:
    assert address_key(address) == key


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")))
    assert not any(map(is_loopback, ("192.0.2.7", "::", "0.0.0.0", "", "localhost")))


class TestOverHttp:
    @pytest.fixture
    def limits(self, request: pytest.FixtureRequest) -> Limits:
        return replace(ROOMY, **{request.param: Rate(0.01, 2)})

    @pytest.mark.parametrize("limits", ["address"], indirect=True)
    def test_an_address(self, box: Box) -> None:
        assert [box.nobody.get("/v1/openapi.json").status for _ in range(3)] == [200, 200, 429]
        answer = box.nobody.get("/v1/openapi.json")
        assert answer.problem == "rate-limited"
        assert 1 <= int(answer.headers["Retry-After"]) <= 100

    @pytest.mark.parametrize("limits", ["party"], indirect=True)
    def test_a_relying_party(self, box: Box) -> None:
        path = "/v1/verifications/x"
        assert [box.caller.get(path).status for _ in range(3)] == [404, 404, 429]
        assert box.other.get(path).status == 404

    @pytest.mark.parametrize("limits", ["opening"], indirect=True)
    def test_opening(self, box: Box) -> None:
        answers = [box.caller.open() for _ in range(3)]
        assert [answer.status for answer in answers] == [201, 201, 429]
        assert box.caller.get(answers[0].headers["Location"]).status == 200
        assert box.other.open().status == 201

    @pytest.mark.parametrize("limits", ["refused"], indirect=True)
    def test_guessing_tokens(self, box: Box) -> None:
        guesses = [replace(box.caller, token=f"guess{number}").get("/v1/verifications/x").status for number in range(3)]
        assert guesses == [401, 401, 429]
        assert box.caller.get("/v1/verifications/x").status == 404
