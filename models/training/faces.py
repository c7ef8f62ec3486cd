"""Distils the face embedder from random initialisation: first every part alone, then the chain as a whole.

In: the cache of `models.training.face_data` and the teacher. Out: in `--run`, `blocks.pt` and `whole.pt` (checkpoints
from which a later call goes on) and `curve.csv`. The same script runs on CPU (several workers, gradients averaged) and
on a GPU (one worker, bfloat16, larger `--batch`). The learning rate follows the time given, not a count of steps.

    python -m models.training.faces blocks --cache C --run R --minutes 15 --workers 2
    python -m models.training.faces whole  --cache C --run R --minutes 60 --workers 2

`blocks`: each part gets the teacher's features and learns the teacher's next ones (all parts from one teacher pass).
`whole`: the chain learns the teacher's embedding: cosine, plus the similarities of faces to
each other (relational loss), plus a block loss that fades out. Checkpoints are judged by agreement with the teacher on
faces kept for validation; LFW plays no part here.
"""

from __future__ import annotations

import argparse
import csv
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import Tensor, nn
from torch.nn import functional

from models.training.face_data import Faces
from models.training.face_net import EMBEDDING, IMAGE, Convolution, Part, Student, for_teacher, scaled
from models.training.face_statistics import unfold
from models.training.face_teacher import TEACHER, QuickTeacher, Teacher

MEAN_DECAY = 0.995
EARLY = 5
"""Parts that work on maps of 32 x 32 and larger: half of the time, few of the parameters."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    phase: str
    cache: Path
    run: Path
    minutes: float
    workers: int
    batch: int
    rate: float
    wear: float
    mixed: float
    fade: float
    teacher: Path
    start: Path | None
    reuse: int
    subset: int
    deep: int
    parts: str
    bank: int


class Trainer:
    """One worker's training: the student, its optimiser, and what all workers agree on after each step."""

    def __init__(self, options: Options, rank: int) -> None:
        self.options, self.rank = options, rank
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.faces = Faces(options.cache, seed=int(time.time()) * 64 + rank)
        teacher = Teacher(options.teacher).eval()
        cuda = self.device.type == "cuda"
        self.teacher = teacher.to(self.device) if cuda else QuickTeacher(teacher, options.cache)
        self.student = Student().to(self.device, memory_format=torch.channels_last)
        self.started, self.step = time.monotonic(), 0
        self.path = options.run / f"{options.phase}.pt"
        self.mean: dict[str, Tensor] = {}
        self.features: dict[str, Tensor] = {}
        self.bank: dict[str, Tensor] = {}
        first, last = (int(n) if n else None for n in options.parts.split(":"))
        self.chosen: list[Part] = list(self.student.parts)[first:last]
        if options.subset:
            self.faces.training = self.faces.training[:: max(1, len(self.faces.training) // options.subset)]

    # --- what both phases share

    def targets(self, index: np.ndarray, mirrored: np.ndarray) -> Tensor:
        """The teacher's embeddings of clean faces, from the cache where it has them, normalised."""
        labels = self.faces.labels[index, mirrored.astype(int)]
        missing = np.flatnonzero(~labels.any(axis=1))
        for part in (missing[i : i + 8] for i in range(0, len(missing), 8)):
            found = self.teach(self.faces.clean(index[part], mirrored[part]))[EMBEDDING]
            labels[part] = functional.normalize(found).cpu().numpy()
            self.faces.labels[index[part], mirrored[part].astype(int)] = labels[part]
        return torch.from_numpy(labels).to(self.device)

    def teach(self, pixels: np.ndarray) -> dict[str, Tensor]:
        """The teacher's features of (N, 128, 128, 3) uint8 RGB."""
        with torch.no_grad():
            return self.teacher.features(for_teacher(torch.from_numpy(pixels).to(self.device)))

    def image(self, pixels: np.ndarray) -> Tensor:
        return scaled(torch.from_numpy(pixels).to(self.device)).contiguous(memory_format=torch.channels_last)

    def agree(self, progress: float, loss: float) -> tuple[float, float]:
        """Averages the gradients (and progress and loss, so that all workers stop together) over the workers."""
        if self.options.workers == 1:
            return progress, loss
        gradients = [p.grad for p in self.student.parameters() if p.grad is not None]  # the same in every worker
        flat = torch.cat([g.flatten() for g in gradients] + [torch.tensor([progress, loss])])
        dist.all_reduce(flat)
        flat /= self.options.workers
        parts = flat[:-2].split([g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return float(flat[-2]), float(flat[-1])

    def loop(self, optimiser: torch.optim.Optimizer, scales: list[float]) -> None:
        """Steps until the time is used up; saves and validates every few minutes."""
        seconds, looked = self.options.minutes * 60, time.monotonic()
        self.started, losses, reached, taken = time.monotonic(), [], 0.0, 0
        while reached < 1.0:
            optimiser.zero_grad(set_to_none=True)
            loss = self.blocks_step() if self.options.phase == "blocks" else self.whole_step(reached)
            reached, loss = self.agree((time.monotonic() - self.started) / seconds, loss)
            taken += 1
            rate = self.options.rate * min(1.0, taken / 20) * (0.5 + 0.5 * math.cos(math.pi * min(reached, 1)))
            for group, scale in zip(optimiser.param_groups, scales, strict=True):
                group["lr"] = rate * scale
            nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
            optimiser.step()
            self.step += 1
            losses.append(loss)
            if self.rank == 0 and taken % 20 == 0:
                print(f"{taken} steps, {reached:.3f} of the time, loss {np.mean(losses[-20:]):.4f}", flush=True)
            self.average(taken)
            if self.rank == 0 and (time.monotonic() - looked > 240 or reached >= 1.0):
                self.note(reached, float(np.mean(losses)))
                looked, losses = time.monotonic(), []

    def average(self, taken: int) -> None:
        """Exponential moving average of the weights; it is what is saved and used."""
        decay = min(MEAN_DECAY, taken / (taken + 10))
        for name, value in self.student.state_dict().items():
            if not value.is_floating_point():
                continue
            if name not in self.mean:
                self.mean[name] = value.detach().clone()
            else:
                self.mean[name].lerp_(value, 1 - decay)

    def note(self, reached: float, loss: float) -> None:
        """Writes the checkpoint and one line of the curve."""
        state = {"student": self.student.state_dict(), "mean": self.mean, "folded": self.student.folded}
        torch.save({**state, "step": self.step, "batch": self.options.batch * self.options.workers}, self.path)
        cosine, relation = self.validate() if self.options.phase == "whole" else (0.0, 0.0)
        views = self.step * self.options.batch * self.options.workers
        row = [
            self.options.phase,
            self.step,
            views,
            f"{reached:.4f}",
            f"{loss:.5f}",
            f"{cosine:.5f}",
            f"{relation:.5f}",
        ]
        path = self.options.run / "curve.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["phase", "step", "views", "reached", "loss", "cosine", "relation_error"])
            writer.writerow([*row, time.strftime("%H:%M:%S", time.gmtime())])
        print(*row, flush=True)

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """Mean cosine of the averaged student with the teacher on the validation faces, and RMS error of their mutual
        similarities."""
        student = Student().fold() if self.student.folded else Student()
        student.load_state_dict(self.mean, strict=False)
        student = student.to(self.device, memory_format=torch.channels_last).eval()
        index = self.faces.validation
        mirrored = np.zeros(len(index), dtype=bool)
        wanted = self.targets(index, mirrored)
        found = torch.cat([student(self.image(self.faces.clean(i, m))) for i, m in _chunks(index, mirrored, 16)])
        found = functional.normalize(found)
        relation = (found @ found.T - wanted @ wanted.T).square().mean().sqrt()
        return float((found * wanted).sum(1).mean()), float(relation)

    # --- phase one

    def prepare_blocks(self) -> None:
        """Weights of the channels in the block loss, and the last batch norm of each part, from the teacher's features.

        Only means and variances of features are taken over, no weight of the teacher's.
        """
        index, mirrored = self.faces.draw(64)
        chunks = [self.teach(self.faces.clean(i, m)) for i, m in _chunks(index, mirrored, 8)]
        features = {key: torch.cat([c[key] for c in chunks]) for key in chunks[0]}
        self.weights: dict[str, Tensor] = {}
        for part in self.student.parts:
            wanted = self.wanted(part, features)
            axes = tuple(a for a in range(wanted.dim()) if a != 1)
            variance, mean = wanted.var(axes), wanted.mean(axes)
            self.weights[part.target] = 1.0 / (variance + 0.1 * variance.mean())
            if part.target == EMBEDDING or self.step:
                continue
            last = [m for m in part.modules() if isinstance(m, Convolution)][-1].norm
            with torch.no_grad():  # a gate begins at one half
                last.weight.copy_(variance.sqrt() * (2 if part.gated else 1))
                last.bias.copy_(mean * (2 if part.gated else 1))

    def wanted(self, part: Part, features: dict[str, Tensor]) -> Tensor:
        """What the body of a part has to give: the teacher's next feature, less its input where that is added."""
        target = features[part.target]
        return target - features[part.source] if part.residual else target

    def block_losses(self, part: Part, found: Tensor, wanted: Tensor) -> Tensor:
        weight = self.weights[part.target]
        weight = weight if wanted.dim() == 2 else weight[:, None, None]
        loss = ((found - wanted).square() * weight).mean()
        if part.target == EMBEDDING:
            loss = loss + (1 - functional.cosine_similarity(found, wanted)).mean()
        return loss

    def fill_bank(self) -> None:
        """Keeps the teacher's features of some faces in memory, so that steps cost no pass of the teacher."""
        keys = {key for part in self.chosen for key in (part.source, part.target)} - {IMAGE}
        chunks: list[dict[str, Tensor]] = []
        while len(chunks) * 16 < self.options.bank:
            pixels = self.faces.clean(*self.faces.draw(16))
            chunk = self.teach(pixels)
            chunks.append({key: chunk[key] for key in keys} | {IMAGE: self.image(pixels)})
        self.bank = {key: torch.cat([chunk[key] for chunk in chunks]) for key in chunks[0]}

    def blocks_step(self) -> float:
        if self.options.bank:
            if not self.bank:
                self.fill_bank()
            drawn = torch.randint(len(self.bank[IMAGE]), (self.options.batch,))
            self.features = {key: feature[drawn] for key, feature in self.bank.items()}
        elif self.step % self.options.reuse == 0 or not self.features:
            index, mirrored = self.faces.draw(self.options.batch)
            pixels = self.faces.views(index, mirrored, self.options.wear)
            self.features = self.teach(pixels)
            self.features[IMAGE] = self.image(pixels)
        total = []
        for part in self.chosen:
            loss = self.part_loss(part)
            loss.backward()
            total.append(float(loss.detach()))
        if self.rank == 0 and self.step % 50 == 0:
            shown = zip(self.chosen, total, strict=True)
            print(self.step, " ".join(f"{part.target}:{value:.3f}" for part, value in shown), flush=True)
        return float(np.mean(total))

    def part_loss(self, part: Part) -> Tensor:
        """The block loss of one part. On large maps without a gate only a window is looked at: neighbouring places
        say much the same, so four times the faces in the time are worth more."""
        source, wanted = self.features[part.source], self.wanted(part, self.features)
        inner = None
        if wanted.dim() == 4 and wanted.shape[2] >= 16 and not part.gated:
            side, window = wanted.shape[2], wanted.shape[2] // 2
            stride = source.shape[2] // side
            top, left = np.random.default_rng().integers(0, side - window + 1, 2).tolist()
            # One place more on each side, so that the inner places see their true neighbours.
            first = [max(0, start - 1) for start in (top, left)]
            last = [min(side, start + window + 1) for start in (top, left)]
            rows, columns = (slice(a * stride, b * stride) for a, b in zip(first, last, strict=True))
            source, wanted = source[:, :, rows, columns], wanted[:, :, top : top + window, left : left + window]
            inner = (top - first[0], left - first[1], window)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            found = part.body(source.contiguous(memory_format=torch.channels_last) if inner else source)
        if inner:
            found = found[:, :, inner[0] : inner[0] + inner[2], inner[1] : inner[1] + inner[2]]
        return self.block_losses(part, found.float(), wanted)

    # --- phase two

    def whole_step(self, reached: float) -> float:
        options = self.options
        index, mirrored = self.faces.draw(options.batch)
        light = max(0.0, 1 - reached / options.fade) if options.fade else 0.0
        if light > 0:
            pixels = self.faces.clean(index, mirrored)
            features = self.teach(pixels)
            wanted = functional.normalize(features[EMBEDDING])
        else:
            pixels = self.faces.views(index, mirrored, options.wear)
            wanted = self.targets(index, mirrored)
            count = round(options.mixed * options.batch)
            if count:
                pixels[:count] = self.faces.mixed(index[:count], mirrored[:count])
                wanted[:count] = functional.normalize(self.teach(pixels[:count])[EMBEDDING])
        loss = torch.zeros((), device=self.device)
        frozen = 0 if self.step % options.deep == 0 else EARLY
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            for part, found in self.student.chain(self.image(pixels), frozen):
                if light > 0 and part.target != EMBEDDING and found.requires_grad:
                    weight = self.feature_weights(part.target, features[part.target])
                    loss = loss + 0.05 * light * ((found - features[part.target]).square() * weight).mean()
        found = functional.normalize(found.float())
        loss = loss + (1 - (found * wanted).sum(1)).mean()
        loss = loss + 10 * (found @ found.T - wanted @ wanted.T).square().mean()
        loss.backward()
        return float(loss.detach())

    def feature_weights(self, key: str, feature: Tensor) -> Tensor:
        """One over each channel's variance, from the first batch that is seen."""
        if not hasattr(self, "weights"):
            self.weights = {}
        if key not in self.weights:
            variance = feature.var((0, 2, 3))
            self.weights[key] = (1.0 / (variance + 0.1 * variance.mean()))[:, None, None]
        return self.weights[key]


def _chunks(index: np.ndarray, mirrored: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(index[i : i + size], mirrored[i : i + size]) for i in range(0, len(index), size)]


def work(rank: int, options: Options, store: str) -> None:
    """One worker from beginning to end."""
    torch.manual_seed(20)  # the same random initialisation in every worker
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    if options.workers > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=options.workers)
    trainer = Trainer(options, rank)
    if options.phase == "blocks":
        _load(trainer, options.start or trainer.path)
        trainer.faces = Faces(options.cache, seed=0)
        trainer.prepare_blocks()
        trainer.faces = Faces(options.cache, seed=int(time.time()) * 64 + rank)
        trainer.features = {}
        parameters = [{"params": list(trainer.student.parameters())}]
        scales = [1.0]
    else:
        _load(trainer, options.start or (trainer.path if trainer.path.exists() else options.run / "blocks.pt"))
        if trainer.student.folded:
            unfold(trainer.student, trainer.faces)
            trainer.student.to(trainer.device, memory_format=torch.channels_last)
        # Weights differ in size from layer to layer: each tensor's rate is relative to its own size.
        parameters = [{"params": [p]} for p in trainer.student.parameters()]
        scales = [max(float(p.detach().square().mean().sqrt()), 0.01) for p in trainer.student.parameters()]
    trainer.student.train()
    betas = (0.9, 0.99)
    trainer.loop(torch.optim.AdamW(parameters, lr=options.rate, betas=betas, weight_decay=0.0), scales)


def _load(trainer: Trainer, path: Path) -> None:
    """Goes on from the averaged weights of a checkpoint, if there is one."""
    if not path.exists():
        return
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["folded"]:
        trainer.student.fold()
    trainer.student.load_state_dict({**state["student"], **state["mean"]})
    trainer.step = int(state["step"])
    trainer.student.to(trainer.device, memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=["blocks", "whole"])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=0, help="views of one worker and step")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--wear", type=float, default=-1.0, help="part of the views that is worn")
    parser.add_argument("--mixed", type=float, default=0.0, help="part of the views that blends two faces")
    parser.add_argument("--fade", type=float, default=0.0, help="part of the time in which the block loss fades out")
    parser.add_argument("--reuse", type=int, default=2, help="blocks: steps taken with one pass of the teacher")
    parser.add_argument("--subset", type=int, default=0, help="train on about so many faces only: fewer labels")
    parser.add_argument("--deep", type=int, default=1, help="whole: the large early maps learn in every n-th step only")
    parser.add_argument("--parts", default=":", help="blocks: teach only these, as first:last")
    parser.add_argument("--bank", type=int, default=0, help="blocks: keep the features of so many faces in memory")
    parser.add_argument("--teacher", type=Path, default=TEACHER)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from, if not the run's own")
    given = vars(parser.parse_args())
    blocks = given["phase"] == "blocks"
    given["batch"] = given["batch"] or (8 if blocks else 32)
    given["rate"] = given["rate"] or (8e-3 if blocks else 5e-3)
    given["wear"] = given["wear"] if given["wear"] >= 0 else 0.2
    options = Options(**given)
    options.run.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        if options.workers == 1:
            work(0, options, store)
        else:
            multiprocessing.spawn(work, (options, store), nprocs=options.workers)


if __name__ == "__main__":
    main()
