"""The drawn sequences: deterministic, uniform, never a repetition, and as hard to guess as they say."""

import collections
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.protocol import Movement
from device.vision.liveness.sequence import draw_movements, draw_pauses, steps_for, unpredictability_bits

ALL = tuple(Movement)
movement_sets = st.sets(st.sampled_from(ALL), min_size=2).map(tuple)


@given(st.binary(min_size=32, max_size=32), st.integers(1, 8), movement_sets, st.integers(0, 5))
def test_no_movement_twice_in_a_row_and_only_allowed_ones(seed, steps, movements, attempt):
    drawn = draw_movements(seed, steps, movements, attempt)
    assert len(drawn) == steps
    assert set(drawn) <= set(movements)
    assert all(first is not second for first, second in itertools.pairwise(drawn))
    assert drawn == draw_movements(seed, steps, tuple(reversed(movements)), attempt)


def test_known_answer_so_that_a_verdict_can_be_explained_later():
    assert draw_movements(bytes(32), 5, ALL) == draw_movements(bytes(32), 5, ALL + ALL)
    assert draw_movements(bytes(32), 5, ALL) != draw_movements(bytes(31) + b"\1", 5, ALL)
    assert draw_movements(bytes(32), 5, ALL) != draw_movements(bytes(32), 5, ALL, attempt=1)


def test_every_sequence_is_equally_likely():
    movements = (Movement.BLINK, Movement.TURN_LEFT, Movement.LOOK_UP)
    counts = collections.Counter(draw_movements(n.to_bytes(32, "big"), 3, movements) for n in range(6000))
    assert len(counts) == 3 * 2 * 2 - 2  # blink and nod in turns have no turn to a side
    assert 2 ** unpredictability_bits(3, movements) == pytest.approx(10)
    expected = 6000 / 10
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < 27.9  # 9 degrees of freedom, p = 0.001; the seeds are fixed, so this never flickers


def test_every_sequence_has_a_turn_where_the_person_can_turn():
    movements = (Movement.BLINK, Movement.LOOK_UP, Movement.COME_CLOSER, Movement.TURN_LEFT)
    drawn = {draw_movements(n.to_bytes(32, "big"), 3, movements) for n in range(4000)}
    assert all(Movement.TURN_LEFT in sequence for sequence in drawn)
    assert len(drawn) == 4 * 9 - 3 * 4 == round(2 ** unpredictability_bits(3, movements))
    assert len(draw_movements(bytes(32), 3, movements[:3])) == 3


def test_bits_count_what_can_be_drawn():
    assert unpredictability_bits(4, ALL) == pytest.approx(math.log2(7 * 6**3 - 5 * 4**3))
    assert unpredictability_bits(4, ALL) < 12
    assert unpredictability_bits(5, ALL) > 12.9
    assert unpredictability_bits(5, ALL, attempts=2) == pytest.approx(unpredictability_bits(5, ALL) - 1)
    assert unpredictability_bits(6, ALL, attempts=2) >= 12
    assert unpredictability_bits(3, (Movement.BLINK, Movement.OPEN_MOUTH)) == 1.0


def test_fewer_movements_need_more_steps():
    assert steps_for(12, ALL) == 5
    for count in (3, 4, 5, 6, 7):
        steps = steps_for(12, ALL[:count])
        assert unpredictability_bits(steps, ALL[:count]) >= 12 > unpredictability_bits(steps - 1, ALL[:count])
    with pytest.raises(ValueError, match="predictable"):
        steps_for(12, ALL[:2])


def test_pauses_differ_and_stay_below_one():
    pauses = draw_pauses(bytes(range(32)), 8)
    assert len(set(pauses)) > 4
    assert all(0 <= pause < 1 for pause in pauses)


@pytest.mark.parametrize(
    ("seed", "steps", "movements"),
    [(bytes(31), 4, ALL), (bytes(32), 0, ALL), (bytes(32), 2, (Movement.BLINK,)), (bytes(32), 1, ())],
    ids=["short_seed", "no_steps", "one_movement_twice", "no_movement"],
)
def test_what_cannot_be_drawn(seed, steps, movements):
    with pytest.raises(ValueError, match=r"32 bytes|cannot be drawn"):
        draw_movements(seed, steps, movements)
