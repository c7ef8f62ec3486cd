"""The challenge: people who do what is asked pass at any frame rate; each way of not doing it has its own reason."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.errors import ConfigurationError
from device.protocol import Guidance, Movement, Reason, Result
from device.vision.liveness.challenge import Challenge
from device.vision.liveness.parameters import FILE, load_parameters, parse_parameters
from device.vision.liveness.sequence import draw_movements
from tests.vision.liveness.person import FPS, face, moving, obedient, play, play_at

ALL = tuple(Movement)
SEED = bytes(range(32))
STEPS = 5


def sequence(seed=SEED):
    return draw_movements(seed, STEPS, ALL)


def seed_where(condition):
    return next(
        seed for seed in (n.to_bytes(32, "big") for n in range(10_000)) if condition(draw_movements(seed, STEPS, ALL))
    )


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.sampled_from([8.0, 15.0, 30.0]), st.floats(0.3, 3.0))
def test_who_does_what_is_asked_passes(seed, fps, delay):
    state = play(Challenge(seed, STEPS, ALL), obedient(delay), fps=fps)
    assert (state.finished, state.result, state.reason, state.step) == (True, Result.PASS, None, STEPS)


def test_prompts_follow_the_sequence():
    challenge = Challenge(SEED, STEPS, ALL)
    asked = []

    def react(time, since, movement):
        if movement is not None and (not asked or asked[-1] is not movement):
            asked.append(movement)
        return obedient()(time, since, movement)

    assert play(challenge, react).result is Result.PASS
    assert tuple(asked) == sequence()


def test_ignored():
    state = play(Challenge(SEED, STEPS, ALL), lambda *_: face())
    assert (state.result, state.reason, state.step) == (Result.FAIL, Reason.CHALLENGE_IGNORED, 1)


def test_never_looking_straight_is_ignoring():
    state = play(Challenge(SEED, STEPS, ALL), lambda *_: face({"yaw": 40.0}))
    assert (state.result, state.reason, state.step) == (Result.FAIL, Reason.CHALLENGE_IGNORED, 0)


def test_not_returning_to_neutral_is_ignoring():
    pose_first = seed_where(lambda drawn: drawn[0] is Movement.TURN_LEFT)
    state = play(
        Challenge(pose_first, STEPS, ALL),
        lambda time, since, asked: face() if asked is None and time < 102 else moving(Movement.TURN_LEFT, since / 0.5),
    )
    assert (state.result, state.reason) == (Result.FAIL, Reason.CHALLENGE_IGNORED)
    assert state.step == 2


@pytest.mark.parametrize("asked_first", ALL)
def test_another_movement_is_wrong_and_the_next_ones_is_wrong_order(asked_first):
    seed = seed_where(lambda drawn: drawn[0] is asked_first)
    following = draw_movements(seed, STEPS, ALL)[1]
    for shown in ALL:
        if shown is asked_first:
            continue
        state = play(
            Challenge(seed, STEPS, ALL),
            lambda _t, since, asked, shown=shown: face() if asked is None else moving(shown, min(1, since / 0.5)),
        )
        assert state.result is Result.FAIL
        tolerated = Reason.CHALLENGE_IGNORED
        order = Reason.CHALLENGE_WRONG_ORDER if shown is following else Reason.CHALLENGE_WRONG_MOVEMENT
        assert state.reason in (order, tolerated)
        if shown in (Movement.TURN_LEFT, Movement.TURN_RIGHT, Movement.COME_CLOSER):
            assert state.reason is order


@pytest.mark.parametrize("movement", [movement for movement in ALL if movement is not Movement.BLINK])
def test_faster_than_anyone_reacts_is_a_recording(movement):
    seed = seed_where(lambda drawn: drawn[0] is movement)
    state = play(Challenge(seed, STEPS, ALL), obedient(delay=0.0, ramp=0.05))
    assert (state.result, state.reason) == (Result.FAIL, Reason.CHALLENGE_TOO_EARLY)


def test_moving_before_the_prompt_is_too_early():
    seed = seed_where(lambda drawn: drawn[0] is Movement.OPEN_MOUTH)
    state = play(Challenge(seed, STEPS, ALL), lambda time, *_: face() if time < 100.55 else moving(Movement.OPEN_MOUTH))
    assert (state.result, state.reason) == (Result.FAIL, Reason.CHALLENGE_TOO_EARLY)


def test_everyday_blinks_and_a_nod_within_bounds_are_forgiven():
    def react(time, since, asked):
        state = obedient(0.7)(time, since, asked)
        if time % 1.9 < 0.14:
            return face({"eye": 0.05}) if asked is None else state
        return state

    for number in range(20):
        assert play(Challenge(bytes([number]) * 32, STEPS, ALL), react, fps=20.0).result is Result.PASS


def test_a_short_blink_is_not_the_asked_one():
    seed = seed_where(lambda drawn: drawn[0] is Movement.BLINK)
    state = play(
        Challenge(seed, STEPS, ALL),
        lambda time, _s, asked: face({"eye": 0.05}) if asked is Movement.BLINK and time % 1.5 < 0.2 else face(),
    )
    assert (state.result, state.reason) == (Result.FAIL, Reason.CHALLENGE_IGNORED)


def test_one_clip_of_everything_at_once_does_not_answer_every_question():
    everything = face({"yaw": 30.0, "pitch": 16.0, "mouth": 0.6, "eye": 0.05, "size": 0.16})
    for number in range(12):
        state = play(
            Challenge(bytes([number]) * 32, STEPS, ALL),
            lambda _t, since, asked: face() if asked is None or since < 0.5 else everything,
        )
        assert state.result is Result.FAIL


def test_the_opposite_sequence_is_rejected():
    opposite = {
        Movement.TURN_LEFT: Movement.TURN_RIGHT,
        Movement.TURN_RIGHT: Movement.TURN_LEFT,
        Movement.LOOK_UP: Movement.LOOK_DOWN,
        Movement.LOOK_DOWN: Movement.LOOK_UP,
    }
    challenge = Challenge(SEED, 4, tuple(opposite))
    do = obedient()
    state = play(challenge, lambda time, since, asked: do(time, since, opposite.get(asked) if asked else None))
    assert state.result is Result.FAIL
    assert state.reason in (Reason.CHALLENGE_WRONG_MOVEMENT, Reason.CHALLENGE_WRONG_ORDER)


def test_walking_away():
    challenge = Challenge(SEED, STEPS, ALL)
    do = obedient()
    state = play(challenge, lambda time, since, asked: do(time, since, asked) if time < 103 else None)
    assert (state.result, state.reason) == (Result.NOT_PERFORMED, Reason.PERSON_LEFT)


def test_a_face_missed_for_a_few_frames_is_forgiven():
    do = obedient()
    state = play(
        Challenge(SEED, STEPS, ALL), lambda time, since, asked: None if time % 3 < 0.2 else do(time, since, asked)
    )
    assert state.result is Result.PASS


# --- A busy box: frames that come late say nothing against anyone ---------------------------------------------------


def late_frames(lag):
    """Frame times as a worker sees them that needs `lag()` seconds for each frame of a camera of 15 a second."""
    now = 100.0
    while now < 280.0:
        yield now
        now = math.ceil(round((now + lag()) * FPS, 6) + 0.001) / FPS


def careful(delay):
    """As `obedient`; a blink is as short as people make it, and done again while it is asked for."""

    def react(time, since, asked):
        if asked is Movement.BLINK:
            return moving(Movement.BLINK) if since > delay and (since - delay) % 1.6 < 0.5 else face()
        return obedient(delay)(time, since, asked)

    return react


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.floats(0.0, 0.19) | st.floats(0.19, 2.5), st.floats(0.3, 1.0))
def test_however_slow_the_box_nobody_fails_who_does_what_is_asked(seed, lag, delay):
    state = play_at(Challenge(seed, STEPS, ALL), careful(delay), late_frames(lambda: lag))
    assert state.result is not Result.FAIL, state
    assert state.result is Result.PASS or lag > 0.18, "five frames a second are enough"


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.floats(0.02, 0.3), st.floats(0.3, 1.0), st.integers(0, 2**32))
def test_where_the_box_stalls_now_and_then_nobody_fails(seed, share, delay, number):
    chance = random.Random(number)

    def lag():
        return 0.05 + (chance.uniform(0.3, 2.5) if chance.random() < share else 0.0)

    state = play_at(Challenge(seed, STEPS, ALL), careful(delay), late_frames(lag))
    assert state.result is not Result.FAIL, state


def test_one_stall_does_not_stop_who_ignores_the_challenge_from_failing():
    lags = iter([0.05] * 30 + [3.0] + [0.05] * 10_000)
    state = play_at(Challenge(SEED, STEPS, ALL), lambda *_: face(), late_frames(lambda: next(lags)))
    assert (state.result, state.reason) == (Result.FAIL, Reason.CHALLENGE_IGNORED)


def test_what_was_not_watched_is_not_a_pass_either():
    state = play_at(Challenge(SEED, STEPS, ALL), obedient(), late_frames(lambda: 1.0))
    assert state.result is None


def test_time_standing_still_says_nothing():
    challenge = Challenge(SEED, STEPS, ALL)
    first = challenge.update(5.0, face())
    for _ in range(500):
        assert challenge.update(5.0, moving(Movement.TURN_LEFT)) == first


def test_after_the_end_nothing_changes():
    challenge = Challenge(SEED, STEPS, ALL)
    end = play(challenge, obedient())
    assert challenge.update(9999.0, None) == end


def test_guidance_before_the_first_prompt():
    challenge = Challenge(SEED, STEPS, ALL)
    assert challenge.state.guidance is Guidance.LOOK_STRAIGHT
    assert challenge.update(0.0, None).guidance is Guidance.SHOW_FACE
    assert challenge.update(0.1, face({"yaw": 30.0})).guidance is Guidance.LOOK_STRAIGHT
    assert challenge.update(0.2, face()).guidance is Guidance.HOLD_STILL


def test_parameters_refuse_what_they_do_not_know():
    text = FILE.read_text(encoding="utf-8")
    assert parse_parameters(text) == load_parameters()
    with pytest.raises(ConfigurationError, match="turm"):
        parse_parameters(text.replace("turn =", "turm ="))
    with pytest.raises(ConfigurationError, match="turn"):
        parse_parameters(text.replace("turn = 18.0", "turn = -18.0"))
