"""One suite for every key store: a file (P-256 and Ed25519), a file that systemd-creds sealed, a TPM (swtpm) and one
whose key is bound to PCRs, PKCS #11 (SoftHSM2).

The TPM and the token are started here, in temporary folders; what is not installed is skipped by name.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from device.certificates import Purpose, VerdictKey
from device.errors import KeyStoreError
from device.notary.keystore.base import KeyStore, verifies
from device.notary.keystore.file import FileKeyStore, write_private
from device.notary.verdict import sign_claims
from device.verify import verify_verdict
from provisioning.authority import Authority, create_root, issue_leaf, pem
from tests.verdicts import AUDIENCE, NONCE, make_claims, write_identity

SOFTHSM = next(
    (
        path
        for path in (Path("/usr/lib/softhsm/libsofthsm2.so"), *Path("/usr/lib").glob("*/softhsm/libsofthsm2.so"))
        if path.exists()
    ),
    None,
)


@dataclass
class Bench:
    """A store under test, what the configuration calls it, and how to take its key away and give it back."""

    name: str
    store: KeyStore
    root: Authority
    again: Callable[[Purpose], KeyStore]
    take_away: Callable[[], None]
    give_back: Callable[[], None]


def certify(folder: Path, key: VerdictKey) -> Authority:
    root = create_root("Test organisation")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chain.pem").write_bytes(pem(issue_leaf(root, key, "Test box")))
    return root


def file_bench(folder: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> Iterator[Bench]:
    root = create_root("Test organisation")
    write_identity(folder, key, issue_leaf(root, key.public_key(), "Test box"))
    hidden = folder / "hidden"
    yield Bench(
        f"file:{folder}",
        FileKeyStore(folder, Purpose.PRODUCTION),
        root,
        lambda purpose: FileKeyStore(folder, purpose),
        lambda: (folder / "key.pem").rename(hidden) and None,
        lambda: hidden.rename(folder / "key.pem") and None,
    )


def sealed_bench(folder: Path) -> Iterator[Bench]:
    """Really sealed, to a secret of the test's own in place of the machine's."""
    if shutil.which("systemd-creds") is None or os.geteuid() != 0:
        pytest.skip("only root may ask systemd-creds to seal a key")
    from device.notary.keystore.sealed import KEY_FILE, SealedKeyStore, seal

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(folder / "machine-secret"))
        patch.delenv("CREDENTIALS_DIRECTORY", raising=False)
        key = ec.generate_private_key(ec.SECP256R1())
        keys = folder / "keys"
        root = certify(keys, key.public_key())
        encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        sealed = seal(key.private_bytes(*encoding))
        assert b"PRIVATE KEY" not in sealed
        write_private(keys / KEY_FILE, sealed)
        hidden = folder / "hidden"
        yield Bench(
            "sealed",
            SealedKeyStore(keys, Purpose.PRODUCTION),
            root,
            lambda purpose: SealedKeyStore(keys, purpose),
            lambda: (keys / KEY_FILE).rename(hidden) and None,
            lambda: hidden.rename(keys / KEY_FILE) and None,
        )


class Swtpm:
    """A software TPM at a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "s"
        self._state = folder / "state"
        self._state.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def tcti(self) -> str:
        return f"swtpm:path={self.path}"

    def start(self) -> None:
        command = [
            "swtpm",
            "socket",
            "--tpm2",
            "--tpmstate",
            f"dir={self._state}",
            "--server",
            f"type=unixio,path={self.path}",
        ]
        command += ["--ctrl", f"type=unixio,path={self.path}.ctrl", "--flags", "not-need-init,startup-clear"]
        self._process = subprocess.Popen(command)
        deadline = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < deadline, "swtpm did not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        # Its socket is there a moment before it listens.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            return caller.connect_ex(str(self.path)) == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self.path.unlink(missing_ok=True)


def tpm_bench(folder: Path) -> Iterator[Bench]:
    pytest.importorskip("tpm2_pytss", reason="tpm2-pytss is not installed (extra [tpm])")
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is not installed (apt install swtpm)")
    from device.notary.keystore.tpm import TpmKeyStore, create_tpm_key

    tpm = Swtpm(folder)
    tpm.start()
    keys = folder / "keys"
    root = certify(keys, create_tpm_key(keys, tpm.tcti))
    store = TpmKeyStore(keys, Purpose.PRODUCTION, tpm.tcti)
    name = f"tpm:{tpm.tcti}"
    yield Bench(name, store, root, lambda purpose: TpmKeyStore(keys, purpose, tpm.tcti), tpm.stop, tpm.start)
    store.close()
    tpm.stop()


APPLICATION_PCR = 23
"""The one that anybody may reset (PC Client Platform TPM Profile): a boot that can be changed and changed back."""


def boot(tcti: str, what: bytes) -> None:
    """As if `what` had been measured while the machine booted."""
    from tpm2_pytss.constants import ESYS_TR, TPM2_ALG
    from tpm2_pytss.types import TPML_DIGEST_VALUES, TPMT_HA, TPMU_HA

    from device.notary.keystore.tpm import open_tpm

    context = open_tpm(tcti)
    handle = ESYS_TR(ESYS_TR.PCR0 + APPLICATION_PCR)
    digest = TPMT_HA(hashAlg=TPM2_ALG.SHA256, digest=TPMU_HA(sha256=hashlib.sha256(what).digest()))
    context.pcr_reset(handle)
    if what:
        context.pcr_extend(handle, TPML_DIGEST_VALUES([digest]))
    context.close()


def pcr_bench(folder: Path) -> Iterator[Bench]:
    """A key that signs only after the right boot: another one takes it away."""
    pytest.importorskip("tpm2_pytss", reason="tpm2-pytss is not installed (extra [tpm])")
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is not installed (apt install swtpm)")
    from device.notary.keystore.tpm import TpmKeyStore, create_tpm_key

    tpm = Swtpm(folder)
    tpm.start()
    boot(tpm.tcti, b"ours")
    keys = folder / "keys"
    root = certify(keys, create_tpm_key(keys, tpm.tcti, str(APPLICATION_PCR)))
    store = TpmKeyStore(keys, Purpose.PRODUCTION, tpm.tcti)

    def other_boot(what: bytes) -> None:
        store.close()
        boot(tpm.tcti, what)

    yield Bench(
        f"tpm:{tpm.tcti}",
        store,
        root,
        lambda purpose: TpmKeyStore(keys, purpose, tpm.tcti),
        lambda: other_boot(b"another"),
        lambda: other_boot(b"ours"),
    )
    store.close()
    tpm.stop()


def pkcs11_bench(folder: Path) -> Iterator[Bench]:
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed (extra [pkcs11])")
    if SOFTHSM is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is not installed (apt install softhsm2)")
    from device.notary.keystore.pkcs11 import Pkcs11KeyStore, create_pkcs11_key, parse_uri

    label = f"vouchbox-{folder.name}"
    initialise = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", "1234", "--so-pin", "5678"]
    subprocess.run(initialise, check=True, capture_output=True)
    pin = folder / "pin"
    pin.write_text("1234\n")
    pin.chmod(0o600)
    name = f"pkcs11:token={label};object=verdict?module-path={SOFTHSM}&pin-source={pin}"
    uri = parse_uri(name)
    keys = folder / "keys"
    _refresh(str(SOFTHSM))
    root = certify(keys, create_pkcs11_key(uri))
    store = Pkcs11KeyStore(keys, Purpose.PRODUCTION, uri)

    def take_away() -> None:
        store.close()
        pin.write_text("9999\n")

    yield Bench(
        name,
        store,
        root,
        lambda purpose: Pkcs11KeyStore(keys, purpose, uri),
        take_away,
        lambda: pin.write_text("1234\n") and None,
    )
    store.close()


def _refresh(module: str) -> None:
    """SoftHSM lists its tokens when it is initialised, so a token made since then is seen only after a new start."""
    import pkcs11

    library = pkcs11.lib(module)
    if hasattr(library, "reinitialize"):
        library.reinitialize()


@pytest.fixture(scope="session", autouse=True)
def softhsm_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """SoftHSM reads this once in a process's life."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    yield
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


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
        yield from pcr_bench(folder)
    else:
        yield from pkcs11_bench(folder)


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
