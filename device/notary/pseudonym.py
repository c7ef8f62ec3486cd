"""The pairwise pseudonym: the same document gives one relying party the same value, and two of them unlinkable ones.

In: the organisation's pseudonym key, the normalised document number and state that vision read, a relying party's id.
Out: base64url of HMAC-SHA-256 (RFC 2104). The document's number cannot be found from it by trying all numbers without
the key, which is why it is an HMAC and not a hash, and why only notaries have the key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

from device.certificates import b64url
from device.errors import KeyStoreError
from device.notary.keystore.file import read_private, write_private

KEY_BYTES: Final = 32
_DOMAIN: Final = b"vouchbox pairwise pseudonym 1"


def pseudonym(key: bytes, document: str, relying_party: str) -> str:
    """43 characters, base64url.

    Args:
        key: 32 bytes.
        document: document number and issuing state as vision normalises them.
        relying_party: the registered id.
    """
    if len(key) != KEY_BYTES:
        raise KeyStoreError(f"the pseudonym key has {len(key)} bytes; it must have {KEY_BYTES}")
    fields = (_DOMAIN, document.encode(), relying_party.encode())
    # Length prefixes: without them ("AB", "C") and ("A", "BC") would be the same person.
    message = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return b64url(hmac.new(key, message, hashlib.sha256).digest())


def load_pseudonym_key(state: Path) -> bytes:
    """The key in `<state>/keys/pseudonym.key`: put there at enrolment, or made here by a box alone.

    Raises:
        KeyStoreError: it is there and cannot be used. It is never replaced, since that would change everyone's name.
    """
    path = state / "keys" / "pseudonym.key"
    try:
        write_private(path, secrets.token_bytes(KEY_BYTES))
    except FileExistsError:
        pass
    except OSError as error:
        raise KeyStoreError(f"cannot write {path}: {error.strerror}") from error
    key = read_private(path)
    if len(key) != KEY_BYTES:
        raise KeyStoreError(f"{path} has {len(key)} bytes; a pseudonym key has {KEY_BYTES}. Restore it from enrolment")
    return key
