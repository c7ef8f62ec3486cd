"""Several pictures of one document vote, character by character, until the text is sure.

In: `DocumentReading`s of successive frames. Out: a `DocumentResult` with the answers to `document.read` and
`document.consistency`.

Frames whose zones have the same layout and mostly the same text are one document. Their characters' log-probabilities
are added, damped because successive frames share the same blur and light, and decoded once more. If frames of a second
document come in between, they are counted apart, and the document seen best is the one that is answered for.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from device.protocol import Check, CheckReport, DocumentType, Reason, Result
from device.vision.document import mrz
from device.vision.document.barcode import Barcode
from device.vision.document.evidence import LineEvidence
from device.vision.document.mrz import MrzReading
from device.vision.document.mrz_fields import DocumentFields
from device.vision.document.parameters import parameters
from device.vision.document.reader import DocumentReading

METHOD = "mrz"


@dataclass(frozen=True)
class DocumentResult:
    """What the document says, over all frames.

    `format` is the layout's name ("TD3") or the code's ("AAMVA"), empty if nothing was read; `lines` are as printed;
    `details` has the answer of each single rule by its name.
    """

    document_type: DocumentType | None
    format: str
    lines: tuple[str, ...]
    fields: DocumentFields | None
    checks: Mapping[Check, CheckReport]
    details: Mapping[str, tuple[Result, Reason | None]] = field(default_factory=dict)


class _Document:
    """The frames that show one document: sums of log-probabilities, and how often each text was seen."""

    def __init__(self, lines: tuple[LineEvidence, ...]) -> None:
        self.frames = 0
        self._sums = [np.zeros_like(line.probabilities, np.float64) for line in lines]
        self._quads = [line.quad for line in lines]
        self.add(lines)

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(len(line) for line in self._sums)

    def agreement(self, lines: tuple[LineEvidence, ...]) -> float:
        """Share of characters that are the same here and there."""
        if tuple(len(line) for line in lines) != self.lengths:
            return 0.0
        same = [
            total.argmax(axis=1) == line.probabilities.argmax(axis=1)
            for total, line in zip(self._sums, lines, strict=True)
        ]
        return float(np.concatenate(same).mean())

    def add(self, lines: tuple[LineEvidence, ...]) -> None:
        self.frames += 1
        for total, line in zip(self._sums, lines, strict=True):
            total += np.log(np.maximum(line.probabilities, 1e-6))
        self._quads = [line.quad for line in lines]

    def evidence(self, correlation: float) -> list[LineEvidence]:
        """The frames' evidence as that of one picture."""
        damped = [_normalised(total / self.frames**correlation) for total in self._sums]
        return [LineEvidence(probabilities, quad) for probabilities, quad in zip(damped, self._quads, strict=True)]

    def doubt(self, correlation: float) -> float:
        """-log of the probability that every character is the likeliest one."""
        return float(sum(-np.log(line.probabilities.max(axis=1)).sum() for line in self.evidence(correlation)))


class DocumentFusion:
    """Gathers readings of frames; `today` is the date that documents are judged by."""

    def __init__(self, today: datetime.date) -> None:
        self._today = today
        self._limits = parameters("fusion")
        self._documents: list[_Document] = []
        self._barcodes: dict[tuple[str, bytes], Barcode] = {}
        self._unclear = False
        self._fused: MrzReading | None = None

    def add(self, reading: DocumentReading) -> None:
        """One more frame."""
        for barcode in reading.barcodes:
            self._barcodes[barcode.format, barcode.data] = barcode
        if not reading.lines:
            return
        self._unclear = True
        if reading.mrz is None:
            return
        best = max(self._documents, key=lambda each: each.agreement(reading.lines), default=None)
        if best is not None and best.agreement(reading.lines) >= self._limits["agreement"]:
            best.add(reading.lines)
        else:
            self._documents.append(_Document(reading.lines))
        self._fused = self._decode()

    @property
    def sure(self) -> bool:
        """Whether more frames would not change the answer."""
        if self._fused is None:
            return False
        frames = self._main().frames
        if self._fused.consistent:
            return frames >= self._limits["frames_consistent"]
        certain = self._fused.reason is not Reason.EVIDENCE_WEAK and self._certain()
        return certain and frames >= self._limits["frames_inconsistent"]

    def result(self) -> DocumentResult:
        """What is known now; never raises."""
        if self._fused is None:
            reason = Reason.DOCUMENT_UNREADABLE if self._unclear else Reason.DOCUMENT_NOT_FOUND
            reports = [CheckReport(check, Result.NOT_PERFORMED, reason) for check in _CHECKS]
            return DocumentResult(None, "", (), None, {report.check: report for report in reports})
        reading = self._fused
        reports = [self._read_report(reading), self._consistency_report(reading)]
        return DocumentResult(
            document_type=reading.fields.document_type,
            format=reading.layout,
            lines=reading.lines,
            fields=reading.fields,
            checks={report.check: report for report in reports},
            details=dict(reading.checks),
        )

    def _main(self) -> _Document:
        return max(self._documents, key=lambda each: (each.frames, -each.doubt(self._limits["correlation"])))

    def _decode(self) -> MrzReading | None:
        return mrz.decode(self._main().evidence(self._limits["correlation"]), self._today)

    def _certain(self) -> bool:
        return self._main().doubt(self._limits["correlation"]) <= self._limits["certain"]

    def _read_report(self, reading: MrzReading) -> CheckReport:
        """Read means that the pixels carry the text, whatever the text is."""
        weak = reading.reason is Reason.EVIDENCE_WEAK or (reading.reason is not None and not self._certain())
        if weak and reading.reason is not Reason.DOCUMENT_EXPIRED:
            return CheckReport(Check.DOCUMENT_READ, Result.NOT_PERFORMED, Reason.DOCUMENT_UNREADABLE, METHOD)
        return CheckReport(Check.DOCUMENT_READ, Result.PASS, None, METHOD)

    def _consistency_report(self, reading: MrzReading) -> CheckReport:
        reason = reading.reason
        if reason is None:
            return CheckReport(Check.DOCUMENT_CONSISTENCY, Result.PASS, None, METHOD)
        if reason is Reason.DOCUMENT_EXPIRED or (reason is not Reason.EVIDENCE_WEAK and self._certain()):
            return CheckReport(Check.DOCUMENT_CONSISTENCY, Result.FAIL, reason, METHOD)
        # Nobody is turned away for what a blurred picture seems to say.
        return CheckReport(Check.DOCUMENT_CONSISTENCY, Result.NOT_PERFORMED, Reason.EVIDENCE_WEAK, METHOD)


_CHECKS = (Check.DOCUMENT_READ, Check.DOCUMENT_CONSISTENCY)


def _normalised(logs: NDArray[np.float64]) -> NDArray[np.float32]:
    shifted = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares
