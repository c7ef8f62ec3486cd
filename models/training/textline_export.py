"""Turns a trained text-line checkpoint into `text-line.tflite`: int8 weights and activations, float input and output.

In: `--run` folder with `checkpoint.pt`. Out: `--output` file, and on the console its size, SHA-256, and the accuracy of
the float and of the int8 network on the same freshly rendered crops.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from device.vision.document.textline import HEIGHT
from models.training.export import Runner, export
from models.training.textline import CLASSES, TextLine, to_input
from models.training.textline_render import WIDTH, LineRenderer

INPUT_WIDTH = 832  # 44 characters at a pitch of 17 px, and room on both sides


class Exported(nn.Module):
    """The network with its columns as rows and its head in three, since int8 gives each output tensor one scale.

    (N, 1, 32, W) to classes (N, W/4, 37), centre (N, W/4, 1) and shape (N, W/4, 3).
    """

    def __init__(self, network: TextLine) -> None:
        super().__init__()
        self.body = network.body
        weight, bias = network.head.weight.data, network.head.bias.data
        parts = (slice(0, CLASSES), slice(CLASSES, CLASSES + 1), slice(CLASSES + 1, None))
        self.heads = nn.ModuleList(nn.Conv2d(weight.shape[1], len(bias[part]), 1) for part in parts)
        for head, part in zip(self.heads, parts, strict=True):
            head.weight.data, head.bias.data = weight[part].clone(), bias[part].clone()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.body(x)
        return tuple(head(x)[:, :, 0].permute(0, 2, 1) for head in self.heads)


def load(run: Path) -> TextLine:
    """The averaged weights of a run's checkpoint."""
    state = torch.load(run / "checkpoint.pt", map_location="cpu")
    network = TextLine()
    weights = {name.removeprefix("module."): value for name, value in state["average"].items() if name != "n_averaged"}
    network.load_state_dict(weights)
    print(f"checkpoint of step {state['step']}")
    return network.eval()


def wide_crops(renderer: LineRenderer, count: int) -> np.ndarray:
    """(count, 32, INPUT_WIDTH) uint8: crops side by side, as wide as the model's input."""
    rows = []
    for _ in range(count):
        row = np.concatenate([renderer.sample()[0] for _ in range(-(-INPUT_WIDTH // WIDTH))], axis=1)
        rows.append(row[:, :INPUT_WIDTH])
    return np.stack(rows)


def as_inputs(crops: np.ndarray) -> list[np.ndarray]:
    """(N, 32, INPUT_WIDTH) uint8 as the network gets them, one (1, 32, INPUT_WIDTH, 1) float32 each."""
    return [(image.astype(np.float32) / 127.5 - 1)[None, :, :, None] for image in crops]


def compare(network: nn.Module, path: Path, renderer: LineRenderer, count: int) -> tuple[float, float]:
    """Accuracy at character centres of (float network, int8 model), over `count` rendered crops."""
    quantised = Runner(path)
    right = np.zeros(2)
    total = 0
    for _ in range(count):
        image, classes, heat, _ = renderer.sample()
        centre = (heat > 0.8) & (classes >= 0)
        wide = np.pad(image, ((0, 0), (0, INPUT_WIDTH - WIDTH)), mode="edge")
        with torch.no_grad():
            plain = network(to_input(torch.from_numpy(wide)[None]))[0, :CLASSES, 0].argmax(0).numpy()[: len(classes)]
        logits = next(output for output in quantised(as_inputs(wide[None])[0]) if output.shape[2] == CLASSES)
        answer = logits[0, : len(classes)].argmax(1)
        right += [(plain[centre] == classes[centre]).sum(), (answer[centre] == classes[centre]).sum()]
        total += int(centre.sum())
    return float(right[0] / total), float(right[1] / total)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="models/training/runs/textline", type=Path)
    parser.add_argument("--output", default="models/text-line.tflite", type=Path)
    parser.add_argument("--fonts")
    parser.add_argument("--calibration", type=int, default=200)
    parser.add_argument("--compare", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = load(arguments.run)
    calibration = as_inputs(wide_crops(LineRenderer(4242, arguments.fonts), arguments.calibration))
    digest = export(Exported(network), (HEIGHT, INPUT_WIDTH, 1), calibration, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes, SHA-256 {digest}")
    plain, quantised = compare(network, arguments.output, LineRenderer(99_999, arguments.fonts), arguments.compare)
    print(f"accuracy at character centres: float {plain:.4f}, int8 {quantised:.4f}")


if __name__ == "__main__":
    main()
