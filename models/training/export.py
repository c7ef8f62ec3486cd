"""From a torch network to a full-integer int8 TFLite file; shared by the trainers.

In: a network in evaluation mode and calibration images. Out: a .tflite whose weights are int8 per channel and whose
activations, input and output are int8 (litert-torch converts, ai-edge-quantizer calibrates and quantises).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.training.finish import finished


def convert(network: nn.Module, shape: tuple[int, int, int], output: Path) -> None:
    """Writes `network`, of input (N, channels, height, width), as float32 TFLite of one NHWC image.

    `shape` is (height, width, channels).
    """
    import litert_torch

    wrapped = litert_torch.to_channel_last_io(network.eval(), args=[0])
    litert_torch.convert(wrapped, (torch.zeros(1, *shape),)).export(str(output))


def quantise(plain: Path, inputs: Iterable[np.ndarray], output: Path) -> None:
    """Writes `plain`, a float32 TFLite, as full-integer int8.

    `inputs` are calibration inputs (1, height, width, channels) float32 as the network gets them.
    """
    from ai_edge_quantizer import quantizer, recipe

    signature, name = _signature(plain)
    work = quantizer.Quantizer(str(plain), recipe.static_wi8_ai8())
    # The quantiser would forget: its ranges are a moving average, and what exceeds them is cut off.
    statistics = widest([work.calibrate({signature: [{name: x}]}) for x in inputs])
    output.unlink(missing_ok=True)
    work.quantize(statistics).export_model(str(output))
    output.write_bytes(finished(output.read_bytes()))


def widest(found: list[dict[str, Any]]) -> dict[str, Any]:
    """One range a tensor, which holds all that were found of it."""
    ranges: dict[str, Any] = dict(found[0])
    for some in found[1:]:
        for name, values in some.items():
            if isinstance(values, dict) and {"min", "max"} <= values.keys():
                known = ranges.get(name, values)
                ranges[name] = values | {
                    "min": np.minimum(known["min"], values["min"]),
                    "max": np.maximum(known["max"], values["max"]),
                }
    return ranges


def export(network: nn.Module, shape: tuple[int, int, int], inputs: Iterable[np.ndarray], output: Path) -> str:
    """`convert` and `quantise` in one. Returns the SHA-256 of `output`."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float.tflite"
        convert(network, shape, plain)
        quantise(plain, inputs, output)
    return hashlib.sha256(output.read_bytes()).hexdigest()


class Runner:
    """A TFLite file as a function of one float32 input (1, height, width, channels); quantises and dequantises."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter: Any = Interpreter(model_path=str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = self._interpreter.get_output_details()

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        scale, zero = self._input["quantization"]
        if scale:
            x = np.rint(x / scale + zero).clip(-128, 127)
        self._interpreter.set_tensor(self._input["index"], x.astype(self._input["dtype"]))
        self._interpreter.invoke()
        results = []
        for output in self._outputs:
            value = self._interpreter.get_tensor(output["index"]).astype(np.float32)
            scale, zero = output["quantization"]
            results.append((value - zero) * scale if scale else value)
        return results


def _signature(path: Path) -> tuple[str, str]:
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(model_path=str(path)).get_signature_list()
    key = next(iter(signatures))
    return key, signatures[key]["inputs"][0]
