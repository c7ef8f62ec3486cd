"""Finishes a quantised TFLite file: what ai-edge-quantizer leaves in float32, and what it leaves in that nobody reads.

In: the bytes of a full-integer .tflite. Out: the same network in which leaky rectifiers are int8 as well (the quantiser
keeps each in float32 between a DEQUANTIZE and a QUANTIZE), without the converter's long names, and with equal vectors
of quantisation parameters stored once: a quarter of a small network's file, and of the memory that it is mapped into.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import flatbuffers  # type: ignore[import-untyped]  # comes with the runtime, as the schema does
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

IDENTIFIER = b"TFL3"
INT8_VERSION = 2
"""Of LEAKY_RELU: the first that takes int8."""


class _SharingBuilder(flatbuffers.Builder):
    """A builder that writes equal vectors of parameters once. Weights are left alone: they want an alignment."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: npt.NDArray[Any]) -> int:  # noqa: N802 - the library's name
        if x.dtype == np.uint8:
            return int(super().CreateNumpyVector(x))
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


def finished(data: bytes) -> bytes:
    """The file with int8 rectifiers, short names and shared parameters.

    Raises:
        ValueError: a leaky rectifier stands elsewhere than between two int8 tensors.
    """
    model: Any = schema.ModelT.InitFromPackedBuf(data, 0)
    for buffer in model.buffers:
        if buffer.offset:  # the quantiser lays weights behind the flatbuffer
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for graph in model.subgraphs:
        _join_rectifiers(model, graph)
        _name(graph)
    builder = _SharingBuilder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _join_rectifiers(model: Any, graph: Any) -> None:
    def kind(operator: Any) -> int:
        code = model.operatorCodes[operator.opcodeIndex]
        return int(max(code.builtinCode, code.deprecatedBuiltinCode))

    made_by = {int(o): operator for operator in graph.operators for o in operator.outputs}
    uses = Counter(int(i) for operator in graph.operators for i in operator.inputs)
    reader = {int(i): operator for operator in graph.operators for i in operator.inputs}
    gone: set[int] = set()
    for rectifier in [o for o in graph.operators if kind(o) == schema.BuiltinOperator.LEAKY_RELU]:
        source, target = int(rectifier.inputs[0]), int(rectifier.outputs[0])
        before, after = made_by.get(source), reader.get(target)
        kinds = [None if o is None else kind(o) for o in (before, after)]
        if kinds != [schema.BuiltinOperator.DEQUANTIZE, schema.BuiltinOperator.QUANTIZE] or uses[target] != 1:
            raise ValueError(f"the leaky rectifier that makes tensor {target} is not between two int8 tensors")
        rectifier.inputs, rectifier.outputs = before.inputs, after.outputs
        model.operatorCodes[rectifier.opcodeIndex].version = INT8_VERSION
        gone.add(id(after))
        uses[source] -= 1
        if not uses[source]:
            gone.add(id(before))
    graph.operators = [o for o in graph.operators if id(o) not in gone]


def _name(graph: Any) -> None:
    """Numbers in place of names, but for what goes in and comes out."""
    kept = {int(number) for number in (*graph.inputs, *graph.outputs)}
    for number, tensor in enumerate(graph.tensors):
        if number not in kept:
            tensor.name = f"t{number}"
