"""A card beside a face: pictures of both move as one however they are turned, cards do not."""

import numpy as np
import pytest

from device.vision.liveness.apart import Apart

FACE = np.array([[100.0, 100.0], [300.0, 360.0]])
CARD = np.array([[340.0, 250.0], [400.0, 330.0]])


def boxes(matrix=None, face=FACE, card=CARD, jitter=0.0, rng=None):
    """Both boxes after an affine map of the whole picture, with the landmarks' jitter."""
    matrix = np.eye(2) if matrix is None else matrix
    noise = rng.normal(0, jitter, (2, 2, 2)) if rng is not None else np.zeros((2, 2, 2))
    return [tuple((corners @ matrix.T + shake).ravel()) for corners, shake in zip((face, card), noise, strict=True)]


def test_one_picture_shifted_shrunk_and_tilted_moves_as_one():
    rng = np.random.default_rng(1)
    apart = Apart()
    for number in range(60):
        squeeze = 1 - 0.35 * abs(np.sin(number / 9))
        apart.add(*boxes(np.diag([squeeze, 1.0]) * (1 + number / 200), jitter=1.5, rng=rng))
    assert not apart.moved
    assert max(apart.path) > 0.0


def test_a_card_that_is_brought_into_the_picture_moves_by_itself():
    apart = Apart()
    for number in range(10):
        apart.add(*boxes(card=np.add(CARD, (0, 12.0 * number))))
    assert apart.moved
    assert apart.path[0] == pytest.approx(7 * 12 / 260, abs=0.01)


def test_a_card_that_comes_closer_moves_by_itself():
    apart = Apart()
    for number in range(10):
        middle = CARD.mean(axis=0)
        apart.add(*boxes(card=middle + (CARD - middle) * (1 + 0.05 * number)))
    assert apart.moved
    assert apart.path[1] == pytest.approx(1.40 / 1.05 - 1, abs=0.02)


def test_one_wild_view_is_not_a_movement():
    apart = Apart()
    for number in range(12):
        apart.add(*boxes(card=np.add(CARD, (80.0 if number == 6 else 0.0, 0))))
    assert not apart.moved


def test_nothing_seen_has_not_moved():
    apart = Apart()
    assert (apart.moved, apart.path) == (False, (0.0, 0.0))
    apart.add((0, 0, 0, 0), (0, 0, 0, 0))
    assert not apart.moved
