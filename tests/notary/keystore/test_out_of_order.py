"""A key store that is gone, locked or full: the box says so, and refuses before a person is asked to stand there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from device.config import Config
from device.protocol import CameraKind, Finished, Opened, Outcome, Refusal, Refused, StartCheck
from device.verify import verify_verdict
from tests.notary.conftest import box
from tests.notary.keystore.benches import Bench, tpm_bench
from tests.notary.peers import AUDIENCE, NONCE, Box, Worker, health, open_when_free, passes, wait_for_probe

__all__ = ["box"]


class LiveVision:
    """A real camera: the production key is wanted. Keeps what it was told to start."""

    def __init__(self) -> None:
        self.orders: list[StartCheck] = []

    def __call__(self, worker: Worker) -> None:
        self.orders.append(worker.start(CameraKind.LIVE))
        worker.channel.send(Finished(passes(self.orders[-1])))


def with_key_of(box: Box, bench: Bench) -> Config:
    """The box's configuration, with the bench's key for production."""
    (box.config.state / "keys/production").symlink_to(bench.store._folder)  # type: ignore[attr-defined]
    notary = msgspec.structs.replace(box.config.notary, keystore=bench.name)
    return msgspec.structs.replace(box.config, notary=notary)


def refused_with_its_reason(box: Box) -> None:
    wait_for_probe(box)
    said = health(box)
    assert said.vision == ""
    assert said.notary != ""
    refused = open_when_free(box)
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.KEY_UNAVAILABLE


def test_refused_while_the_key_is_out_of_order_and_not_after(
    box: Box, bench: Bench, request: pytest.FixtureRequest
) -> None:
    box.vision.script = vision = LiveVision()
    bench.take_away()
    box.start(with_key_of(box, bench))
    refused_with_its_reason(box)
    assert vision.orders == []
    if "tpm_pcrs" in request.node.name:
        return  # swtpm talks to one at a time: this machine cannot be booted anew beside the notary
    bench.give_back()
    assert health(box).notary == ""
    gateway = box.gateway()
    assert isinstance(gateway.open(), Opened)
    answer = gateway.rest()
    assert answer.ended.outcome is Outcome.VERIFIED
    roots = [bench.root.certificate]
    assert verify_verdict(answer.token, trust=roots, expected_audience=AUDIENCE, expected_nonce=NONCE).valid


@pytest.fixture
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp("k")
    yield from tpm_bench(folder)


def test_refused_while_the_tpm_is_full(box: Box, tpm: Bench) -> None:
    """Another program has left its objects in the TPM, which has room for three."""
    from tpm2_pytss.TSS2_Exception import TSS2_Exception
    from tpm2_pytss.tsskey import TSSPrivKey

    from device.notary.keystore.tpm import KEY_FILE, open_tpm

    def with_tpm(do: object) -> None:
        context = open_tpm(tpm.name.removeprefix("tpm:"))
        do(context)  # type: ignore[operator]
        context.close()

    def fill(context: object) -> None:
        key = TSSPrivKey.from_pem((Path(tpm.store._folder) / KEY_FILE).read_bytes())  # type: ignore[attr-defined]
        for _ in range(8):
            try:
                key.load(context)
            except TSS2_Exception:
                return  # full
        raise AssertionError("this TPM has room for everything")

    with_tpm(fill)
    box.vision.script = LiveVision()
    box.start(with_key_of(box, tpm))
    refused_with_its_reason(box)
