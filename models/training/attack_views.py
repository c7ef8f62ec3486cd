"""What the second opinion's students learn on: every picture a new view of a face, for their teachers to label.

In: the faces of `attack_data` (Replay-Attack's train split alone) and the rendered shards of `attack_cache`. Out: views
(N, 3, 2 INPUT, INPUT) float32 in 0..1, the crop of the first network above that of the second. No label goes with them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from device.vision.liveness.crops import Square, stacked_crops
from models.training.attack_augment import augment
from models.training.attack_cache import SIZE, SLACK
from models.training.attack_data import Sample
from models.training.attack_network import INPUT

SCALES = (2.0, 4.0)
"""Sides of the two networks' crops, in sides of the landmarks' square (which is larger than a detector's box)."""
REAL = 0.45
"""Of the views, frames of the train split; the others are rendered."""
HELD = 250
"""Rendered people kept back who are looked at."""
PLAIN = 0.35
"""Of the views, as they are: only shifted and mirrored."""

Crops = npt.NDArray[np.uint8]


class Views:
    """Endless views.

    Args:
        samples: whose train split is cut from its frames.
        shards: folders of `attack_cache`.
        seed: of all chances.
    """

    def __init__(self, samples: list[Sample], shards: list[Path], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        train = [sample for sample in samples if sample.group == "replay/train"]
        self.frames = [(_read(sample), sample.square) for sample in train]
        paths = sorted(path for folder in shards for path in folder.glob("[0-9]*.x.npy"))
        self.rendered = [np.load(path, mmap_mode="r") for path in paths]

    def __call__(self, count: int) -> Tensor:
        """(count, 3, 2 INPUT, INPUT)."""
        return seen(self.rng, np.stack([self._one() for _ in range(count)]))

    def _one(self) -> Crops:
        if self.rng.random() < REAL:
            image, square = self.frames[int(self.rng.integers(len(self.frames)))]
            return _cut(image, _shaken(self.rng, square, 0.2))
        shard = self.rendered[int(self.rng.integers(len(self.rendered)))]
        crop = np.asarray(shard[int(self.rng.integers(len(shard)))])
        # The lower half shows the face with its surroundings; now and then the face that fills its picture.
        whole = crop[SIZE:] if self.rng.random() < 0.85 else crop[:SIZE]
        return np.concatenate([_inner(self.rng, whole, 0.66), _inner(self.rng, whole, 0.85)])


def seen(rng: np.random.Generator, crops: Crops) -> Tensor:
    """N x 2 SIZE x SIZE x 3 uint8 as views: some plain, the others through `attack_augment`'s mill."""
    mill = augment(rng, crops)
    cut = (SIZE - mill.shape[3]) // 2
    halves = [crops[:, h * SIZE + cut : (h + 1) * SIZE - cut, cut : SIZE - cut] for h in range(2)]
    plain = torch.from_numpy(np.concatenate(halves, 1)).permute(0, 3, 1, 2).float().div_(255.0)
    keep = torch.from_numpy(rng.random(len(crops)) < PLAIN)
    mirrored = torch.where(torch.from_numpy(rng.random(len(crops)) < 0.5)[:, None, None, None], plain.flip(3), plain)
    return torch.where(keep[:, None, None, None], mirrored, mill)


def _shaken(rng: np.random.Generator, square: Square, much: float) -> Square:
    shift = rng.normal(0, much / 3, 2) * square.side
    return Square(square.x + shift[0], square.y + shift[1], square.side * float(np.exp(rng.normal(-much, much))))


def _cut(image: Crops, square: Square) -> Crops:
    return stacked_crops(image, square, SIZE, SCALES[0] * SLACK, SCALES[1] * SLACK)


def _inner(rng: np.random.Generator, crop: Crops, least: float) -> Crops:
    """A square of at least `least` of the crop, as large as the crop."""
    side = int(SIZE * rng.uniform(least, 1.0))
    top, left = rng.integers(0, SIZE - side + 1, 2)
    part = crop[top : top + side, left : left + side]
    return np.asarray(cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def devel_views(samples: list[Sample]) -> Tensor:
    """Every third frame of the devel split as the box cuts them, to look at and never to learn from."""
    chosen = [sample for sample in samples if sample.group == "replay/devel"][::3]
    return torch.cat([_tensor(_read(sample), sample.square) for sample in chosen])


def held_views(folder: Path) -> Tensor:
    """Rendered people kept back: the middle of each wide crop for both networks."""
    crops = np.concatenate([np.load(path) for path in sorted(folder.glob("[0-9]*.x.npy"))])[:HELD, SIZE:]
    cut = (SIZE - INPUT) // 2
    middle = crops[:, cut : cut + INPUT, cut : cut + INPUT]
    return torch.from_numpy(np.concatenate([middle, middle], 1)).permute(0, 3, 1, 2).float().div_(255.0)


def _read(sample: Sample) -> Crops:
    return np.asarray(cv2.cvtColor(cv2.imread(sample.file), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _tensor(image: Crops, square: Square) -> Tensor:
    pair = stacked_crops(image, square, INPUT, *SCALES)
    return torch.from_numpy(pair.transpose(2, 0, 1)[None].astype(np.float32) / 255.0)
