"""The document stage: frames vote on what the document says, and its portrait is remembered for the match.

Answers `document.read`, `document.consistency` and `document.presentation`; `document.seal` where one is asked for.
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
from device.vision.face.view import FaceFinder, FaceView
from device.vision.stages.base import Findings, StageMachine, Step, failed, not_performed

PORTRAITS_WANTED: Final = 3
"""Views of the portrait that are averaged: successive frames differ in noise and glare, not in the face."""


class Reader(Protocol):
    """What this stage needs of `DocumentReader`."""

    def read(self, image: Image) -> DocumentReading: ...


class Embedder(Protocol):
    """What this stage needs of `FaceEmbedder`."""

    def embed(self, image: Image, landmarks: object) -> NDArray[np.float32]: ...


class PresentationJudge(Protocol):
    """Looks at rectified views of one document; see `device.vision.document.authenticity`."""

    def add(self, document_image: Image, faces: FaceFinder) -> None: ...
    def report(self, document_type: DocumentType | None) -> CheckReport: ...


@dataclass(frozen=True)
class DocumentTools:
    """What the stage looks with. `judge` is None where nobody can judge the presentation."""

    reader: Reader
    faces: FaceFinder
    embedder: Embedder | None
    judge: PresentationJudge | None


class DocumentStage(StageMachine):
    """See the module's text.

    Args:
        tools: what to look with.
        fusion: gathers the readings of successive frames.
        accepted: the types that the policy accepts; empty accepts all.
        findings: where the result and the portrait go.
    """

    stage = Stage.DOCUMENT

    def __init__(
        self, tools: DocumentTools, fusion: DocumentFusion, accepted: tuple[DocumentType, ...], findings: Findings
    ) -> None:
        self._tools = tools
        self._fusion = fusion
        self._accepted = accepted
        self._findings = findings
        self._portraits: list[tuple[float, NDArray[np.float32]]] = []
        self._sure_frames = 0

    @property
    def done(self) -> bool:
        """Sure of the text, and either enough portraits or enough frames to say that there is none."""
        enough_portraits = len(self._portraits) >= PORTRAITS_WANTED or self._tools.embedder is None
        return self._fusion.sure and (enough_portraits or self._sure_frames >= 3 * PORTRAITS_WANTED)

    def observe(self, frame: Frame) -> Step:
        reading = self._tools.reader.read(frame.image)
        self._fusion.add(reading)
        if reading.document_image is not None:
            self._take_portrait(reading.document_image)
            if self._tools.judge is not None:
                self._tools.judge.add(reading.document_image, self._tools.faces)
        if self._fusion.sure:
            self._sure_frames += 1
        return Step(reading.guidance or Guidance.HOLD_STILL)

    def _take_portrait(self, document_image: Image) -> None:
        view = self._tools.faces.look(document_image).main
        if view is None or self._tools.embedder is None or not view.quality.usable_portrait:
            return
        embedding = self._tools.embedder.embed(document_image, view.landmarks)
        self._portraits.append((_rank(view), embedding))
        self._portraits.sort(key=lambda ranked: -ranked[0])
        del self._portraits[PORTRAITS_WANTED:]
        self._findings.portraits = [embedding for _, embedding in self._portraits]

    def reports(self) -> list[CheckReport]:
        result = self._fusion.result()
        self._findings.document = result
        checks = dict(result.checks)
        checks[Check.DOCUMENT_READ] = self._judge_type(result, checks[Check.DOCUMENT_READ])
        checks[Check.DOCUMENT_PRESENTATION] = self._presentation(result)
        checks.setdefault(Check.DOCUMENT_SEAL, not_performed(Check.DOCUMENT_SEAL, Reason.NOT_IMPLEMENTED))
        return list(checks.values())

    def _judge_type(self, result: DocumentResult, read: CheckReport) -> CheckReport:
        unwanted = self._accepted and result.document_type is not None and result.document_type not in self._accepted
        if read.result is Result.PASS and unwanted:
            return failed(Check.DOCUMENT_READ, Reason.DOCUMENT_TYPE_NOT_ACCEPTED, read.method)
        return read

    def _presentation(self, result: DocumentResult) -> CheckReport:
        if self._tools.judge is None:
            return not_performed(Check.DOCUMENT_PRESENTATION, Reason.NOT_IMPLEMENTED)
        return self._tools.judge.report(result.document_type)


def _rank(view: FaceView) -> float:
    return view.landmarks.inter_eye * view.detection.score
