"""Measures the decoder of machine readable zones on evidence that is calibrated by construction.

In: a seed and a count. Out, on stdout, for several amounts of noise: how often the text is right without and with the
standard's grammar, how often a genuine zone is called consistent, and how often a wrong text is; the same for zones
with one altered character that the check digits can catch. It is what the limits in `models/document.toml` [mrz] are
chosen by: no network is in it, only what the decoder makes of probabilities that mean what they say.

Every character is a point, look-alikes near each other; what is seen is the point and Gaussian noise, and the
probabilities are the posterior of that.
"""

from __future__ import annotations

import argparse
import datetime
import string
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from device.vision.document import mrz
from device.vision.document.evidence import ALPHABET, INDEX, LineEvidence
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.mrz_layouts import LAYOUTS, compose

Rng = np.random.Generator
TODAY = datetime.date(2026, 6, 1)
QUAD = np.zeros((4, 2), np.float32)
NEAR = (
    "O0",
    "Q0",
    "D0",
    "I1",
    "Z2",
    "S5",
    "B8",
    "G6",
    "MN",
    "MH",
    "MW",
    "CG",
    "UV",
    "EF",
    "PR",
    "VY",
    "38",
    "17",
    "69",
)
LAYOUT_NAMES = ("TD1", "TD2", "TD3", "MRV-A", "MRV-B", "FRENCH-ID")


def points(rng: Rng) -> NDArray[np.float64]:
    """(37, 12) one point for each character, look-alikes half as far apart as others."""
    places = rng.normal(0, 1, (len(ALPHABET), 12))
    for one, other in NEAR:
        middle = (places[INDEX[one]] + places[INDEX[other]]) / 2
        for character in (one, other):
            places[INDEX[character]] = middle + 0.55 * (places[INDEX[character]] - middle)
    return places


def see(rng: Rng, text: str, places: NDArray[np.float64], noise: float) -> LineEvidence:
    """The evidence of a line under so much noise."""
    seen = places[[INDEX[character] for character in text]] + rng.normal(0, noise, (len(text), places.shape[1]))
    distance = ((seen[:, None, :] - places[None]) ** 2).sum(axis=2)
    logits = -distance / (2 * noise * noise)
    rows = np.exp(logits - logits.max(axis=1, keepdims=True))
    return LineEvidence((rows / rows.sum(axis=1, keepdims=True)).astype(np.float32), QUAD)


def document(rng: Rng) -> tuple[str, ...]:
    """A valid zone of a random layout."""
    name = str(rng.choice(LAYOUT_NAMES))
    letters, mixed = list(string.ascii_uppercase), list(string.ascii_uppercase + string.digits)

    def word(alphabet: list[str], low: int, high: int) -> str:
        return "".join(rng.choice(alphabet, int(rng.integers(low, high + 1))))

    def day(low: int, high: int) -> PartialDate:
        return PartialDate(int(rng.integers(low, high)), int(rng.integers(1, 13)), int(rng.integers(1, 29)))

    fields = DocumentFields(
        document_code={"TD3": "P", "MRV-A": "V", "MRV-B": "V", "FRENCH-ID": "ID"}.get(name, "I"),
        issuing_state="FRA" if name == "FRENCH-ID" else word(letters, 3, 3),
        document_number=word(mixed, 12, 12) if name == "FRENCH-ID" else word(mixed, 8, 9),
        surname=word(letters, 3, 10),
        given_names=f"{word(letters, 3, 6)} {word(letters, 2, 5)}",
        nationality=word(letters, 3, 3),
        date_of_birth=day(1930, 2020),
        date_of_expiry=day(2026, 2036),
        sex=str(rng.choice(["F", "M"])),
        optional_data=() if name == "FRENCH-ID" else (word(mixed, 0, 7),),
    )
    return compose(name, fields)


def altered(rng: Rng, lines: tuple[str, ...]) -> tuple[str, ...]:
    """The zone with one character changed so that some check digit is wrong."""
    while True:
        row = int(rng.integers(len(lines)))
        index = int(rng.integers(len(lines[row])))
        character = ALPHABET[int(rng.integers(len(ALPHABET)))]
        if character == lines[row][index]:
            continue
        changed = (*lines[:row], lines[row][:index] + character + lines[row][index + 1 :], *lines[row + 1 :])
        reading = mrz.parse(changed, TODAY)
        if reading is not None and not reading.consistent:
            return changed


def measure(rng: Rng, noise: float, count: int, forged: bool) -> Counter[str]:
    """Outcomes of `count` zones."""
    outcomes: Counter[str] = Counter()
    places = points(rng)
    for _ in range(count):
        lines = altered(rng, document(rng)) if forged else document(rng)
        evidence = [see(rng, line, places, noise) for line in lines]
        reading = mrz.decode(evidence, TODAY)
        assert reading is not None
        right = reading.lines == lines
        outcomes["likeliest characters right"] += tuple(line.text for line in evidence) == lines
        outcomes["text right"] += right
        outcomes["consistent"] += reading.consistent
        outcomes["wrong and consistent"] += reading.consistent and not right
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    assert set(LAYOUT_NAMES) <= set(LAYOUTS)
    for forged in (False, True):
        print("one altered character" if forged else "genuine")
        for noise in (0.2, 0.25, 0.3, 0.35, 0.4):
            rng = np.random.default_rng((arguments.seed, int(100 * noise), forged))
            outcomes = measure(rng, noise, arguments.count, forged)
            shares = "  ".join(f"{name} {hits / arguments.count:6.1%}" for name, hits in outcomes.items())
            print(f"  noise {noise}: {shares}")


if __name__ == "__main__":
    main()
