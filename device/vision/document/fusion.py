"""Several pictures of one document vote, character by character, until the text is sure.

In: `DocumentReading`s of successive frames. Out: a `DocumentResult` with the answers to `document.read` and
`document.consistency`, over zone, barcode and resident card number (consistency.py).

Frames whose lines have the same lengths and mostly the same text are one document. Their characters' log-probabilities
are added, damped because successive frames share the same blur and light, and decoded once more. If frames of a second
document come in between, they are counted apart, and the one seen most often (or else most clearly) is answered for;
one whose check digits hold goes before print that was taken for a zone. Such print beside a licence's barcode says
nothing about the licence.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.protocol import Check, CheckReport, DocumentType, Reason, Result, SealShown, StageLimits
from device.vision.document import aamva, consistency, mrz, seal
from device.vision.document.aamva import AamvaDocument
from device.vision.document.consistency import Judgement
from device.vision.document.evidence import LineEvidence
from device.vision.document.mrz import MrzReading
from device.vision.document.mrz_fields import DocumentFields
from device.vision.document.national import RESIDENT_NUMBER, CardReading, read_resident_card
from device.vision.document.parameters import parameters
from device.vision.document.reader import DocumentReading
from device.vision.document.seal import Seal

ONE_SIDED: Final = frozenset(("TD3", "TD2", "MRV-A", "MRV-B", "FRENCH-ID"))
"""Layouts of documents that have their portrait on the side of the zone."""


@dataclass(frozen=True)
class DocumentResult:
    """What the document says, over all frames.

    `format` is the layout's name ("TD3", …), "AAMVA" or "GB11643", empty if nothing was read; `lines` are as printed;
    `details` has the answer of each single rule as `source.rule` ("mrz.composite", "agreement.surname").
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
        self._cut_off = [0] * len(lines)
        self.zone: MrzReading | None = None
        self.card: CardReading | None = None
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

    def decode(self, today: datetime.date, correlation: float) -> None:
        """Reads all frames as one picture."""
        evidence = self.evidence(correlation)
        self.zone = mrz.decode(evidence, today)
        self.card = read_resident_card(evidence[0], today) if self.zone is None and len(evidence) == 1 else None

    @property
    def certain(self) -> bool:
        """Whether it is a document for sure and no other print."""
        return self.zone.certain if self.zone is not None else self.card is not None and self.card.consistent

    @property
    def weak(self) -> bool:
        """Whether the pixels do not carry what was read."""
        reading = self.zone or self.card
        return reading is None or reading.checks["evidence"][0] is not Result.PASS

    def add(self, lines: tuple[LineEvidence, ...]) -> None:
        self.frames += 1
        for total, line in zip(self._sums, lines, strict=True):
            total += np.log(np.maximum(line.probabilities, 1e-6))
        self._quads = [line.quad for line in lines]
        self._cut_off = [count + line.cut_off for count, line in zip(self._cut_off, lines, strict=True)]

    @property
    def clarity(self) -> float:
        """Mean of the largest probability of each character, over all frames as one."""
        shares = [_normalised(total / self.frames).max(axis=1) for total in self._sums]
        return float(np.concatenate(shares).mean())

    def evidence(self, correlation: float) -> list[LineEvidence]:
        """The frames' evidence as that of one picture."""
        damped = [_normalised(total / self.frames**correlation) for total in self._sums]
        cut_off = [2 * count > self.frames for count in self._cut_off]
        return [LineEvidence(*parts) for parts in zip(damped, self._quads, cut_off, strict=True)]


class DocumentFusion:
    """Gathers readings of frames.

    Args:
        today: the date that documents are judged by.
        stop: the policy's limits, for how many frames make `sure`.
    """

    def __init__(self, today: datetime.date, stop: StageLimits | None = None) -> None:
        self._today = today
        self._stop = stop or StageLimits()
        self._limits = parameters("fusion")
        self._documents: list[_Document] = []
        self._licences: dict[bytes, AamvaDocument] = {}
        self._seals: dict[bytes, Seal] = {}
        self._seen = False
        self._main: _Document | None = None

    def add(self, reading: DocumentReading) -> None:
        """One more frame."""
        self._seen |= bool(reading.lines or reading.barcodes)
        for barcode in reading.barcodes:
            if barcode.data not in self._licences:
                licence = aamva.parse(barcode.data, self._today) if barcode.format == "PDF417" else None
                if licence is not None:
                    self._licences[barcode.data] = licence
            if barcode.data not in self._seals and (parsed := seal.parse(barcode.data)) is not None:
                self._seals[barcode.data] = parsed
        self._add_lines(reading.lines if reading.mrz is not None else _number_line(reading.lines))
        self._main = self._answered_for()

    def _add_lines(self, lines: tuple[LineEvidence, ...]) -> None:
        """Counts them to the document that they are of, and reads it anew."""
        if not lines:
            return
        best = max(self._documents, key=lambda each: each.agreement(lines), default=None)
        if best is not None and best.agreement(lines) >= self._limits["agreement"]:
            best.add(lines)
        else:
            best = _Document(lines)
            self._documents.append(best)
        best.decode(self._today, self._limits["correlation"])

    def _answered_for(self) -> _Document | None:
        """The document whose lines are answered for. Where a licence's barcode was read, it says all that badly read
        lines could say, and these are mostly the print beside it."""
        main = max(self._documents, key=lambda each: (each.certain, each.frames, each.clarity), default=None)
        return None if main is None or (self._licences and main.weak) else main

    @property
    def sure(self) -> bool:
        """Whether more frames would not change the answer."""
        reports = self._judge().reports
        if any(report.result is Result.NOT_PERFORMED for report in reports):
            return False
        holds = all(report.result is Result.PASS for report in reports)
        if self._main is None:
            return True  # a barcode has its own error correction: it was read or it was not
        return self._main.frames >= (self._stop.frames_consistent if holds else self._stop.frames_inconsistent)

    @property
    def number_with_portrait(self) -> str | None:
        """The number of the document that is answered for, if its format has the portrait beside it; None if it has it
        on another side, or nothing is known yet."""
        if self._main is None or self._main.weak:
            return None
        if self._main.card is not None:
            return self._main.card.number.text
        zone = self._main.zone
        return zone.fields.document_number if zone is not None and zone.layout in ONE_SIDED else None

    def result(self) -> DocumentResult:
        """What is known now; never raises."""
        judgement = self._judge()
        name, lines = self._format()
        return DocumentResult(
            document_type=judgement.fields.document_type if judgement.fields is not None else None,
            format=name,
            lines=lines,
            fields=judgement.fields,
            checks={report.check: self._weighed(report) for report in judgement.reports},
            details=judgement.details,
        )

    def _weighed(self, report: CheckReport) -> CheckReport:
        """Nothing is said against a document that was seen in too few frames to be sure, as on a busy box."""
        main = self._main
        if report.result is not Result.FAIL or main is None or main.frames >= self._stop.frames_inconsistent:
            return report
        return CheckReport(report.check, Result.NOT_PERFORMED, Reason.EVIDENCE_WEAK, report.method)

    def seal_report(self) -> CheckReport:
        """What can be said of the document's seals without keys."""
        return seal.judge(list(self._seals.values()), self._zone, self._today)

    def seal_shown(self) -> SealShown | None:
        """The seal that the notary should verify, if there is one."""
        return seal.shown(list(self._seals.values()), self._zone, self._today)

    def _format(self) -> tuple[str, tuple[str, ...]]:
        if self._zone is not None:
            return self._zone.layout, self._zone.lines
        if self._main is not None and self._main.card is not None:
            return "GB11643", (self._main.card.number.text,)
        return ("AAMVA", ()) if self._licences else ("", ())

    def _judge(self) -> Judgement:
        licence = next(reversed(self._licences.values()), None)
        card = self._main.card if self._main is not None else None
        return consistency.judge(mrz=self._zone, barcode=licence, card=card, today=self._today, seen=self._seen)

    @property
    def _zone(self) -> MrzReading | None:
        return self._main.zone if self._main is not None else None


def _number_line(lines: tuple[LineEvidence, ...]) -> tuple[LineEvidence, ...]:
    """The line that could be a resident card's number, if one is among them."""
    return tuple(line for line in lines if len(line) == RESIDENT_NUMBER)[:1]


def _normalised(logs: NDArray[np.float64]) -> NDArray[np.float32]:
    shifted = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares
