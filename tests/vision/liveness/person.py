"""A person for the challenge's tests: a function from time and the last prompt to `FaceState`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from device.protocol import Movement
from device.vision.face.landmarks import Expression, Pose
from device.vision.liveness.challenge import Challenge, ChallengeState, FaceState

FPS = 15.0
NEUTRAL = {"yaw": 3.0, "pitch": -4.0, "eye": 0.31, "mouth": 0.05, "size": 0.12}
FULL: dict[Movement, dict[str, float]] = {
    Movement.TURN_LEFT: {"yaw": 30.0},
    Movement.TURN_RIGHT: {"yaw": -26.0},
    Movement.LOOK_UP: {"pitch": 16.0},
    Movement.LOOK_DOWN: {"pitch": -22.0},
    Movement.BLINK: {"eye": 0.08},
    Movement.OPEN_MOUTH: {"mouth": 0.55},
    Movement.COME_CLOSER: {"size": 0.16},
}


def face(values: dict[str, float] | None = None) -> FaceState:
    v = NEUTRAL | (values or {})
    return FaceState(Pose(v["yaw"], v["pitch"], 0.0), Expression(v["eye"], v["mouth"]), v["size"])


def moving(movement: Movement, amount: float = 1.0) -> FaceState:
    return face({key: NEUTRAL[key] + amount * (value - NEUTRAL[key]) for key, value in FULL[movement].items()})


def play(
    challenge: Challenge,
    react: Callable[[float, float, Movement | None], FaceState | None],
    seconds: float = 120.0,
    fps: float = FPS,
) -> ChallengeState:
    """Feeds frames at an even rate until the challenge ends, see `play_at`."""
    return play_at(challenge, react, (100.0 + number / fps for number in range(int(seconds * fps))))


def play_at(
    challenge: Challenge,
    react: Callable[[float, float, Movement | None], FaceState | None],
    times: Iterable[float],
) -> ChallengeState:
    """Feeds frames until the challenge ends. `react(time, since, asked)` gets the time since `asked` last changed."""
    asked: Movement | None = None
    changed = 0.0
    state = challenge.state
    for time in times:
        state = challenge.update(time, react(time, time - changed, asked))
        if state.finished:
            return state
        if challenge.asked is not asked:
            asked, changed = challenge.asked, time
    return state


def obedient(delay: float = 0.6, ramp: float = 0.4) -> Callable[[float, float, Movement | None], FaceState]:
    """Does what is asked after `delay` seconds, and relaxes when nothing is asked."""

    def react(_time: float, since: float, asked: Movement | None) -> FaceState:
        if asked is None:
            return face()
        return moving(asked, min(1.0, max(0.0, (since - delay) / ramp)))

    return react
