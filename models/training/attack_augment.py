"""Batches for the attack detector's training: every batch holds every group, and all of it goes through one mill.

In: the shards of `attack_cache`. Out: N x 3 x 2 INPUT x INPUT float32 in 0..1 and N classes.

A camera, its exposure, its colours and its compression must not tell an attack from a person: whatever is done to a
crop here (scale, compression, light, colour, noise, something held before it) is done to both alike, and strongly.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from models.training.attack_cache import GROUPS, SIZE
from models.training.attack_network import INPUT

Batch = tuple[torch.Tensor, torch.Tensor]
Crops = npt.NDArray[np.uint8]

PARTS = {("utkface", 0): 0.22, ("utkface_attack", 1): 0.11, ("utkface_attack", 2): 0.09, ("utkface_attack", 3): 0.04}
PARTS |= {("replay", 0): 0.2, ("replay_attack", 1): 0.09, ("replay_attack", 2): 0.13}
PARTS |= {("replay_simulated", 1): 0.05, ("replay_simulated", 2): 0.05, ("replay_simulated", 3): 0.02}
"""Of what a batch consists: (group, class) to its share. Prints weigh more than they are, screens less."""


def augment(rng: np.random.Generator, crops: Crops) -> torch.Tensor:
    """N x 2 SIZE x SIZE x 3 uint8 to N x 3 x 2 INPUT x INPUT float32."""
    cut = np.stack([_covered(rng, _worn(rng, _shifted(rng, crop))) for crop in crops])
    return _relit(rng, torch.from_numpy(cut).permute(0, 3, 1, 2).float().div_(255.0))  # channels last in memory


def _shifted(rng: np.random.Generator, crop: Crops) -> Crops:
    """Either half cut at its own place, both mirrored or neither."""
    places = rng.integers(0, SIZE - INPUT + 1, (2, 2))
    halves = [crop[h * SIZE + y : h * SIZE + y + INPUT, x : x + INPUT] for h, (y, x) in enumerate(places)]
    both = np.concatenate(halves)
    return both[:, ::-1] if rng.random() < 0.5 else both


def _worn(rng: np.random.Generator, both: Crops) -> Crops:
    """Fewer pixels, softer or sharper, compressed once more: what a sensor's size and a driver do."""
    both = np.ascontiguousarray(both)
    if rng.random() < 0.3:
        size = int(INPUT * rng.uniform(0.4, 0.95))
        ways = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)
        way = ways[int(rng.choice(3, p=(0.5, 0.4, 0.1)))]
        for half in (both[:INPUT], both[INPUT:]):
            small = cv2.resize(half, (size, size), interpolation=cv2.INTER_AREA)
            half[:] = cv2.resize(small, (INPUT, INPUT), interpolation=way)
    kind = rng.random()
    if kind < 0.12:
        both = cv2.GaussianBlur(both, (0, 0), float(rng.uniform(0.4, 1.3)))
    elif kind < 0.24:
        soft = cv2.GaussianBlur(both, (0, 0), float(rng.uniform(0.6, 1.5)))
        much = float(rng.uniform(0.2, 1.2))
        both = cv2.addWeighted(both, 1 + much, soft, -much, 0)
    if rng.random() < 0.35:
        _, data = cv2.imencode(".jpg", both, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))])
        both = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return both


def _covered(rng: np.random.Generator, both: Crops) -> Crops:
    """A hand, a scarf, a strap: a plain patch in either half."""
    for half in (both[:INPUT], both[INPUT:]):
        if rng.random() < 0.2:
            top, left = rng.integers(0, INPUT - 16, 2)
            tall, broad = rng.integers(10, 34, 2)
            half[top : top + tall, left : left + broad] = rng.integers(0, 256, 3)
    return both


def _relit(rng: np.random.Generator, out: torch.Tensor) -> torch.Tensor:
    """Exposure, white balance, tone curve, saturation, light from a side, noise."""
    count = len(out)

    def each(values: npt.NDArray[np.float64]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).reshape(count, -1, 1, 1)

    out = out.clamp_(1e-3, 1.0).pow(each(np.exp(rng.normal(0, 0.25, count))))
    out = out * each(np.exp(rng.normal(0, 0.18, (count, 1))) * np.exp(rng.normal(0, 0.08, (count, 3))))
    saturation = np.where(rng.random(count) < 0.06, 0.0, np.exp(rng.normal(0, 0.3, count)))
    grey = out.mean(dim=1, keepdim=True)
    out = grey + (out - grey) * each(saturation)
    out = (out - 0.45) * each(np.exp(rng.normal(0, 0.18, count))) + 0.45 + each(rng.normal(0, 0.04, count))
    ramp = torch.linspace(-1, 1, INPUT)
    slope = each(rng.normal(0, 0.25, count) * (rng.random(count) < 0.3))
    fall = each(rng.normal(0, 0.25, count) * (rng.random(count) < 0.3))
    out = out * (1 + slope * ramp[None, None, None, :]) * (1 + fall * torch.cat([ramp, ramp])[None, None, :, None])
    loud = each(rng.uniform(0.004, 0.05, count) * (rng.random(count) < 0.35))
    coarse = rng.random() < 0.5
    noise = torch.randn(count, 3, 2 * INPUT, INPUT)
    if coarse:
        noise = functional.avg_pool2d(noise, 3, 1, 1, count_include_pad=False) * 2
    return (out + noise * loud).clamp_(0.0, 1.0)


class Shards:
    """All crops there are by now, in memory, looked up by (group, class); new shards are taken in as they appear."""

    def __init__(self, folders: list[Path], without_replay: bool) -> None:
        self.folders, self.without_replay = folders, without_replay
        self.taken: set[Path] = set()
        self.parts: dict[tuple[str, int], list[Crops]] = {part: [] for part in PARTS}
        self.refresh()

    def refresh(self) -> None:
        """Takes in what was not there before."""
        for path in sorted(path for folder in self.folders for path in folder.glob("[0-9]*.x.npy")):
            if path in self.taken:
                continue
            self.taken.add(path)
            crops, labels = np.load(path), np.load(path.with_name(path.name.replace(".x.", ".y.")))
            for group, kind in self.parts:
                if self.without_replay and group.startswith("replay"):
                    continue
                mine = np.flatnonzero((labels[:, 0] == kind) & (labels[:, 1] == GROUPS.index(group)))
                self.parts[group, kind].extend(crops[mine])

    def batches(self, size: int, seed: int) -> Iterator[Batch]:
        """Endless batches; every crop is drawn as often as any other of its part."""
        rng = np.random.default_rng(seed)
        for number in range(1 << 40):
            if number % 500 == 499:
                self.refresh()
            parts = [part for part in PARTS if self.parts[part]]
            odds = np.array([PARTS[part] for part in parts])
            drawn = [parts[index] for index in rng.choice(len(parts), size, p=odds / odds.sum())]
            crops = [self.parts[part][int(rng.integers(len(self.parts[part])))] for part in drawn]
            yield augment(rng, np.stack(crops)), torch.tensor([kind for _, kind in drawn])
