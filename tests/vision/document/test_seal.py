"""Seals parse to what was sealed; broken ones are no seals; none is believed without its signature."""

import base64
import datetime
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.protocol import Reason, Result
from device.vision.document import mrz, seal
from device.vision.document.mrz_fields import PartialDate
from device.vision.document.mrz_layouts import compose
from tests.vision.document.synthetic import TODAY, with_fields

CARD = with_fields(document_code="I", document_number="D23145890", optional_data=())


def _c40(text: str) -> bytes:
    """C40 of letters, digits and fillers whose number divides by three (Doc 9303-13 section 2.3.1)."""
    codes = [3 + " 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(c) for c in text.replace("<", " ")]
    triples = [codes[i : i + 3] for i in range(0, len(codes), 3)]
    return b"".join((1600 * a + 40 * b + c + 1).to_bytes(2, "big") for a, b, c in triples)


def _date(date: datetime.date) -> bytes:
    return int(date.strftime("%m%d%Y")).to_bytes(3, "big")


def vds(zone: str = "".join(compose("TD2", CARD)), signature: bytes = b"\x01" * 64, version: int = 3) -> bytes:
    """A seal over a machine readable zone."""
    return sealing(_c40(zone), signature, version)


def sealing(message: bytes, signature: bytes = b"\x01" * 64, version: int = 3) -> bytes:
    """A seal over an encoded machine readable zone."""
    head = bytes([0xDC, version]) + _c40("UTO")
    head += _c40("UTSG027A ")[:6] if version == 3 else _c40("UTSG00031")
    head += _date(datetime.date(2026, 1, 31)) * 2 + b"\xfb\x06"
    return head + bytes([2, len(message)]) + message + bytes([0xFF, len(signature)]) + signature


@pytest.mark.parametrize(("version", "reference"), [(3, "7A"), (2, "00031")])
def test_a_sealed_zone(version: int, reference: str) -> None:
    data = vds(version=version)
    parsed = seal.parse(data)
    assert parsed is not None
    assert (parsed.kind, parsed.issuer, parsed.signer, parsed.certificate_reference) == (
        "VDS",
        "UTO",
        "UTSG",
        reference,
    )
    assert parsed.zone == compose("TD2", CARD)
    assert parsed.issued == PartialDate(2026, 1, 31)
    assert parsed.signature == b"\x01" * 64
    assert parsed.signed + b"\xff\x40" + parsed.signature == data


@pytest.mark.parametrize("unlatched", [False, True], ids=["shortest form", "with unlatch"])
@pytest.mark.parametrize(("layout", "sealed"), [("MRV-A", 72), ("MRV-B", 64)])
def test_a_visas_seal_has_28_characters_of_the_second_line(layout: str, sealed: int, unlatched: bool) -> None:
    visa = compose(layout, with_fields(document_code="V", document_number="D23145890", optional_data=("XYZ123",)))
    text = (visa[0] + visa[1][:28])[:sealed]
    whole = len(text) // 3 * 3
    rest = (b"\xfe" if unlatched else b"") + bytes([ord(text[-1]) + 1]) if whole < len(text) else b""
    parsed = seal.parse(sealing(_c40(text[:whole]) + rest))
    assert parsed is not None
    assert parsed.zone == (visa[0], visa[1][:28].ljust(len(visa[1]), "<"))
    assert seal.sealed_number(parsed, TODAY) == "D23145890"
    printed = mrz.parse(visa, TODAY)
    assert seal.judge([parsed], printed, TODAY).reason is Reason.SEAL_UNTRUSTED
    assert seal.shown([parsed], printed, TODAY) is not None


@pytest.mark.parametrize(
    "data",
    [vds()[:-1], vds() + b"\x00", vds(signature=b""), b"\xdc", b"\xdc\x09" + vds()[2:], b"", b"x" * 5000],
    ids=["cut", "something behind the signature", "unsigned", "magic alone", "unknown version", "empty", "too long"],
)
def test_broken_seals_are_none(data: bytes) -> None:
    assert seal.parse(data) is None


def test_vds_nc_gives_the_canonical_text_that_is_signed() -> None:
    content = {"msg": {"pid": {"n": "ERIKSSON ANNA"}, "uvci": "U1"}, "hdr": {"v": 1, "t": "icao.test", "is": "UTO"}}
    signature = base64.urlsafe_b64encode(b"\x02" * 64).decode().rstrip("=")
    data = json.dumps({"data": content, "sig": {"alg": "ES256", "cer": "AAAA", "sigvl": signature}}, indent=2)
    parsed = seal.parse(data.encode())
    assert parsed is not None
    assert (parsed.kind, parsed.issuer, parsed.certificate, parsed.signature) == (
        "VDS-NC",
        "UTO",
        b"\0\0\0",
        b"\x02" * 64,
    )
    assert parsed.signed.startswith(b'{"hdr":{"is":"UTO","t":"icao.test","v":1},"msg":{"pid":')


def test_idb_text() -> None:
    zone = _c40("".join(compose("TD2", CARD)))
    body = _c40("UTO") + b"\x01" + bytes(5) + bytes(4)
    body += bytes([0x61, 2 + len(zone), 0x81, len(zone)]) + zone + b"\x7f\x40" + b"\x03" * 64
    text = b"RDB1B" + base64.b32encode(body).rstrip(b"=")
    parsed = seal.parse(text)
    assert parsed is not None
    assert (parsed.kind, parsed.zone, parsed.signature) == ("IDB", compose("TD2", CARD), b"\x03" * 64)
    assert seal.parse(text.replace(b"RDB1B", b"RDB1D")) is None  # compressed
    unsigned = body[:-66] + b"\x7f\x00"
    assert seal.parse(b"RDB1B" + base64.b32encode(unsigned).rstrip(b"=")) is None


def test_no_seal_is_not_performed() -> None:
    report = seal.judge([])
    assert (report.result, report.reason) == (Result.NOT_PERFORMED, Reason.SEAL_MISSING)


def test_a_seal_is_never_believed_unverified_and_never_for_another_document() -> None:
    parsed = seal.parse(vds())
    assert parsed is not None
    own = mrz.parse(compose("TD2", CARD), TODAY)
    other = mrz.parse(compose("TD2", with_fields(CARD, document_number="D23145891")), TODAY)
    assert seal.judge([parsed], own, TODAY).result is Result.NOT_PERFORMED
    report = seal.judge([parsed], other, TODAY)
    assert (report.result, report.reason) == (Result.FAIL, Reason.SEAL_INVALID)


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_result(data: bytes) -> None:
    for raw in (data, b"\xdc\x03" + data, b"{" + data, b"RDB1B" + data):
        parsed = seal.parse(raw)
        assert parsed is None or parsed.signature


def test_thousands_of_mutations() -> None:
    generator = np.random.default_rng(4)
    sound = np.frombuffer(vds(), np.uint8)
    parsed = 0
    for _ in range(3000):
        data = sound.copy()
        places = generator.integers(0, len(data), generator.integers(1, 6))
        data[places] = generator.integers(0, 256, len(places))
        parsed += seal.parse(bytes(data)) is not None
    assert 0 < parsed < 3000


@pytest.mark.shared
def test_vectors_of_other_projects(shared: Path) -> None:
    vectors = json.loads((shared / "data/documents/vds_vectors/vectors.json").read_text())
    seals = {
        name: seal.parse(text.encode() if "Icb" in name else bytes.fromhex(text)) for name, text in vectors.items()
    }
    unsigned = {name for name, parsed in seals.items() if parsed is None}
    assert all(".administrativeDocumentV9" in name for name in unsigned)
    assert sum(bool(parsed.zone) for parsed in seals.values() if parsed) > 20
    visa = seals["VdsRawBytesCommon.visa_224bitSig"]
    assert visa is not None
    assert seal.sealed_number(visa, TODAY) == "1234567XY"
    samples = [path for path in (shared / "data/documents/vdsnc_vectors").iterdir() if path.name.startswith("vds")]
    assert len(samples) == 21
    for path in samples:
        assert seal.parse(path.read_bytes()) is not None, path.name
