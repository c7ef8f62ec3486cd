"""What an attack detector is measured on: the square that training cut, and nobody that it has seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.vision.liveness.crops import Square, face_square
from models.training.attack_cache import pools_of
from models.training.attack_data import Sample
from models.training.attack_measure import around, scores


@given(st.builds(Square, st.floats(0, 640), st.floats(0, 480), st.floats(2, 400)))
def test_landmarks_around_a_square_have_that_square(square):
    found = face_square(around(square))
    assert (found.x, found.y, found.side) == pytest.approx((square.x, square.y, square.side), rel=1e-4, abs=1e-2)


def sample(subject, group):
    return Sample(f"{subject}.jpg", 80.0, 80.0, 100.0, "bona_fide", "", subject, group)


def test_people_kept_back_are_in_no_training_shard():
    samples = [sample(f"person{number}", "utkface") for number in range(400)]
    samples += [sample("client001", "replay/train"), sample("client002", "replay/devel")]
    learned, kept = pools_of(samples, held=False), pools_of(samples, held=True)
    assert len(learned["utkface"]) + len(kept["utkface"]) == 400
    assert kept["utkface"]
    assert not {s.subject for s in learned["utkface"]} & {s.subject for s in kept["utkface"]}
    assert [s.subject for s in learned["replay"]] == ["client001"], "devel is nobody's to learn from"
    assert not kept["replay"]


def test_scores_are_told_apart_by_species():
    class Brightness:
        def score(self, image, _landmarks):
            return float(image.mean()) / 255

    def seen(value, species):
        return np.full((8, 8, 3), value, np.uint8), Square(4, 4, 4), species

    people, attacks = scores(Brightness(), iter([seen(0, ""), seen(255, "print"), seen(51, ""), seen(102, "mask")]))
    assert people.tolist() == pytest.approx([0.0, 0.2])
    assert list(attacks) == ["mask", "print"]
