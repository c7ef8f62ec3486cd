"""Seals are believed only with a signature of a certificate that the box trusts, and the verdict says so."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

from device.errors import ConfigurationError
from device.notary.document_seal import Anchor, SealAnchors, load_seal_anchors
from device.protocol import Attribute, Check, CheckReport, Finished, Reason, Result, SealShown
from device.vision.document import seal
from tests.notary.peers import Box, Worker, claims, passes
from tests.vision.document.test_seal import vds

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
OPEN = CheckReport(Check.DOCUMENT_SEAL, Result.NOT_PERFORMED, Reason.SEAL_UNTRUSTED, "seal")


@dataclass(frozen=True)
class Signer:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def over(self, data: bytes, **changes: object) -> SealShown:
        r, s = utils.decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        told = {"signer": "UTSG", "reference": "7A", "certificate": b""} | changes
        return SealShown(data, r.to_bytes(32, "big") + s.to_bytes(32, "big"), **told)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


def signer(
    name: str = "SG", serial: int = 0x7A, issuer: Signer | None = None, *, authority: bool = False, days: int = 30
) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "UT"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + days * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    return Signer(key, certificate)


def trusting(*signers: Signer) -> SealAnchors:
    return SealAnchors(tuple(Anchor(f"anchor{index}", each.certificate) for index, each in enumerate(signers)))


def said(anchors: SealAnchors, shown: SealShown, now: datetime.datetime = NOW) -> tuple[Result, Reason | None]:
    report = anchors.verify(shown, now)
    assert report.check is Check.DOCUMENT_SEAL
    return report.result, report.reason


UNTRUSTED = (Result.NOT_PERFORMED, Reason.SEAL_UNTRUSTED)
INVALID = (Result.FAIL, Reason.SEAL_INVALID)


def test_a_seal_of_a_trusted_signer_passes_and_an_altered_one_fails() -> None:
    own = signer()
    shown = own.over(b"what is sealed")
    assert said(trusting(own), shown) == (Result.PASS, None)
    assert said(trusting(signer(), own), shown) == (Result.PASS, None)  # two of the same name: a key was renewed
    altered = SealShown(b"what is sealeD", shown.signature, shown.signer, shown.reference)
    assert said(trusting(own), altered) == INVALID
    assert said(trusting(own), SealShown(shown.signed, b"\x01" * 63, "UTSG", "7A")) == INVALID


@pytest.mark.parametrize(
    "changes", [{"signer": "UTXX"}, {"reference": "7B"}, {"reference": "no number"}, {"signer": ""}]
)
def test_a_signer_that_is_not_the_named_one_is_untrusted(changes: dict[str, str]) -> None:
    own = signer()
    assert said(trusting(own), own.over(b"sealed", **changes)) == UNTRUSTED


def test_without_anchors_and_out_of_its_time_nothing_is_trusted() -> None:
    own = signer()
    assert said(SealAnchors(), own.over(b"sealed")) == UNTRUSTED
    assert said(trusting(own), own.over(b"sealed"), NOW + 31 * DAY) == UNTRUSTED


def test_a_certificate_inside_the_seal_must_be_issued_by_an_anchor() -> None:
    authority = signer("CSCA", 1, authority=True)
    inside = signer("VDS-NC", 2, authority)
    shown = inside.over(b"{}", certificate=inside.der)
    assert said(trusting(authority), shown) == (Result.PASS, None)
    assert said(trusting(inside), shown) == (Result.PASS, None)
    assert said(trusting(signer("CSCA", 1, authority=True)), shown) == UNTRUSTED
    assert said(trusting(authority), inside.over(b"{}", certificate=b"no certificate")) == UNTRUSTED
    by_a_leaf = signer("VDS-NC", 3, inside)
    assert said(trusting(inside), by_a_leaf.over(b"{}", certificate=by_a_leaf.der)) == UNTRUSTED


def test_what_vision_found_wrong_stays_wrong() -> None:
    own = signer()
    shown = own.over(b"sealed")
    other = CheckReport(Check.DOCUMENT_READ, Result.PASS)
    for report in (
        CheckReport(Check.DOCUMENT_SEAL, Result.FAIL, Reason.SEAL_INVALID),
        CheckReport(Check.DOCUMENT_SEAL, Result.NOT_PERFORMED, Reason.EVIDENCE_WEAK),
    ):
        assert trusting(own).answered((other, report), shown, NOW) == (other, report)
    assert trusting(own).answered((other, OPEN), None, NOW) == (other, OPEN)
    assert trusting(own).answered((other, OPEN), shown, NOW)[1].result is Result.PASS


def test_a_folder_of_anchors(tmp_path: Path) -> None:
    own = signer("elsewhere", 5)
    assert load_seal_anchors(tmp_path / "none") == SealAnchors(())
    (tmp_path / "utsg7a.pem").write_bytes(own.certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "README").write_text("not looked at")
    assert said(load_seal_anchors(tmp_path), own.over(b"sealed")) == (Result.PASS, None)  # named by its file
    (tmp_path / "broken.crt").write_bytes(b"0")
    with pytest.raises(ConfigurationError, match=r"broken\.crt: not a certificate"):
        load_seal_anchors(tmp_path)


@pytest.mark.parametrize("forged", [False, True])
def test_the_verdict_says_what_became_of_the_seal(box: Box, forged: bool) -> None:
    own = signer(days=36_500)
    folder = box.config.state / "seal-anchors"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "signer.der").write_bytes(own.der)
    parsed = seal.parse(vds())
    assert parsed is not None
    shown = own.over(parsed.signed, reference=parsed.certificate_reference, signer=parsed.signer)
    if forged:
        shown = SealShown(parsed.signed + b"x", shown.signature, shown.signer, shown.reference)

    def script(worker: Worker) -> None:
        order = worker.start()
        reports = [OPEN if each.check is Check.DOCUMENT_SEAL else each for each in passes(order)]
        worker.channel.send(shown)
        worker.channel.send(Finished(tuple(reports), {Attribute.DOCUMENT_TYPE: "visa"}, "X|UTO"))

    box.vision.script = script
    box.start()
    gateway = box.gateway()
    gateway.open("standard")
    told = claims(box, gateway.rest())["checks"]["document.seal"]
    assert told["result"] == ("fail" if forged else "pass")
    assert told["method"] == "seal-ecdsa"
    assert told.get("reason") == ("seal_invalid" if forged else None)


@pytest.mark.shared
def test_seals_of_other_projects(shared: Path, tmp_path: Path) -> None:
    """Real seals, on brainpoolP256r1, with the certificates that come with them."""
    documents = shared / "data/documents"
    anchor = documents / "vds_vectors/sealgen_UTTS5B.crt"
    (tmp_path / anchor.name).write_bytes(anchor.read_bytes())
    nc = seal.parse((documents / "vdsnc_vectors/vdsnc_sample_proof_of_vaccination_aus").read_bytes())
    assert nc is not None
    (tmp_path / "aus.cer").write_bytes(nc.certificate)
    anchors = load_seal_anchors(tmp_path)
    texts = json.loads((documents / "vds_vectors/vectors.json").read_text())
    payloads = [
        bytes.fromhex(text) if "Raw" in name and "Vds" in name else text.encode() for name, text in texts.items()
    ]
    payloads += [path.read_bytes() for path in sorted((documents / "vdsnc_vectors").glob("vds_sample*"))]
    kinds: dict[str, int] = {}
    now = datetime.datetime(2022, 6, 1, tzinfo=datetime.UTC)
    for parsed in filter(None, (seal.parse(data) for data in payloads)):
        signer_name = parsed.signer if parsed.kind == "VDS" else ""
        shown = SealShown(parsed.signed, parsed.signature, signer_name, parsed.certificate_reference, b"")
        if said(anchors, shown, now) == UNTRUSTED:
            continue
        assert said(anchors, shown, now) == (Result.PASS, None)
        flipped = bytes([shown.signed[0], *shown.signed[1:-1], shown.signed[-1] ^ 1])
        assert said(anchors, SealShown(flipped, shown.signature, signer_name, shown.reference), now) == INVALID
        kinds[parsed.kind] = kinds.get(parsed.kind, 0) + 1
    print(kinds)
    assert kinds["VDS"] >= 15
    inside = SealShown(nc.signed, nc.signature, "", nc.certificate_reference, nc.certificate)
    assert said(anchors, inside, now) == (Result.PASS, None)
