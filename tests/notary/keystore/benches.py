"""Every kind of key store, made for a test: a file (P-256 and Ed25519), a file that systemd-creds sealed, a TPM (swtpm)
and one whose key is bound to PCRs, PKCS #11 (SoftHSM2).

The TPM and the token are started here, in temporary folders; what is not installed is skipped by name.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from device.certificates import Purpose, VerdictKey
from device.notary.keystore.base import KeyStore
from device.notary.keystore.file import FileKeyStore, write_private
from provisioning.authority import Authority, create_root, issue_leaf, pem
from tests.verdicts import write_identity

SOFTHSM = next(
    (
        path
        for path in (Path("/usr/lib/softhsm/libsofthsm2.so"), *Path("/usr/lib").glob("*/softhsm/libsofthsm2.so"))
        if path.exists()
    ),
    None,
)
PIN = "1234"


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


def new_tpm(folder: Path) -> Swtpm:
    """One that runs; skips the test where there can be none."""
    pytest.importorskip("tpm2_pytss", reason="tpm2-pytss is not installed (extra [tpm])")
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is not installed (apt install swtpm)")
    made = Swtpm(folder)
    made.start()
    return made


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


def tpm_bench(folder: Path, *, bound: bool = False) -> Iterator[Bench]:
    """A key in a TPM, which is gone when the TPM is; `bound` to a boot, it is gone after another one."""
    tpm = new_tpm(folder)
    from device.notary.keystore.tpm import TpmKeyStore, create_tpm_key

    if bound:
        boot(tpm.tcti, b"ours")
    keys = folder / "keys"
    root = certify(keys, create_tpm_key(keys, tpm.tcti, str(APPLICATION_PCR) if bound else ""))
    store = TpmKeyStore(keys, Purpose.PRODUCTION, tpm.tcti)

    def boot_again(what: bytes) -> None:
        store.close()
        boot(tpm.tcti, what)

    yield Bench(
        f"tpm:{tpm.tcti}",
        store,
        root,
        lambda purpose: TpmKeyStore(keys, purpose, tpm.tcti),
        (lambda: boot_again(b"another")) if bound else tpm.stop,
        (lambda: boot_again(b"ours")) if bound else tpm.start,
    )
    store.close()
    tpm.stop()


@functools.cache
def _own_softhsm() -> None:
    """Tokens in a folder of this process's own: SoftHSM and its tool are told by the environment."""
    folder = Path(tempfile.mkdtemp(prefix="softhsm"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")


def new_token(folder: Path) -> str:
    """A PKCS #11 token without a key, as the configuration names the key to be; its PIN is in `folder`."""
    pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed (extra [pkcs11])")
    if SOFTHSM is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is not installed (apt install softhsm2)")
    _own_softhsm()
    label = f"vouchbox-{folder.name}"
    initialise = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "5678"]
    subprocess.run(initialise, check=True, capture_output=True)
    (folder / "pin").write_text(f"{PIN}\n")
    (folder / "pin").chmod(0o600)
    # SoftHSM lists its tokens when it is initialised, so a token made since then is seen only after a new start.
    library = pkcs11.lib(str(SOFTHSM))
    if hasattr(library, "reinitialize"):
        library.reinitialize()
    return f"pkcs11:token={label};object=verdict?module-path={SOFTHSM}&pin-source={folder / 'pin'}"


def pkcs11_bench(folder: Path) -> Iterator[Bench]:
    """A key in a token, which is gone when the PIN is another one."""
    name = new_token(folder)
    from device.notary.keystore.pkcs11 import Pkcs11KeyStore, create_pkcs11_key, parse_uri

    uri = parse_uri(name)
    keys = folder / "keys"
    root = certify(keys, create_pkcs11_key(uri))
    store = Pkcs11KeyStore(keys, Purpose.PRODUCTION, uri)

    def take_away() -> None:
        store.close()
        uri.pin_source.write_text("9999\n")

    yield Bench(
        name,
        store,
        root,
        lambda purpose: Pkcs11KeyStore(keys, purpose, uri),
        take_away,
        lambda: uri.pin_source.write_text(f"{PIN}\n") and None,
    )
    store.close()
