"""Writes a TFLite file with nothing but the flatbuffer schema that comes with the runtime.

In: operations one after the other, by method calls on `TfliteWriter`. Out: the file's bytes, the same for the same
calls. Images are N x H x W x C. Constant tensors are float16 in the file and float32 in the computation (a DEQUANTIZE
before each, which the runtime works out once when it loads the file).
"""

from __future__ import annotations

from typing import Any, Final

import flatbuffers  # type: ignore[import-untyped]  # comes with the runtime, as the schema does
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

SCHEMA_VERSION: Final = 3
IDENTIFIER: Final = b"TFL3"
ALIGNMENT: Final = 16

Floats = npt.NDArray[np.float32]
Shape = tuple[int, ...]


class TfliteWriter:
    """One graph in the making. Tensors are named by the numbers that the methods return."""

    def __init__(self, input_shape: Shape) -> None:
        self._model: Any = schema.ModelT()
        self._graph: Any = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.buffers = [schema.BufferT()]  # the first one is empty by convention
        self._codes: dict[int, int] = {}
        self.input = self._tensor("input", input_shape, schema.TensorType.FLOAT32)

    def shape(self, tensor: int) -> Shape:
        return tuple(self._graph.tensors[tensor].shape)

    def constant(self, values: Floats) -> int:
        """A float tensor kept at half precision."""
        half = self._stored(np.ascontiguousarray(values, dtype=np.float16), schema.TensorType.FLOAT16)
        return self._operation(schema.BuiltinOperator.DEQUANTIZE, [half], values.shape)

    def convolution(self, x: int, weights: Floats, bias: Floats, stride: int, padding: int) -> int:
        """`weights` are outputs x height x width x inputs; `padding` zeros are laid around the image."""
        options: Any = schema.Conv2DOptionsT()
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        return self._windowed(x, weights, bias, stride, padding, len(weights), schema.BuiltinOperator.CONV_2D, options)

    def depthwise(self, x: int, weights: Floats, bias: Floats, stride: int, padding: int) -> int:
        """A convolution of each channel on its own; `weights` are 1 x height x width x channels."""
        options: Any = schema.DepthwiseConv2DOptionsT()
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = options.depthMultiplier = 1
        kind = schema.BuiltinOperator.DEPTHWISE_CONV_2D
        return self._windowed(x, weights, bias, stride, padding, weights.shape[3], kind, options)

    def add(self, x: int, y: int) -> int:
        return self._operation(schema.BuiltinOperator.ADD, [x, y], self.shape(x), schema.AddOptionsT())

    def multiply(self, x: int, y: int) -> int:
        """`y` may be one value a channel."""
        return self._operation(schema.BuiltinOperator.MUL, [x, y], self.shape(x), schema.MulOptionsT())

    def leaky_relu(self, x: int, slope: float) -> int:
        """`x` where it is positive, `slope` times `x` elsewhere: a PReLU with one slope for the layer."""
        options: Any = schema.LeakyReluOptionsT()
        options.alpha = slope
        return self._operation(schema.BuiltinOperator.LEAKY_RELU, [x], self.shape(x), options)

    def logistic(self, x: int) -> int:
        return self._operation(schema.BuiltinOperator.LOGISTIC, [x], self.shape(x))

    def spatial_mean(self, x: int) -> int:
        """Mean over the whole image: N x 1 x 1 x C."""
        options: Any = schema.ReducerOptionsT()
        options.keepDims = True
        axes = self._stored(np.array([1, 2], dtype=np.int32), schema.TensorType.INT32)
        count, _, _, channels = self.shape(x)
        return self._operation(schema.BuiltinOperator.MEAN, [x, axes], (count, 1, 1, channels), options)

    def finish(self, output: int, description: str) -> bytes:
        """The file. Nothing may be added afterwards."""
        self._graph.inputs, self._graph.outputs = [self.input], [output]
        self._model.version, self._model.description = SCHEMA_VERSION, description
        self._model.subgraphs = [self._graph]
        self._model.operatorCodes = [_code(kind) for kind in self._codes]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())

    def _windowed(
        self, x: int, weights: Floats, bias: Floats, stride: int, padding: int, outputs: int, kind: int, options: Any
    ) -> int:
        count, height, width, _ = self.shape(x)
        size = weights.shape[1]
        shape = (count, *((side + 2 * padding - size) // stride + 1 for side in (height, width)), outputs)
        options.padding = schema.Padding.VALID
        if padding and stride == 1 and size == 2 * padding + 1:
            options.padding = schema.Padding.SAME
        elif padding:  # SAME pads unevenly where it strides: the zeros have to be laid by hand
            x = self._padded(x, padding)
        return self._operation(kind, [x, self.constant(weights), self.constant(bias)], shape, options)

    def _padded(self, x: int, padding: int) -> int:
        count, height, width, channels = self.shape(x)
        around = np.array([[0, 0], [padding] * 2, [padding] * 2, [0, 0]], dtype=np.int32)
        borders = self._stored(around, schema.TensorType.INT32)
        shape = (count, height + 2 * padding, width + 2 * padding, channels)
        return self._operation(schema.BuiltinOperator.PAD, [x, borders], shape, schema.PadOptionsT())

    def _stored(self, values: npt.NDArray[Any], kind: int) -> int:
        buffer: Any = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), dtype=np.uint8)
        self._model.buffers.append(buffer)
        return self._tensor("", values.shape, kind, len(self._model.buffers) - 1)

    def _tensor(self, name: str, shape: Shape, kind: int, buffer: int = 0) -> int:
        tensor: Any = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name or f"t{len(self._graph.tensors)}", [], kind, buffer
        tensor.shape = [int(side) for side in shape]
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _operation(self, kind: int, inputs: list[int], shape: Shape, options: Any = None) -> int:
        output = self._tensor("", shape, schema.TensorType.FLOAT32)
        operator: Any = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(kind, len(self._codes))
        operator.inputs, operator.outputs = inputs, [output]
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._graph.operators.append(operator)
        return output


def _code(kind: int) -> Any:
    code: Any = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), 1
    if kind == schema.BuiltinOperator.DEQUANTIZE:
        code.version = 3  # the first that reads float16
    return code
