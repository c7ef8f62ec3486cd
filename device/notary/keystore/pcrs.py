"""Binding a TPM key to what the machine has booted: it signs only while chosen registers hold what they held when it
was made (TPM 2.0 Library, Part 3, TPM2_PolicyPCR).

In: a choice of platform configuration registers of the SHA-256 bank, such as `0,2,7`; a connection to the TPM. Out: the
policy that a new key gets, and the session in which such a key can be used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from device.errors import ConfigurationError, KeyStoreError

PCR_FILE: Final = "key.pcrs"
_REGISTERS: Final = 24  # PC Client Platform TPM Profile, section 4.6
_NOTHING_MEASURED: Final = (b"\x00" * 32, b"\xff" * 32)  # after a reset; 17 to 22 start as ones


def parse_pcrs(text: str) -> str:
    """A choice of registers in the form that the TPM library reads: `sha256:0,2,7`. Raises `ConfigurationError`."""
    words = text.strip().removeprefix("sha256:").split(",")
    if not all(re.fullmatch(r"[0-9]{1,2}", word) and int(word) < _REGISTERS for word in words):
        raise ConfigurationError(f"{text!r} are no PCRs: name registers of the SHA-256 bank by number, as in 0,2,7")
    return "sha256:" + ",".join(str(number) for number in sorted({int(word) for word in words}))


def require_measured(context: Any, pcrs: str) -> None:
    """Raises `KeyStoreError` if one of the registers is as empty as after a reset: a key bound to it were bound to
    nothing, and would look as if it were."""
    for number in pcrs.removeprefix("sha256:").split(","):
        _, _, values = context.pcr_read(f"sha256:{number}")
        if not values or bytes(values[0]) in _NOTHING_MEASURED:
            raise KeyStoreError(f"PCR {number} is empty: nothing of this machine's boot is measured into it")


def policy_digest(context: Any, pcrs: str) -> bytes:
    """The policy that the registers satisfy as they are now."""
    with _session(context, pcrs, trial=True) as session:
        return bytes(context.policy_get_digest(session))


@contextmanager
def policy_session(context: Any, pcrs: str) -> Iterator[Any]:
    """What authorises one use of a key that is bound to `pcrs`."""
    with _session(context, pcrs, trial=False) as session:
        yield session


@contextmanager
def _session(context: Any, pcrs: str, *, trial: bool) -> Iterator[Any]:
    from tpm2_pytss.constants import ESYS_TR, TPM2_ALG, TPM2_SE
    from tpm2_pytss.types import TPMT_SYM_DEF

    kind = TPM2_SE.TRIAL if trial else TPM2_SE.POLICY
    symmetric = TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL)
    session = context.start_auth_session(ESYS_TR.NONE, ESYS_TR.NONE, kind, symmetric, TPM2_ALG.SHA256)
    try:
        context.policy_pcr(session, b"", pcrs)
        yield session
    finally:
        context.flush_context(session)
