"""Distils the second opinion from random initialisation: first every part alone, then the chain, then with int8 felt.

In: the faces and shards of `attack_views`, and the teachers under `--teachers`. Out: in `--run`, NAME-blocks.pt,
NAME-whole.pt and NAME-rounded.pt, from which a later call goes on, and a line of figures every few minutes. Teachers
label every view as it is made. Devel frames and people kept back (`--held`) are only looked at.

    python -m models.training.attack_distil v2 blocks --cache DIR... --held DIR --faces F.jsonl --run DIR --minutes 30
    python -m models.training.attack_distil v2 whole ...; python -m models.training.attack_distil v2 rounded ...

`blocks`: each part gets the teacher's features and learns the teacher's next ones. `whole`: each gets what the one
before made of the picture, and the chain learns the teacher's logits as well; statistics of batch norms are measured
once and stay. `rounded`: the same, batch norms folded.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.attack_data import load_samples
from models.training.attack_network import INPUT
from models.training.attack_student import AttackStudent
from models.training.attack_teacher import FILES, LOGITS, Teacher, for_teacher, log_odds
from models.training.attack_views import Views, devel_views, held_views
from models.training.face_net import IMAGE, Convolution, Part
from models.training.face_rounding import attach, equalise, rounded_weights
from models.training.face_statistics import measured

PHASES = ("blocks", "whole", "rounded")
RATES = {"blocks": 8e-3, "whole": 5e-3, "rounded": 1e-3}
MEAN_DECAY = 0.995
HINT = 0.3
"""Of the parts' losses beside the logits', while the chain learns."""
TEACHERS = Path(__file__).resolve().parents[2].parent / "shared/models/silent_face_minifasnet"


class Distiller:
    """One student's training in one phase."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.half = list(FILES).index(options.network)
        self.teacher = Teacher(options.teachers / FILES[options.network]).eval()
        self.student = AttackStudent(options.network)
        samples = load_samples(options.faces)
        self.views = Views(samples, options.cache, seed=int(time.time()))
        self.looks = {"devel": self._labelled(devel_views(samples)), "held": self._labelled(held_views(options.held))}
        self.path = options.run / f"{options.network}-{options.phase}.pt"
        self.step = 0
        self.mean: dict[str, Tensor] = {}
        self.begin()
        self.student.to(memory_format=torch.channels_last)

    def begin(self) -> None:
        """Goes on from this phase's checkpoint, or from the one of the phase before."""
        index = PHASES.index(self.options.phase)
        before = self.options.run / f"{self.options.network}-{PHASES[index - 1]}.pt"
        found = self.path if self.path.exists() else before
        if index or self.path.exists():
            self.step = int(self.student.restore(found)["step"])
        features = self._features(self._images(64))
        self.weights = {part.target: _weights(self.wanted(part, features)) for part in self.student.parts}
        if not index and not self.path.exists():
            self._start_norms(features)
        if index and found.stem.endswith(PHASES[0]):  # its parts have never met each other
            measured(self.student, (self._images(32) for _ in range(16)))
        if self.options.phase == "rounded":
            self.student.fold()
            images = self._images(256)
            equalise(self.student, images)
            attach(self.student, images)

    @torch.no_grad()
    def _start_norms(self, features: dict[str, Tensor]) -> None:
        """The last batch norm of each part begins with the mean and variance that the teacher's feature has; no weight
        of the teacher's is taken over."""
        for part in self.student.parts:
            norm = [m for m in part.modules() if isinstance(m, Convolution)][-1].norm
            if part.target == LOGITS or norm is None:
                continue
            wanted = self.wanted(part, features)
            opened = 2 if part.gated else 1  # a gate begins at one half
            norm.weight.copy_(wanted.std((0, 2, 3)) * opened)
            norm.bias.copy_(wanted.mean((0, 2, 3)) * opened)

    def _images(self, count: int) -> Tensor:
        return self._mine(self.views(count))

    def _mine(self, views: Tensor) -> Tensor:
        mine = views[:, :, self.half * INPUT : (self.half + 1) * INPUT]
        return mine.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _features(self, images: Tensor) -> dict[str, Tensor]:
        return {**self.teacher.features(for_teacher(images)), IMAGE: images}

    @torch.no_grad()
    def _labelled(self, views: Tensor) -> tuple[Tensor, Tensor]:
        images = self._mine(views)
        return images, torch.cat([log_odds(self.teacher(for_teacher(part))) for part in images.split(32)])

    def wanted(self, part: Part, features: dict[str, Tensor]) -> Tensor:
        """What the body of a part has to give."""
        target = features[part.target]
        return target - features[part.source] if part.residual else target

    def loss(self) -> Tensor:
        """Of one batch of new views; also remembers what each part left unexplained."""
        features = self._features(self._images(self.options.batch))
        found = self._alone(features) if self.options.phase == "blocks" else self._chained(features)
        losses = {}
        for part in self.student.parts:
            target = self.wanted(part, features) if self.options.phase == "blocks" else features[part.target]
            losses[part.target] = ((found[part.target] - target).square() * self.weights[part.target]).mean()
        self.left = {key: float(value.detach()) for key, value in losses.items()}
        total = torch.stack(list(losses.values())).sum()
        if self.options.phase == "blocks":
            return total
        logits, wanted = found[LOGITS], features[LOGITS]
        answer = functional.smooth_l1_loss(logits, wanted)
        answer = answer + functional.smooth_l1_loss(log_odds(logits), log_odds(wanted))
        return answer + HINT * total / len(losses)

    def _alone(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {part.target: part.body(features[part.source]) for part in self.student.parts}

    def _chained(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {part.target: found for part, found in self.student.chain(features[IMAGE])}

    def run(self) -> None:
        """Steps until the time is used up."""
        options = self.options
        parameters = list(self.student.parameters())
        # While parts learn alone all rates are one; later each tensor's is relative to its own size.
        alone = options.phase == "blocks"
        scales = [1.0 if alone else max(float(p.detach().square().mean().sqrt()), 0.01) for p in parameters]
        optimiser = torch.optim.AdamW([{"params": [p]} for p in parameters], betas=(0.9, 0.99), weight_decay=0.0)
        began = looked = time.monotonic()
        self.student.train(alone)  # a chain follows its teacher better with the statistics of many batches than of each
        reached, taken = 0.0, 0
        while reached < 1.0:
            reached = (time.monotonic() - began) / (60 * options.minutes)
            rate = (options.rate or RATES[options.phase]) * min(1.0, (taken + 1) / 20)
            rate *= 0.5 + 0.5 * math.cos(math.pi * min(reached, 1.0))
            for group, scale in zip(optimiser.param_groups, scales, strict=True):
                group["lr"] = rate * scale
            optimiser.zero_grad(set_to_none=True)
            with rounded_weights(self.student) if options.phase == "rounded" else contextlib.nullcontext():
                self.loss().backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimiser.step()
            taken, self.step = taken + 1, self.step + 1
            self.average(taken)
            if time.monotonic() - looked > 60 * options.every or reached >= 1.0:
                self.note(reached)
                looked = time.monotonic()

    def average(self, taken: int) -> None:
        """Exponential moving average of the weights; it is what is saved and used."""
        decay = min(MEAN_DECAY, taken / (taken + 10))
        for name, value in self.student.state_dict().items():
            if value.is_floating_point():
                self.mean.setdefault(name, value.detach().clone()).lerp_(value, 1 - decay)

    def note(self, reached: float) -> None:
        """Writes the checkpoint and one line."""
        state = {"student": self.student.state_dict(), "mean": self.mean, "folded": self.student.folded}
        torch.save({**state, "step": self.step, "batch": self.options.batch}, self.path)
        words = [f"{self.options.network} {self.options.phase} {reached:.3f} of the time, step {self.step}"]
        words.append("unexplained " + " ".join(f"{key}:{value:.3f}" for key, value in self.left.items()))
        words += [f"{name} r {self.correlation(*look):.4f}" for name, look in self.looks.items()]
        print(", ".join(words), time.strftime("%H:%M:%S", time.gmtime()), flush=True)

    @torch.no_grad()
    def correlation(self, images: Tensor, wanted: Tensor) -> float:
        """Of the averaged student's log-odds with the teacher's, both within +-8."""
        student = AttackStudent(self.options.network)
        if self.student.folded:
            student.fold()
        student.load_state_dict({**self.student.state_dict(), **self.mean})
        student.to(memory_format=torch.channels_last).eval()
        found = torch.cat([log_odds(student(part)) for part in images.split(32)])
        pair = torch.stack([found.clamp(-8, 8), wanted.clamp(-8, 8)])
        return float(torch.corrcoef(pair)[0, 1])


def _weights(wanted: Tensor) -> Tensor:
    """One over each channel's variance, channels that hardly vary held back."""
    axes = tuple(axis for axis in range(wanted.dim()) if axis != 1)
    variance = wanted.var(axes)
    weight = 1.0 / (variance + 0.1 * variance.mean())
    return weight if wanted.dim() == 2 else weight[:, None, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=FILES)
    parser.add_argument("phase", choices=PHASES)
    parser.add_argument("--cache", type=Path, required=True, nargs="+")
    parser.add_argument("--held", type=Path, required=True, help="shards of people kept back")
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--teachers", type=Path, default=TEACHERS)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", type=float, default=3, help="minutes between looks")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float)
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(20)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    Distiller(options).run()


if __name__ == "__main__":
    main()
