"""Other surroundings for a face leave the face alone, fill everything else, and differ from draw to draw."""

import itertools

import numpy as np
import pytest

from models.training.face_surround import surrounded

SIZE = 144


@pytest.fixture
def covered():
    """A photograph that ends at the brow, as UTKFace's do."""
    inside = np.zeros((SIZE, SIZE), dtype=bool)
    inside[40:140, 8:136] = True
    return inside


def pictures(seed: int):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(12))
def test_the_face_stays_as_it_is(covered, seed):
    canvas, other = pictures(seed)
    filled = surrounded(canvas, covered, other, np.random.default_rng(seed))
    assert (filled.shape, filled.dtype) == (canvas.shape, np.uint8)
    well_inside = (slice(52, 128), slice(20, 124))
    assert np.abs(filled[well_inside].astype(int) - canvas[well_inside]).max() <= 1


def test_what_lies_beyond_is_not_the_canvas_own_and_not_the_same_twice(covered):
    canvas, other = pictures(1)
    random = np.random.default_rng(1)
    drawn = [surrounded(canvas, covered, other, random)[:24].astype(float) for _ in range(8)]
    assert all(np.abs(one - canvas[:24]).mean() > 10 for one in drawn)
    assert min(np.abs(one - next_one).mean() for one, next_one in itertools.pairwise(drawn)) > 1


def test_the_same_seed_draws_the_same(covered):
    canvas, other = pictures(2)
    one, two = (surrounded(canvas, covered, other, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one, two)


def test_a_whole_photograph_is_left_alone():
    canvas, other = pictures(3)
    everywhere = np.ones((SIZE, SIZE), dtype=bool)
    filled = surrounded(canvas, everywhere, other, np.random.default_rng(3))
    assert np.abs(filled[10:-10, 10:-10].astype(int) - canvas[10:-10, 10:-10]).max() <= 1
