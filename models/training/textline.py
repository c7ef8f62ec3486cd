"""Trains the text-line network and writes `text-line.tflite`: `python -m models.training.textline --help`.

In: lines that `textline_render.py` renders (nothing else). Out: checkpoints in `--run`, and with `--export` the int8
model. The same seed and the same number of steps give the same network on the same kind of machine.

The network is fully convolutional. It takes a grey line, 32 px high with capitals about 16 px high, and answers every
4 px of width: 37 logits, which character of the alphabet is here; one logit, whether this is a character's centre; and
how the line lies here (offset, height and pitch, as `textline_render.py` defines them), so that it can be cut better.
Because lines are rendered, every column's truth is known, so no alignment has to be learnt (as CTC would).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from models.training.textline_render import LineRenderer

CLASSES = 37


def convolution(
    source: int, target: int, size: tuple[int, int] = (3, 3), stride=(1, 1), relu: bool = True
) -> nn.Sequential:
    """Convolution, batch norm and ReLU6 (int8 kernels are fast with it and slow with PReLU)."""
    padding = (size[0] // 2 if size[0] % 2 else 0, size[1] // 2)
    layers = [nn.Conv2d(source, target, size, stride, padding, bias=False), nn.BatchNorm2d(target)]
    return nn.Sequential(*layers, nn.ReLU6()) if relu else nn.Sequential(*layers)


class Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int, size: tuple[int, int] = (3, 3)) -> None:
        super().__init__()
        self.first = convolution(width, width, size)
        self.second = convolution(width, width, size, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu6(x + self.second(self.first(x)))


class TextLine(nn.Module):
    """(N, 1, 32, W) in -1…1 to (N, 41, 1, W/4): 37 class logits, the centre logit, offset, height and pitch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(1, 16, stride=(2, 2)),
            convolution(16, 24, stride=(2, 2)),
            Residual(24),
            convolution(24, 48, stride=(2, 1)),
            Residual(48),
            convolution(48, 80, stride=(2, 1)),
            Residual(80),
            convolution(80, 128, (2, 3)),
            Residual(128, (1, 3)),
        )
        self.head = nn.Conv2d(128, CLASSES + 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


class Crops(IterableDataset):
    """Endless batches: half of each is freshly rendered, half drawn from what was rendered before."""

    def __init__(self, seed: int, batch: int, fonts: str | None, keep: int = 60_000) -> None:
        self._seed, self._batch, self._fonts, self._keep = seed, batch, fonts, keep

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        seed = self._seed * 1000 + (worker.id if worker else 0)
        renderer = LineRenderer(seed, self._fonts)
        rng = np.random.default_rng(seed + 500)
        pool: list = []
        while True:
            fresh = [renderer.sample() for _ in range(self._batch // 2)]
            pool.extend(fresh)
            if len(pool) > self._keep:
                del pool[: len(pool) - self._keep]
            chosen = fresh + [pool[index] for index in rng.integers(len(pool), size=self._batch - len(fresh))]
            yield tuple(torch.from_numpy(np.stack(part)) for part in zip(*chosen, strict=True))


def to_input(images: torch.Tensor) -> torch.Tensor:
    """uint8 (N, 32, W) to float32 (N, 1, 32, W) in -1…1."""
    return (images.float() / 127.5 - 1).unsqueeze(1)


def losses(output: torch.Tensor, classes: torch.Tensor, heat: torch.Tensor, shape: torch.Tensor) -> list[torch.Tensor]:
    """Cross entropy of the characters where there are any, of the centres everywhere, and the error of the shape."""
    output = output[:, :, 0]
    character = functional.cross_entropy(output[:, :CLASSES], classes, ignore_index=-1)
    centre = functional.binary_cross_entropy_with_logits(output[:, CLASSES], heat)
    error = functional.smooth_l1_loss(output[:, CLASSES + 1 :], shape, reduction="none", beta=0.1).sum(1)
    there = (classes >= 0).float()
    return [character, centre, (error * there).sum() / there.sum().clamp(min=1)]


@torch.no_grad()
def measure(model: nn.Module, renderer: LineRenderer, count: int) -> dict[str, float]:
    """Share of centre columns with the right character, over crops never trained on."""
    model.eval()
    right = total = 0
    for _ in range(count):
        image, classes, heat, _ = renderer.sample()
        centre = (heat > 0.8) & (classes >= 0)
        output = model(to_input(torch.from_numpy(image)[None]))[0, :CLASSES, 0].argmax(0).numpy()
        right += int((output[centre] == classes[centre]).sum())
        total += int(centre.sum())
    model.train()
    return {"columns": total, "accuracy": right / max(total, 1)}


def averaged(model: nn.Module) -> torch.optim.swa_utils.AveragedModel:
    """The running average of the network's weights, which is what is exported."""
    decay = torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    return torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=decay, use_buffers=True)


def optimiser_of(model: nn.Module, rate: float) -> torch.optim.AdamW:
    """What the weights are changed by."""
    return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)


def save(run: Path, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Writes the run's checkpoint."""
    state = {"model": model.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save({**state, "step": step}, run / "checkpoint.pt")


def train(arguments: argparse.Namespace) -> None:
    """Trains for `--steps` steps, or goes on from the run's checkpoint."""
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    run = Path(arguments.run)
    run.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = TextLine().to(device, memory_format=torch.channels_last)
    average, optimiser = averaged(model), optimiser_of(model, arguments.rate)
    start = 0
    checkpoint = run / "checkpoint.pt"
    if checkpoint.exists() and not arguments.again:
        state = torch.load(checkpoint, map_location=device)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
    crops = Crops(arguments.seed + start, arguments.batch, arguments.fonts)
    ahead = 4 if arguments.workers else None
    loader = iter(DataLoader(crops, batch_size=None, num_workers=arguments.workers, prefetch_factor=ahead))
    began = time.time()
    sums = np.zeros(3)
    for step in range(start, arguments.steps):
        warm = min(1.0, (step - start + 1) / 100)
        decay = min(1.0, 4 * (1 - step / arguments.steps))  # constant, then down to nothing over the last quarter
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * warm * max(decay, 0.01)
        images, *truth = (part.to(device) for part in next(loader))
        output = model(to_input(images).contiguous(memory_format=torch.channels_last))
        parts = losses(output, *truth)
        optimiser.zero_grad(set_to_none=True)
        (parts[0] + 2 * parts[1] + 0.5 * parts[2]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        average.update_parameters(model)
        sums += [part.item() for part in parts]
        if (step + 1) % 100 == 0:
            means = " ".join(f"{value / 100:.4f}" for value in sums)
            print(f"{step + 1} character, centre, shape {means} {time.time() - began:.0f} s", flush=True)
            sums[:] = 0
        if (step + 1) % 250 == 0 or step + 1 == arguments.steps:
            save(run, model, average, optimiser, step + 1)
            print(
                step + 1,
                measure(average.module, LineRenderer(arguments.seed + 77_777, arguments.fonts), 300),
                flush=True,
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="models/training/runs/textline")
    parser.add_argument("--fonts", help="folder with OCRB.otf and OCRBS.otf")
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="begin anew, whatever the run holds")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
