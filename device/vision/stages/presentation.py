"""`document.presentation` over several pictures: single judgements are noisy, so the majority of a few decides.

In: rectified pictures of the document and the faces found on them. Out: a `CheckReport`. The pictures are kept until
the type of the document is known, and go with the worker.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from device.protocol import Check, CheckReport, DocumentType, Reason, Result
from device.vision.camera.base import Image
from device.vision.document import authenticity
from device.vision.face.detector import Detection
from device.vision.stages.base import not_performed

PICTURES: Final = 5
"""Pictures that are judged, the newest of the side with the portrait first."""


class PresentationVotes:
    """Collects pictures of one document and judges them at the end."""

    def __init__(self) -> None:
        self._front: list[tuple[Image, tuple[Detection, ...]]] = []
        self._other: list[tuple[Image, tuple[Detection, ...]]] = []

    def add(self, document_image: Image, faces: tuple[Detection, ...]) -> None:
        """Takes in one picture, H x W x 3 uint8 RGB, and the faces on it."""
        pile = self._front if faces else self._other
        pile.append((document_image, faces))
        del pile[:-PICTURES]

    def report(self, document_type: DocumentType | None) -> CheckReport:
        """What most of the pictures that show the portrait say; of any side, if none shows one."""
        pictures = self._front or self._other
        kind = document_type or DocumentType.OTHER
        answers = [authenticity.assess(image, faces, kind).report for image, faces in pictures]
        if not answers:
            return not_performed(Check.DOCUMENT_PRESENTATION, Reason.DOCUMENT_NOT_FOUND)
        failed = [answer for answer in answers if answer.result is Result.FAIL]
        passed = [answer for answer in answers if answer.result is not Result.FAIL]
        majority = failed if len(failed) > len(passed) else passed
        (result, reason), _ = Counter((answer.result, answer.reason) for answer in majority).most_common(1)[0]
        return next(answer for answer in majority if (answer.result, answer.reason) == (result, reason))
