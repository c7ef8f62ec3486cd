"""Points followed in the picture: a textured head, and paper whose landmarks the network imagines as a head's."""

import math

import numpy as np
import pytest

from device.protocol import Reason, Result
from device.vision.face.landmarks import Landmarks, Pose
from device.vision.liveness import tracks
from device.vision.liveness.parallax import Parallax
from device.vision.liveness.tracks import EYES, follow, shot

HEIGHT, WIDTH, APART = 300, 280, 72.0
MIDDLE = np.array([WIDTH / 2, HEIGHT / 2])
YAWS = (0, 3, 14, 18, 22, 20, 16)


def head(x, y):
    """Depth of something like a head, in pixels, towards the camera: an ellipsoid with a ridge down its middle."""
    ball = 75 * np.sqrt(np.maximum(0.05, 1 - (x / 110) ** 2 - (y / 150) ** 2))
    return ball + 28 * np.exp(-((x / 14) ** 2) - (((y - 12) / 34) ** 2))


def paper(x, y):
    return np.zeros_like(x + y)


def rolled(x, y):
    return np.sqrt(110.0**2 - np.clip(x, -100, 100) ** 2) + 0 * y


def landmarks(seed=2):
    """(468, 3): outline, lids and lips where a face has them, the rest anywhere in it."""
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(0, 2 * np.pi, 468), np.sqrt(rng.uniform(0, 0.9, 468))
    x, y = 85 * radius * np.cos(angle), 115 * radius * np.sin(angle)
    around = np.linspace(0, 2 * np.pi, len(tracks._OUTLINE), endpoint=False)
    x[tracks._OUTLINE], y[tracks._OUTLINE] = 90 * np.sin(around), -120 * np.cos(around)
    for side, lids in zip((-1, 1), tracks._LIDS, strict=True):
        turn = np.linspace(0, 2 * np.pi, len(lids), endpoint=False)
        x[lids], y[lids] = side * APART / 2 + 14 * np.cos(turn), -30 + 5 * np.sin(turn)
    x[[33, 133, 362, 263]] = np.array([-APART / 2 - 14, -APART / 2 + 14, APART / 2 - 14, APART / 2 + 14])
    y[[33, 133, 362, 263]] = -30
    x[tracks._UPPER_LIP], y[tracks._UPPER_LIP] = np.linspace(-25, 25, len(tracks._UPPER_LIP)), 62
    return np.column_stack([x, y, -head(x, y)])


def texture(seed=4, contrast=40.0):
    rng = np.random.default_rng(seed)
    fine = rng.normal(0, 1, (HEIGHT, WIDTH))
    spread = np.fft.ifft2(np.fft.fft2(fine) * np.exp(-_squared_frequency() * 60)).real
    return np.clip(128 + contrast * spread / spread.std(), 0, 255)


def _squared_frequency():
    return np.fft.fftfreq(HEIGHT)[:, None] ** 2 + np.fft.fftfreq(WIDTH)[None] ** 2


def picture(surface, yaw, skin, seed=0):
    """The textured surface turned by `yaw` degrees under orthography, with a sensor's noise: RGB."""
    turn = math.radians(yaw)
    columns = np.arange(WIDTH) - MIDDLE[0]
    turned = np.empty((HEIGHT, WIDTH))
    for row in range(HEIGHT):
        y = row - MIDDLE[1]
        moved = columns * math.cos(turn) + (surface(columns, y) - surface(np.zeros(1), 0.0)) * math.sin(turn)
        moved = np.maximum.accumulate(moved)
        turned[row] = np.interp(columns, moved, skin[row])
    noise = np.random.default_rng(seed).normal(0, 2.0, turned.shape)
    return np.repeat(np.clip(turned + noise, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def imagined(points, yaw, seed=0):
    """Where the network puts landmarks: those of a head that is turned so, whatever is there."""
    turn, rng = math.radians(yaw), np.random.default_rng(seed)
    x, y, z = points.T
    top = float(head(np.zeros(1), 0.0)[0])
    places = np.column_stack([x * math.cos(turn) + (-z - top) * math.sin(turn), y]) + MIDDLE
    return np.column_stack([places + rng.normal(0, 0.4, places.shape), z]).astype(np.float32)


def watched(surface, skin, yaws=YAWS, parallax=None):
    parallax, points = parallax or Parallax(), landmarks()
    for number, yaw in enumerate(yaws):
        seen = Landmarks(imagined(points, yaw, number), 1.0)
        parallax.add(picture(surface, yaw, skin, number), seen, Pose(float(yaw), 0.0, 0.0))
    return parallax


def test_a_head_is_one_by_the_picture_itself():
    parallax = watched(head, texture())
    assert parallax.evidence().followed
    assert parallax.report().result is Result.PASS


@pytest.mark.parametrize("surface", [paper, rolled])
def test_paper_is_none_although_its_landmarks_move_as_a_heads(surface):
    parallax = watched(surface, texture())
    evidence = parallax.evidence()
    assert evidence.followed
    assert min(evidence.ratio, evidence.sheet_ratio) < 0.6
    assert parallax.report().reason is Reason.MOVES_AS_PLANE


def test_each_side_is_judged_by_itself_and_the_less_head_like_one_decides():
    left, right = (0, 3, -14, -18, -22, -20), (0, 3, 14, 18, 22, 20)
    one, other = (watched(head, texture(), yaws).evidence() for yaws in (left, right))
    both = watched(head, texture(), (*left, *right[2:]))
    assert both.evidence().sheet_ratio == pytest.approx(min(one.sheet_ratio, other.sheet_ratio), rel=0.2)
    assert both.report().result is Result.PASS


def test_whoever_shows_a_head_to_one_side_and_paper_to_the_other_is_refused():
    parallax = watched(head, texture(), (0, 3, -14, -18, -22, -20))
    swapped = watched(paper, texture(), (0, 3, 14, 18, 22, 20), parallax)
    assert swapped.report().reason is Reason.MOVES_AS_PLANE


@pytest.mark.parametrize(("surface", "result"), [(head, Result.PASS), (paper, Result.FAIL)])
def test_a_slow_board_sees_a_turn_in_three_pictures_and_that_is_enough(surface, result):
    parallax = watched(surface, texture(), (0, 3, 14, 18, 22))
    assert (parallax.evidence().frames, parallax.evidence().turned) == (3, True)
    assert parallax.report().result is result


def test_where_nothing_can_be_followed_landmarks_decide():
    parallax = watched(head, np.full((HEIGHT, WIDTH), 128.0))
    assert not parallax.evidence().followed
    assert parallax.report().result is Result.PASS


def test_a_turn_beyond_what_can_be_followed_is_left_to_landmarks():
    parallax = watched(head, texture(), (0, 2, 40, 44, 48, 45))
    assert not parallax.evidence().followed


def test_points_are_found_where_they_went():
    skin, points, yaws = texture(), landmarks(), (0, 12, 16, 20)
    shots = [shot(picture(paper, yaw, skin, yaw), Landmarks(imagined(points, yaw, yaw), 1.0)) for yaw in yaws]
    found = follow(shots[0], shots[1:], 20)
    assert found is not None
    before = found.reference[:, 0]
    for after, yaw in zip(found.frames[..., 0], yaws[1:], strict=True):
        narrower, shift = np.polyfit(before, after, 1)
        assert np.median(np.abs(after - narrower * before - shift)) < 0.01 * EYES
        assert narrower == pytest.approx(math.cos(math.radians(yaw)), rel=0.08)


def test_two_turned_pictures_are_too_few():
    skin, points = texture(), landmarks()
    shots = [shot(picture(head, yaw, skin), Landmarks(imagined(points, yaw), 1.0)) for yaw in (0, 14, 18)]
    assert follow(shots[0], shots[1:], 20) is None


def test_a_shot_has_one_scale_and_none_is_made_of_a_face_outside_the_picture():
    found = Landmarks(imagined(landmarks(), 0), 1.0)
    taken = shot(picture(head, 0, texture()), found)
    assert tracks.eye_distance(taken.points) == pytest.approx(EYES, rel=0.02)
    assert taken.grey.dtype == np.uint8
    outside = Landmarks(found.points + np.float32((1000, 0, 0)), 1.0)
    assert shot(picture(head, 0, texture()), outside) is None
