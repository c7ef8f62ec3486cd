"""Distils the face embedder from random initialisation: first every part alone, then the chain as a whole.

In: the cache of `models.training.face_data` and the teacher. Out: in `--run`, `blocks.pt` and `whole.pt` (checkpoints
from which a later call goes on) and `curve.csv`. The same script runs on CPU (several workers, gradients averaged) and
on a GPU (one worker, bfloat16, larger `--batch`). The learning rate follows the time given, not a count of steps.

    python -m models.training.faces blocks --cache C --run R --minutes 15 --workers 2
    python -m models.training.faces whole --cache C --run R --minutes 60 --workers 2
    python -m models.training.faces rounded --cache C --run R --minutes 25

`blocks`: each part gets the teacher's features and learns the teacher's next ones (all parts from one teacher pass).
`whole`: the chain learns the teacher's embedding: cosine, plus the similarities of faces to each other. `rounded`: goes
on from there with batch norms folded away and int8 felt in every weight and activation. Checkpoints are judged by
agreement with the teacher on faces kept for validation; LFW plays no part here.
"""

from __future__ import annotations

import argparse
import csv
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import Tensor, nn
from torch.nn import functional

from models.training.face_blocks import BlockPhase
from models.training.face_chain import ChainPhase
from models.training.face_data import Faces, chunks
from models.training.face_net import EMBEDDING, Student, for_teacher, scaled
from models.training.face_statistics import recalibrate, unfold
from models.training.face_teacher import TEACHER, QuickTeacher, Teacher

CURVE = ("phase", "step", "views", "reached", "loss", "cosine", "relation_error", "time")
"""Columns of `curve.csv`; steps and views are those of all phases together."""
MEAN_DECAY = 0.995
RATES = {"blocks": 8e-3, "whole": 5e-3, "rounded": 1e-3}


class Phase(Protocol):
    """What is learned at the time."""

    def step(self, reached: float) -> float:
        """Computes gradients for one batch, when the part `reached` of the time is over. Returns the loss."""
        ...


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
    surrounded: float
    teacher: Path
    start: Path | None
    reuse: int
    subset: int
    parts: str
    bank: int


class Trainer:
    """One worker's training: the student, its optimiser, and what all workers agree on after each step."""

    def __init__(self, options: Options, rank: int) -> None:
        self.options, self.rank = options, rank
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.faces = self.shuffled(int(time.time()) * 64 + rank)
        teacher = Teacher(options.teacher).eval()
        cuda = self.device.type == "cuda"
        self.teacher = teacher.to(self.device) if cuda else QuickTeacher(teacher, options.cache)
        self.student = Student().to(self.device, memory_format=torch.channels_last)
        self.started, self.step, self.views = time.monotonic(), 0, 0
        self.path = options.run / f"{options.phase}.pt"
        self.mean: dict[str, Tensor] = {}
        self.phase: Phase

    def shuffled(self, seed: int) -> Faces:
        """The faces to learn from, all or `--subset` of them, in an order of their own."""
        faces = Faces(self.options.cache, seed)
        if self.options.subset:
            faces.training = faces.training[:: max(1, len(faces.training) // self.options.subset)]
        return faces

    # --- what both phases share

    def targets(self, index: np.ndarray) -> Tensor:
        """What the teacher says of clean faces: the mean of its embeddings of a face and of its mirror image, which
        are one person; from the cache where it has them, normalised."""
        labels = self.faces.labels[index]
        for mirrored in (0, 1):
            missing = np.flatnonzero(~labels[:, mirrored].any(axis=1))
            for part in (missing[i : i + 8] for i in range(0, len(missing), 8)):
                found = self.teach(self.faces.clean(index[part], np.full(len(part), bool(mirrored))))[EMBEDDING]
                labels[part, mirrored] = functional.normalize(found).cpu().numpy()
                self.faces.labels[index[part], mirrored] = labels[part, mirrored]
        return functional.normalize(torch.from_numpy(labels.sum(axis=1))).to(self.device)

    def both_sides(self, pixels: np.ndarray) -> Tensor:
        """As `targets`, for pictures that the cache does not know."""
        sides = [self.teach(side)[EMBEDDING] for side in (pixels, np.ascontiguousarray(pixels[:, :, ::-1]))]
        return functional.normalize(functional.normalize(sides[0]) + functional.normalize(sides[1]))

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
            loss = self.phase.step(reached)
            reached, loss = self.agree((time.monotonic() - self.started) / seconds, loss)
            taken += 1
            rate = self.options.rate * min(1.0, taken / 20) * (0.5 + 0.5 * math.cos(math.pi * min(reached, 1)))
            for group, scale in zip(optimiser.param_groups, scales, strict=True):
                group["lr"] = rate * scale
            nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
            optimiser.step()
            self.step += 1
            self.views += self.options.batch * self.options.workers
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
        torch.save({**state, "step": self.step, "views": self.views}, self.path)
        measured = self.validate() if self.options.phase != "blocks" else ()
        row = [self.options.phase, self.step, self.views, f"{reached:.4f}", f"{loss:.5f}"]
        row += [f"{value:.5f}" for value in measured] or ["", ""]
        path = self.options.run / "curve.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(CURVE)
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
        wanted = self.targets(index)
        found = torch.cat([student(self.image(self.faces.clean(i, m))) for i, m in chunks(index, mirrored, 16)])
        found = functional.normalize(found)
        relation = (found @ found.T - wanted @ wanted.T).square().mean().sqrt()
        return float((found * wanted).sum(1).mean()), float(relation)


def work(rank: int, options: Options, store: str) -> None:
    """One worker from beginning to end."""
    torch.manual_seed(20)  # the same random initialisation in every worker
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    if options.workers > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=options.workers)
    trainer = Trainer(options, rank)
    parameters, scales = prepare(trainer)
    trainer.student.train()
    betas = (0.9, 0.99)
    trainer.loop(torch.optim.AdamW(parameters, lr=options.rate, betas=betas, weight_decay=0.0), scales)


def prepare(trainer: Trainer) -> tuple[list[dict[str, Any]], list[float]]:
    """Loads the student and gives the trainer its phase. Returns the optimiser's groups and the rate of each, relative
    to the rate that is asked for."""
    options = trainer.options
    if options.phase == "blocks":
        start = options.start or (trainer.path if trainer.path.exists() else None)
        if start is not None:
            _load(trainer, start)
        first, last = (int(n) if n else None for n in options.parts.split(":"))
        shuffled, trainer.faces = trainer.faces, trainer.shuffled(0)  # so that all workers measure the same
        trainer.phase = BlockPhase(trainer, slice(first, last))
        trainer.faces = shuffled
        return [{"params": list(trainer.student.parameters())}], [1.0]
    rounding = options.phase == "rounded"
    before = options.run / ("whole.pt" if rounding else "blocks.pt")
    _load(trainer, options.start or (trainer.path if trainer.path.exists() else before))
    if rounding:
        recalibrate(trainer.student, trainer.faces)
    elif trainer.student.folded:
        unfold(trainer.student, trainer.faces)
    trainer.student.to(trainer.device, memory_format=torch.channels_last)
    trainer.phase = ChainPhase(trainer, rounding)
    # Weights differ in size from layer to layer: each tensor's rate is relative to its own size.
    parameters = list(trainer.student.parameters())
    scales = [max(float(p.detach().square().mean().sqrt()), 0.01) for p in parameters]
    return [{"params": [p]} for p in parameters], scales


def _load(trainer: Trainer, path: Path) -> None:
    """Goes on from the averaged weights of a checkpoint. Raises `SystemExit` if it is not there."""
    if not path.exists():
        raise SystemExit(f"{path} is not there: train what comes before it, or name a checkpoint with --start")
    state = trainer.student.restore(path)
    trainer.step, trainer.views = int(state["step"]), int(state["views"])
    trainer.student.to(trainer.device, memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=["blocks", "whole", "rounded"])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=0, help="views of one worker and step")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--wear", type=float, default=-1.0, help="part of the views that is worn")
    parser.add_argument("--mixed", type=float, default=0.0, help="part of the views that blends two faces")
    parser.add_argument("--surrounded", type=float, default=0.6, help="part of the views in other surroundings")
    parser.add_argument("--reuse", type=int, default=2, help="blocks: steps taken with one pass of the teacher")
    parser.add_argument("--subset", type=int, default=0, help="train on about so many faces only: fewer labels")
    parser.add_argument("--parts", default=":", help="blocks: teach only these, as first:last")
    parser.add_argument("--bank", type=int, default=0, help="blocks: keep the features of so many faces in memory")
    parser.add_argument("--teacher", type=Path, default=TEACHER)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from, if not the run's own")
    given = vars(parser.parse_args())
    blocks = given["phase"] == "blocks"
    given["batch"] = given["batch"] or (8 if blocks else 32)
    given["rate"] = given["rate"] or RATES[given["phase"]]
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
