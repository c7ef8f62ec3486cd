"""Selective disclosure for JWTs (RFC 9901), the issuer's side, for flat claims: each can be shown by itself or kept.

In: claims that are always seen and claims that the holder may show. Out: the payload to be signed, and the disclosures;
then, with the signed JWT, the SD-JWT as the holder keeps it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from device.certificates import b64url

HASH: Final = "sha-256"
"""`_sd_alg` (RFC 9901 section 4.1.1), from the IANA registry of named information hash algorithms."""
SALT_BYTES: Final = 16
"""128 bits, as RFC 9901 section 9.3 recommends."""


def conceal(always: Mapping[str, Any], disclosable: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The payload with digests in place of `disclosable`, and one disclosure for each of those.

    The digests are sorted, so that their order says nothing about the claims (RFC 9901 section 4.2.4.1).
    """
    disclosures = [disclosure(name, value) for name, value in disclosable.items()]
    payload = {**always, "_sd_alg": HASH, "_sd": sorted(digest(text) for text in disclosures)}
    return payload, disclosures


def disclosure(name: str, value: Any) -> str:
    """Salt, name and value (RFC 9901 section 4.2.1)."""
    return b64url(json.dumps([b64url(secrets.token_bytes(SALT_BYTES)), name, value], ensure_ascii=False).encode())


def digest(disclosed: str) -> str:
    """Of a disclosure, over its characters (RFC 9901 section 4.2.3)."""
    return b64url(hashlib.sha256(disclosed.encode("ascii")).digest())


def combine(jwt: str, disclosures: Sequence[str]) -> str:
    """The SD-JWT in compact form, without key binding: it ends in a tilde (RFC 9901 section 4)."""
    return "~".join([jwt, *disclosures, ""])
