"""Everything that one still picture says about a document.

In: an H×W×3 uint8 RGB image. Out: a `DocumentReading`: the text lines' evidence, the machine readable zone decoded
from it, barcodes, the document cut out straight, and the one thing that would make the next picture better.

    1. propose bands of print (locate.py)
    2. read them until one is a zone whose rules hold (zone.py, textline.py, mrz.py); keep the best one otherwise
    3. look for barcodes (barcode.py)
    4. cut out the document by its zone's geometry, else by its outline (outline.py)
    5. say what to do better, if the zone was not read well
"""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from device.protocol import Guidance, Reason
from device.vision.document import mrz, outline
from device.vision.document.barcode import Barcode, read_barcodes
from device.vision.document.evidence import LineEvidence
from device.vision.document.geometry import Grey, Pyramid
from device.vision.document.locate import find_bands
from device.vision.document.mrz import MrzReading
from device.vision.document.parameters import parameters
from device.vision.document.textline import TextLineReader
from device.vision.document.zone import LENGTHS, ZoneLine, ZoneReader
from device.vision.inference.manifest import Manifest

Image = NDArray[np.uint8]

LINES_OF: Final = {30: 3, 36: 2, 44: 2}
"""How many lines a zone has by their length; a single line of 30 is a driving licence's (ISO/IEC 18013-2)."""


@dataclass(frozen=True, eq=False)
class DocumentReading:
    """One picture's account.

    quad: (4, 2) float32 corners of the document, px (top left, top right, bottom right, bottom left), or None.
    document_image: the document rectified, H×W×3 uint8 RGB, or None.
    lines: evidence of the zone's text lines in reading order; empty where none was found.
    mrz: what the standard makes of them, or None.
    barcodes: as found, not parsed.
    guidance: what the person should do, or None where the zone was read and its rules hold.
    cpu_ms: CPU time of this thread's process, milliseconds.
    has_zone: whether a zone or a barcode is on this side, readable or not.
    """

    quad: NDArray[np.float32] | None
    document_image: Image | None
    lines: tuple[LineEvidence, ...]
    mrz: MrzReading | None
    barcodes: tuple[Barcode, ...]
    guidance: Guidance | None
    cpu_ms: float
    has_zone: bool = False


class DocumentReader:
    """Reads pictures one by one; keeps nothing of them.

    Args:
        manifest: where the text-line network is described.
        threads: of one inference.
        today: the date that documents are judged by; the system's if not given.
        thorough: whether light print, and barcodes at several scales and angles, are looked for where there is no zone
            (stills), or not (live frames).
    """

    def __init__(
        self, manifest: Manifest, threads: int = 1, today: datetime.date | None = None, thorough: bool = True
    ) -> None:
        self._text_lines = TextLineReader(manifest, threads)
        self._zones = ZoneReader(self._text_lines, parameters("zone"))
        self._limits = parameters("reader")
        self._today = today
        self._thorough = thorough
        self.measurements = {self._text_lines.name: self._text_lines.measurement}
        """SHA-256 of the models that it reads with, by name."""

    def read(self, image: Image) -> DocumentReading:
        """What the picture says; never raises for what it shows."""
        began = time.process_time()
        grey: Grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
        lines, reading = self._zone(grey, began)
        if not lines and self._thorough:  # light print on dark ground
            lines, reading = self._zone(np.asarray(255 - grey, np.uint8), began)
        barcodes = read_barcodes(image, thorough=self._thorough and not lines)
        quad = outline.from_zone([(line.box, len(line.reading)) for line in lines]) if self._clear(lines) else None
        if quad is None:
            quad = outline.from_edges(image)
        return DocumentReading(
            quad=quad,
            document_image=outline.rectify(image, quad) if quad is not None else None,
            lines=tuple(line.evidence for line in lines),
            mrz=reading,
            barcodes=barcodes,
            guidance=self._guidance(grey, lines, reading, quad is not None or bool(barcodes)),
            cpu_ms=(time.process_time() - began) * 1000,
            has_zone=self._clear(lines) or bool(barcodes),
        )

    def _zone(self, grey: Grey, began: float) -> tuple[list[ZoneLine], MrzReading | None]:
        """The zone's lines and their reading: the first whose rules hold, else the one that is seen best."""
        pyramid = Pyramid(grey)
        best: tuple[tuple[bool, float], list[ZoneLine], MrzReading | None] = ((False, 0.0), [], None)
        for band in find_bands(grey)[: int(self._limits["bands"])]:
            for lines in _candidates(self._zones.read(pyramid, band)):
                reading = mrz.decode([line.evidence for line in lines], self._day())
                if reading is not None and _holds(reading):
                    return lines, reading
                rank = (reading is not None, sum(line.reading.score for line in lines))
                if rank > best[0]:
                    best = rank, lines, reading
            if self._complete(best[1]) or (time.process_time() - began) * 1000 > self._limits["budget_ms"]:
                break
        return best[1], best[2]

    def _complete(self, lines: list[ZoneLine]) -> bool:
        """Whether these are all lines of a zone, seen throughout: then no other band can be it."""
        clarity = min((line.reading.clarity for line in lines), default=0.0)
        lengths = {len(line.reading) for line in lines}
        whole = len(lengths) == 1 and LINES_OF.get(min(lengths)) == len(lines)
        return whole and clarity >= self._limits["complete"]

    def _clear(self, lines: list[ZoneLine]) -> bool:
        """Whether the lines are a zone's for sure, so that the document can be told from where they are: other print is
        read as one too, but never clearly."""
        return any(line.evidence.confidence >= self._limits["clear"] for line in lines)

    def _day(self) -> datetime.date:
        return self._today or datetime.datetime.now(tz=datetime.UTC).date()

    def _guidance(
        self, grey: Grey, lines: list[ZoneLine], reading: MrzReading | None, something: bool
    ) -> Guidance | None:
        limits = self._limits
        if reading is not None and _holds(reading):
            return None
        if float(grey.mean()) < limits["dark"]:
            return Guidance.TOO_DARK
        if not lines:
            return Guidance.DOCUMENT_UNCLEAR if something else Guidance.SHOW_DOCUMENT
        if min(line.pitch for line in lines) < limits["closer_px"]:
            return Guidance.MOVE_CLOSER
        if _blown_out(grey, lines) > limits["glare"]:
            return Guidance.GLARE
        if min(line.evidence.confidence for line in lines) < limits["blurred"]:
            return Guidance.HOLD_STILL
        return Guidance.DOCUMENT_UNCLEAR


def _holds(reading: MrzReading) -> bool:
    """Whether the zone was read for sure: its rules hold, or all that speaks against it is the calendar."""
    return reading.reason in (None, Reason.DOCUMENT_EXPIRED)


def _candidates(lines: list[ZoneLine]) -> list[list[ZoneLine]]:
    """Which of the lines could be a zone together: neighbours of one standard length; the lowest first."""
    found: list[list[ZoneLine]] = []
    for length in LENGTHS:
        same = [line for line in lines if len(line.reading) == length]
        count = LINES_OF[length]
        found.extend(same[start : start + count] for start in range(len(same) - count, -1, -1))
        if length == 30 and len(same) in (1, 2):
            found.extend([line] for line in same)
    return found or ([lines] if lines else [])


def _blown_out(grey: Grey, lines: list[ZoneLine]) -> float:
    """Share of the worst line's pixels at the top of the scale, beyond what white paper explains."""
    pyramid = Pyramid(grey)
    worst = 0.0
    for line in lines:
        cut = line.place.cut(pyramid, 16)
        first, last = int(max(line.reading.centres[0], 0)), int(line.reading.centres[-1])
        part = cut[:, first : last + 1]
        if part.size:
            columns = (part >= 252).all(axis=0)  # a character's column is never white all through in good light
            worst = max(worst, float(columns.mean()) - 0.35)
    return worst
