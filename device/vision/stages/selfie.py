"""The selfie stage: good views of one face, the challenge, and what both say about who is there and whether they live.

Answers `face.match`, `liveness.passive`, `liveness.challenge` and `liveness.parallax`. The face is matched and judged
passively before, during and after the challenge, so that nobody can take another's place in between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.protocol import Check, CheckReport, FmrLevel, Guidance, Reason, Result, Stage
from device.vision.camera.base import Frame
from device.vision.face.iris import EyeReader
from device.vision.face.landmarks import Expression, Pose
from device.vision.face.matcher import FaceMatcher
from device.vision.face.view import FaceFinder, FaceScene, FaceView
from device.vision.liveness.challenge import Challenge, ChallengeState, FaceState
from device.vision.liveness.injection import InjectionWatch
from device.vision.liveness.pace import Pace
from device.vision.liveness.parallax import Parallax
from device.vision.liveness.parameters import load_parameters
from device.vision.liveness.passive import PassiveDetector
from device.vision.stages.base import Findings, StageMachine, Step, failed, not_performed
from device.vision.stages.document import Embedder

PROBES_WANTED: Final = 3
"""Good frontal views before the challenge begins, and as many again after it ended."""
PROBES_DURING: Final = 3
"""Frontal views between the challenge's movements that are matched, one of them at least."""
PASSIVE_FRAMES: Final = (3, 6, 3)
"""Frames passively judged before, during and after the challenge."""
BEFORE, DURING, AFTER = range(3)
SECOND_FACE: Final = 0.5
"""A second face at least half as wide as the first is a second person at the box, not a passer-by or a poster."""
STRAIGHT: Final = 9.0
"""Degrees by which a view after the challenge may look elsewhere than those before it did: who has just turned is still
on the way back, and a face is matched best in the pose in which it was matched before."""
GONE_SECONDS: Final = 6.0
"""Nobody in the picture for this long, after somebody was: they left."""


@dataclass(frozen=True)
class SelfieTools:
    """What the stage looks with; None where a model is missing."""

    faces: FaceFinder
    eyes: EyeReader | None
    embedder: Embedder | None
    matcher: FaceMatcher | None
    passive: PassiveDetector | None
    embedder_name: str


@dataclass(frozen=True)
class SelfieTask:
    """What is asked of the stage: the level to match at, and whether the verdict may show the score."""

    fmr: FmrLevel
    scores: bool


class SelfieStage(StageMachine):
    """See the module's text.

    Args:
        tools, task: what to look with and what for.
        attempts: the challenge, and one more for each retry that the policy allows.
        parallax: judges depth over the challenge's movements.
        injection: judges the frames' timing and noise.
        findings: has the portrait's embeddings.
    """

    stage = Stage.SELFIE

    def __init__(
        self,
        tools: SelfieTools,
        task: SelfieTask,
        attempts: list[Challenge],
        parallax: Parallax,
        injection: InjectionWatch,
        findings: Findings,
    ) -> None:
        self._tools = tools
        self._task = task
        self._attempts = attempts
        self._challenge = attempts.pop(0)
        self._challenge_state: ChallengeState | None = None
        self._failed_before: ChallengeState | None = None
        self._parallax = parallax
        self._injection = injection
        self._findings = findings
        self._before: list[NDArray[np.float32]] = []
        self._during: list[NDArray[np.float32]] = []
        self._after: list[NDArray[np.float32]] = []
        self._straight: list[Pose] = []
        self._passive_scores: tuple[list[float], list[float], list[float]] = ([], [], [])
        self._seen_at: float | None = None
        self._gone = False
        self._trouble: Reason | None = None
        self._pace = Pace(load_parameters().challenge.gap)

    @property
    def done(self) -> bool:
        return self._gone or (self._challenge_over and (self._challenge_failed or self._enough(self._after)))

    @property
    def _challenge_over(self) -> bool:
        return self._challenge_state is not None and self._challenge_state.finished and not self._can_retry

    @property
    def _challenge_failed(self) -> bool:
        return self._challenge_state is not None and self._challenge_state.result is not Result.PASS

    @property
    def _can_retry(self) -> bool:
        return self._challenge_failed and bool(self._attempts)

    def _enough(self, probes: list[NDArray[np.float32]]) -> bool:
        return self._tools.embedder is None or len(probes) >= PROBES_WANTED

    def observe(self, frame: Frame) -> Step:
        self._pace.look(frame.time)
        self._injection.add(frame)
        scene = self._tools.faces.look(frame.image)
        trouble = self._people(scene, frame.time)
        if trouble is not None:
            if self._challenge_state is not None and not self._challenge_state.finished:
                self._challenge_state = self._challenge.update(frame.time, None)
            return trouble
        assert scene.main is not None
        if not self._enough(self._before):
            return self._collect(frame, scene.main, self._before)
        if not self._challenge_over:
            return self._play(frame, scene.main)
        if not self._is_back(scene.main.pose):
            self._trouble = Reason.FACE_QUALITY
            return Step(Guidance.BACK_TO_CENTRE, scene.main)
        return self._collect(frame, scene.main, self._after)

    def _people(self, scene: FaceScene, now: float) -> Step | None:
        """A step that asks for exactly one face, or None if there is exactly one."""
        if scene.main is None:
            self._trouble = Reason.FACE_NOT_FOUND if self._seen_at is None else Reason.PERSON_LEFT
            self._gone = self._seen_at is not None and now - self._seen_at > GONE_SECONDS
            return Step(Guidance.SHOW_FACE)
        self._seen_at = now
        widths = [detection.box[2] - detection.box[0] for detection in scene.detections]
        if any(width >= SECOND_FACE * widths[0] for width in widths[1:]):
            self._trouble = Reason.FACE_MULTIPLE
            return Step(Guidance.ONE_PERSON, scene.main)
        self._trouble = None
        return None

    def _is_back(self, pose: Pose) -> bool:
        """Whether the face looks where it did when the challenge began."""
        if not self._straight:
            return True
        yaw = np.median([before.yaw for before in self._straight])
        pitch = np.median([before.pitch for before in self._straight])
        return bool(max(abs(pose.yaw - yaw), abs(pose.pitch - pitch)) <= STRAIGHT)

    def _collect(self, frame: Frame, view: FaceView, probes: list[NDArray[np.float32]]) -> Step:
        """A good frontal view is matched and passively judged; any other says what to do."""
        if view.quality.guidance is not None:
            self._trouble = Reason.FACE_QUALITY
            return Step(view.quality.guidance, view)
        if self._tools.embedder is not None:
            probes.append(self._tools.embedder.embed_frame(frame.image, view.landmarks, len(probes)))
            if probes is self._before:
                self._straight.append(view.pose)
        self._judge_passively(frame, view, BEFORE if probes is self._before else AFTER)
        return Step(Guidance.HOLD_STILL, view)

    def _judge_passively(self, frame: Frame, view: FaceView, when: int) -> None:
        scores = self._passive_scores[when]
        if self._tools.passive is not None and len(scores) < PASSIVE_FRAMES[when]:
            scores.append(self._tools.passive.score(frame.image, view.landmarks))

    def _play(self, frame: Frame, view: FaceView) -> Step:
        if self._can_retry and self._challenge_state is not None and self._challenge_state.finished:
            self._challenge = self._attempts.pop(0)
            if self._challenge_state.result is Result.FAIL:
                self._failed_before = self._challenge_state
            self._challenge_state = None
        self._parallax.add(frame.image, view.landmarks, view.pose)
        state = self._challenge.update(frame.time, FaceState(view.pose, self._expression(frame, view), view.size))
        self._challenge_state = state
        if state.guidance in (Guidance.LOOK_STRAIGHT, Guidance.HOLD_STILL, Guidance.BACK_TO_CENTRE):
            self._judge_passively(frame, view, DURING)
            self._probe_in_between(frame, view)
        return Step(state.guidance, view, state.step, state.steps)

    def _probe_in_between(self, frame: Frame, view: FaceView) -> None:
        """Whoever moves has to be whom the document shows: else one could be matched and another do the moving."""
        embedder = self._tools.embedder
        good = view.quality.guidance is None and self._is_back(view.pose)
        if embedder is not None and good and len(self._during) < PROBES_DURING:
            self._during.append(embedder.embed_frame(frame.image, view.landmarks, len(self._during)))

    def _expression(self, frame: Frame, view: FaceView) -> Expression:
        """With the eyes read one by one where their model is installed: only blinking needs them, a third of the work
        of finding the face."""
        if self._tools.eyes is None:
            return view.expression
        return replace(view.expression, eye_openness=self._tools.eyes.openness(frame.image, view.landmarks))

    # --- what it came to ---

    def reports(self) -> list[CheckReport]:
        return [self._match(), self._passive(), self._active(), self._depth()]

    @property
    def _hindered(self) -> bool:
        """Whether `_why_not` has a better reason than a check's own."""
        return self._trouble is not None or self._pace.mostly_unwatched

    def _why_not(self) -> Reason:
        """Why the stage ended before a check could be performed."""
        if self._pace.mostly_unwatched:
            return Reason.FRAMES_MISSED
        if self._seen_at is None:
            return Reason.FACE_NOT_FOUND
        return self._trouble or Reason.TIME_LIMIT

    def _match(self) -> CheckReport:
        check, tools = Check.FACE_MATCH, self._tools
        if tools.embedder is None or tools.matcher is None:
            return not_performed(check, Reason.MODEL_MISSING)
        method = tools.embedder_name
        if not self._findings.portraits:
            return not_performed(check, Reason.PORTRAIT_MISSING, method)
        passed = self._challenge_over and not self._challenge_failed
        if not self._enough(self._before) or (passed and not self._enough(self._after)):
            return not_performed(check, self._why_not(), method)
        if passed and not self._during:
            return not_performed(check, Reason.FACE_QUALITY, method)
        groups = [group for group in (self._before, self._during, self._after) if group]
        matches = [tools.matcher.match(self._findings.portraits, group, self._task.fmr) for group in groups]
        worst = min(matches, key=lambda match: match.score)
        return CheckReport(
            check,
            Result.PASS if worst.result else Result.FAIL,
            None if worst.result else Reason.FACE_MISMATCH,
            method,
            worst.met,
            _percent(worst.score) if self._task.scores else None,
        )

    def _passive(self) -> CheckReport:
        check, passive = Check.LIVENESS_PASSIVE, self._tools.passive
        if passive is None:
            return not_performed(check, Reason.MODEL_MISSING)
        scores = [score for group in self._passive_scores for score in group]
        if len(scores) < PROBES_WANTED:
            return not_performed(check, self._why_not(), passive.name)
        score = passive.fuse(scores)
        attack = score > passive.threshold
        return CheckReport(
            check,
            Result.FAIL if attack else Result.PASS,
            Reason.PRESENTATION_ATTACK if attack else None,
            passive.name,
            score=_percent(score) if self._task.scores else None,
        )

    def _active(self) -> CheckReport:
        check, method = Check.LIVENESS_CHALLENGE, self._challenge.method
        if self._injection.suspicious:
            return failed(check, Reason.INJECTED_FRAMES, method)
        state = self._challenge_state
        if state is not None and state.result in (Result.PASS, Result.FAIL):
            return CheckReport(check, state.result, state.reason, method)
        if state is not None and state.reason is not None and not self._hindered:
            return not_performed(check, state.reason, method)
        if self._failed_before is not None and not self._hindered:  # time ran out in another try: the first one stands
            return CheckReport(check, Result.FAIL, self._failed_before.reason, method)
        return not_performed(check, self._why_not(), method)

    def _depth(self) -> CheckReport:
        report = self._parallax.report()
        if report.result is Result.NOT_PERFORMED and self._hindered:
            return not_performed(report.check, self._why_not(), report.method)
        return report


def _percent(score: float) -> int:
    return max(0, min(100, round(100 * score)))
