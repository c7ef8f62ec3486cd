"""The student: a face embedder of 1.2 M parameters made only of operations that int8 likes.

In: RGB (N, 3, 128, 128) float32, pixel / 127.5 - 1. Out: embeddings (N, 256), not normalised. It follows the stages of
the teacher (models/training/face_teacher.py), so that every part can first be taught alone: `Part.source` and
`Part.target` name the teacher's features between which it stands. Convolutions, depthwise convolutions, additions,
leaky rectifiers of one slope a layer (docs/decisions/0091), pooling, and hard-sigmoid gates.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

EMBEDDING = "embedding"
IMAGE = "image"
WIDENED, LOOKED = 0.25, -0.75
"""Slopes below zero with which the rectifiers begin, after a widening and after a depthwise convolution. A slope and
its inverse are the same to the layers around it, so nothing is lost by keeping them within -1..1 (int8 likes that)."""


class _Leaky(torch.autograd.Function):
    """The rectifier. torch's own with a learned slope takes ten times as long on a CPU to go back through."""

    @staticmethod
    def forward(context: Any, x: Tensor, slope: Tensor) -> Tensor:
        context.save_for_backward(x, slope)
        return functional.leaky_relu(x, float(slope))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = context.saved_tensors
        inner = torch.ops.aten.leaky_relu_backward(gradient, x, float(slope), False)
        return inner, (gradient * x.clamp(max=0)).sum().reshape(1)


class Convolution(nn.Module):
    """Convolution, batch norm (until `fold`), and, unless it is linear, a rectifier with a learned slope below zero."""

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1, slope: float | None = None
    ):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(outputs, momentum=0.05)
        self.slope = None if slope is None else nn.Parameter(torch.tensor([slope]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.slope is None:
            return x
        return functional.leaky_relu(x, self.slope) if self.settled else _Leaky.apply(x, self.slope)

    @property
    def settled(self) -> bool:
        return isinstance(self.slope, float)

    def settle(self) -> None:
        """Makes a constant of the slope, as an export wants it."""
        if isinstance(self.slope, nn.Parameter):
            slope = float(self.slope)
            del self.slope
            self.slope = slope

    def unfold(self, mean: Tensor, variance: Tensor) -> None:
        """Puts a batch norm behind a folded convolution that changes nothing while its inputs have these statistics."""
        bias = self.conv.bias
        assert self.norm is None
        assert bias is not None
        self.norm = nn.BatchNorm2d(len(mean), momentum=0.05).to(mean.device)
        self.norm.running_mean.copy_(mean - bias.detach())
        self.norm.running_var.copy_(variance)
        self.norm.weight.data.copy_(torch.sqrt(variance + self.norm.eps))
        self.norm.bias.data.copy_(mean)
        self.conv.bias = None

    def fold(self) -> None:
        """Moves the batch norm, as it is in inference, into the convolution's weights and a bias."""
        norm = self.norm
        if norm is None:
            return
        scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        self.conv.weight.data.mul_(scale[:, None, None, None])
        self.conv.bias = nn.Parameter(norm.bias.detach() - norm.running_mean * scale)
        self.norm = None


class HardSigmoid(nn.Module):
    """The design's hard sigmoid, written out so that it is exported as add, ReLU6 and multiplication."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu6(x + 3.0) * (1.0 / 6.0)


class Gate(nn.Module):
    """Squeeze and excitation with a hard sigmoid."""

    def __init__(self, channels: int):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.bend = nn.ReLU6()
        self.excite = nn.Conv2d(channels // 4, channels, 1)
        self.open = HardSigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.open(self.excite(self.bend(self.squeeze(self.pool(x)))))


class Part(nn.Module):
    """A piece of the student between two of the teacher's features; `residual` adds its input to its output."""

    def __init__(self, source: str, target: str, body: nn.Module, residual: bool):
        super().__init__()
        self.source, self.target, self.residual = source, target, residual
        self.body = body

    @property
    def gated(self) -> bool:
        """Whether its last layer is a gate, which begins at one half."""
        return isinstance(self.body, nn.Sequential) and isinstance(self.body[-1], Gate)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.residual else y


def _inverted(inputs: int, hidden: int, outputs: int, stride: int) -> nn.Sequential:
    """Widen, look around, narrow, weigh the channels."""
    return nn.Sequential(
        Convolution(inputs, hidden, slope=WIDENED),
        Convolution(hidden, hidden, 3, stride, groups=hidden, slope=LOOKED),
        Convolution(hidden, outputs),
        Gate(outputs),
    )


class Head(nn.Module):
    """Widen, weigh every position of the 8 x 8 map, and project."""

    def __init__(self, channels: int, hidden: int, outputs: int):
        super().__init__()
        self.widen = Convolution(channels, hidden, slope=WIDENED)
        self.weigh = nn.Conv2d(hidden, hidden, 8, groups=hidden)
        self.project = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.weigh(self.widen(x))).flatten(1)


class Chain(nn.Module):
    """A network that is a list of parts, each fed by the one before."""

    def __init__(self, parts: list[Part]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def chain(self, x: Tensor, frozen: int = 0) -> Iterator[tuple[Part, Tensor]]:
        """Every part and its output, each fed by the one before; no gradient for the first `frozen`."""
        for index, part in enumerate(self.parts):
            if index < frozen:
                with torch.no_grad():
                    x = part(x)
            else:
                x = part(x)
            yield part, x

    def fold(self) -> Self:
        """Folds every batch norm. Returns itself."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.fold()
        return self

    def settle(self) -> Self:
        """Makes constants of all slopes. Returns itself."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.settle()
        return self

    def restore(self, path: Path) -> dict[str, Any]:
        """The averaged weights of a checkpoint, folded if it was. Returns the whole checkpoint."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if state["folded"]:
            self.fold()
        self.load_state_dict({**state["student"], **state["mean"]})
        return state

    @property
    def folded(self) -> bool:
        return all(m.norm is None for m in self.modules() if isinstance(m, Convolution))


class Student(Chain):
    """The whole network."""

    def __init__(self) -> None:
        at32 = ("430_0", "446_0", "462_0", "478_0", "494_0")
        at16 = ("509_0", "525_0", "541_0", "557_0", "573_0", "589_0", "605_0")
        at8 = ("620_0", "636_0", "652_0")
        stem = nn.Sequential(
            Convolution(3, 48, 3, 2, slope=LOOKED),
            Convolution(48, 48, 3, groups=48, slope=WIDENED),
            *_inverted(48, 128, 64, 2),
        )
        parts = [Part(IMAGE, at32[0], stem, residual=False)]
        parts += [Part(a, b, _inverted(64, 128, 64, 1), residual=True) for a, b in itertools.pairwise(at32)]
        parts += [Part(at32[-1], at16[0], _inverted(64, 256, 128, 2), residual=False)]
        parts += [Part(a, b, _inverted(128, 256, 128, 1), residual=True) for a, b in itertools.pairwise(at16)]
        parts += [Part(at16[-1], at8[0], _inverted(128, 512, 128, 2), residual=False)]
        parts += [Part(a, b, _inverted(128, 256, 128, 1), residual=True) for a, b in itertools.pairwise(at8)]
        parts += [Part(at8[-1], EMBEDDING, Head(128, 512, 256), residual=False)]
        super().__init__(parts)

    def whiten(self, matrix: Tensor) -> None:
        """Multiplies every embedding by `matrix` (256, 256), in the last layer."""
        project = self.parts[-1].body.project
        project.weight.data = torch.einsum("ab,bcij->acij", matrix, project.weight.data)
        project.bias.data = matrix @ project.bias.data


def scaled(pixels: Tensor) -> Tensor:
    """RGB uint8 (N, 128, 128, 3) as the student's input."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def for_teacher(pixels: Tensor) -> Tensor:
    """RGB uint8 (N, 128, 128, 3) as the teacher's input: BGR 0..255."""
    return pixels.permute(0, 3, 1, 2).flip(1).float()
