"""The authority's status list as a file that any web server or CDN can serve.

In: which places are revoked, how many there are, a signer. Out: a Status List Token (draft-ietf-oauth-status-list-21
section 5.1): a JWT of type `statuslist+jwt` with one bit a certificate, compressed with ZLIB.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jws
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from device.certificates import b64url, der
from device.status_list import MAX_FILE, TYPE
from provisioning.authority import Authority

SMALLEST: Final = 8192
"""Places of the smallest list. A list grows by doubling, so that its size tells little of how many boxes there are."""
_DAY: Final = 86_400


class _Registry(JWSRegistry):
    max_header_length = 16 * 1024
    max_payload_length = MAX_FILE


def pack(revoked: Iterable[int], size: int) -> bytes:
    """One bit a place, least significant first (section 4.1)."""
    places = SMALLEST
    while places < size:
        places *= 2
    data = bytearray(places // 8)
    for place in revoked:
        data[place // 8] |= 1 << place % 8
    return bytes(data)


def sign_status_list(
    signer: Authority, uri: str, revoked: Iterable[int], size: int, *, days: int, now: int | None = None
) -> str:
    """The token. `ttl` asks readers to look again after a day; after `exp` they must not rely on it any more."""
    moment = int(time.time()) if now is None else now
    claims = {
        "sub": uri,
        "iat": moment,
        "exp": moment + days * _DAY,
        "ttl": _DAY,
        "status_list": {"bits": 1, "lst": b64url(zlib.compress(pack(revoked, size), 9))},
    }
    header = {
        "alg": "ES256",
        "typ": TYPE,
        "x5c": [base64.b64encode(der(certificate)).decode() for certificate in signer.chain],
    }
    key = ECKey.import_key(signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return jws.serialize_compact(header, payload, key, registry=_Registry(algorithms=["ES256"]))
