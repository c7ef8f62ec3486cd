"""Trains the presentation-attack detector from random initialisation on rendered shards.

In: the shards of `attack_cache` and, to follow the training, the faces of `attack_data`. Out: checkpoints in `--run`
(averaged weights: `checkpoint.pt` the newest, `step-N.pt` each), a line of figures every few minutes. `attack_export`
turns one into a model.

    python -m models.training.attacks --cache DIR... --held DIR --faces faces.jsonl --run DIR [--without-replay]

`--without-replay` uses no Replay-Attack frame at all, neither for training nor for following it.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from device.vision.liveness.crops import stacked_crops
from models.training.attack_augment import Shards
from models.training.attack_cache import SIZE, TIGHT, WIDE
from models.training.attack_data import Sample, load_samples
from models.training.attack_network import INPUT, AttackNetwork


def frames(samples: list[Sample]) -> Iterator[tuple[Sample, torch.Tensor]]:
    """Network inputs of real frames, cut as the box cuts them: 1 x 3 x 2 INPUT x INPUT."""
    for sample in samples:
        image = cv2.cvtColor(cv2.imread(sample.file), cv2.COLOR_BGR2RGB)
        pair = stacked_crops(image, sample.square, INPUT, TIGHT, WIDE)
        yield sample, torch.from_numpy(pair.astype(np.float32).transpose(2, 0, 1)[None] / 255.0)


def attack_scores(network: nn.Module, inputs: torch.Tensor) -> npt.NDArray[np.float64]:
    """1 - p(bona fide) of each."""
    with torch.no_grad():
        scores = [1 - functional.softmax(network(part), dim=1)[:, 0] for part in inputs.split(64)]
    return torch.cat(scores).double().numpy()


def equal_error(scores: npt.NDArray[np.float64], attacks: npt.NDArray[np.bool_]) -> float:
    """Where as many attacks pass as people are refused."""
    thresholds = np.sort(scores)
    refused = 1 - np.searchsorted(np.sort(scores[~attacks]), thresholds) / max(1, (~attacks).sum())
    passed = np.searchsorted(np.sort(scores[attacks]), thresholds) / max(1, attacks.sum())
    best = int(np.argmin(np.abs(refused - passed)))
    return float((refused[best] + passed[best]) / 2)


class Watch:
    """What is looked at every few minutes: unseen people's rendered shards and, unless told not to, devel."""

    def __init__(self, held: Path, samples: list[Sample]) -> None:
        self.held = held
        inputs = list(frames(samples))
        self.inputs = torch.cat([tensor for _, tensor in inputs]) if inputs else None
        self.attacks = np.array([sample.label == "attack" for sample, _ in inputs])

    def line(self, network: AttackNetwork) -> str:
        """Equal error rates as one line."""
        network.eval()
        words = []
        for path in sorted(self.held.glob("[0-9]*.x.npy"))[:1]:
            cut = (SIZE - INPUT) // 2
            crops = np.load(path)
            halves = [crops[:, h * SIZE + cut : h * SIZE + cut + INPUT, cut : cut + INPUT] for h in range(2)]
            inputs = torch.from_numpy(np.concatenate(halves, 1).astype(np.float32).transpose(0, 3, 1, 2) / 255.0)
            labels = np.load(path.with_name(path.name.replace(".x.", ".y.")))[:, 0] > 0
            words.append(f"rendered {equal_error(attack_scores(network, inputs), labels):.4f}")
        if self.inputs is not None:
            scores = attack_scores(network, self.inputs)
            words.append(f"devel {equal_error(scores, self.attacks):.4f}")
            above = (scores[self.attacks][:, None] > scores[~self.attacks]).mean()
            words.append(f"devel AUC {above:.4f}")
        return "EER " + ", ".join(words)


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    devel = [] if arguments.without_replay else [s for s in load_samples(arguments.faces) if s.group == "replay/devel"]
    watch = Watch(arguments.held, devel)
    network = AttackNetwork().to(memory_format=torch.channels_last)
    if arguments.start:
        network.load_state_dict(torch.load(arguments.start, map_location="cpu")["network"])
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=arguments.rate, weight_decay=0.02)
    began = looked = time.monotonic()
    running = 0.0
    source = Shards(arguments.cache, arguments.without_replay).batches(arguments.batch, arguments.seed)
    for step, (crops, classes) in enumerate(source, start=1):
        done = (time.monotonic() - began) / (60 * arguments.minutes)
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * min(1.0, step / 200) * 0.5 * (1 + np.cos(np.pi * min(1.0, done)))
        network.train()
        whole, alone = network.opinions(crops.contiguous(memory_format=torch.channels_last), 0.15)
        loss = functional.cross_entropy(whole, classes, label_smoothing=0.05)
        loss = loss + 0.3 * sum(functional.cross_entropy(logits, classes, label_smoothing=0.05) for logits in alone)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        running += (float(loss.detach()) - running) / min(step, 100)
        keep = min(0.999, step / (step + 10))
        with torch.no_grad():
            for ours, theirs in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                ours.copy_(theirs if not ours.is_floating_point() else ours * keep + theirs * (1 - keep))
        if time.monotonic() - looked > 60 * arguments.every or done >= 1:
            looked = time.monotonic()
            state = {"network": average.state_dict(), "step": step}
            torch.save(state, arguments.run / "checkpoint.pt")
            torch.save(state, arguments.run / f"step-{step:06d}.pt")
            print(
                f"{(looked - began) / 60:.1f} min, step {step}, loss {running:.3f}, {watch.line(average)}", flush=True
            )
        if done >= 1:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, nargs="+")
    parser.add_argument("--held", type=Path, required=True, help="shards rendered with --held-out")
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--every", type=float, default=4, help="minutes between looks")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("--without-replay", action="store_true")
    arguments = parser.parse_args()
    arguments.run.mkdir(parents=True, exist_ok=True)
    train(arguments)


if __name__ == "__main__":
    main()
