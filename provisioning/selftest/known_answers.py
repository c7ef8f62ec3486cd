"""A known-answer run of each model: the right file can still be run wrongly, by a broken runtime or a failing
processor.

In: a picture that is computed, the same everywhere; the answers kept in `known_answers.toml`. Out: whether a model
answers the same. Outputs of quantised models differ by a step between runtimes and architectures, so shapes are
compared by their correlation and not bit by bit.

    python -m provisioning.selftest.known_answers        writes the file anew from the models that are here
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from device.errors import VouchboxError
from device.vision.inference.manifest import Colour, Manifest, ModelEntry, load_manifest
from device.vision.inference.model import Tensor, load_model, prepare
from provisioning.files import write_atomic

FILE: Final = Path(__file__).with_name("known_answers.toml")
CORRELATION: Final = 0.99
_SAMPLES: Final = 48
_FEW: Final = 8
_ABSOLUTE: Final = 0.1


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one model: the SHA-256 of the file that gave it, and evenly spaced values of each output."""

    sha256: str
    outputs: list[list[float]]


def load_answers(file: Path = FILE) -> dict[str, Answer]:
    """By model name."""
    return msgspec.toml.decode(file.read_bytes(), type=dict[str, Answer])


def picture(entry: ModelEntry) -> npt.NDArray[np.uint8]:
    """Smooth waves in three colours with an edge; height x width x 3 (RGB), or height x width for grey inputs."""
    y, x = np.mgrid[0 : entry.input.height, 0 : entry.input.width].astype(np.float64)
    y, x = y / entry.input.height, x / entry.input.width
    waves = [np.sin(2 * np.pi * (a * x + b * y)) for a, b in ((2.0, 1.0), (1.0, 3.0), (3.0, 2.0))]
    image = np.stack([110 + 70 * wave + 50 * (x > 0.5 * y + 0.3) for wave in waves], axis=-1)
    colours = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(colours[..., 1]) if entry.input.colour is Colour.GREY else colours


def answer_of(manifest: Manifest, entry: ModelEntry) -> Answer:
    """Runs a model once. Raises `ModelError`."""
    outputs = load_model(manifest, entry).run(prepare(entry, picture(entry)))
    return Answer(entry.sha256, [_sampled(output) for output in outputs])


def _sampled(output: Tensor) -> list[float]:
    flat = output.reshape(-1)
    places = np.linspace(0, flat.size - 1, min(flat.size, _SAMPLES)).round().astype(int)
    return [float(f"{value:.5g}") for value in flat[places]]


def agreement(expected: Answer, found: Answer) -> float:
    """1 is the same, CORRELATION is still well; of the worst output."""
    if [len(output) for output in expected.outputs] != [len(output) for output in found.outputs]:
        return 0.0
    return min(_alike(np.asarray(a), np.asarray(b)) for a, b in zip(expected.outputs, found.outputs, strict=True))


def _alike(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    if not np.isfinite(b).all():
        return 0.0
    if len(a) < _FEW or a.std() < 1e-6:
        return 1.0 if np.abs(a - b).max() <= _ABSOLUTE * max(1.0, float(np.abs(a).max())) else 0.0
    return float(np.corrcoef(a, b)[0, 1]) if b.std() > 0 else 0.0


def main() -> None:
    """See the module's text."""
    manifest = load_manifest()
    answers: dict[str, Any] = {}
    for entry in manifest:
        try:
            answers[entry.name] = msgspec.to_builtins(answer_of(manifest, entry))
        except VouchboxError as error:
            print(f"{entry.name}: {error}", file=sys.stderr)
    write_atomic(FILE, msgspec.toml.encode(answers))
    print(f"{len(answers)} answers written to {FILE}")


if __name__ == "__main__":
    main()
