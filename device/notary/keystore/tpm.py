"""A key in a TPM 2.0: made there, bound to it, never outside.

In: a folder with `key.tss.pem` (the key as the TPM wrapped it, useless anywhere else; the "TSS2 PRIVATE KEY" format
that tpm2-openssl reads too) and `chain.pem`; the TCTI that leads to the TPM. Where `key.pcrs` lies beside them, the
key was made to sign only while the machine has booted what it had booted then (`pcrs.py`).
Out: a `KeyStore` that signs ES256. Needs tpm2-pytss (extra `[tpm]`), imported only when this store is opened.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from device.certificates import Purpose
from device.errors import ConfigurationError, KeyStoreError
from device.notary.keystore.base import raw_signature
from device.notary.keystore.file import read_private, write_private
from device.notary.keystore.hardware import HardwareKeyStore
from device.notary.keystore.pcrs import PCR_FILE, parse_pcrs, policy_digest, policy_session, require_measured

KEY_FILE: Final = "key.tss.pem"
DEFAULT_TCTI: Final = "device:/dev/tpmrm0"  # the kernel's resource manager


class TpmKeyStore(HardwareKeyStore):
    """Keeps the key loaded in the TPM; loads it again after the TPM was away.

    Args:
        folder: holds `key.tss.pem` and `chain.pem`.
        purpose: what the certificate must allow.
        tcti: how the TPM is reached, e.g. `device:/dev/tpmrm0` or `swtpm:path=/run/swtpm.sock`.
    """

    def __init__(self, folder: Path, purpose: Purpose, tcti: str = DEFAULT_TCTI) -> None:
        super().__init__(folder, purpose)
        self._tcti = tcti or DEFAULT_TCTI
        self._context: Any = None
        self._handle: Any = None
        self._policy = b""
        self._pcrs = ""

    @property
    def description(self) -> str:
        return f"{self.purpose} key in the TPM at {self._tcti}"

    def _sign(self, data: bytes) -> bytes:
        from tpm2_pytss.constants import TPM2_ALG, TPM2_RH, TPM2_ST
        from tpm2_pytss.types import TPM2B_DIGEST, TPMT_SIG_SCHEME, TPMT_TK_HASHCHECK

        scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.ECDSA)
        scheme.details.any.hashAlg = TPM2_ALG.SHA256
        unrestricted = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.OWNER)
        digest = TPM2B_DIGEST(hashlib.sha256(data).digest())

        def sign() -> Any:
            if not self._pcrs:
                return self._context.sign(self._handle, digest, scheme, unrestricted)
            self._require_policy()
            with policy_session(self._context, self._pcrs) as session:
                return self._context.sign(self._handle, digest, scheme, unrestricted, session1=session)

        signature = self._ask(sign)
        parts = signature.signature.ecdsa
        return raw_signature(
            int.from_bytes(bytes(parts.signatureR), "big"), int.from_bytes(bytes(parts.signatureS), "big")
        )

    def _probe(self) -> None:
        self._ask(lambda: self._require_policy() if self._pcrs else self._context.read_public(self._handle))

    def _require_policy(self) -> None:
        if policy_digest(self._context, self._pcrs) != self._policy:
            raise KeyStoreError(
                f"{self.description}: the machine has booted something else than when this key was bound to PCRs "
                f"{self._pcrs.removeprefix('sha256:')}; undo that, or wipe the box and enrol it"
            )

    def _open(self) -> None:
        if self._context is not None:
            return
        self._context = open_tpm(self._tcti)
        from tpm2_pytss.tsskey import TSSPrivKey

        key = TSSPrivKey.from_pem(read_private(self._folder / KEY_FILE))
        self._policy = bytes(key.public.publicArea.authPolicy)
        self._pcrs = chosen_pcrs(self._folder) if self._policy else ""
        if self._policy and not self._pcrs:
            raise KeyStoreError(f"the key in {self._folder} is bound to PCRs, and {PCR_FILE} does not say to which")
        self._handle = key.load(self._context)

    def _drop(self) -> None:
        context, self._context = self._context, None
        handle, self._handle = self._handle, None
        try:
            if handle is not None:
                context.flush_context(handle)
        except Exception:  # noqa: BLE001, S110 - the TPM is gone, and with it the handle
            pass
        finally:
            if context is not None:
                context.close()


def open_tpm(tcti: str) -> Any:
    """A connection to a TPM. Raises `KeyStoreError` if the library is missing or nothing answers."""
    os.environ.setdefault("TSS2_LOG", "all+NONE")  # what is wrong is in the exception; the rest is for its developers
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Debian's tpm2-pytss is older than our cryptography
            from tpm2_pytss import ESAPI
    except ImportError as error:
        raise KeyStoreError("a TPM key store needs tpm2-pytss: pip install 'vouchbox[tpm]'") from error
    try:
        return ESAPI(tcti)
    except Exception as error:
        raise KeyStoreError(f"no TPM answers at {tcti} ({error}); is it switched on, may this user open it?") from error


def chosen_pcrs(folder: Path) -> str:
    """The registers that the key in `folder` is bound to; empty if to none. Raises `KeyStoreError`."""
    path = folder / PCR_FILE
    try:
        return parse_pcrs(path.read_text(encoding="ascii")) if path.exists() else ""
    except (OSError, ValueError, ConfigurationError) as error:
        raise KeyStoreError(f"{path} does not say which PCRs the key is bound to ({error}); enrol the box") from error


def create_tpm_key(folder: Path, tcti: str = DEFAULT_TCTI, pcrs: str = "") -> ec.EllipticCurvePublicKey:
    """Makes a P-256 signing key in the TPM (fixed to it, not to be exported) and writes `key.tss.pem`.

    Args:
        folder: of the new key.
        tcti: how the TPM is reached.
        pcrs: registers to bind the key to (`0,2,7`), as they are now; empty binds it to the TPM alone.

    Raises:
        ConfigurationError: `pcrs` are none.
        FileExistsError: there is a key already.
        KeyStoreError: the TPM does not answer or refuses, or nothing is measured into a register.
    """
    chosen = parse_pcrs(pcrs) if pcrs else ""
    context = open_tpm(tcti)
    try:
        key = _create(context, chosen)
    except KeyStoreError:
        raise
    except Exception as error:
        raise KeyStoreError(f"the TPM at {tcti} did not make a key: {error}") from error
    finally:
        context.close()
    if chosen:
        write_private(folder / PCR_FILE, f"{chosen}\n".encode())
    write_private(folder / KEY_FILE, key.to_pem())
    public = load_pem_public_key(key.public.to_pem())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public


def _create(context: Any, pcrs: str) -> Any:
    from tpm2_pytss.constants import TPMA_OBJECT
    from tpm2_pytss.tsskey import TSSPrivKey
    from tpm2_pytss.types import TPM2B_PUBLIC

    if not pcrs:
        return TSSPrivKey.create_ecc(context)
    require_measured(context, pcrs)
    # Not `userwithauth`: the policy is the only way to use this key. `noda`: wrong guesses elsewhere do not lock it.
    attributes = TPMA_OBJECT.SIGN_ENCRYPT | TPMA_OBJECT.NODA | TPMA_OBJECT.FIXEDTPM
    attributes |= TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.SENSITIVEDATAORIGIN
    template = TPM2B_PUBLIC.parse("ecc256", objectAttributes=attributes, authPolicy=policy_digest(context, pcrs))
    return TSSPrivKey.create(context, template.publicArea)
