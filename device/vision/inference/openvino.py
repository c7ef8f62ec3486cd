"""Rebuilds a network from OpenVINO's intermediate representation (an .xml and a .bin) as TFLite.

In: the two files, whose hashes have been checked. Out: a TFLite file with the same layers, weights at the half
precision in which they come. Knows what small convolutional networks are made of: Convolution, GroupConvolution
(depthwise), Add, Multiply, PReLU with one slope a layer, Sigmoid, and AvgPool over the whole image. Nothing heavier
than the flatbuffer schema is needed.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from device.errors import ModelError
from device.vision.inference.writer import TfliteWriter

Floats = npt.NDArray[np.float32]

TYPES: Final = {"f16": np.float16, "f32": np.float32}


@dataclass(frozen=True)
class Layer:
    """One layer as the .xml has it; `inputs` are the numbers of the layers whose outputs it takes, in order."""

    number: int
    kind: str
    data: dict[str, str]
    inputs: tuple[int, ...]


def build(files: list[Path], output: Path) -> None:
    """Writes the TFLite file of `files`, the .xml and the .bin. Raises `ModelError` for what it cannot rebuild."""
    described = next((path for path in files if path.suffix == ".xml"), None)
    weights = next((path for path in files if path.suffix == ".bin"), None)
    if described is None or weights is None:
        raise ModelError(f"a network of OpenVINO is an .xml and a .bin; got {[path.name for path in files]}")
    try:
        layers = read_layers(described)
        output.write_bytes(_Rebuilder(layers, weights.read_bytes()).run())
    except (ElementTree.ParseError, KeyError, IndexError, ValueError) as error:
        raise ModelError(f"{described.name}: cannot be rebuilt as TFLite ({error})") from error


def read_layers(path: Path) -> list[Layer]:
    """All layers in an order in which each comes after those that it needs."""
    root = ElementTree.parse(path).getroot()  # noqa: S314 - the file's hash was checked before it was parsed
    edges: dict[int, list[tuple[int, int]]] = {}
    for edge in root.iterfind("edges/edge"):
        number = int(edge.attrib["to-layer"])
        edges.setdefault(number, []).append((int(edge.attrib["to-port"]), int(edge.attrib["from-layer"])))
    found: dict[int, Layer] = {}
    for element in root.iterfind("layers/layer"):
        number = int(element.attrib["id"])
        data = element.find("data")
        inputs = tuple(source for _, source in sorted(edges.get(number, [])))
        attributes = dict(data.attrib) if data is not None else {}
        found[number] = Layer(number, element.attrib["type"], attributes, inputs)
    return _ordered(found)


def _ordered(layers: dict[int, Layer]) -> list[Layer]:
    done: dict[int, Layer] = {}
    waiting = list(layers.values())
    while waiting:
        ready = [layer for layer in waiting if all(source in done for source in layer.inputs)]
        if not ready:
            raise ValueError("its layers depend on each other in a circle")
        done |= {layer.number: layer for layer in ready}
        waiting = [layer for layer in waiting if layer.number not in done]
    return list(done.values())


class _Rebuilder:
    """Goes through the layers once. A value is a constant (an array) or a tensor of the writer (a number)."""

    def __init__(self, layers: list[Layer], weights: bytes) -> None:
        self._layers = layers
        self._weights = weights
        self._constants: dict[int, Floats] = {}
        self._tensors: dict[int, int] = {}
        self._users: dict[int, list[Layer]] = {}
        for layer in layers:
            for source in layer.inputs:
                self._users.setdefault(source, []).append(layer)
        entry = next(layer for layer in layers if layer.kind == "Parameter")
        count, channels, height, width = (int(side) for side in entry.data["shape"].split(","))
        self._writer = TfliteWriter((count, height, width, channels))
        self._tensors[entry.number] = self._writer.input
        self._skipped: set[int] = set()

    def run(self) -> bytes:
        for layer in self._layers:
            if layer.kind in {"Const", "Convert"}:
                self._constant(layer)
            elif layer.kind == "Result":
                return self._writer.finish(self._tensors[layer.inputs[0]], "rebuilt from OpenVINO")
            elif layer.kind != "Parameter" and layer.number not in self._skipped:
                self._tensors[layer.number] = self._operation(layer)
        raise ValueError("it has no result")

    def _constant(self, layer: Layer) -> None:
        if layer.kind == "Convert":
            self._constants[layer.number] = self._constants[layer.inputs[0]]
            return
        kind = TYPES[layer.data["element_type"]]
        start, size = int(layer.data["offset"]), int(layer.data["size"])
        shape = [int(side) for side in layer.data["shape"].split(",") if side.strip()]
        values = np.frombuffer(self._weights[start : start + size], dtype=kind)
        self._constants[layer.number] = values.reshape(shape).astype(np.float32)

    def _operation(self, layer: Layer) -> int:
        writer = self._writer
        first = self._tensors[layer.inputs[0]]
        match layer.kind:
            case "Convolution" | "GroupConvolution":
                return self._convolution(layer, first)
            case "Add" | "Multiply":
                other = self._tensors.get(layer.inputs[1])
                if other is None:
                    other = writer.constant(_channels_last(self._constants[layer.inputs[1]]))
                return writer.add(first, other) if layer.kind == "Add" else writer.multiply(first, other)
            case "PReLU":
                slope = self._constants[layer.inputs[1]]
                if slope.size != 1:
                    raise ValueError("a PReLU with one slope a channel")
                return writer.leaky_relu(first, float(slope.ravel()[0]))
            case "Sigmoid":
                return writer.logistic(first)
            case "AvgPool":
                kernel = _pair(layer.data["kernel"])
                if kernel != writer.shape(first)[1:3]:
                    raise ValueError(f"an AvgPool over {kernel}, not over the whole image")
                return writer.spatial_mean(first)
        raise ValueError(f"a layer of type {layer.kind}")

    def _convolution(self, layer: Layer, first: int) -> int:
        """With the bias that the only following layer, an Add of a constant, carries."""
        weights = self._constants[layer.inputs[1]]
        strides, paddings = _pair(layer.data["strides"]), _pair(layer.data["pads_begin"])
        plain = {strides[0] == strides[1], paddings[0] == paddings[1], paddings == _pair(layer.data["pads_end"])}
        if False in plain or _pair(layer.data["dilations"]) != (1, 1):
            raise ValueError("a convolution with uneven strides or padding, or a dilated one")
        depthwise = layer.kind == "GroupConvolution"
        if depthwise and weights.shape[1:3] != (1, 1):
            raise ValueError("a convolution in groups that is not depthwise")
        bias = np.zeros(weights.shape[0], dtype=np.float32)
        users = self._users.get(layer.number, [])
        merged = len(users) == 1 and users[0].kind == "Add" and users[0].inputs[1] in self._constants
        if merged:
            bias = self._constants[users[0].inputs[1]].ravel()
        kernel = weights[:, :, 0].transpose(1, 2, 3, 0) if depthwise else weights.transpose(0, 2, 3, 1)
        write = self._writer.depthwise if depthwise else self._writer.convolution
        tensor = write(first, kernel, bias, strides[0], paddings[0])
        if merged:
            self._skipped.add(users[0].number)
            self._tensors[users[0].number] = tensor
        return tensor


def _channels_last(values: Floats) -> Floats:
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def _pair(text: str) -> tuple[int, int]:
    first, second = (int(part) for part in text.split(","))
    return first, second
