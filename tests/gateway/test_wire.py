"""Bodies from strangers: whatever the bytes, the answer is a request or one of two problems."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.gateway.problems import Kind, Problem
from device.gateway.wire import OpenRequest, decode_request

GOOD = {"audience": "https://a.example", "nonce": "n" * 22, "policy": "standard"}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=400))
def test_any_bytes(body: bytes) -> None:
    check(body)


@given(anything)
def test_any_json(document: object) -> None:
    check(json.dumps(document).encode())


@given(st.sampled_from(["audience", "nonce", "policy", "consent"]), anything)
def test_any_value_for_a_key(key: str, value: object) -> None:
    check(json.dumps(GOOD | {key: value}).encode())


@given(st.text(max_size=30).filter(lambda key: key not in {*GOOD, "consent"}), anything)
def test_any_further_key_is_refused_and_named(key: str, value: object) -> None:
    with pytest.raises(Problem) as refused:
        decode_request(json.dumps(GOOD | {key: value}).encode())
    assert refused.value.kind is Kind.INVALID_BODY
    assert key in refused.value.detail


def test_deep_nesting_is_a_problem_and_not_a_crash() -> None:
    check(b'{"audience": ' + b"[" * 8000)
    check(b'{"x": ' + b"[" * 8000 + b"]" * 8000 + b"}")


def test_a_good_body() -> None:
    asked = decode_request(json.dumps(GOOD | {"consent": {"attested_at": 1_700_000_000.9}}).encode())
    assert asked.policy == "standard"
    with pytest.raises(Problem, match="attested_at"):
        decode_request(json.dumps(GOOD | {"consent": {"attested_at": "yesterday"}}).encode())


def check(body: bytes) -> None:
    try:
        asked = decode_request(body)
    except Problem as problem:
        found: object = problem
    else:
        found = asked
        assert 1 <= len(asked.audience) <= 256
        assert 8 <= len(asked.nonce) <= 88
    if isinstance(found, Problem):
        assert found.kind in (Kind.MALFORMED_JSON, Kind.INVALID_BODY)
        assert json.loads(found.body())["detail"]
    else:
        assert isinstance(found, OpenRequest)
