"""Signed two-dimensional codes on documents: what they say and what in them is signed.

In: the bytes of a barcode. Out: a `Seal`, or None if they are no seal; and the answer to `document.seal`.

- VDS, visible digital seal: ICAO Doc 9303-13, header versions 3 and 4.
- VDS-NC, for non-constrained environments: ICAO VDS-NC technical report; JSON with its certificate inside.
- IDB, the ICAO data structure for barcodes: base32 text that begins with RDB1, NDB1 or IDB1.

A seal is worth what its signature is worth. Keys and certificates are not for this process, so it never answers `pass`:
it hands on `signed`, `signature` and the certificate's name (docs/decisions/0044). What it can say alone is that a seal
was made for another document, or that nothing ties it to this one.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from device.protocol import Check, CheckReport, Reason, Result, SealShown
from device.vision.document import mrz
from device.vision.document.mrz import MrzReading
from device.vision.document.mrz_fields import PartialDate

MAX_BYTES: Final = 4096
MAX_FEATURES: Final = 32
METHOD: Final = "seal"
MOST_SHOWN: Final = 3800
"""Bytes of one seal that the notary is told; a message has 4096."""

_MAGIC: Final = 0xDC
_SIGNATURE: Final = 0xFF
_C40: Final = " 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Set 0 of C40 behind its three shift values (Doc 9303-13 section 2.3.1); the blank stands for the filler."""
_ZONES: Final[Mapping[int, tuple[int, ...]]] = {72: (36, 36), 88: (44, 44), 90: (30, 30, 30)}
_VISAS: Final[Mapping[int, tuple[int, ...]]] = {**_ZONES, 64: (36, 28), 72: (44, 28)}
"""A visa's seal leaves the optional data out: of the second line it has the first 28 characters (Doc 9303-13)."""
_ZONE_BYTES: Final = (43, 44, 48, 59, 60)
"""Bytes of 64, 72, 88 and 90 characters. A single last character takes one byte, or two with an unlatch before it."""
_TEXT: Final = ("RDB1", "NDB1", "IDB1")
_IDB_MESSAGES, _IDB_SIGNATURE = 0x61, 0x7F


@dataclass(frozen=True)
class Seal:
    """One seal. `features` has the values by tag (VDS, IDB) or by name (VDS-NC, JSON text); `zone` is the machine
    readable zone that it repeats, if it does. `certificate` is the DER certificate in the seal or empty."""

    kind: str
    issuer: str
    signer: str
    certificate_reference: str
    features: Mapping[str, bytes]
    signed: bytes
    signature: bytes
    issued: PartialDate | None = None
    zone: tuple[str, ...] = ()
    certificate: bytes = b""


class _Malformed(ValueError):
    """Not a seal; `parse` turns it into None."""


def parse(data: bytes) -> Seal | None:
    """Parse a barcode's bytes; None if they are no seal, or a broken one."""
    if not 0 < len(data) <= MAX_BYTES:
        return None
    try:
        if data[0] == _MAGIC:
            return _vds(data)
        if data[:1] == b"{":
            return _vds_nc(data)
        if data[:4].decode("ascii", "replace") in _TEXT:
            return _idb(data)
    except (_Malformed, UnicodeDecodeError, RecursionError):
        return None
    return None


def judge(seals: Sequence[Seal], zone: MrzReading | None = None, today: datetime.date | None = None) -> CheckReport:
    """The answer to `document.seal` as far as this process can give it: never `pass`.

    A seal with another document's number was made for that one, whoever signed it. One without a number could be moved
    from paper to paper, so its signature would prove nothing here (`evidence_weak`). `seal_untrusted`: it belongs to
    this document, and its signature has not been verified yet.
    """
    if not seals:
        return CheckReport(Check.DOCUMENT_SEAL, Result.NOT_PERFORMED, Reason.SEAL_MISSING, METHOD)
    number = zone.fields.document_number if zone is not None else ""
    sealed = [sealed_number(seal, today) for seal in seals]
    if number and any(each not in ("", number) for each in sealed):
        return CheckReport(Check.DOCUMENT_SEAL, Result.FAIL, Reason.SEAL_INVALID, METHOD)
    reason = Reason.SEAL_UNTRUSTED if number and number in sealed else Reason.EVIDENCE_WEAK
    return CheckReport(Check.DOCUMENT_SEAL, Result.NOT_PERFORMED, reason, METHOD)


def sealed_number(seal: Seal, today: datetime.date | None) -> str:
    """The document number that the seal was made for; empty if it names none that we understand."""
    if seal.zone and today is not None:
        zone = mrz.parse(seal.zone, today)
        return zone.fields.document_number if zone is not None else ""
    try:
        person = json.loads(seal.features.get("pid", b"null"))  # VDS-NC: `i` is the travel document's number
    except ValueError:
        return ""
    number = person.get("i") if isinstance(person, dict) else None
    return number.replace("<", "").strip() if isinstance(number, str) else ""


def shown(seals: Sequence[Seal], zone: MrzReading | None, today: datetime.date) -> SealShown | None:
    """What the notary is told of the first seal that belongs to the document; None if there is none, or it is too long
    for a message."""
    number = zone.fields.document_number if zone is not None else ""
    for seal in seals:
        if number and sealed_number(seal, today) == number:
            fits = len(seal.signed) <= 2048 and len(seal.signature) <= 256 and len(seal.certificate) <= 1500
            whole = len(seal.signed) + len(seal.signature) + len(seal.certificate) <= MOST_SHOWN
            if fits and whole:
                return SealShown(
                    seal.signed,
                    seal.signature,
                    seal.signer[:16] if seal.kind == "VDS" else "",
                    seal.certificate_reference[:64],
                    seal.certificate,
                )
    return None


# --- VDS -------------------------------------------------------------------------------------------------------------


class _Bytes:
    """Reads forward; raises `_Malformed` at the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self._data):
            raise _Malformed
        self.at += count
        return self._data[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def length(self) -> int:
        """DER length (X.690 section 8.1.3), at most two bytes long; 0x80, which DER has no use for, means 128, as
        encoders with one byte of length write it."""
        first = self.byte()
        if first <= 0x80:
            return first
        if first not in (0x81, 0x82):
            raise _Malformed
        return int.from_bytes(self.take(first - 0x80), "big")

    def more(self) -> bool:
        """Whether anything is left."""
        return self.at < len(self._data)


def _vds(data: bytes) -> Seal:
    """Header version 4 (byte 03) gives the length of the certificate's reference in two hexadecimal digits; there are
    issuers that count in decimals, and some that write 03 before a header of version 3."""
    version = data[1] if len(data) > 1 else -1
    if version not in (0x00, 0x01, 0x02, 0x03):
        raise _Malformed
    for base in (16, 10, 0) if version in (0x01, 0x03) else (0,):
        try:
            return _vds_with(data, base)
        except _Malformed:
            continue
    raise _Malformed


def _vds_with(data: bytes, base: int) -> Seal:
    """`base` of the reference's length; 0 for the fixed five characters of version 3."""
    read = _Bytes(data)
    read.take(2)
    issuer = c40(read.take(2)).rstrip("<")
    text = c40(read.take(4 if base else 6))
    signer, reference = text[:4], text[4:]
    if base:
        try:
            count = int(text[4:6], base)
        except ValueError:
            raise _Malformed from None
        reference = c40(read.take((count + 2) // 3 * 2))[:count]
    issued = _date(read.take(3))
    read.take(3 + 2)  # creation of the signature; definition of the features and category of the document
    features: dict[str, bytes] = {}
    while read.more():
        start, tag = read.at, read.byte()
        value = read.take(read.length())
        if tag == _SIGNATURE:
            if read.more() or not value:
                break
            return Seal("VDS", issuer, signer, reference, features, data[:start], value, issued, _zone(features))
        features[f"{tag:02x}"] = value
        if len(features) > MAX_FEATURES:
            break
    raise _Malformed  # unsigned, or something behind the signature


def c40(data: bytes) -> str:
    """Text of C40 pairs; what is no letter, digit or filler is malformed. A last single byte is ASCII plus one."""
    out: list[str] = []
    pairs, rest = divmod(len(data), 2)
    for index in range(pairs):
        first, second = data[2 * index : 2 * index + 2]
        if first == 0xFE:  # unlatch: one ASCII character
            out.append(chr(second - 1) if second else "")
            continue
        value = (first << 8) + second - 1
        for code in (value // 1600, value // 40 % 40, value % 40):
            if 3 <= code < 3 + len(_C40):
                out.append(_C40[code - 3])
            elif code != 0:  # shifts lead out of the alphabet; 0 is padding
                raise _Malformed
    if rest and data[-1]:
        out.append(chr(data[-1] - 1))
    return "".join(out).replace(" ", "<")


def _date(data: bytes) -> PartialDate | None:
    """MMDDYYYY as a number of three bytes (Doc 9303-13 section 2.3.1)."""
    digits = f"{int.from_bytes(data, 'big'):08d}"
    date = PartialDate(int(digits[4:]), int(digits[:2]), int(digits[2:4]))
    return date if date.possible else None


def _zone(features: Mapping[str, bytes]) -> tuple[str, ...]:
    """The first feature that is C40 text as long as a machine readable zone."""
    for value in features.values():
        if len(value) not in _ZONE_BYTES:
            continue
        try:
            text = c40(value)
        except _Malformed:
            continue
        lengths = (_VISAS if text.startswith("V") else _ZONES).get(len(text))
        if lengths is not None:
            ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
            lines = (text[end - length : end] for end, length in zip(ends, lengths, strict=True))
            return tuple(line.ljust(lengths[0], "<") for line in lines)
    return ()


# --- VDS-NC ----------------------------------------------------------------------------------------------------------


def _vds_nc(data: bytes) -> Seal:
    try:
        whole: Any = json.loads(data)
        content, header, signature = whole["data"], whole["data"]["hdr"], whole["sig"]
        message = content["msg"]
        kind, issuer = str(header["t"]), str(header["is"])
        signature_value, certificate = _url64(signature["sigvl"]), _url64(signature.get("cer", ""))
        algorithm = str(signature["alg"])
        # Signed is the canonical JSON of `data` (RFC 8785); for text and integers that is sorted keys and no blanks.
        signed = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        features = {name: json.dumps(value, ensure_ascii=False).encode() for name, value in message.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _Malformed from None
    if len(features) > MAX_FEATURES or not signature_value:
        raise _Malformed
    return Seal(
        "VDS-NC", issuer[:3], algorithm[:16], kind[:32], features, signed, signature_value, certificate=certificate
    )


def _url64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise _Malformed
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise _Malformed from None


# --- IDB -------------------------------------------------------------------------------------------------------------


def _idb(data: bytes) -> Seal:
    """Behind the identifier one character of flags (A to D: signed adds 1, compressed adds 2), then base32.
    Compressed content is not opened: its size is not bounded before it is."""
    text = data.decode("ascii").strip()
    if text[4:5] != "B":
        raise _Malformed
    try:
        raw = base64.b32decode(text[5:] + "=" * (-len(text[5:]) % 8))
    except (binascii.Error, ValueError):
        raise _Malformed from None
    read = _Bytes(raw)
    issuer = c40(read.take(2)).rstrip("<")
    read.byte()  # algorithm
    reference = read.take(5).hex()
    read.take(4)  # creation of the signature
    features: dict[str, bytes] = {}
    while read.more():
        start, tag = read.at, read.byte()
        value = read.take(read.length())
        if tag == _IDB_MESSAGES:
            inner = _Bytes(value)
            while inner.more() and len(features) <= MAX_FEATURES:
                name = f"{inner.byte():02x}"
                features[name] = inner.take(inner.length())
        if tag == _IDB_SIGNATURE:
            if not value:
                break
            return Seal("IDB", issuer, "", reference, features, raw[:start], value, None, _zone(features))
    raise _Malformed  # unsigned
