"""The selfie stage after the challenge: only straight views are matched, and without them nobody is matched."""

from types import SimpleNamespace

import numpy as np
import pytest

from device.protocol import CameraKind, Check, FmrLevel, Guidance, Reason, Result
from device.vision.camera.base import CameraIdentity, Frame
from device.vision.face.landmarks import Pose
from device.vision.face.matcher import Match
from device.vision.liveness.challenge import ChallengeState
from device.vision.liveness.injection import InjectionWatch
from device.vision.liveness.parallax import Parallax
from device.vision.stages.base import Findings
from device.vision.stages.selfie import PROBES_WANTED, SelfieStage, SelfieTask, SelfieTools

CAMERA = CameraIdentity(CameraKind.LIVE, "test")
POINTS = np.random.default_rng(1).normal(0, 40, (468, 3)).astype(np.float32)


class PassedChallenge:
    """Looks once at where straight ahead is, and passes at the next look."""

    method = "test"

    def __init__(self):
        self.begun = False

    def update(self, _time, _face):
        begun, self.begun = self.begun, True
        if begun:
            return ChallengeState(Guidance.GOOD, 1, 1, True, Result.PASS, None)
        return ChallengeState(Guidance.LOOK_STRAIGHT, 1, 1)


class FailedChallenge(PassedChallenge):
    """Fails as soon as it is asked."""

    def update(self, _time, _face):
        return ChallengeState(Guidance.WAIT, 1, 1, True, Result.FAIL, Reason.CHALLENGE_IGNORED)


class LeftChallenge(PassedChallenge):
    """Ends because nobody was there for a moment."""

    def update(self, _time, _face):
        return ChallengeState(Guidance.WAIT, 1, 1, True, Result.NOT_PERFORMED, Reason.PERSON_LEFT)


class EndlessChallenge(PassedChallenge):
    """Is still being asked when the stage's time is over."""

    def update(self, _time, _face):
        return ChallengeState(Guidance.OPEN_MOUTH, 1, 1)


def view(yaw, guidance=None, points=POINTS):
    quality = SimpleNamespace(guidance=guidance)
    face = SimpleNamespace(points=points, presence=1.0)
    return SimpleNamespace(landmarks=face, pose=Pose(yaw, 0.0, 0.0), quality=quality, expression=None, size=0.1)


def seen(yaw_or_view):
    return yaw_or_view if isinstance(yaw_or_view, SimpleNamespace) else view(yaw_or_view)


def stage(yaws, attempts=(), passive=None):
    """A stage that sees a face with these yaws (or views), one a frame, and none after them."""
    left = list(yaws)

    def look(_image):
        if not left:
            return SimpleNamespace(detections=(), main=None)
        return SimpleNamespace(detections=(SimpleNamespace(box=(0, 0, 10, 10)),), main=seen(left.pop(0)))

    embedder = SimpleNamespace(embed_frame=lambda _image, landmarks, _number: landmarks.points[0])

    def match(_references, probes, level):
        same = all(np.array_equal(probe, POINTS[0]) for probe in probes)
        return Match(0.9 if same else 0.1, same, level)

    tools = SelfieTools(SimpleNamespace(look=look), None, embedder, SimpleNamespace(match=match), passive, "test")
    findings = Findings(portraits=[np.ones(3, np.float32)])
    task = SelfieTask(FmrLevel.E4, False)
    challenges = list(attempts) or [PassedChallenge()]
    return SelfieStage(tools, task, challenges, Parallax(), InjectionWatch(), findings)


def play(yaws, attempts=(), unseen=0, passive=None):
    selfie = stage(yaws, attempts, passive)
    rng = np.random.default_rng(2)
    steps = []
    for number in range(len(yaws) + unseen):
        image = rng.integers(60, 200, (48, 64, 3), dtype=np.uint8)
        steps.append(selfie.observe(Frame(image, number / 15, number, CAMERA)))
    return selfie, steps


def match_of(selfie):
    return next(report for report in selfie.reports() if report.check is Check.FACE_MATCH)


def test_views_on_the_way_back_from_a_turn_are_not_matched():
    before, after = [2.0] * PROBES_WANTED, [2.0] * PROBES_WANTED
    selfie, steps = play([*before, 2.0, 25.0, 18.0, 13.0, *after])
    on_the_way = steps[PROBES_WANTED + 2 : PROBES_WANTED + 4]
    assert [step.guidance for step in on_the_way] == [Guidance.BACK_TO_CENTRE] * 2
    assert selfie.done
    assert match_of(selfie).result is Result.PASS


@pytest.mark.parametrize("after", [[], [25.0] * 9], ids=["gone", "looks_away"])
def test_without_a_straight_view_afterwards_nobody_is_matched(after):
    selfie, _ = play([2.0] * PROBES_WANTED + [2.0, 25.0, *after])
    assert not selfie.done
    assert match_of(selfie).result is Result.NOT_PERFORMED
    assert match_of(selfie).reason in (Reason.TIME_LIMIT, Reason.FACE_QUALITY)


def test_a_view_that_was_refused_does_not_say_where_straight_ahead_is():
    blurred = [view(18.0, Guidance.HOLD_STILL)] * 4
    selfie, _ = play([*blurred, *[0.0] * PROBES_WANTED, 0.0, 0.0, *[0.0] * PROBES_WANTED])
    assert selfie.done
    assert match_of(selfie).result is Result.PASS


def test_who_only_does_the_moving_is_not_the_holder():
    """The holder's photograph before and after, another's head in between."""
    holder, other = [view(2.0)] * PROBES_WANTED, [view(2.0, points=POINTS + 1)] * 2
    selfie, _ = play([*holder, *other, *holder])
    assert selfie.done
    assert challenge_of(selfie) == (Result.PASS, None)
    assert (match_of(selfie).result, match_of(selfie).reason) == (Result.FAIL, Reason.FACE_MISMATCH)


def test_who_is_never_seen_straight_while_moving_is_not_matched():
    selfie, _ = play([2.0] * PROBES_WANTED + [25.0] * 2 + [2.0] * PROBES_WANTED)
    assert selfie.done
    assert (match_of(selfie).result, match_of(selfie).reason) == (Result.NOT_PERFORMED, Reason.FACE_QUALITY)


def test_what_is_shown_after_the_challenge_is_passively_judged_too():
    photograph = [view(2.0, points=POINTS + 1)] * PROBES_WANTED
    looked_at = []

    def score(_image, landmarks):
        looked_at.append(np.array_equal(landmarks.points, POINTS))
        return 0.0 if looked_at[-1] else 1.0

    passive = SimpleNamespace(name="test", threshold=0.3, score=score, fuse=np.mean)
    selfie, _ = play([2.0] * (PROBES_WANTED + 2) + photograph, passive=passive)
    report = next(report for report in selfie.reports() if report.check is Check.LIVENESS_PASSIVE)
    assert looked_at == [True] * 4 + [False] * PROBES_WANTED
    assert report.result is Result.FAIL


def challenge_of(selfie):
    report = next(report for report in selfie.reports() if report.check is Check.LIVENESS_CHALLENGE)
    return report.result, report.reason


def test_a_try_that_failed_stands_where_time_runs_out_in_the_next():
    selfie, _ = play([2.0] * 9, (FailedChallenge(), EndlessChallenge()))
    assert challenge_of(selfie) == (Result.FAIL, Reason.CHALLENGE_IGNORED)


def test_a_second_try_that_passes_is_the_one_that_counts():
    selfie, _ = play([2.0] * 9, (FailedChallenge(), PassedChallenge()))
    assert challenge_of(selfie) == (Result.PASS, None)


def test_a_try_that_could_not_be_judged_is_none_that_failed():
    selfie, _ = play([2.0] * 9, (LeftChallenge(), EndlessChallenge()))
    assert challenge_of(selfie) == (Result.NOT_PERFORMED, Reason.TIME_LIMIT)


def test_whoever_leaves_in_the_second_try_has_left():
    selfie, _ = play([2.0] * 9, (FailedChallenge(), EndlessChallenge()), unseen=2)
    assert challenge_of(selfie) == (Result.NOT_PERFORMED, Reason.PERSON_LEFT)


def test_a_box_too_busy_to_look_says_so_and_nothing_of_the_person():
    selfie = stage([2.0] * 12)
    rng = np.random.default_rng(2)
    for number in range(2):  # too few for a match, and they come late
        image = rng.integers(60, 200, (48, 64, 3), dtype=np.uint8)
        selfie.observe(Frame(image, 2.0 * number, number, CAMERA))
    reports = {report.check: report for report in selfie.reports()}
    for check in (Check.FACE_MATCH, Check.LIVENESS_CHALLENGE, Check.LIVENESS_PARALLAX):
        assert (reports[check].result, reports[check].reason) == (Result.NOT_PERFORMED, Reason.FRAMES_MISSED)
