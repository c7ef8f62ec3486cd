"""The holding stage: the person and their document in one frame, the small face on it the portrait read before.

It ties the document that was read to the person who is here: without it, the document could be shown by one
person and the face by another. The portrait is followed while the card is held, has to match more often than not, and
has to move by itself: a picture of a person with a card moves as one.
"""

from __future__ import annotations

from typing import Final

from device.protocol import Check, CheckReport, FmrLevel, Guidance, Reason, Stage
from device.vision.camera.base import Frame, Image
from device.vision.face.matcher import FaceMatcher
from device.vision.face.view import FaceFinder, FaceView
from device.vision.liveness.apart import Apart
from device.vision.stages.base import Findings, StageMachine, Step, failed, not_performed, passed
from device.vision.stages.document import Embedder

MATCHES_WANTED: Final = 3
LOOKS_ENOUGH: Final = 12
"""Looks at the portrait in hand before anything is said against a person: a box too busy to look says nothing."""
PORTRAIT_TO_FACE: Final = (0.08, 0.75)
"""Width of the printed portrait as a share of the live face's: a second person at the box is not that small,
and a card held closer to the lens than the face is not larger (ICAO 9303-3: portraits are 22 to 35 mm wide)."""
FACES_LOOKED_AT: Final = 3
"""Small faces beside the live one that are compared in one frame, the largest first."""
LIVE_SHARE: Final = 0.08
"""A face narrower than this share of the picture is on the document, or far away: nobody is at the box."""
PERSON_SEEN: Final = 0.2
"""Share of the frames in which a person was there for the stage to say that one was: single frames can be mistaken."""
METHOD: Final = "portrait-in-hand-2"


class HoldingStage(StageMachine):
    """See the module's text.

    Args:
        faces: finds the faces.
        embedder: compares the small face with the portrait; None if the model is missing.
        matcher: thresholds of that embedder.
        findings: has the portrait of the document stage.
    """

    stage = Stage.HOLDING

    def __init__(
        self, faces: FaceFinder, embedder: Embedder | None, matcher: FaceMatcher | None, findings: Findings
    ) -> None:
        self._faces = faces
        self._embedder = embedder
        self._matcher = matcher
        self._findings = findings
        self._matches = 0
        self._mismatches = 0
        self._portrait: FaceView | None = None
        self._apart = Apart()
        self._looks = 0
        self._with_person = 0
        self._trouble = Reason.HOLDING_NOT_SEEN

    @property
    def done(self) -> bool:
        if not self._able:
            return True
        return (self._matched and self._apart.moved) or self._mismatched

    @property
    def _able(self) -> bool:
        return self._embedder is not None and self._matcher is not None and bool(self._findings.portraits)

    @property
    def _matched(self) -> bool:
        return self._matches >= MATCHES_WANTED and self._matches > self._mismatches

    @property
    def _mismatched(self) -> bool:
        return self._mismatches >= LOOKS_ENOUGH and self._mismatches >= self._matches

    def observe(self, frame: Frame) -> Step:
        if not self._able:
            return Step(Guidance.WAIT)
        self._looks += 1
        live = self._faces.look(frame.image).main
        if live is None or _width(live) < LIVE_SHARE * live.shape[1]:
            return Step(Guidance.SHOW_FACE)
        self._with_person += 1
        low, high = (_width(live) * share for share in PORTRAIT_TO_FACE)
        others = self._others(frame.image, live)
        if any(_width(view) > high for view in others):
            self._trouble = Reason.FACE_MULTIPLE
            return Step(Guidance.ONE_PERSON, live)
        self._trouble = Reason.HOLDING_NOT_SEEN
        small = [view for view in others if _width(view) >= low][:FACES_LOOKED_AT]
        if not small:
            self._portrait = None
            return Step(Guidance.HOLD_DOCUMENT_BESIDE_FACE, live)
        # Somebody who passes behind is as small as a portrait: only one that matched is followed.
        self._portrait = next((view for view in small if self._is_the_portrait(frame.image, view)), None)
        if self._portrait is not None:
            self._matches += 1
            self._apart.add(live.landmarks.box, self._portrait.landmarks.box)
        else:
            self._mismatches += 1
        # Whoever brought the card into the picture while it was looked at is not asked to move it again.
        return Step(Guidance.MOVE_CLOSER if self._matched and not self._apart.moved else Guidance.HOLD_STILL, live)

    def _others(self, image: Image, live: FaceView) -> list[FaceView]:
        """Faces beside the live one. Once the portrait was found, only where it was: a search costs many looks."""
        tracked = self._faces.near(image, self._portrait) if self._portrait is not None else None
        found = [tracked] if tracked is not None else self._faces.search(image)
        return [view for view in found if not _same(view, live)]

    def _is_the_portrait(self, image: Image, portrait: FaceView) -> bool:
        assert self._embedder is not None
        assert self._matcher is not None
        probe = self._embedder.embed(image, portrait.landmarks)
        # The portrait in hand is a few dozen pixels wide: the level is one that such a picture can meet, and the
        # question is only whether it is the same card. The person is matched at the policy's level in the selfie.
        return self._matcher.match(self._findings.portraits, [probe], FmrLevel.E2).result

    def reports(self) -> list[CheckReport]:
        check = Check.HOLDING
        if self._embedder is None or self._matcher is None:
            return [not_performed(check, Reason.MODEL_MISSING, METHOD)]
        if not self._findings.portraits:
            return [not_performed(check, Reason.PORTRAIT_MISSING, METHOD)]
        if self._matched:
            if self._apart.moved:
                return [passed(check, METHOD)]
            if self._matches >= LOOKS_ENOUGH:
                return [failed(check, Reason.MOVES_AS_PLANE, METHOD)]
            return [not_performed(check, Reason.HOLDING_NOT_SEEN, METHOD)]
        if self._mismatched:
            return [failed(check, Reason.PORTRAIT_MISMATCH, METHOD)]
        nobody = self._with_person < PERSON_SEEN * self._looks
        return [not_performed(check, Reason.FACE_NOT_FOUND if nobody else self._trouble, METHOD)]


def _width(view: FaceView) -> float:
    left, _, right, _ = view.landmarks.box
    return right - left


def _same(view: FaceView, live: FaceView) -> bool:
    """Whether two views are of the same face: the middle of one lies within the other."""
    left, top, right, bottom = live.landmarks.box
    x, y = view.landmarks.points[:, :2].mean(axis=0)
    return bool(left <= x <= right and top <= y <= bottom)
