"""Codes that people read to each other: one-time codes that the organisation gives out, and the code that a box shows.

In: random bits, or the thumbprint of a box's key. Out: sixteen characters in groups of four, 80 bits, in Crockford's
base 32, which has nothing that looks like something else.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RFC4648: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_LENGTH: Final = 16
_BYTES: Final = 10


def random_code() -> str:
    """A one-time code."""
    return _shown(secrets.token_bytes(_BYTES))


def shown_code(kid: str) -> str:
    """The code of a box's key: whoever approves it approves that key and no other.

    Args:
        kid: RFC 7638 thumbprint of the key, a SHA-256 in base64url. Somebody who wants another key to have the same
            code must find one among 2^80.
    """
    return _shown(base64.urlsafe_b64decode(kid + "=" * (-len(kid) % 4))[:_BYTES])


def plain(code: str) -> str:
    """A code without what people add to it or mistake in it."""
    return code.upper().replace("-", "").replace(" ", "").replace("O", "0").replace("I", "1").replace("L", "1")


def code_digest(code: str) -> str:
    """SHA-256 of a code, however it was typed."""
    return hashlib.sha256(plain(code).encode()).hexdigest()


def _shown(data: bytes) -> str:
    text = base64.b32encode(data).decode().translate(str.maketrans(_RFC4648, _ALPHABET))
    return "-".join(text[start : start + 4] for start in range(0, _LENGTH, 4))
