"""The document stages: frames vote on what the document says, and its portrait is remembered for the match.

A passport shows portrait and zone on one page. A card has the portrait on the front and, in its TD1 format, the zone
on the back: whichever side was shown first, the second stage asks for the other.
Answers `document.read`, `document.consistency`, `document.presentation` and, where one is asked for, `document.seal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from device.protocol import Check, CheckReport, DocumentType, Guidance, Reason, Result, Stage
from device.vision.camera.base import Frame, Image
from device.vision.document.fusion import DocumentFusion, DocumentResult
from device.vision.document.reader import DocumentReading
from device.vision.face.landmarks import Landmarks
from device.vision.face.matcher import FaceMatcher
from device.vision.face.view import FaceFinder, FaceScene, FaceView
from device.vision.stages.base import Findings, StageMachine, Step, failed, not_performed
from device.vision.stages.document_portraits import PORTRAITS_WANTED, DocumentPortraits
from device.vision.stages.presentation import PresentationVotes

OTHER_SIDE_AFTER: Final = 8
"""Frames in which one half of the document is settled and the other was not seen: it is on the other side."""
PORTRAIT_SHARE: Final = (0.08, 0.33)
"""Width of the face as a share of the document's long side: a portrait is 22 to 35 mm wide (ICAO 9303-3) with a face
of two thirds of that, on 85.6 mm (ID-1) to 125 mm (TD3). Another face in a frame around it is not a portrait."""


class Reader(Protocol):
    """What this stage needs of `DocumentReader`."""

    def read(self, image: Image) -> DocumentReading: ...


class Embedder(Protocol):
    """What the stages need of `FaceEmbedder`."""

    def embed(self, image: Image, landmarks: Landmarks) -> NDArray[np.float32]: ...

    def embed_frame(self, image: Image, landmarks: Landmarks, number: int) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class DocumentTools:
    """What the stages look with. `embedder` and `presentation` are None where there is none, or nobody asked; `matcher`
    has the thresholds of that embedder."""

    reader: Reader
    faces: FaceFinder
    embedder: Embedder | None
    presentation: PresentationVotes | None
    matcher: FaceMatcher | None = None


class DocumentSides:
    """What both stages have seen of one document.

    Args:
        tools: what to look with.
        fusion: gathers the readings of successive frames.
        findings: where the portrait's embeddings go.
    """

    def __init__(self, tools: DocumentTools, fusion: DocumentFusion, findings: Findings) -> None:
        self._tools = tools
        self.fusion = fusion
        self._findings = findings
        self._portraits = DocumentPortraits(tools.matcher)
        self._since_zone = 0
        self._since_portrait = 0

    def observe(self, frame: Frame) -> Guidance | None:
        """Takes in one frame; says what would make the next one better, or None if this one was read well."""
        reading = self._tools.reader.read(frame.image)
        self.fusion.add(reading)
        self._since_zone = 0 if reading.has_zone else self._since_zone + 1
        self._since_portrait += 1
        if reading.document_image is not None:
            image, scene = self._look(reading.document_image)
            self._take_portrait(image, scene.main, reading.number)
            if self._tools.presentation is not None:
                self._tools.presentation.add(image, scene.detections)
        # Which document is answered for can change with each frame, and with it whose portraits count.
        self._findings.portraits = self._portraits.best(self.fusion.number_with_portrait)
        return reading.guidance

    def _look(self, document_image: Image) -> tuple[Image, FaceScene]:
        """The faces on the document, and its picture turned so that its portrait is upright."""
        scene = self._tools.faces.look(document_image)
        # One look misses a tenth of portraits, the small ones. A search is dear: now and then, until known.
        if scene.main is None and self.portraits_seen < PORTRAITS_WANTED and self._since_portrait % 3 == 1:
            found = self._tools.faces.search(document_image)
            scene = FaceScene(tuple(view.detection for view in found), next(iter(found), None))
        # An outline has its long side on top, whichever that is: upright cards lie, and others may be upside down.
        turns = round(scene.main.pose.roll / 90) if scene.main is not None else 0
        if turns == 0:
            return document_image, scene
        turned = np.ascontiguousarray(np.rot90(document_image, turns))
        upright = self._tools.faces.look(turned)
        return (turned, upright) if upright.main is not None else (document_image, scene)

    def _take_portrait(self, image: Image, view: FaceView | None, number: str | None) -> None:
        if view is None or not view.quality.usable_portrait or not _portrait_sized(view):
            return
        self._since_portrait = 0
        embedder = self._tools.embedder
        embedding = embedder.embed(image, view.landmarks) if embedder is not None else None
        self._portraits.add(view.landmarks.inter_eye * view.detection.score, number, embedding)

    @property
    def portraits_seen(self) -> int:
        """Views of the portrait of the document that is answered for."""
        return self._portraits.seen(self.fusion.number_with_portrait)

    @property
    def complete(self) -> bool:
        """The text is sure and the portrait known."""
        return self.fusion.sure and self.portraits_seen >= PORTRAITS_WANTED

    @property
    def zone_is_elsewhere(self) -> bool:
        """A portrait is known, and no zone is on this side."""
        return self._portraits.seen(None) >= PORTRAITS_WANTED and self._since_zone >= OTHER_SIDE_AFTER

    @property
    def portrait_is_elsewhere(self) -> bool:
        """The text is sure, and no portrait is on this side."""
        return self.fusion.sure and self._since_portrait >= OTHER_SIDE_AFTER

    def presentation(self, document_type: DocumentType | None) -> CheckReport:
        """What the pictures say of how the document was presented."""
        if self._tools.presentation is None:
            return not_performed(Check.DOCUMENT_PRESENTATION, Reason.NOT_REQUIRED)
        return self._tools.presentation.report(document_type)


class DocumentStage(StageMachine):
    """The first side that is shown, or (`stage` is `DOCUMENT_BACK`) the other one.

    Args:
        stage: `DOCUMENT` or `DOCUMENT_BACK`.
        sides: shared by both stages.
        accepted: the types that the policy accepts; empty accepts all.
        findings: where the result goes.
    """

    def __init__(
        self, stage: Stage, sides: DocumentSides, accepted: tuple[DocumentType, ...], findings: Findings
    ) -> None:
        self.stage = stage
        self._sides = sides
        self._accepted = accepted
        self._findings = findings

    @property
    def done(self) -> bool:
        return self._sides.complete or self._turn_over

    @property
    def _turn_over(self) -> bool:
        first = self.stage is Stage.DOCUMENT
        return first and (self._sides.zone_is_elsewhere or self._sides.portrait_is_elsewhere)

    def observe(self, frame: Frame) -> Step:
        better = self._sides.observe(frame)
        asking = self.stage is Stage.DOCUMENT_BACK and better in (Guidance.SHOW_DOCUMENT, Guidance.DOCUMENT_UNCLEAR)
        if asking and not self._sides.fusion.sure:
            return Step(Guidance.SHOW_DOCUMENT_BACK)
        if self.stage is Stage.DOCUMENT_BACK and self._sides.portrait_is_elsewhere:
            return Step(Guidance.SHOW_DOCUMENT)
        return Step(better or Guidance.HOLD_STILL)

    def reports(self) -> list[CheckReport]:
        if self._turn_over and not self._sides.complete:
            return []  # the other side has the rest
        result = self._sides.fusion.result()
        self._findings.document = result
        checks = dict(result.checks)
        checks[Check.DOCUMENT_READ] = self._judge_type(result, checks[Check.DOCUMENT_READ])
        checks[Check.DOCUMENT_PRESENTATION] = self._sides.presentation(result.document_type)
        checks[Check.DOCUMENT_SEAL] = self._sides.fusion.seal_report()
        self._findings.seal = self._sides.fusion.seal_shown()
        return list(checks.values())

    def _judge_type(self, result: DocumentResult, read: CheckReport) -> CheckReport:
        unwanted = self._accepted and result.document_type is not None and result.document_type not in self._accepted
        if read.result is Result.PASS and unwanted:
            return failed(Check.DOCUMENT_READ, Reason.DOCUMENT_TYPE_NOT_ACCEPTED, read.method)
        return read


def _portrait_sized(view: FaceView) -> bool:
    left, _, right, _ = view.detection.box
    return PORTRAIT_SHARE[0] <= (right - left) / max(view.shape) <= PORTRAIT_SHARE[1]
