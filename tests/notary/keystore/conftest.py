"""What every test of a key store may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.notary.keystore.benches import Bench, file_bench, pkcs11_bench, sealed_bench, tpm_bench


@pytest.fixture(params=["file_p256", "file_ed25519", "sealed", "tpm", "tpm_pcrs", "pkcs11"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("k")
    if request.param == "file_p256":
        yield from file_bench(folder / "keys", ec.generate_private_key(ec.SECP256R1()))
    elif request.param == "file_ed25519":
        yield from file_bench(folder / "keys", ed25519.Ed25519PrivateKey.generate())
    elif request.param == "sealed":
        yield from sealed_bench(folder)
    elif request.param == "tpm":
        yield from tpm_bench(folder)
    elif request.param == "tpm_pcrs":
        yield from tpm_bench(folder, bound=True)
    else:
        yield from pkcs11_bench(folder)
