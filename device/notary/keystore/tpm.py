"""A key in a TPM 2.0: made there, bound to it, never outside.

In: a folder with `key.tss.pem` (the key as the TPM wrapped it, useless anywhere else; the "TSS2 PRIVATE KEY" format
that tpm2-openssl reads too) and `chain.pem`; the TCTI that leads to the TPM.
Out: a `KeyStore` that signs ES256. Needs tpm2-pytss (extra `[tpm]`), imported only when this store is opened.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from device.certificates import Purpose
from device.errors import KeyStoreError
from device.notary.keystore.base import raw_signature
from device.notary.keystore.file import read_private, write_private
from device.notary.keystore.hardware import HardwareKeyStore

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
        signature = self._ask(lambda: self._context.sign(self._handle, digest, scheme, unrestricted))
        parts = signature.signature.ecdsa
        return raw_signature(
            int.from_bytes(bytes(parts.signatureR), "big"), int.from_bytes(bytes(parts.signatureS), "big")
        )

    def _probe(self) -> None:
        self._ask(lambda: self._context.read_public(self._handle))

    def _open(self) -> None:
        if self._context is not None:
            return
        self._context = open_tpm(self._tcti)
        from tpm2_pytss.tsskey import TSSPrivKey

        self._handle = TSSPrivKey.from_pem(read_private(self._folder / KEY_FILE)).load(self._context)

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
    try:
        from tpm2_pytss import ESAPI
    except ImportError as error:
        raise KeyStoreError("a TPM key store needs tpm2-pytss: pip install 'vouchbox[tpm]'") from error
    try:
        return ESAPI(tcti)
    except Exception as error:
        raise KeyStoreError(f"no TPM answers at {tcti} ({error}); is it switched on, may this user open it?") from error


def create_tpm_key(folder: Path, tcti: str = DEFAULT_TCTI) -> ec.EllipticCurvePublicKey:
    """Makes a P-256 signing key in the TPM (fixed to it, not to be exported) and writes `key.tss.pem`.

    Raises:
        FileExistsError: there is one already.
        KeyStoreError: the TPM does not answer or refuses.
    """
    context = open_tpm(tcti)
    try:
        from tpm2_pytss.tsskey import TSSPrivKey

        key = TSSPrivKey.create_ecc(context)
    except Exception as error:
        raise KeyStoreError(f"the TPM at {tcti} did not make a key: {error}") from error
    finally:
        context.close()
    write_private(folder / KEY_FILE, key.to_pem())
    public = load_pem_public_key(key.public.to_pem())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public
