"""Digital seals of documents, verified: what vision read as signed, held against certificates that the box trusts.

In: `SealShown` from vision, and a folder of certificates (PEM or DER; .crt, .cer, .pem, .der). Out: the answer
to `document.seal`. Nothing of the seal is kept.

A seal's certificate is one of the folder's, or one that came with the seal and was issued by one of the folder's:

- VDS (ICAO Doc 9303-13): country and name of the certificate's subject are the signer, and its serial number is the
  reference; or its file is named by both (`UTTS5B.crt`), since issuers have other ways of counting.
- IDB: the reference is the end of the SHA-1 of the certificate.
- VDS-NC: the certificate is in the seal.

Signatures are ECDSA, r and s one after the other. Their hash goes by the key's size (Doc 9303-13 section 2.4).
"""

from __future__ import annotations

import datetime
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

from device.errors import ConfigurationError
from device.protocol import Check, CheckReport, Reason, Result, SealShown

log = logging.getLogger(__name__)

METHOD: Final = "seal-ecdsa"
ENDINGS: Final = frozenset((".crt", ".cer", ".pem", ".der"))
_HASHES: Final = ((224, hashes.SHA224()), (256, hashes.SHA256()), (384, hashes.SHA384()), (521, hashes.SHA512()))
"""Up to which size of key, in bits, which hash."""
_DER: Final = serialization.Encoding.DER


@dataclass(frozen=True)
class Anchor:
    """A certificate that the box trusts; `name` is its file's, without the ending."""

    name: str
    certificate: x509.Certificate

    def signs_for(self, seal: SealShown) -> bool:
        """Whether it is the one that the seal names."""
        if not seal.signer:
            der = self.certificate.public_bytes(_DER)
            return hashlib.sha1(der, usedforsecurity=False).hexdigest().endswith(seal.reference.lower() or "-")
        if self.name.upper() == (seal.signer + seal.reference).upper():
            return True
        subject = self.certificate.subject
        words = [subject.get_attributes_for_oid(oid) for oid in (NameOID.COUNTRY_NAME, NameOID.COMMON_NAME)]
        signer = "".join(str(word[0].value) for word in words if word)
        try:
            serial = int(seal.reference, 16)
        except ValueError:
            return False
        return signer.upper() == seal.signer.upper() and serial == self.certificate.serial_number


@dataclass(frozen=True)
class SealAnchors:
    """The certificates that seals are held against; none: nothing is verified."""

    anchors: Sequence[Anchor] = field(default_factory=tuple)

    def verify(self, seal: SealShown, now: datetime.datetime) -> CheckReport:
        """`pass`; `fail` (`seal_invalid`) for a signature that its certificate's key did not make; `not_performed`
        (`seal_untrusted`) without a certificate that is trusted now. `now` has a time zone."""
        certificates = [each for each in self._certificates(seal) if _valid_at(each, now)]
        keys = [key for each in certificates if (key := _key(each)) is not None]
        if not keys:
            return CheckReport(Check.DOCUMENT_SEAL, Result.NOT_PERFORMED, Reason.SEAL_UNTRUSTED, METHOD)
        if any(_signed_by(key, seal) for key in keys):
            return CheckReport(Check.DOCUMENT_SEAL, Result.PASS, None, METHOD)
        return CheckReport(Check.DOCUMENT_SEAL, Result.FAIL, Reason.SEAL_INVALID, METHOD)

    def answered(
        self, reports: tuple[CheckReport, ...], seal: SealShown | None, now: datetime.datetime
    ) -> tuple[CheckReport, ...]:
        """Vision's reports with the answer to `document.seal` where it left that open for want of keys."""
        if seal is None:
            return reports
        left_open = (Result.NOT_PERFORMED, Reason.SEAL_UNTRUSTED)
        return tuple(
            self.verify(seal, now)
            if report.check is Check.DOCUMENT_SEAL and (report.result, report.reason) == left_open
            else report
            for report in reports
        )

    def _certificates(self, seal: SealShown) -> list[x509.Certificate]:
        if not seal.certificate:
            return [anchor.certificate for anchor in self.anchors if anchor.signs_for(seal)]
        try:
            inside = x509.load_der_x509_certificate(seal.certificate)
            return [inside] if any(_vouched(inside, anchor.certificate) for anchor in self.anchors) else []
        except ValueError:
            return []


def load_seal_anchors(folder: Path) -> SealAnchors:
    """All certificates of a folder; none if there is no such folder.

    Raises:
        ConfigurationError: a file of it is no certificate; says which.
    """
    anchors: list[Anchor] = []
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for file in (file for file in files if file.suffix.lower() in ENDINGS):
        try:
            data = file.read_bytes()
            pem = data.lstrip().startswith(b"-----")
            found = x509.load_pem_x509_certificates(data) if pem else [x509.load_der_x509_certificate(data)]
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{file}: not a certificate ({error}); take it out of {folder}") from error
        for certificate in found:
            if _key(certificate) is None:
                log.warning("%s: a kind of key that seals are not verified with here", file)
            anchors.append(Anchor(file.stem, certificate))
    return SealAnchors(tuple(anchors))


def _vouched(inside: x509.Certificate, anchor: x509.Certificate) -> bool:
    """Whether a certificate is an anchor, or issued by one that may issue certificates."""
    if inside == anchor:
        return True
    try:
        inside.verify_directly_issued_by(anchor)
        rights = anchor.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return rights.ca


def _valid_at(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey | None:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePublicKey) else None


def _signed_by(key: ec.EllipticCurvePublicKey, seal: SealShown) -> bool:
    size = (key.curve.key_size + 7) // 8
    if len(seal.signature) != 2 * size:
        return False
    r, s = (int.from_bytes(part, "big") for part in (seal.signature[:size], seal.signature[size:]))
    digest = next(each for bits, each in _HASHES if key.curve.key_size <= bits)
    try:
        key.verify(utils.encode_dss_signature(r, s), seal.signed, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True
