"""Measures a detector of the manifest where it was not trained: devel, devel through another camera, rendered people.

In: the name of a model for presentation_attack whose files are here, and the faces of `attack_data`. Out: for each set
the equal error rate, the area under the curve and the worst species at a BPCER of 5 %; and the threshold that devel
sets (`--bpcer` of single bona fide frames above it). Everything goes through the box's own `PassiveDetector`.

    python -m models.training.attack_measure --faces faces.jsonl [--model NAME] [--rendered 500]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from device.evaluation.attack_metrics import (
    Array,
    area_under_roc,
    equal_error_rate,
    operating_point,
    threshold_at_bpcer,
)
from device.vision.camera.base import Image
from device.vision.face.landmarks import Landmarks
from device.vision.inference.manifest import load_manifest
from device.vision.liveness.crops import Square
from device.vision.liveness.passive import PassiveDetector
from models.training.attack_cache import MIX, attack, bona_fide, pools_of
from models.training.attack_data import Sample, load_samples
from models.training.attack_scene import camera

Seen = tuple[Image, Square, str]
"""A frame, where its face is, and the species of the attack (empty for a person)."""


def devel(samples: list[Sample], strength: float) -> Iterator[Seen]:
    """The devel split's frames, through one more simulated camera where `strength` is above 0."""
    rng = np.random.default_rng(5)
    for sample in samples:
        if sample.group != "replay/devel":
            continue
        image = np.asarray(cv2.cvtColor(cv2.imread(sample.file), cv2.COLOR_BGR2RGB), dtype=np.uint8)
        if strength:
            image = camera(rng, image.astype(np.float32) / 255.0, strength)
        yield image, sample.square, sample.species


def rendered(samples: list[Sample], count: int) -> Iterator[Seen]:
    """People of UTKFace who are kept back from training, half of them presented by attacks."""
    people = pools_of(samples, held=True)["utkface"]
    names, odds = zip(*MIX, strict=True)
    for number in range(count):
        rng = np.random.default_rng([7, number])
        sample, other = (people[int(index)] for index in rng.integers(0, len(people), 2))
        if number % 2:
            species = str(rng.choice(names, p=odds))
            image, square = attack(rng, sample, other, species, mild=False)
            yield image, square, species
        else:
            image, square = bona_fide(rng, sample, mild=False)
            yield image, square, ""


def scores(detector: PassiveDetector, seen: Iterator[Seen]) -> tuple[Array, dict[str, Array]]:
    """Of bona fide frames, and of attacks by species."""
    found: dict[str, list[float]] = {}
    for image, square, species in seen:
        found.setdefault(species, []).append(detector.score(np.ascontiguousarray(image), around(square)))
    attacks = {kind: np.array(values) for kind, values in sorted(found.items()) if kind}
    return np.array(found[""]), attacks


def around(square: Square) -> Landmarks:
    """Landmarks whose square is `square`: the detector asks for no more of them."""
    half = square.side / 2
    corners = [(square.x - half, square.y - half, 0.0), (square.x + half, square.y + half, 0.0)]
    return Landmarks(np.array(corners, np.float32), 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--model", default=None)
    parser.add_argument("--rendered", type=int, default=500)
    parser.add_argument("--bpcer", type=float, default=0.05)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    detector = PassiveDetector(load_manifest(), name=arguments.model)
    samples = load_samples(arguments.faces)
    sets = {"devel": devel(samples, 0.0), "devel through another camera": devel(samples, 0.5)}
    if arguments.rendered:
        sets["rendered people and attacks not seen"] = rendered(samples, arguments.rendered)
    for name, seen in sets.items():
        people, attacks = scores(detector, seen)
        pooled = np.concatenate(list(attacks.values()))
        point = operating_point(people, attacks, threshold_at_bpcer(people, arguments.bpcer))
        rates = f"EER {equal_error_rate(people, pooled):.4f}, AUC {area_under_roc(people, pooled):.4f}"
        worst = f"APCER {point.apcer[point.worst].value:.4f} of {point.worst} at BPCER {arguments.bpcer:.2f}"
        print(f"{detector.name}, {name}: {rates}, {worst}", flush=True)
        if name == "devel":
            print(f"{detector.name}: threshold {math.ceil(1e4 * point.threshold) / 1e4:.4f}", flush=True)


if __name__ == "__main__":
    main()
