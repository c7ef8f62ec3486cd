"""The session on lists of frames, with scripted stages: order, limits, what is said, what is reported."""

from datetime import date

import numpy as np
import pytest

from device.protocol import (
    CameraKind,
    Check,
    CheckReport,
    Finished,
    Guidance,
    Progress,
    Reason,
    Result,
    SealShown,
    Stage,
    StageLimits,
    StartCheck,
)
from device.vision.camera.base import CameraIdentity, Frame
from device.vision.camera.watch import CameraWatch
from device.vision.session import Plan, Session
from device.vision.stages.base import StageMachine, Step, not_performed, passed

CAMERA = CameraIdentity(CameraKind.EMULATED, "test")
NOISE = np.random.default_rng(1)


def frame(time, number=0, image=None):
    if image is None:
        image = NOISE.integers(60, 200, (48, 64, 3), dtype=np.uint8)
    return Frame(image, time, number, CAMERA)


def frames(seconds, fps=10.0, start=0.0):
    return [frame(start + n / fps, n) for n in range(int(seconds * fps))]


class Scripted(StageMachine):
    """Answers its check with pass after so many frames, or never."""

    def __init__(self, stage, check, needed):
        self.stage = stage
        self._check = check
        self._needed = needed
        self.seen = 0

    @property
    def done(self):
        return self._needed is not None and self.seen >= self._needed

    def observe(self, _frame):
        self.seen += 1
        return Step(Guidance.HOLD_STILL)

    def reports(self):
        if self.done:
            return [passed(self._check, "scripted")]
        return [not_performed(self._check, Reason.TIME_LIMIT, "scripted")]


def task(**changes):
    asked = {
        "verification": "v" * 16,
        "challenge_seed": bytes(32),
        "documents": (),
        "checks": (Check.DOCUMENT_READ, Check.HOLDING, Check.FACE_MATCH),
        "limits": StageLimits(),
    }
    return StartCheck(**(asked | changes))


def session(needed=(3, 3, 3), limits=(5.0, 5.0, 5.0), **changes):
    stages = [(Stage.DOCUMENT, Check.DOCUMENT_READ), (Stage.HOLDING, Check.HOLDING), (Stage.SELFIE, Check.FACE_MATCH)]
    plan = Plan(
        [
            (lambda _findings, stage=stage, check=check, count=count: Scripted(stage, check, count), limit)
            for (stage, check), count, limit in zip(stages, needed, limits, strict=True)
        ]
    )
    return Session(task(**changes), plan, CameraWatch(), date(2026, 1, 1))


def run(machine, sequence):
    said = []
    for item in sequence:
        said += machine.observe(item)
        if machine.finished:
            break
    return said


def outcome(said):
    assert isinstance(said[-1], Finished)
    return {report.check: report for report in said[-1].checks}


def test_stages_follow_each_other_and_every_check_is_answered():
    said = run(session(), frames(5))
    stages = [message.stage for message in said if isinstance(message, Progress)]
    assert list(dict.fromkeys(stages)) == [Stage.DOCUMENT, Stage.HOLDING, Stage.SELFIE]
    assert all(report.result is Result.PASS for report in outcome(said).values())
    assert set(said[-1].milliseconds) == {Stage.DOCUMENT, Stage.HOLDING, Stage.SELFIE}


def test_a_stage_ends_at_its_limit_and_the_next_goes_on():
    said = run(session(needed=(None, 3, 3), limits=(1.0, 5.0, 5.0)), frames(10))
    checks = outcome(said)
    assert checks[Check.DOCUMENT_READ] == CheckReport(
        Check.DOCUMENT_READ, Result.NOT_PERFORMED, Reason.TIME_LIMIT, "scripted"
    )
    assert checks[Check.FACE_MATCH].result is Result.PASS


def test_a_decisive_check_that_did_not_pass_ends_it_at_once():
    machine = session(needed=(None, 3, 3), limits=(1.0, 5.0, 5.0), decisive=(Check.DOCUMENT_READ,))
    checks = outcome(run(machine, frames(10)))
    assert checks[Check.FACE_MATCH].result is Result.NOT_PERFORMED
    assert checks[Check.FACE_MATCH].reason is Reason.NOT_REACHED


class Sealed(Scripted):
    """A document stage whose seal fits the document and waits for the notary, who has the certificates."""

    def __init__(self, reason):
        super().__init__(Stage.DOCUMENT, Check.DOCUMENT_READ, 2)
        self._reason = reason

    def reports(self):
        return [passed(Check.DOCUMENT_READ, "scripted"), not_performed(Check.DOCUMENT_SEAL, self._reason, "scripted")]


@pytest.mark.parametrize(
    ("reason", "stages"),
    [(Reason.SEAL_UNTRUSTED, [Stage.DOCUMENT, Stage.SELFIE]), (Reason.SEAL_MISSING, [Stage.DOCUMENT])],
)
def test_a_decisive_seal_that_only_the_notary_can_judge_ends_nothing(reason, stages):
    plan = Plan(
        [
            (lambda _findings: Sealed(reason), 5.0),
            (lambda _findings: Scripted(Stage.SELFIE, Check.FACE_MATCH, 3), 5.0),
        ]
    )
    checks = (Check.DOCUMENT_READ, Check.DOCUMENT_SEAL, Check.FACE_MATCH)
    said = run(Session(task(checks=checks, decisive=checks), plan, CameraWatch(), date(2026, 1, 1)), frames(5))
    seen = [message.stage for message in said if isinstance(message, Progress)]
    assert list(dict.fromkeys(seen)) == stages


def test_only_checks_that_were_asked_for_are_reported():
    said = run(session(checks=(Check.FACE_MATCH,)), frames(5))
    assert set(outcome(said)) == {Check.FACE_MATCH}


def test_after_the_end_nothing_is_said():
    machine = session()
    run(machine, frames(5))
    assert machine.observe(frame(99.0)) == []
    assert machine.tick(100.0) == []
    assert machine.camera_lost(101.0) == []


def test_a_lost_camera_is_the_reason_for_all_that_follows():
    machine = session()
    run(machine, frames(0.2))
    checks = outcome(machine.camera_lost(0.3))
    assert {report.reason for report in checks.values()} == {Reason.CAMERA_LOST}


def test_a_frozen_camera_is_said_within_two_seconds_and_then_ends_it():
    machine = session(needed=(None, 3, 3), limits=(60.0, 5.0, 5.0))
    still = frame(0.0).image
    said = []
    for n in range(200):
        new = machine.observe(frame(n / 10, n, still))
        if any(isinstance(m, Progress) and m.guidance is Guidance.CAMERA_PROBLEM for m in new) and not said:
            said.append(n / 10)
        if machine.finished:
            break
    assert said[0] <= 2.0
    checks = outcome(new)
    assert checks[Check.DOCUMENT_READ].reason is Reason.CAMERA_FROZEN


def test_frames_that_never_come_end_it_too():
    machine = session(needed=(None, 3, 3), limits=(60.0, 5.0, 5.0))
    machine.observe(frame(0.0))
    said = []
    now = 0.0
    while not machine.finished:
        now += 0.5
        said += machine.tick(now)
        assert now < 60
    assert outcome(said)[Check.DOCUMENT_READ].reason in (Reason.CAMERA_LOST, Reason.CAMERA_SLOW, Reason.CAMERA_FROZEN)


def test_a_covered_lens_has_the_whole_time_limit_and_is_named():
    machine = session(needed=(None, 3, 3), limits=(8.0, 5.0, 5.0), decisive=(Check.DOCUMENT_READ,))
    dark = [frame(n / 10, n, NOISE.integers(0, 4, (48, 64, 3), dtype=np.uint8)) for n in range(200)]
    said = run(machine, dark)
    assert outcome(said)[Check.DOCUMENT_READ].reason is Reason.CAMERA_BLACK
    assert said[-1].milliseconds[Stage.DOCUMENT] == pytest.approx(8000, abs=200)


def test_what_is_said_is_throttled():
    said = run(session(needed=(None, 3, 3), limits=(30.0, 5.0, 5.0)), frames(40, fps=30))
    document = [m for m in said if isinstance(m, Progress) and m.stage is Stage.DOCUMENT]
    assert len(document) <= 12, "an unchanged guidance is repeated every few seconds only"


@pytest.mark.parametrize("asked", [True, False])
def test_a_seal_leaves_only_where_it_was_asked_for(asked):
    seal = SealShown(b"signed", b"signature", "UTSG", "7A")

    class Sealed(Scripted):
        def reports(self):
            found.seal = seal
            return super().reports()

    found = None

    def make(findings):
        nonlocal found
        found = findings
        return Sealed(Stage.DOCUMENT, Check.DOCUMENT_READ, 1)

    checks = (Check.DOCUMENT_READ, *((Check.DOCUMENT_SEAL,) if asked else ()))
    said = run(Session(task(checks=checks), Plan([(make, 5.0)]), CameraWatch(), date(2026, 1, 1)), frames(1))
    assert [message for message in said if isinstance(message, SealShown)] == ([seal] if asked else [])
    assert isinstance(said[-1], Finished)
