"""One suite for every key store of `benches.py`."""

from __future__ import annotations

import datetime
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from device.certificates import Purpose
from device.errors import KeyStoreError
from device.notary.keystore.base import verifies
from device.notary.verdict import sign_claims
from device.verify import verify_verdict
from provisioning.authority import issue_leaf, pem
from tests.notary.keystore.benches import Bench
from tests.verdicts import AUDIENCE, NONCE, make_claims


def test_signs(bench: Bench) -> None:
    signature = bench.store.sign(b"data")
    assert len(signature) == 64
    assert verifies(bench.store.public_key(), signature, b"data")
    assert not verifies(bench.store.public_key(), signature, b"datA")


def test_signs_a_verdict_that_verifies(bench: Bench) -> None:
    token = sign_claims(make_claims(), bench.store)
    roots = [bench.root.certificate]
    assert verify_verdict(token, trust=roots, expected_audience=AUDIENCE, expected_nonce=NONCE).valid


def test_signs_a_hundred_times_and_each_is_right(bench: Bench) -> None:
    for number in range(100):  # r or s with leading zero bytes come up about once in 128
        data = number.to_bytes(2, "big")
        assert verifies(bench.store.public_key(), bench.store.sign(data), data)


def test_is_well(bench: Bench) -> None:
    assert bench.store.health() == ""


def test_serves_many_threads(bench: Bench) -> None:
    failures: list[str] = []

    def work() -> None:
        for number in range(5):
            data = str(number).encode()
            if not verifies(bench.store.public_key(), bench.store.sign(data), data):
                failures.append("wrong signature")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_names_a_certificate_for_the_other_purpose(bench: Bench) -> None:
    other = bench.again(Purpose.DEVELOPMENT)
    assert "production" in other.health()
    with pytest.raises(KeyStoreError):
        other.sign(b"data")
    other.close()


def test_says_when_its_key_is_gone_and_is_well_when_it_is_back(bench: Bench) -> None:
    assert bench.store.health() == ""
    bench.take_away()
    assert bench.store.health() != ""
    bench.give_back()
    assert bench.store.health() == ""
    assert verifies(bench.store.public_key(), bench.store.sign(b"data"), b"data")


def test_a_key_that_was_never_there(bench: Bench) -> None:
    bench.take_away()
    fresh = bench.again(Purpose.PRODUCTION)
    assert fresh.health() != ""
    with pytest.raises(KeyStoreError):
        fresh.sign(b"data")
    fresh.close()
    bench.give_back()


def test_says_when_its_certificate_is_out_of_time(bench: Bench) -> None:
    now = datetime.datetime.now(datetime.UTC)
    assert "renew" in bench.store.health(now + datetime.timedelta(days=4000))
    assert "clock" in bench.store.health(now - datetime.timedelta(days=4000))


def test_a_certificate_of_another_key_is_noticed_before_a_verdict_leaves(bench: Bench) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    folder = bench.store._folder  # type: ignore[attr-defined]
    (folder / "chain.pem").write_bytes(pem(issue_leaf(bench.root, stranger.public_key(), "Another box")))
    store = bench.again(Purpose.PRODUCTION)
    with pytest.raises(KeyStoreError, match="does not belong to the certificate"):
        store.sign(b"data")
    store.close()


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"x" * 100_000]
)
def test_a_chain_file_that_is_none(bench: Bench, content: bytes) -> None:
    folder = bench.store._folder  # type: ignore[attr-defined]
    (folder / "chain.pem").write_bytes(content)
    store = bench.again(Purpose.PRODUCTION)
    assert "chain.pem" in store.health()
    store.close()
