"""Lets a folded student feel int8 while it learns (quantisation-aware training; Jacob et al., CVPR 2018).

In: a folded student and pictures. Out: the same student, whose activations are rounded as int8 will round them (per
tensor, by hooks) and whose weights are so while a loss is computed (per output channel, symmetric). Gradients pass
straight through the rounding. The exporter then measures its own ranges, on pictures of the same kind.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from models.training.face_net import Chain, Convolution, Gate, Head, Part

LEAST = 1e-8
LEAST_REACH = 0.02
"""Of a layer's widest channel: narrower ones are widened no further, as they may be dead."""


def rounded(x: Tensor, low: float, high: float) -> Tensor:
    """`x` on the 256 steps between `low` and `high`, zero among them."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, LEAST)
    zero = round(-128 - low / scale)
    return torch.fake_quantize_per_tensor_affine(x, scale, max(-128, min(127, zero)), -128, 127)


def _places(student: Chain) -> list[nn.Module]:
    """Modules whose output is a tensor in the int8 file."""
    heads = [m for m in student.modules() if isinstance(m, Head)]
    places = [m for m in student.modules() if isinstance(m, Convolution | Gate | Part)]
    before = [m.conv for m in student.modules() if isinstance(m, Convolution) and m.slope is not None]
    gates = [m for m in student.modules() if isinstance(m, Gate)]
    inside = [layer for gate in gates for layer in (gate.pool, gate.bend, gate.excite, gate.open)]
    return [*places, *before, *inside, *(layer for head in heads for layer in (head.weigh, head.project))]


@torch.no_grad()
def attach(student: Chain, images: Tensor) -> None:
    """Measures the range of every activation on (N, 3, height, width) inputs and rounds to it from then on."""
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


@torch.no_grad()
def equalise(student: Chain, images: Tensor) -> None:
    """Scales the channels between a layer and the depthwise one behind it so that all fill the int8 range alike; the
    network computes what it did, since its rectifiers are homogeneous and a depthwise layer has a scale for each
    channel (Nagel et al., ICCV 2019).

    Args:
        student: folded.
        images: (N, 3, height, width) inputs, on which the ranges are measured.
    """
    pairs = list(_before_depthwise(student))
    reach: dict[nn.Module, Tensor] = {}

    def measure(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen = output.abs().amax((0, 2, 3))
        reach[module] = torch.maximum(reach[module], seen) if module in reach else seen

    hooks = [layer.register_forward_hook(measure) for layer, _ in pairs]
    for batch in images.split(16):
        student(batch)
    for hook in hooks:
        hook.remove()
    for layer, following in pairs:
        scale = reach[layer] / reach[layer].max()
        scale = scale.clamp(min=LEAST_REACH)
        layer.conv.weight.div_(scale[:, None, None, None])
        layer.conv.bias.div_(scale)
        following.weight.mul_(scale[:, None, None, None])


def _before_depthwise(student: Chain) -> Iterator[tuple[Convolution, nn.Conv2d]]:
    """Every layer with a rectifier whose output goes into a depthwise convolution alone, and that convolution."""
    for part in student.parts:
        if isinstance(part.body, Head):
            yield part.body.widen, part.body.weigh
            continue
        layers = [layer for layer in part.body if isinstance(layer, Convolution)]
        for layer, following in itertools.pairwise(layers):
            if following.conv.groups > 1:
                yield layer, following.conv


@contextlib.contextmanager
def rounded_weights(student: Chain) -> Iterator[None]:
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
