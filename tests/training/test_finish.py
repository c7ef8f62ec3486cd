"""A quantised file is finished: its rectifiers are int8, its parameters shared, and it computes what it did."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from models.training.finish import IDENTIFIER, finished

SHAPE = (1, 4, 4, 8)
FLOAT, INT8 = schema.TensorType.FLOAT32, schema.TensorType.INT8
DEQUANTIZE, LEAKY, QUANTIZE = (
    schema.BuiltinOperator.DEQUANTIZE,
    schema.BuiltinOperator.LEAKY_RELU,
    schema.BuiltinOperator.QUANTIZE,
)


def _tensor(name: str, kind: int, scale: float = 0.0, zero: int = 0) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(SHAPE), kind, 0
    if kind == INT8:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.array([scale], np.float32)
        tensor.quantization.zeroPoint = np.array([zero], np.int64)
    return tensor


def _file(kinds: list[int], slope: float) -> bytes:
    """As the quantiser leaves it: int8 tensors at both ends, float32 between, one operation after the other."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    ends = {0: _tensor("in", INT8, 0.05, -10), len(kinds): _tensor("out", INT8, 0.04, 30)}
    graph.tensors = [ends.get(n, _tensor(f"a/very/long/name/of/a/layer/{n}", FLOAT)) for n in range(len(kinds) + 1)]
    graph.inputs, graph.outputs, graph.operators, model.operatorCodes = [0], [len(kinds)], [], []
    for number, kind in enumerate(kinds):
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = 1
        operator.opcodeIndex, operator.inputs, operator.outputs = number, [number], [number + 1]
        if kind == LEAKY:
            operator.builtinOptions, operator.builtinOptionsType = (
                schema.LeakyReluOptionsT(),
                schema.BuiltinOptions.LeakyReluOptions,
            )
            operator.builtinOptions.alpha = slope
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT()], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _run(data: bytes, values: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def _operations(data: bytes) -> list[int]:
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    return [model.operatorCodes[o.opcodeIndex].builtinCode for o in model.subgraphs[0].operators]


@pytest.mark.parametrize("slope", [0.25, -0.75, -1.5])
def test_a_rectifier_between_two_int8_tensors_becomes_int8_and_computes_the_same(slope: float) -> None:
    before = _file([DEQUANTIZE, LEAKY, QUANTIZE], slope)
    after = finished(before)
    assert _operations(after) == [LEAKY]
    values = np.arange(-128, 0, dtype=np.int16).astype(np.int8).reshape(SHAPE)
    for shown in (values, (values.astype(np.int16) + 128).astype(np.int8)):
        assert np.abs(_run(before, shown).astype(int) - _run(after, shown).astype(int)).max() <= 1


def test_names_inside_are_numbers_and_names_outside_are_kept() -> None:
    model = schema.ModelT.InitFromPackedBuf(finished(_file([DEQUANTIZE, LEAKY, QUANTIZE], 0.1)), 0)
    names = [tensor.name.decode() for tensor in model.subgraphs[0].tensors]
    assert names == ["in", "t1", "t2", "out"]


def test_a_rectifier_that_would_stay_float_is_refused() -> None:
    with pytest.raises(ValueError, match="not between two int8 tensors"):
        finished(_file([DEQUANTIZE, LEAKY, LEAKY, QUANTIZE], 0.1))


def test_a_file_without_rectifiers_computes_the_same() -> None:
    before = _file([DEQUANTIZE, QUANTIZE], 0.1)
    values = np.arange(-64, 64, dtype=np.int8).reshape(SHAPE)
    assert (_run(before, values) == _run(finished(before), values)).all()
