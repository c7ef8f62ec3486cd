"""The teacher of the face embedder as a torch module: Open Model Zoo face-reidentification-retail-0095 (Apache-2.0).

In: the ONNX file of the network (its weights stay where they are, nothing of it enters the project).
Out: `Teacher`, a frozen module: BGR 0–255 (N, 3, 128, 128) float32 -> embeddings (N, 256) and, on request, the
features between its stages. `python -m models.training.face_teacher` checks it against onnxruntime.

The graph is a chain of convolutions, single-slope PReLUs and squeeze-and-excitation blocks, so a small builder
reads it: every ONNX node becomes one call; a convolution takes the bias that the following Add carries.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from device.vision.face.align import RETAIL_0095_TEMPLATE

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
TEACHER = SHARED / "models/ov_face-reidentification-retail-0095/freid0095.onnx"
SIZE = 128
DIMENSIONS = 256
TEMPLATE = RETAIL_0095_TEMPLATE

# Outputs of the graph's nodes between which a student's stage stands: after the stem's depthwise convolution, after
# each residual unit or down-sampler, and before the last depthwise convolution.
STAGES = (
    "415_0",
    "430_0", "446_0", "462_0", "478_0", "494_0",
    "509_0", "525_0", "541_0", "557_0", "573_0", "589_0", "605_0",
    "620_0", "636_0", "652_0",
)  # fmt: skip


class Teacher(nn.Module):
    """The frozen network. `forward` gives embeddings; `features` also gives the inputs and outputs of its stages."""

    def __init__(self, path: Path = TEACHER) -> None:
        """Reads the graph.

        Raises:
            ValueError: the graph has an operation that this builder does not know.
        """
        super().__init__()
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(str(path)).graph
        constants = {i.name: numpy_helper.to_array(i).astype(np.float32) for i in graph.initializer}
        for index, (_name, value) in enumerate(constants.items()):
            self.register_buffer(f"c{index}", torch.from_numpy(value.copy()), persistent=False)
        self._slopes = {name: float(value.ravel()[0]) for name, value in constants.items() if value.size == 1}
        self._constants = {name: f"c{index}" for index, name in enumerate(constants)}
        self._steps: list[tuple[str, list[str], str, int, int, int]] = []
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type not in {"Conv", "PRelu", "Sigmoid", "AveragePool", "Mul", "Add"}:
                raise ValueError(f"{path}: operation {node.op_type} is not known to this builder")
            self._steps.append(
                (
                    node.op_type,
                    list(node.input),
                    node.output[0],
                    attributes.get("strides", [1])[0],
                    attributes.get("pads", [0])[0],
                    attributes.get("group", 1),
                )
            )
        self._input, self._output = graph.input[0].name, graph.output[0].name
        self._steps = self._with_biases(self._steps)

    def _with_biases(
        self, steps: list[tuple[str, list[str], str, int, int, int]]
    ) -> list[tuple[str, list[str], str, int, int, int]]:
        """Hangs each Add of a constant onto the convolution before it (one pass over memory less)."""
        merged: list[tuple[str, list[str], str, int, int, int]] = []
        for step in steps:
            kind, inputs, output = step[:3]
            if kind == "Add" and inputs[1] in self._constants and merged and merged[-1][0] == "Conv":
                last = merged.pop()
                merged.append((last[0], [*last[1], inputs[1]], output, *last[3:]))
            else:
                merged.append(step)
        return merged

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """All of `STAGES` and the embedding (key "embedding", (N, 256), not normalised) for BGR 0–255 (N,3,128,128)."""
        values: dict[str, Tensor] = {self._input: images.contiguous(memory_format=torch.channels_last)}
        kept: dict[str, Tensor] = {}
        for kind, inputs, output, stride, padding, groups in self._steps:
            x = values[inputs[0]]
            rest = [getattr(self, self._constants[i]) if i in self._constants else values[i] for i in inputs[1:]]
            if kind == "Conv":
                bias = rest[1].flatten() if len(rest) > 1 else None
                y = functional.conv2d(x, rest[0], bias, stride, padding, 1, groups)
            elif kind == "PRelu":
                y = functional.leaky_relu(x, self._slopes[inputs[1]])  # one slope a layer
            elif kind == "Sigmoid":
                y = torch.sigmoid(x)
            elif kind == "AveragePool":
                y = x.mean((2, 3), keepdim=True)
            else:
                y = x * rest[0] if kind == "Mul" else x + rest[0]
            values[output] = y
            if output in STAGES:
                kept[output] = y
        kept["embedding"] = values[self._output].flatten(1)
        return kept

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (N, 256), not normalised, of BGR 0–255 (N, 3, 128, 128)."""
        return self.features(images)["embedding"]


class QuickTeacher:
    """The same features from the TFLite runtime, which is several times quicker on a CPU. `folder` keeps the file."""

    def __init__(self, teacher: Teacher, folder: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        path = folder / "teacher.tflite"
        if not path.exists():
            from models.training.export import convert

            partial = folder / f"teacher-{os.getpid()}.tflite"
            convert(_Listed(teacher), (SIZE, SIZE, 3), partial)
            partial.replace(path)
        self._keys = (*STAGES, "embedding")
        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._run = self._interpreter.get_signature_runner()
        self._input = next(iter(self._run.get_input_details()))

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """As `Teacher.features`, in channels-last memory."""
        found: dict[str, list[Tensor]] = {key: [] for key in self._keys}
        for image in images.permute(0, 2, 3, 1).numpy():
            outputs = self._run(**{self._input: np.ascontiguousarray(image[None])})
            for index, key in enumerate(self._keys):
                found[key].append(torch.from_numpy(outputs[f"output_{index}"]))
        return {key: _nchw(torch.cat(parts)) for key, parts in found.items()}


class _Listed(nn.Module):
    """A teacher whose outputs are its stages in order, as they lie in channels-last memory, and the embedding."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.teacher.features(images)
        return (*(features[key].permute(0, 2, 3, 1) for key in STAGES), features["embedding"])


def _nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def main() -> None:
    """Prints the least cosine between this module and onnxruntime over random smooth images."""
    import onnxruntime

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--teacher", type=Path, default=TEACHER)
    path = parser.parse_args().teacher
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(8, 3, 16, 16, generator=generator) * 255
    images = functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic").clamp(0, 255)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    expected = torch.from_numpy(session.run(None, {name: images.numpy()})[0]).flatten(1)
    with torch.no_grad():
        cosine = functional.cosine_similarity(Teacher(path)(images), expected)
    print(f"least cosine against onnxruntime: {cosine.min():.6f}")


if __name__ == "__main__":
    main()
