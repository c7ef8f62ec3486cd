"""One verification as a state machine: frames in, messages out. No IO, so that any list of frames tests it.

The stages follow each other: document, then holding (if asked for), then selfie. Each has a time limit on the clock
of the frames. `observe` takes a frame, `tick` the passing of time without one, `camera_lost` the end of the camera;
each returns the messages that the world may hear. After `Finished` the session is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from device.protocol import (
    Check,
    CheckReport,
    Finished,
    Guidance,
    Progress,
    Reason,
    Result,
    SealShown,
    Stage,
    StartCheck,
)
from device.vision.camera.base import Frame
from device.vision.camera.watch import CameraWatch
from device.vision.document.attributes import attributes, subject
from device.vision.outbox import Outbox
from device.vision.stages.base import Findings, StageMachine, Step, not_performed

CAMERA_PATIENCE = 5.0
"""Seconds after which a camera that is frozen or slow ends the verification: it does not come back by itself.
A black picture may be a hand over the lens, so it has the stage's own time limit."""

Said = Progress | SealShown | Finished
StageMaker = Callable[[Findings], StageMachine]


@dataclass(frozen=True)
class Plan:
    """The stages to go through, each with its time limit in seconds. One done before it began is passed over."""

    stages: Sequence[tuple[StageMaker, float]]


class Session:
    """See the module's text.

    Args:
        task: what the notary asked for.
        plan: the stages, in order (`device.vision.plan.make_plan` for the real ones).
        watch: notices a camera that is lost, frozen, black or slow.
        today: the date that documents are judged by.
    """

    def __init__(self, task: StartCheck, plan: Plan, watch: CameraWatch, today: date) -> None:
        self._task = task
        self._plan = list(plan.stages)
        self._watch = watch
        self._today = today
        self._outbox = Outbox()
        self._findings = Findings()
        self._reports: dict[Check, CheckReport] = {}
        self._milliseconds: dict[Stage, int] = {}
        self._machine: StageMachine | None = None
        self._limit = 0.0
        self._started: float | None = None
        self._problem: Reason | None = None
        self._problem_since = 0.0
        self.finished = False

    def observe(self, frame: Frame) -> list[Said]:
        """Looks at a frame and says what came of it."""
        if self.finished:
            return []
        if self._machine is None:
            self._next_stage(frame.time)
        problem = self._note_problem(self._watch.observe(frame, frame.time), frame.time)
        if problem is None and self._machine is not None:
            step = self._machine.observe(frame)
        else:
            step = Step(Guidance.CAMERA_PROBLEM)
        return self._advance(step, frame.time)

    def tick(self, now: float) -> list[Said]:
        """Time passed without a frame."""
        if self.finished:
            return []
        if self._machine is None:
            self._next_stage(now)
        problem = self._note_problem(self._watch.observe(None, now), now)
        return self._advance(Step(Guidance.CAMERA_PROBLEM if problem else Guidance.WAIT), now)

    def camera_lost(self, now: float) -> list[Said]:
        """The camera is gone for good: ends the verification."""
        if self.finished:
            return []
        self._problem = Reason.CAMERA_LOST
        self._close_stage(now, Reason.CAMERA_LOST)
        return self._finish(Reason.CAMERA_LOST)

    def _advance(self, step: Step, now: float) -> list[Said]:
        assert self._machine is not None
        out: list[Said] = []
        said = self._outbox.offer(self._progress(step, now), now)
        if said is not None:
            out.append(said)
        if self._given_up(now):
            self._close_stage(now, self._problem)
            out.extend(self._finish(self._problem or Reason.NOT_REACHED))
        elif self._machine.done or now - self._started_at >= self._limit:
            out.extend(self._conclude_stage(now))
        return out

    def _given_up(self, now: float) -> bool:
        patient = self._problem in (None, Reason.CAMERA_BLACK)
        return not patient and now - self._problem_since >= CAMERA_PATIENCE

    def _conclude_stage(self, now: float) -> list[Said]:
        timed_out = self._machine is not None and not self._machine.done
        self._close_stage(now, self._problem if timed_out else None)
        while not self._decided() and self._plan:
            self._next_stage(now)
            if self._machine is not None and not self._machine.done:
                return []
            self._close_stage(now, None)
        return self._finish(Reason.NOT_REACHED)

    def _close_stage(self, now: float, cause: Reason | None) -> None:
        """Takes the stage's reports; a camera problem that lasts is the cause of what could not be performed."""
        if self._machine is None:
            return
        for report in self._machine.reports():
            if cause is not None and report.result is Result.NOT_PERFORMED:
                report = not_performed(report.check, cause, report.method)
            self._reports[report.check] = report
        spent = max(0, round((now - self._started_at) * 1000))
        if spent:
            self._milliseconds[self._machine.stage] = spent
        self._machine = None

    def _decided(self) -> bool:
        """A check that decides has failed or could not be performed: nothing that follows could verify this person."""
        decisive = (self._reports.get(check) for check in self._task.decisive)
        return any(report is not None and not _may_still_pass(report) for report in decisive)

    def _next_stage(self, now: float) -> None:
        make, limit = self._plan.pop(0)
        self._machine = make(self._findings)
        self._limit = limit
        self._started = now

    def _finish(self, cause: Reason) -> list[Said]:
        self.finished = True
        checks = tuple(self._reports.get(check) or not_performed(check, cause) for check in self._task.checks)
        document = self._findings.document
        fields = document.fields if document is not None else None
        seal = self._findings.seal if Check.DOCUMENT_SEAL in self._task.checks else None
        finished = Finished(
            checks,
            # The last door before the wall: only what the policy named, and yes or no where that answers the question.
            attributes(fields, self._task.attributes, self._today) if fields is not None else {},
            subject(fields) if fields is not None and self._task.subject else "",
            self._milliseconds,
        )
        return [seal, finished] if seal is not None else [finished]

    def _note_problem(self, problem: Reason | None, now: float) -> Reason | None:
        if problem is not self._problem:
            self._problem, self._problem_since = problem, now
        return problem

    @property
    def _started_at(self) -> float:
        assert self._started is not None
        return self._started

    def _progress(self, step: Step, now: float) -> Progress:
        assert self._machine is not None
        left = max(0, min(3600, round(self._limit - (now - self._started_at))))
        return Progress(
            stage=self._machine.stage,
            guidance=step.guidance,
            seconds_left=left,
            step=step.step,
            steps=step.steps,
            face=step.face.box() if step.face else None,
            pose=step.face.head_pose() if step.face else None,
        )


def _may_still_pass(report: CheckReport) -> bool:
    """Whether the check has passed, or is left to the notary, who alone has the certificates for seals."""
    left = report.check is Check.DOCUMENT_SEAL and report.reason is Reason.SEAL_UNTRUSTED
    return report.result is Result.PASS or left
