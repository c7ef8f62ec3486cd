"""Lets a folded student feel int8 while it learns (quantisation-aware training; Jacob et al., CVPR 2018).

In: a folded student and pictures. Out: the same student, whose activations are rounded as int8 will round them (per
tensor, by hooks) and whose weights are so while a loss is computed (per output channel, symmetric). Gradients pass
straight through the rounding. The exporter then measures its own ranges, on pictures of the same kind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from models.training.face_net import Convolution, Gate, Head, Part, Student

LEAST = 1e-8


def rounded(x: Tensor, low: float, high: float) -> Tensor:
    """`x` on the 256 steps between `low` and `high`, zero among them."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, LEAST)
    zero = round(-128 - low / scale)
    return torch.fake_quantize_per_tensor_affine(x, scale, max(-128, min(127, zero)), -128, 127)


def _places(student: Student) -> list[nn.Module]:
    """Modules whose output is a tensor in the int8 file."""
    heads = [m for m in student.modules() if isinstance(m, Head)]
    places = [m for m in student.modules() if isinstance(m, Convolution | Gate | Part)]
    return places + [layer for head in heads for layer in (head.weigh, head.project)]


@torch.no_grad()
def attach(student: Student, images: Tensor) -> None:
    """Measures the range of every activation on (N, 3, 128, 128) inputs and rounds to it from then on."""
    ranges: dict[nn.Module, tuple[float, float]] = {}

    def measure(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        low, high = ranges.get(module, (0.0, 0.0))
        ranges[module] = (min(low, float(output.min())), max(high, float(output.max())))

    hooks = [module.register_forward_hook(measure) for module in _places(student)]
    for batch in images.split(16):
        student(batch)
    for hook in hooks:
        hook.remove()
    for module, (low, high) in ranges.items():
        module.register_forward_hook(lambda _m, _i, output, low=low, high=high: rounded(output, low, high))


@contextlib.contextmanager
def rounded_weights(student: Student) -> Iterator[None]:
    """Inside, every weight has its int8 value; gradients found there belong to the weights as they are outside."""
    layers = [m for m in student.modules() if isinstance(m, nn.Conv2d)]
    kept = [layer.weight.data for layer in layers]
    try:
        for layer in layers:
            weight = layer.weight.data
            scale = (weight.abs().amax((1, 2, 3), keepdim=True) / 127).clamp(min=LEAST)
            layer.weight.data = torch.round(weight / scale) * scale
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.weight.data = weight
