"""Renders the attack detector's training crops once, in shards, so that training only has to read them.

In: the faces that `attack_data` found. Out: `<out>/NNN.x.npy` (N x 2S x S x 3 uint8, stacked crops a little wider than
the network's, so that training can shift them) and `<out>/NNN.y.npy` (N x 2 int: class, group). Replay-Attack samples
come of its train split only; a tenth of UTKFace's people is kept back for shards of `--held-out`.

    python -m models.training.attack_cache --faces faces.jsonl --out DIR --share utkface --shards 40
"""

from __future__ import annotations

import argparse
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.liveness.crops import Square, stacked_crops
from models.training.attack_data import Sample, load_samples
from models.training.attack_render import present
from models.training.attack_scene import Pixels, Rng, camera, person_scene

CLASSES = ("bona_fide", "print", "screen", "mask")
CLASS_OF = {"": 0, "print": 1, "print_eyes": 1, "mask_paper": 3, "screen": 2}
Seen = tuple[npt.NDArray[np.uint8], Square]
"""A frame (H x W x 3 uint8 RGB) and where its face is."""
GROUPS = ("utkface", "utkface_attack", "replay", "replay_attack", "replay_simulated")
SIZE = 90
"""Pixels; the network sees 80 of them."""
TIGHT, WIDE = 1.0, 2.7
"""Sides of the two crops, in sides of the face's square."""
SLACK = SIZE / 80
SHARES = {
    "utkface": {"utkface": 500, "utkface_attack": 500},
    "replay": {"replay": 120, "replay_attack": 200, "replay_simulated": 80},
    "mild": {"utkface": 140, "utkface_attack": 160, "replay_simulated": 100},
}
"""Of what a shard consists. `mild`: good cameras, and instruments that fill the picture: no edge gives them away."""
MIX = (("print", 0.34), ("print_eyes", 0.1), ("mask_paper", 0.12), ("screen", 0.44))


def held_out(sample: Sample) -> bool:
    """A tenth of the people, by name, never rendered into training shards."""
    return zlib.crc32(sample.subject.encode()) % 10 == 0


def load(sample: Sample) -> Pixels:
    image = cv2.imread(sample.file)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32) / 255.0


def bona_fide(rng: Rng, sample: Sample, mild: bool) -> Seen:
    """A simulated live frame of an UTKFace person."""
    side, factor = int(rng.integers(110, 250)), float(rng.uniform(1.6, 3.0))
    scene = person_scene(rng, load(sample), (sample.x, sample.y, sample.side), factor, side)
    return camera(rng, scene, _strength(rng, mild)), Square(side / 2, side / 2, side / factor)


def _strength(rng: Rng, mild: bool) -> float:
    return float(rng.uniform(0.15, 0.6)) if mild else 1.0


def attack(rng: Rng, sample: Sample, other: Sample, species: str, mild: bool) -> Seen:
    """A simulated frame of an attack that presents `sample`'s face, `other` being the one who presents it."""
    side, factor = int(rng.integers(110, 250)), float(rng.uniform(1.6, 3.0))
    content_factor = float(rng.uniform(3.0, 4.5) if mild else rng.uniform(1.3, 3.8))
    size = int(min(content_factor * rng.uniform(60, 180), 400 if mild else 270))
    scene = person_scene(rng, load(sample), (sample.x, sample.y, sample.side), content_factor, size)
    content = camera(rng, scene, 0.2 if mild else 0.5).astype(np.float32) / 255.0
    wears = species in ("print_eyes", "mask_paper")
    behind = load(other)
    if wears:
        behind = person_scene(rng, behind, (other.x, other.y, other.side), factor, side)
    scene = present(rng, species, content, content_factor, factor, side, behind)
    return camera(rng, scene, _strength(rng, mild)), Square(side / 2, side / 2, side / factor)


def real(rng: Rng, sample: Sample) -> Seen:
    """A real frame, seen through one more mild camera, so that it does not carry its webcam's signature alone."""
    image, square = load(sample), sample.square
    if rng.random() < 0.75:
        height, width = image.shape[:2]
        around = square.scaled(WIDE * SLACK * float(rng.uniform(0.8, 1.0))).inside(height, width)
        left, top = round(around.x - around.side / 2), round(around.y - around.side / 2)
        image = image[top : top + int(around.side), left : left + int(around.side)]
        square = Square(square.x - left, square.y - top, square.side)
        if rng.random() < 0.5:
            factor = float(rng.uniform(0.6, 1.6))
            image = cv2.resize(
                image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
            )
            square = Square(square.x * factor, square.y * factor, square.side * factor)
        pixels = camera(rng, image, float(rng.uniform(0.1, 0.7)))
    else:
        pixels = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    return pixels, square


def _cut(rng: Rng, image: npt.NDArray[np.uint8], square: Square) -> npt.NDArray[np.uint8]:
    """Crops with the jitter that detection has."""
    jitter = rng.normal(0, 0.025, 2) * square.side
    shaken = Square(square.x + jitter[0], square.y + jitter[1], square.side * float(np.exp(rng.normal(0, 0.06))))
    return stacked_crops(np.ascontiguousarray(image), shaken, SIZE, TIGHT * SLACK, WIDE * SLACK)


def shard(
    rng: Rng, pools: dict[str, list[Sample]], share: dict[str, int], mild: bool = False
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """One shard: crops and (class, group) of each, in random order."""
    crops: list[npt.NDArray[np.uint8]] = []
    labels: list[tuple[int, int]] = []
    names, odds = zip(*MIX, strict=True)
    for group, count in share.items():
        source = {"utkface_attack": "utkface", "replay_simulated": "replay"}.get(group, group)
        pool = pools[source]
        for _ in range(count if pool else 0):
            sample, other = (pool[int(index)] for index in rng.integers(0, len(pool), 2))
            if group == "utkface":
                seen, kind = bona_fide(rng, sample, mild), 0
            elif group in ("utkface_attack", "replay_simulated"):
                species = str(rng.choice(names, p=odds))
                seen, kind = attack(rng, sample, other, species, mild), CLASS_OF[species]
            else:
                seen = real(rng, sample)
                kind = 0 if sample.label == "bona_fide" else (1 if "print" in sample.species else 2)
            crops.append(_cut(rng, *seen))
            labels.append((kind, GROUPS.index(group)))
    order = rng.permutation(len(crops))
    return np.stack(crops)[order], np.array(labels, np.int64)[order]


def pools_of(samples: list[Sample], held: bool) -> dict[str, list[Sample]]:
    train = [sample for sample in samples if sample.group == "replay/train"] if not held else []
    return {
        "utkface": [sample for sample in samples if sample.group == "utkface" and held_out(sample) is held],
        "replay": [sample for sample in train if sample.label == "bona_fide"],
        "replay_attack": [sample for sample in train if sample.label == "attack"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--share", choices=SHARES, default="utkface")
    parser.add_argument("--held-out", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    pools = pools_of(load_samples(arguments.faces), arguments.held_out)
    for number in range(arguments.first, arguments.first + arguments.shards):
        began = time.perf_counter()
        rng = np.random.default_rng([number, int(arguments.held_out), list(SHARES).index(arguments.share)])
        crops, labels = shard(rng, pools, SHARES[arguments.share], arguments.share == "mild")
        np.save(arguments.out / f"{number:03d}.y.npy", labels)
        np.save(arguments.out / "part.npy", crops)
        (arguments.out / "part.npy").rename(arguments.out / f"{number:03d}.x.npy")
        print(f"shard {number}: {len(crops)} crops, {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
