"""The emulated person: when they move, how far, and what they do instead in the scenarios that say so. No pixels."""

import dataclasses
import itertools

import pytest

from device.protocol import Guidance, Stage
from device.vision.camera.emulation.person import Head, Person, Pose
from device.vision.camera.emulation.scenario import Scenario, Who, load_scenario

FPS = 15


class Play:
    """A person on a clock of frames."""

    def __init__(self, scenario: Scenario, seed: int = 1) -> None:
        self.person, self.time = Person(scenario, seed), 0.0

    def say(self, stage: Stage, guidance: Guidance, seconds: float) -> list[Pose]:
        self.person.hear(stage, guidance, self.time)
        poses = []
        for _ in range(round(seconds * FPS)):
            self.time += 1 / FPS
            poses.append(self.person.at(self.time))
        return poses


def standard(**who: object) -> Scenario:
    return Scenario(summary="x", person=Who(natural_blinks=False, **who))  # type: ignore[arg-type]


def heads(poses: list[Pose]) -> list[Head]:
    return [pose.head for pose in poses if pose.head is not None]


@pytest.mark.parametrize(
    ("asked", "field", "least", "most"),
    [
        (Guidance.TURN_LEFT, "yaw", 28, 38),
        (Guidance.TURN_RIGHT, "yaw", -38, -28),
        (Guidance.LOOK_UP, "pitch", 14, 23),
        (Guidance.LOOK_DOWN, "pitch", -23, -14),
        (Guidance.OPEN_MOUTH, "mouth_open", 0.9, 1.3),
        (Guidance.COME_CLOSER, "scale", 1.25, 1.5),
    ],
)
def test_an_asked_movement_is_made_after_a_moment_and_undone(
    asked: Guidance, field: str, least: float, most: float
) -> None:
    play = Play(standard())
    still = getattr(heads(play.say(Stage.SELFIE, Guidance.LOOK_STRAIGHT, 1))[-1], field)
    moving = [getattr(head, field) for head in heads(play.say(Stage.SELFIE, asked, 2))]
    assert abs(moving[round(0.3 * FPS)] - still) < 0.3 * abs(moving[-1] - still)
    assert least <= moving[-1] <= most
    back = [getattr(head, field) for head in heads(play.say(Stage.SELFIE, Guidance.BACK_TO_CENTRE, 2.5))]
    assert abs(back[-1] - still) < 0.15 * abs(moving[-1] - still)


def test_a_movement_is_smooth() -> None:
    play = Play(standard())
    yaws = [head.yaw for head in heads(play.say(Stage.SELFIE, Guidance.TURN_LEFT, 2))]
    assert max(abs(b - a) for a, b in itertools.pairwise(yaws)) < 7  # 210 degrees a second: brisk, and no jump


def test_an_asked_blink_closes_the_eyes_longer_than_a_natural_one() -> None:
    closed = [head.eyes_closed > 0.8 for head in heads(Play(standard()).say(Stage.SELFIE, Guidance.BLINK, 1.8))]
    assert 0.3 <= sum(closed) / FPS <= 0.7
    natural = Scenario(summary="x")
    closed = [head.eyes_closed > 0.8 for head in heads(Play(natural).say(Stage.SELFIE, Guidance.LOOK_STRAIGHT, 30))]
    runs = "".join("x" if shut else " " for shut in closed).split()
    assert len(runs) >= 4
    assert max(map(len, runs)) / FPS < 0.25


def test_movements_are_only_made_when_the_face_is_looked_at() -> None:
    poses = Play(standard()).say(Stage.DOCUMENT, Guidance.TURN_LEFT, 2)
    assert max(abs(head.yaw) for head in heads(poses)) < 5


def test_the_document_comes_stays_and_goes() -> None:
    play = Play(standard())
    assert play.say(Stage.CONSENT, Guidance.WAIT, 1)[-1].held is None
    shown = play.say(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 3)
    assert shown[0].held is None
    held = shown[-1].held
    assert held is not None
    assert abs(held.y - 0.52) < 0.03
    beside = play.say(Stage.HOLDING, Guidance.HOLD_DOCUMENT_BESIDE_FACE, 2.5)[-1].held
    assert beside is not None
    assert beside.height < 0.4
    assert beside.x > 0.75
    assert play.say(Stage.SELFIE, Guidance.LOOK_STRAIGHT, 2)[-1].held is None


def test_the_back_is_shown_when_it_is_asked_for() -> None:
    play = Play(load_scenario("identity_card"))
    front = play.say(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 3)[-1].held
    back = play.say(Stage.DOCUMENT_BACK, Guidance.SHOW_DOCUMENT_BACK, 2.5)[-1].held
    assert front is not None
    assert back is not None
    assert (front.back, back.back) == (False, True)
    assert abs(back.tilt_y - front.tilt_y) < 8


def test_the_hand_follows_guidance() -> None:
    play = Play(standard())
    before = play.say(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 3)[-1].held
    after = play.say(Stage.DOCUMENT, Guidance.MOVE_CLOSER, 3)[-1].held
    glare = play.say(Stage.DOCUMENT, Guidance.GLARE, 1.5)[-1].held
    assert before is not None
    assert after is not None
    assert glare is not None
    assert after.height > 1.08 * before.height
    assert abs(glare.tilt_y - after.tilt_y) > 2


def test_who_ignores_the_challenge_does_not_move() -> None:
    play = Play(load_scenario("challenge_ignored"))
    play.say(Stage.SELFIE, Guidance.LOOK_STRAIGHT, 1)
    assert max(abs(head.yaw) for head in heads(play.say(Stage.SELFIE, Guidance.TURN_LEFT, 3))) < 5


def test_who_does_the_wrong_movement_turns_the_other_way() -> None:
    play = Play(load_scenario("challenge_wrong"))
    play.say(Stage.SELFIE, Guidance.LOOK_STRAIGHT, 1)
    assert heads(play.say(Stage.SELFIE, Guidance.TURN_LEFT, 2))[-1].yaw < -20


def test_who_walks_away_is_gone() -> None:
    play = Play(load_scenario("walks_away"))
    poses = play.say(Stage.SELFIE, Guidance.LOOK_STRAIGHT, 8)
    assert poses[FPS].head is not None
    assert poses[-1].head is None


def test_nobody_is_ever_seen_where_only_a_hand_is() -> None:
    play = Play(load_scenario("no_face"))
    poses = play.say(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 3) + play.say(Stage.SELFIE, Guidance.SHOW_FACE, 2)
    assert heads(poses) == []
    assert any(pose.held is not None for pose in poses)


def test_the_second_person_comes_for_the_selfie() -> None:
    play = Play(load_scenario("two_faces"))
    assert play.say(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 2)[-1].second is None
    assert play.say(Stage.SELFIE, Guidance.LOOK_STRAIGHT, 1)[-1].second is not None


def test_who_has_to_look_for_the_passport_shows_it_late() -> None:
    play = Play(load_scenario("document_late"))
    assert play.say(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 5)[-1].held is None
    assert play.say(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 4)[-1].held is not None


def test_the_same_words_at_the_same_times_give_the_same_poses() -> None:
    def run() -> list[Pose]:
        play = Play(load_scenario("standard"), seed=9)
        return play.say(Stage.DOCUMENT, Guidance.SHOW_DOCUMENT, 1) + play.say(Stage.SELFIE, Guidance.BLINK, 2)

    assert [dataclasses.astuple(pose) for pose in run()] == [dataclasses.astuple(pose) for pose in run()]
