"""Multiply-adds of a TFLite model, counted from its graph: what it costs, whatever the machine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from device.errors import ModelError
from device.vision.inference.model import Interpreter, OpResolverType


def multiply_adds(path: Path) -> int:
    """Multiply-adds of one inference: convolutions and fully connected layers; all else is small beside them.

    Raises:
        ModelError: the runtime cannot load it, or does not tell its operations.
    """
    if Interpreter is None:
        raise ModelError("neither ai-edge-litert nor tflite-runtime is installed: pip install ai-edge-litert")
    try:
        # Without the default delegate, which would replace the operations that are to be counted by one of its own.
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter: Any = Interpreter(model_path=str(path), experimental_op_resolver_type=plain)
        shapes = {tensor["index"]: tuple(map(int, tensor["shape"])) for tensor in interpreter.get_tensor_details()}
        operations = interpreter._get_ops_details()
    except (ValueError, RuntimeError, AttributeError) as error:
        raise ModelError(f"{path}: its operations cannot be listed ({error})") from error
    return sum(_operation(operation, shapes) for operation in operations)


def _operation(operation: dict[str, Any], shapes: dict[int, tuple[int, ...]]) -> int:
    kind = operation["op_name"]
    if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    outputs = math.prod(shapes[int(operation["outputs"][0])])
    kernel = shapes[int(operation["inputs"][1])]
    if kind == "DEPTHWISE_CONV_2D":  # 1 x height x width x channels
        return outputs * kernel[1] * kernel[2]
    return outputs * math.prod(kernel[1:])  # output channels first
