"""Votes over pictures of one document: one majority, and the most common answer within it."""

import numpy as np
import pytest

from device.protocol import Check, CheckReport, DocumentType, Reason, Result
from device.vision.document import authenticity
from device.vision.stages import presentation
from device.vision.stages.presentation import PICTURES, PresentationVotes

COPY, SCREEN, PASS = Reason.DOCUMENT_COPY, Reason.DOCUMENT_RECAPTURE, None


def voted(monkeypatch, reasons, faces=("a face",)):
    """What comes of pictures that are answered so; the picture's only pixel tells which it is."""

    def assess(image, _faces, _kind):
        reason = reasons[int(image[0, 0, 0])]
        result = Result.PASS if reason is PASS else Result.FAIL
        report = CheckReport(Check.DOCUMENT_PRESENTATION, result, reason, "test")
        return authenticity.Presentation(report, {}, {})

    monkeypatch.setattr(presentation.authenticity, "assess", assess)
    votes = PresentationVotes()
    for number in range(len(reasons)):
        votes.add(np.full((1, 1, 3), number, np.uint8), faces)
    return votes.report(DocumentType.PASSPORT)


@pytest.mark.parametrize(
    ("reasons", "reason"),
    [
        ([PASS, COPY, PASS], PASS),
        ([COPY, COPY, PASS], COPY),
        ([COPY, PASS], PASS),
        ([COPY, SCREEN, SCREEN, PASS, PASS], SCREEN),
        ([COPY, COPY, SCREEN], COPY),
    ],
    ids=["one_slip", "most_fail", "a_tie_is_no_majority", "failures_count_together", "the_most_common_failure"],
)
def test_the_majority_decides(monkeypatch, reasons, reason):
    report = voted(monkeypatch, reasons)
    assert report.reason is reason
    assert report.result is (Result.PASS if reason is None else Result.FAIL)


def test_only_the_newest_pictures_count(monkeypatch):
    assert voted(monkeypatch, [COPY] * PICTURES + [PASS] * PICTURES).result is Result.PASS


def test_no_picture_is_not_performed():
    assert PresentationVotes().report(None).result is Result.NOT_PERFORMED
