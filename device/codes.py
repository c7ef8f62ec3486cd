"""Tokens as two-dimensional codes: how a signed token is packed into the texts of one or several QR codes, and back.

In: a token of base64url parts (a JWS, or an SD-JWT with its disclosures). Out: texts in QR's alphanumeric alphabet, one
for each code; and from those texts, in any order, the very same token. Used by whoever shows a code (the gateway,
`vouchbox request`) and whoever reads one (the notary, `vouchbox verify --qr`); it draws nothing and has no key.

A text is `VB1:<kind>:<index>/<count>:<digest>:<data>`. The data is Base45 (RFC 9285), which fills the alphanumeric mode
almost without loss and passes through any reader; the digest, the first 32 bits of the packed bytes' SHA-256, keeps the
parts of two tokens apart. Packed is: raw DEFLATE (RFC 1951) over the bytes that the base64url parts stand for, each
behind its separator and length.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import re
import struct
import zlib
from collections.abc import Iterable
from typing import Final

from device.errors import InputError

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
"""Base45's digits (RFC 9285 section 4.2), which are those of QR's alphanumeric mode (ISO/IEC 18004 section 7.4.5)."""
ONE_CODE: Final = 2200
"""Bytes that still go into a single code: a telephone's camera reads that from a screen of the box's size."""
PART: Final = 900
"""Bytes in each of several codes, which are coarser, since they are shown one after the other."""
MAX_PARTS: Final = 16
MAX_PACKED: Final = MAX_PARTS * PART
MAX_TOKEN: Final = 64 * 1024
"""Bytes that unpacking may give, whatever the packed bytes claim."""

_TEXT: Final = re.compile(r"VB1:([A-Z]):([0-9]{1,2})/([0-9]{1,2}):([0-9A-F]{8}):([0-9A-Z $%*+\-./:]{1,4296})")
_SPLIT: Final = re.compile(r"([.~])")
_PREFIX: Final = struct.Struct(">BH")  # separator and length of one piece
_SEPARATORS: Final = "\0.~"


class Kind(enum.StrEnum):
    """What a code holds."""

    REQUEST = "Q"
    VERDICT = "V"
    PROOF = "P"


def texts_of(kind: Kind, token: str) -> list[str]:
    """The texts of the codes that carry `token`, in order.

    Raises:
        InputError: it is not made of canonical base64url parts, or is too long.
    """
    packed = pack(token)
    if len(packed) > MAX_PACKED:
        raise InputError(f"the token is {len(packed)} bytes packed; {MAX_PACKED} go into {MAX_PARTS} codes")
    count = 1 if len(packed) <= ONE_CODE else -(-len(packed) // PART)
    size = -(-len(packed) // count)
    digest = _digest(packed)
    return [
        f"VB1:{kind}:{index + 1}/{count}:{digest}:{base45(packed[index * size : (index + 1) * size])}"
        for index in range(count)
    ]


class Assembly:
    """Collects texts until a token is whole. A part of another token begins anew: the newest one shown is meant."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._of: tuple[int, str] | None = None
        self._parts: dict[int, bytes] = {}

    @property
    def progress(self) -> tuple[int, int]:
        """How many parts are there, of how many."""
        return len(self._parts), self._of[0] if self._of else 0

    def add(self, text: str) -> str | None:
        """Takes one text; the token once all of its parts are there, else None. Texts of other kinds are passed over.

        Raises:
            InputError: the parts are all there and do not make a token.
        """
        found = _TEXT.fullmatch(text)
        if found is None or found[1] != self._kind:
            return None
        index, count = int(found[2]), int(found[3])
        if not 1 <= index <= count <= MAX_PARTS:
            return None
        try:
            data = from_base45(found[5])
        except InputError:
            return None
        if self._of != (count, found[4]):
            self._of, self._parts = (count, found[4]), {}
        self._parts[index] = data
        if len(self._parts) < count:
            return None
        packed = b"".join(self._parts[number] for number in range(1, count + 1))
        self._of, self._parts = None, {}
        if _digest(packed) != found[4]:
            raise InputError("the codes do not belong together; show all of them again")
        return unpack(packed)


def token_from(kind: Kind, texts: Iterable[str]) -> str:
    """The token that these texts carry. Raises `InputError`: there is none, or parts are missing."""
    assembly = Assembly(kind)
    for text in texts:
        token = assembly.add(text)
        if token is not None:
            return token
    have, count = assembly.progress
    if count:
        raise InputError(f"{have} of {count} codes were found; give pictures of all of them")
    raise InputError("no code of this kind was found")


def pack(token: str) -> bytes:
    """Bytes that `unpack` turns into exactly `token`. Raises `InputError`."""
    packed = bytearray()
    first, *rest = _SPLIT.split(token)
    for separator, text in zip(["\0", *rest[::2]], [first, *rest[1::2]], strict=True):
        data = _decoded(text)
        if data is None or len(data) > 0xFFFF:
            raise InputError("this is not a token: its parts are not canonical base64url")
        packed += _PREFIX.pack(_SEPARATORS.index(separator), len(data)) + data
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(bytes(packed)) + deflate.flush()


def unpack(packed: bytes) -> str:
    """The token. Raises `InputError` for anything that `pack` did not make."""
    inflate = zlib.decompressobj(-15)
    try:
        data = inflate.decompress(packed, MAX_TOKEN)
    except zlib.error as error:
        raise InputError("the code holds no token") from error
    if not inflate.eof or inflate.unused_data:
        raise InputError("the code holds no token, or one that is too long")
    token: list[str] = []
    at = 0
    while at < len(data):
        if at + _PREFIX.size > len(data):
            raise InputError("the code holds no token")
        separator, length = _PREFIX.unpack_from(data, at)
        at += _PREFIX.size
        if separator >= len(_SEPARATORS) or at + length > len(data) or (separator == 0) != (not token):
            raise InputError("the code holds no token")
        token.append(_SEPARATORS[separator].strip("\0") + _encoded(data[at : at + length]))
        at += length
    return "".join(token)


def base45(data: bytes) -> str:
    """RFC 9285 section 3: two bytes are three digits, least significant first; a last single byte is two."""
    out = []
    for at in range(0, len(data) - 1, 2):
        value, low = divmod(data[at] * 256 + data[at + 1], 45)
        high, middle = divmod(value, 45)
        out += [ALPHABET[low], ALPHABET[middle], ALPHABET[high]]
    if len(data) % 2:
        high, low = divmod(data[-1], 45)
        out += [ALPHABET[low], ALPHABET[high]]
    return "".join(out)


def from_base45(text: str) -> bytes:
    """RFC 9285 section 3. Raises `InputError` for what no bytes encode to (sections 4.2 and 6)."""
    out = bytearray()
    if len(text) % 3 == 1:
        raise InputError("not Base45: a digit is missing")
    try:
        digits = [ALPHABET.index(character) for character in text]
    except ValueError as error:
        raise InputError("not Base45: a character that is none of its digits") from error
    for at in range(0, len(digits), 3):
        group = digits[at : at + 3]
        value = sum(digit * 45**place for place, digit in enumerate(group))
        size = len(group) - 1
        if value >= 256**size:
            raise InputError("not Base45: a group of digits stands for too much")
        out += value.to_bytes(size, "big")
    return bytes(out)


def _digest(packed: bytes) -> str:
    return hashlib.sha256(packed).hexdigest()[:8].upper()


def _decoded(text: str) -> bytes | None:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return data if _encoded(data) == text else None


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
