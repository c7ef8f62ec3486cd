"""One model, loaded: the only place that knows which TFLite runtime there is.

In: a manifest entry and a file. Out: `Model.run`, from a float32 input to float32 outputs. The file's SHA-256 and its
tensor shapes are compared with the manifest before anything is run, so that a wrong file stops the box before a camera
is opened, and never gives a wrong answer.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from device.errors import ModelError
from device.vision.inference.manifest import Manifest, ModelEntry

try:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
except ImportError:  # older Python or architecture: the predecessor has the same surface
    try:
        from tflite_runtime.interpreter import Interpreter, OpResolverType
    except ImportError:
        Interpreter = OpResolverType = None

Tensor = npt.NDArray[np.float32]

__all__ = ["Interpreter", "Model", "OpResolverType", "Tensor", "digest", "load_model", "prepare"]

_HINT = "run `vouchbox models verify`, and `vouchbox models install` to get the right file"


class Model:
    """A verified TFLite model with one input.

    Args:
        entry: what the manifest says of it.
        path: its file.
        threads: how many threads one inference may use.

    Raises:
        ModelError: no runtime, no such file, a wrong SHA-256, not a TFLite model, or not the manifest's shapes.
    """

    def __init__(self, entry: ModelEntry, path: Path, threads: int = 1):
        if Interpreter is None:
            raise ModelError("neither ai-edge-litert nor tflite-runtime is installed: pip install ai-edge-litert")
        self.entry = entry
        self.measurement = _measure(entry, path)
        try:
            # By path: the runtime maps the file, so that a warm spare shares the weights with its sibling.
            self._interpreter: Any = Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{path}: the runtime cannot load it ({error}); {_HINT}") from error
        self._inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self._outputs: list[dict[str, Any]] = self._interpreter.get_output_details()
        self._check_shapes(path)

    def run(self, x: Tensor) -> list[Tensor]:
        """Runs the model once.

        Args:
            x: 1 x height x width x channels, float32, scaled as the manifest's `input` says. Quantised models get it
                quantised with their own parameters.

        Returns:
            The outputs in the model's order, float32 (dequantised), freshly allocated.

        Raises:
            ModelError: `x` does not have the manifest's shape.
        """
        if x.shape != self.entry.input.shape:
            raise ModelError(f"model {self.entry.name}: input is {x.shape}, the manifest says {self.entry.input.shape}")
        self._interpreter.set_tensor(self._inputs[0]["index"], _quantise(x, self._inputs[0]))
        self._interpreter.invoke()
        return [_dequantise(self._interpreter.get_tensor(output["index"]), output) for output in self._outputs]

    def _check_shapes(self, path: Path) -> None:
        found_in = [tuple(int(n) for n in tensor["shape"]) for tensor in self._inputs]
        found_out = [tuple(int(n) for n in tensor["shape"]) for tensor in self._outputs]
        if found_in != [self.entry.input.shape]:
            raise ModelError(f"{path}: inputs are {found_in}, the manifest says {[self.entry.input.shape]}; {_HINT}")
        if found_out != list(self.entry.outputs):
            raise ModelError(f"{path}: outputs are {found_out}, the manifest says {list(self.entry.outputs)}; {_HINT}")


def load_model(manifest: Manifest, entry: ModelEntry, threads: int = 1) -> Model:
    """The model of `entry` from wherever its file lies. Raises `ModelError` as `Model` and `Manifest.path` do."""
    return Model(entry, manifest.path(entry), threads)


def prepare(entry: ModelEntry, image: npt.NDArray[np.uint8]) -> Tensor:
    """A height x width x 3 uint8 RGB image of the input's size (for a grey input also height x width) as the input
    tensor of the model."""
    pixels = image[..., ::-1] if entry.input.colour == "bgr" else image
    if entry.input.colour == "grey" and image.ndim == 3:
        pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    scaled = pixels.astype(np.float32) * np.float32(entry.input.scale) + np.float32(entry.input.offset)
    return np.ascontiguousarray(scaled.reshape(entry.input.shape))


def digest(path: Path) -> bytes:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _measure(entry: ModelEntry, path: Path) -> bytes:
    try:
        found = digest(path)
    except OSError as error:
        raise ModelError(f"cannot read {path} (model {entry.name}): {error.strerror}; {_HINT}") from error
    if found.hex() != entry.sha256:
        raise ModelError(f"{path}: SHA-256 is {found.hex()}, the manifest says {entry.sha256}; {_HINT}")
    return found


def _quantise(x: Tensor, tensor: dict[str, Any]) -> npt.NDArray[Any]:
    scale, zero = tensor["quantization"]
    if tensor["dtype"] is np.float32 or not scale:
        return x.astype(tensor["dtype"], copy=False)
    limits = np.iinfo(tensor["dtype"])
    clipped: npt.NDArray[Any] = np.clip(np.rint(x / scale) + zero, limits.min, limits.max).astype(tensor["dtype"])
    return clipped


def _dequantise(values: npt.NDArray[Any], tensor: dict[str, Any]) -> Tensor:
    scale, zero = tensor["quantization"]
    if tensor["dtype"] is np.float32 or not scale:
        return values.astype(np.float32, copy=False)
    return (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)
