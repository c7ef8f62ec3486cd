"""Everything that one still picture says about a document.

In: an H×W×3 uint8 RGB image. Out: a `DocumentReading`: the text lines' evidence, the machine readable zone decoded
from it, barcodes, the document cut out straight, and the one thing that would make the next picture better.

    1. look for the zone (zone_search.py)
    2. look for barcodes (barcode.py)
    3. cut out the document by its zone's geometry, else by its outline (outline.py)
    4. say what to do better, if the zone was not read well
"""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from device.protocol import Guidance
from device.vision.document import aamva, outline
from device.vision.document.barcode import Barcode, read_barcodes
from device.vision.document.evidence import LineEvidence
from device.vision.document.geometry import Grey, Pyramid
from device.vision.document.mrz import MrzReading
from device.vision.document.national import CardReading
from device.vision.document.parameters import parameters
from device.vision.document.textline import TextLineReader
from device.vision.document.zone import ZoneReader
from device.vision.document.zone_line import ZoneLine
from device.vision.document.zone_search import Zone, ZoneSearch
from device.vision.inference.manifest import Manifest

Image = NDArray[np.uint8]


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
    has_zone: whether a zone, a resident card's number or a licence's barcode is on this side for sure: two check digits
        hold, or the barcode was parsed. Other barcodes, and other print, stand on the sides without one too.
    card: what the number of a resident identity card says, or None; `lines` is then that number.
    """

    quad: NDArray[np.float32] | None
    document_image: Image | None
    lines: tuple[LineEvidence, ...]
    mrz: MrzReading | None
    barcodes: tuple[Barcode, ...]
    guidance: Guidance | None
    cpu_ms: float
    has_zone: bool = False
    card: CardReading | None = None

    @property
    def number(self) -> str | None:
        """The document's number as read in this picture; None without a zone or a card's number."""
        if self.mrz is not None:
            return self.mrz.fields.document_number
        return self.card.number.text if self.card is not None else None


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
        self._limits = parameters("reader")
        self._search = ZoneSearch(ZoneReader(self._text_lines, parameters("zone")), self._limits)
        self._today = today
        self._thorough = thorough
        self.measurements = {self._text_lines.name: self._text_lines.measurement}
        """SHA-256 of the models that it reads with, by name."""

    def read(self, image: Image) -> DocumentReading:
        """What the picture says; never raises for what it shows."""
        began = time.process_time()
        grey: Grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
        zone = self._search.find(grey, self._day())
        if not zone.lines and self._thorough:  # light print on dark ground
            zone = self._search.find(np.asarray(255 - grey, np.uint8), self._day())
        lines = zone.lines
        barcodes = read_barcodes(image, thorough=self._thorough and not lines)
        quad = outline.from_zone([(line.box, len(line.reading)) for line in lines]) if self._clear(lines) else None
        if quad is None:
            quad = outline.from_edges(image)
        return DocumentReading(
            quad=quad,
            document_image=outline.rectify(image, quad) if quad is not None else None,
            lines=tuple(line.evidence for line in lines),
            mrz=zone.reading,
            barcodes=barcodes,
            guidance=self._guidance(grey, zone, quad is not None or bool(barcodes)),
            cpu_ms=(time.process_time() - began) * 1000,
            has_zone=zone.holds or zone.digits_held > 1 or self._any_licence(barcodes),
            card=zone.card,
        )

    def _clear(self, lines: list[ZoneLine]) -> bool:
        """Whether the lines are a zone's for sure, so that the document can be told from where they are: other print is
        read as one too, but never clearly."""
        return any(line.evidence.confidence >= self._limits["clear"] for line in lines)

    def _any_licence(self, barcodes: tuple[Barcode, ...]) -> bool:
        return any(code.format == "PDF417" and aamva.parse(code.data, self._day()) is not None for code in barcodes)

    def _day(self) -> datetime.date:
        return self._today or datetime.datetime.now(tz=datetime.UTC).date()

    def _guidance(self, grey: Grey, zone: Zone, something: bool) -> Guidance | None:
        limits, lines = self._limits, zone.lines
        if zone.holds:
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
