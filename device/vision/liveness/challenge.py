"""The challenge: a random sequence of movements, asked one after the other, as a state machine without IO.

In: the seed that names the sequence, then what each frame shows of the face (`FaceState`) with its time. Out: what to
tell the person (`ChallengeState.guidance`), and at the end the result with its reason. The rules, in order:

1. The person looks straight for a moment: their own neutral (pose, eyes, mouth, size) is what movements are measured
   against.
2. After a random pause a movement is asked. It has to begin after the prompt, be held, and come within the window.
3. Another movement held instead is the wrong one: the next step's is the wrong order, any other the wrong movement.
   The asked movement before its prompt, or sooner than anyone reacts, is too early: a recording plays.
4. The face returns to neutral before the next prompt. After the last movement nothing more is asked.
5. Whoever does nothing within a window ignored the challenge; whoever is gone for a second has left.
6. What nobody watched proves nothing: where the next frame comes late, no movement is held across the gap, and the
   window begins anew. So a busy box takes longer, and may run out of the stage's time; it does not fail a person.

Retries are the caller's: a new `Challenge` with the next `attempt` asks another sequence.
"""

from __future__ import annotations

import dataclasses
import enum
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from device.protocol import Guidance, Movement, Reason, Result
from device.vision.liveness.pace import Pace
from device.vision.liveness.parameters import ChallengeParameters, load_parameters
from device.vision.liveness.sequence import draw_movements, draw_pauses

if TYPE_CHECKING:
    from device.vision.face.landmarks import Expression, Pose

METHOD: Final = "challenge-1"


@dataclass(frozen=True)
class FaceState:
    """What one frame shows of the face.

    Attributes:
        pose: degrees; yaw positive to the person's left, pitch upwards, roll to their left shoulder.
        expression: `eye_openness` and `mouth_openness` as scale-free ratios.
        size: of the face in the frame, in any unit that grows as the person comes closer and does not change as the
            head turns or the mouth opens (see `device.vision.face.landmarks`).
    """

    pose: Pose
    expression: Expression
    size: float


@dataclass(frozen=True)
class ChallengeState:
    """What the caller has to know after a frame. `step` counts from 1 while movement `step` of `steps` is on; 0 before.
    `result` and `reason` are set once `finished`."""

    guidance: Guidance
    step: int
    steps: int
    finished: bool = False
    result: Result | None = None
    reason: Reason | None = None


@dataclass(frozen=True)
class _Neutral:
    """The person's own neutral face, the median of the first frames."""

    yaw: float
    pitch: float
    eye: float
    mouth: float
    size: float


class _Phase(enum.Enum):
    BASELINE = enum.auto()
    RETURN = enum.auto()
    PAUSE = enum.auto()
    ASKED = enum.auto()
    FINISHED = enum.auto()


_TOLERATED: Final[Mapping[Movement, frozenset[Movement]]] = {
    Movement.LOOK_DOWN: frozenset({Movement.BLINK}),  # the lids follow the eyes down
    Movement.LOOK_UP: frozenset({Movement.OPEN_MOUTH}),  # the jaw stays behind
    Movement.OPEN_MOUTH: frozenset({Movement.LOOK_UP, Movement.LOOK_DOWN}),  # a falling chin looks like a nod
    Movement.COME_CLOSER: frozenset({Movement.LOOK_UP, Movement.LOOK_DOWN}),  # the camera is rarely at eye level
}
"""What people do without meaning to while they do the asked movement. It is not wrong, but it does not count either."""

_POSES: Final = (Movement.TURN_LEFT, Movement.TURN_RIGHT, Movement.LOOK_UP, Movement.LOOK_DOWN)
_NEEDS_STRAIGHT: Final = frozenset({Movement.BLINK, Movement.OPEN_MOUTH})
"""Eyes and mouth are only read on a face that looks ahead; so one clip of everything at once answers one question."""


class Challenge:
    """One sequence, asked of one person. Not to be used again after `finished`.

    Args:
        seed: 32 bytes (`StartCheck.challenge_seed`).
        steps: number of movements (`StartCheck.challenge_steps`).
        movements: those that the person can do (`StartCheck.movements`).
        attempt: 0, then 1 for the first retry, and so on.
        parameters: thresholds and windows; those of the package unless given.
    """

    def __init__(
        self,
        seed: bytes,
        steps: int,
        movements: Sequence[Movement],
        attempt: int = 0,
        parameters: ChallengeParameters | None = None,
    ) -> None:
        self._p = parameters or load_parameters().challenge
        self._sequence = draw_movements(seed, steps, movements, attempt)
        span = self._p.pause_max - self._p.pause_min
        self._pauses = [self._p.pause_min + span * fraction for fraction in draw_pauses(seed, steps, attempt)]
        self._phase = _Phase.BASELINE
        self._index = 0
        self._frames: list[tuple[float, FaceState]] = []
        self._neutral: _Neutral | None = None
        self._held: dict[Movement, float] = {}
        self._begun: dict[Movement, float] = {}
        self._neutral_since: float | None = None
        self._since: float | None = None
        self._pace = Pace(self._p.gap)
        self._resumed = float("-inf")
        self._seen = 0.0
        self._time = float("-inf")
        self._state = ChallengeState(Guidance.LOOK_STRAIGHT, 0, steps)

    @property
    def method(self) -> str:
        """What looked, as verdicts name it."""
        return METHOD

    @property
    def state(self) -> ChallengeState:
        """As the last `update` returned it."""
        return self._state

    @property
    def asked(self) -> Movement | None:
        """The movement on the screen now, if one is."""
        return self._sequence[self._index] if self._phase is _Phase.ASKED else None

    def update(self, time: float, face: FaceState | None) -> ChallengeState:
        """Takes in one frame.

        Args:
            time: seconds on the frames' clock. A frame that is not later than the one before says nothing.
            face: what it shows, or None if no face was found.
        """
        if self._phase is _Phase.FINISHED or time <= self._time:
            return self._state
        if self._since is None:
            self._since = self._seen = time
        if self._pace.look(time):
            self._resume(time)
        self._time = time
        self._state = self._without_face(time) if face is None else self._with_face(time, face)
        return self._state

    def _resume(self, time: float) -> None:
        """The first frame after a while in which nobody watched."""
        self._held.clear()
        self._neutral_since = None
        self._resumed = self._seen = time

    # --- phases ---

    def _without_face(self, time: float) -> ChallengeState:
        self._held.clear()
        self._neutral_since = None
        if time - self._seen > self._p.lost:
            return self._finish(Result.NOT_PERFORMED, Reason.PERSON_LEFT)
        if self._phase is _Phase.BASELINE:
            self._frames.clear()
            return self._say(Guidance.SHOW_FACE)
        return self._state

    def _with_face(self, time: float, face: FaceState) -> ChallengeState:
        step, self._seen = time - self._seen, time
        if self._neutral is None:
            return self._measure_neutral(time, face)
        shown = self._shown(face, self._neutral)
        for movement in Movement:
            if shown[movement] < 1.0:
                self._held.pop(movement, None)
            elif movement not in self._held:
                self._held[movement] = time
                self._begun[movement] = time - (step / 2 if step <= self._p.gap else 0.0)
        if self._phase is _Phase.ASKED:
            return self._judge(time, shown)
        return self._await_prompt(time, shown)

    def _measure_neutral(self, time: float, face: FaceState) -> ChallengeState:
        if self._watched(time) > self._p.baseline_window:
            return self._finish(Result.FAIL, Reason.CHALLENGE_IGNORED)
        if max(abs(face.pose.yaw), abs(face.pose.pitch)) > self._p.baseline_pose:
            self._frames.clear()
            return self._say(Guidance.LOOK_STRAIGHT)
        self._frames.append((time, face))
        faces = [state for _, state in self._frames]
        for angles in ([state.pose.yaw for state in faces], [state.pose.pitch for state in faces]):
            if max(angles) - min(angles) > self._p.baseline_spread:
                self._frames = self._frames[-1:]
                return self._say(Guidance.HOLD_STILL)
        if time - self._frames[0][0] < self._p.baseline_seconds or len(faces) < self._p.baseline_frames:
            return self._say(Guidance.HOLD_STILL)
        self._neutral = _Neutral(
            yaw=statistics.median(state.pose.yaw for state in faces),
            pitch=statistics.median(state.pose.pitch for state in faces),
            eye=statistics.median(state.expression.eye_openness for state in faces),
            mouth=statistics.median(state.expression.mouth_openness for state in faces),
            size=statistics.median(state.size for state in faces),
        )
        self._enter(_Phase.PAUSE, time)
        return self._say(Guidance.WAIT)

    def _await_prompt(self, time: float, shown: Mapping[Movement, float]) -> ChallengeState:
        """RETURN: wait until neutral has been held. PAUSE: wait out the pause, then ask."""
        if self._phase is _Phase.PAUSE:
            following = self._sequence[self._index]
            if following is not Movement.BLINK and self._has_held(following, time) and self._counts(following, shown):
                return self._finish(Result.FAIL, Reason.CHALLENGE_TOO_EARLY)
            if all(value < 1.0 for value in shown.values()):
                if time - self._start < self._pauses[self._index]:
                    return self._say(Guidance.WAIT)
                self._enter(_Phase.ASKED, time)
                return self._say(Guidance(self._sequence[self._index].value))
            if following not in self._held:
                self._enter(_Phase.RETURN, time)
            else:
                return self._say(Guidance.WAIT)
        if self._watched(time) > self._p.return_window:
            return self._finish(Result.FAIL, Reason.CHALLENGE_IGNORED)
        if not self._is_neutral(shown):
            self._neutral_since = None
        elif self._neutral_since is None:
            self._neutral_since = time
        elif time - self._neutral_since >= self._p.neutral_hold:
            self._enter(_Phase.PAUSE, time)
            return self._say(Guidance.WAIT)
        return self._say(Guidance.BACK_TO_CENTRE)

    def _judge(self, time: float, shown: Mapping[Movement, float]) -> ChallengeState:
        """ASKED: the movement, another one, too early, or nothing yet."""
        asked = self._sequence[self._index]
        if self._has_held(asked, time) and self._counts(asked, shown):
            if self._held[asked] - self._start >= self._p.reaction_min:
                return self._next_step(time)
            if asked is not Movement.BLINK:  # everyone blinks now and then; that blink just does not count
                return self._finish(Result.FAIL, Reason.CHALLENGE_TOO_EARLY)
        wrong = self._wrong(asked, time, shown)
        if wrong is not None:
            following = self._sequence[self._index + 1 : self._index + 2]
            order = bool(following) and wrong is following[0]
            return self._finish(Result.FAIL, Reason.CHALLENGE_WRONG_ORDER if order else Reason.CHALLENGE_WRONG_MOVEMENT)
        if self._watched(time) > self._p.window:
            return self._finish(Result.FAIL, Reason.CHALLENGE_IGNORED)
        return self._say(Guidance(asked.value))

    def _next_step(self, time: float) -> ChallengeState:
        if self._index + 1 == len(self._sequence):
            return self._finish(Result.PASS, None)
        self._index += 1
        self._enter(_Phase.RETURN, time)
        return self._say(Guidance.BACK_TO_CENTRE)

    # --- what a frame shows ---

    def _shown(self, face: FaceState, neutral: _Neutral) -> dict[Movement, float]:
        """How far each movement is, as a fraction of its threshold; 0 at neutral, 1 at the threshold."""
        p = self._p
        yaw = face.pose.yaw - neutral.yaw
        pitch = face.pose.pitch - neutral.pitch
        shown = {
            Movement.TURN_LEFT: max(0.0, yaw / p.turn),
            Movement.TURN_RIGHT: max(0.0, -yaw / p.turn),
            Movement.LOOK_UP: max(0.0, pitch / p.look_up),
            Movement.LOOK_DOWN: max(0.0, -pitch / p.look_down),
            Movement.COME_CLOSER: max(0.0, (face.size / max(neutral.size, 1e-6) - 1.0) / (p.closer - 1.0)),
            Movement.BLINK: 0.0,
            Movement.OPEN_MOUTH: 0.0,
        }
        eye = face.expression.eye_openness / max(neutral.eye, 1e-6)
        shown[Movement.BLINK] = max(0.0, (1.0 - eye) / (1.0 - p.eye_closed))
        shown[Movement.OPEN_MOUTH] = max(0.0, (face.expression.mouth_openness - neutral.mouth) / p.mouth_open)
        return shown

    def _counts(self, asked: Movement, shown: Mapping[Movement, float]) -> bool:
        return asked not in _NEEDS_STRAIGHT or all(shown[movement] < 1.0 for movement in _POSES)

    def _has_held(self, movement: Movement, time: float) -> bool:
        if movement not in self._held:
            return False
        if movement is Movement.BLINK:  # short beside the time between frames: it began between two of them
            return time - self._begun[movement] >= self._p.blink_hold
        return time - self._held[movement] >= self._p.hold

    def _is_neutral(self, shown: Mapping[Movement, float]) -> bool:
        """Pose and size near neutral; eyes and mouth only not in a movement, since people smile and talk."""
        return all(
            value < self._p.neutral_expression if movement in _NEEDS_STRAIGHT else value < self._p.neutral
            for movement, value in shown.items()
        )

    def _wrong(self, asked: Movement, time: float, shown: Mapping[Movement, float]) -> Movement | None:
        """The movement held instead of the asked one, clearly and longer than a slip, if there is one."""
        straight = all(shown[movement] < self._p.neutral for movement in _POSES)
        for movement in Movement:
            if movement is asked or movement in _TOLERATED.get(asked, frozenset()):
                continue
            if movement in _NEEDS_STRAIGHT and not straight:
                continue
            if shown[movement] < self._p.wrong_factor or shown[movement] <= shown[asked]:
                continue
            since = self._held.get(movement)
            longer = self._p.blink_hold if movement is Movement.BLINK else self._p.wrong_hold
            if since is not None and time - max(since, self._start) >= longer:
                return movement
        return None

    # --- bookkeeping ---

    @property
    def _start(self) -> float:
        """When the current phase began."""
        return 0.0 if self._since is None else self._since

    def _watched(self, time: float) -> float:
        """Seconds for which the current phase has been watched without a gap."""
        return time - max(self._start, self._resumed)

    def _enter(self, phase: _Phase, time: float) -> None:
        self._phase = phase
        self._since = time
        self._neutral_since = None

    def _say(self, guidance: Guidance) -> ChallengeState:
        step = 0 if self._neutral is None else self._index + 1
        return ChallengeState(guidance, step, len(self._sequence))

    def _finish(self, result: Result, reason: Reason | None) -> ChallengeState:
        self._phase = _Phase.FINISHED
        guidance = Guidance.GOOD if result is Result.PASS else Guidance.WAIT
        return dataclasses.replace(self._say(guidance), finished=True, result=result, reason=reason)
