"""The teachers of the second opinion as torch modules: minivision's MiniFASNet pair (Apache-2.0).

In: their TFLite files, which stay where they are. Out: `Teacher`, a frozen module: BGR 0..255 (N, 3, 80, 80) float32 to
three logits, and the features between its stages by the number of their tensor in the file.

    python -m models.training.attack_teacher FOLDER      # greatest difference from the runtime's own answer
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.export import Runner

SIZE = 80
LIVE = 1
FILES = {"v2": "2.7_80x80_MiniFASNetV2.tflite", "v1se": "4_0_0_80x80_MiniFASNetV1SE.tflite"}
LOGITS = "logits"


class Teacher(nn.Module):
    """One network, read from its flatbuffer.

    Args:
        path: of the .tflite.

    Raises:
        ValueError: it has an operation that this reader does not know.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        from ai_edge_litert import schema_py_generated as schema

        model: Any = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        graph = model.subgraphs[0]
        names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        self._steps: list[tuple[str, list[int], int, tuple[int, bool]]] = []
        self._constants: set[int] = set()
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            kind = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            inputs = [int(i) for i in operator.inputs]
            options = operator.builtinOptions
            details = (getattr(options, "strideH", 1), getattr(options, "fusedActivationFunction", 0) == 1)
            self._steps.append((kind, inputs, int(operator.outputs[0]), details))
            for number in inputs:
                self._keep(number, graph, model)
        # The exporter's flattening computes a shape; a transpose and a reshape of one position are a flattening.
        shapes = {"SHAPE", "GATHER", "CONCATENATION", "CAST", "TRANSPOSE"}
        flat = next(i for i, step in enumerate(self._steps) if step[0] == "SHAPE")
        source = self._steps[flat][1][0]
        kept = [step for step in self._steps if step[0] not in shapes and step[0] != "RESHAPE"]
        first = next(i for i, step in enumerate(kept) if step[0] == "FULLY_CONNECTED")
        kept[first] = ("FULLY_CONNECTED", [source, *kept[first][1][1:]], *kept[first][2:])
        self._steps = kept
        self._input, self._output = int(graph.inputs[0]), int(graph.outputs[0])

    def _keep(self, number: int, graph: Any, model: Any) -> None:
        if number < 0 or number in self._constants:
            return
        tensor = graph.tensors[number]
        data = model.buffers[tensor.buffer].data
        if data is None or not len(data) or tensor.type != 0:
            return
        value = np.frombuffer(bytes(data), np.float32).reshape(tensor.shape)
        self._constants.add(number)
        self.register_buffer(f"c{number}", torch.from_numpy(value.copy()), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images)[LOGITS]

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """What comes out of every sum and every linear convolution (N, channels, height, width), and the logits."""
        values: dict[int, Tensor] = {self._input: images.contiguous(memory_format=torch.channels_last)}
        kept: dict[str, Tensor] = {}
        padding = 0
        for kind, inputs, output, (stride, relu) in self._steps:
            x = values[inputs[0]]
            rest = [getattr(self, f"c{i}") if i in self._constants else values.get(i) for i in inputs[1:]]
            if kind == "PAD":
                values[output], padding = x, 1
                continue
            y = _apply(kind, x, rest, stride, padding)
            padding = 0
            values[output] = functional.relu(y) if relu else y
            if kind in ("ADD", "CONV_2D"):
                kept[str(output)] = values[output]
        kept[LOGITS] = values[self._output]
        return kept


def _apply(kind: str, x: Tensor, rest: list[Any], stride: int, padding: int) -> Tensor:
    if kind == "CONV_2D":
        weight = rest[0].permute(0, 3, 1, 2)
        return functional.conv2d(x, weight, rest[1], stride, padding)
    if kind == "DEPTHWISE_CONV_2D":
        weight = rest[0].permute(3, 0, 1, 2)
        same = padding if stride > 1 or weight.shape[2] > 3 else 1
        return functional.conv2d(x, weight, rest[1], stride, same, groups=len(weight))
    if kind == "PRELU":
        return functional.prelu(x, rest[0].flatten())
    if kind == "ADD":
        return x + rest[0]
    if kind == "MUL":
        return x * rest[0]
    if kind == "MEAN":
        return x.mean((2, 3), keepdim=True)
    if kind == "LOGISTIC":
        return torch.sigmoid(x)
    if kind == "FULLY_CONNECTED":
        return functional.linear(x.flatten(1), rest[0], rest[1])
    raise ValueError(f"operation {kind} is not known to this reader")


def log_odds(logits: Tensor) -> Tensor:
    """Of an attack, (N): what the three logits (N, 3) say against a live face."""
    others = [index for index in range(3) if index != LIVE]
    return torch.logsumexp(logits[:, others], dim=1) - logits[:, LIVE]


def for_teacher(images: Tensor) -> Tensor:
    """RGB 0..1 (N, 3, 80, 80) as the teacher's input."""
    return images.flip(1) * 255.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    coarse = torch.rand(16, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    images = functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic").clamp(0, 1)
    for name, file in FILES.items():
        runner = Runner(folder / file)
        expected = torch.cat([torch.from_numpy(runner(x.permute(1, 2, 0).numpy()[None])[0]) for x in images * 255])
        with torch.no_grad():
            found = Teacher(folder / file)(images * 255)
        print(f"{name}: logits within {float((found - expected).abs().max()):.6f} of the runtime's")


if __name__ == "__main__":
    main()
