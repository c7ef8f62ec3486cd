"""The student: a face embedder of 1.2 M parameters made only of operations that int8 likes.

In: RGB (N, 3, 128, 128) float32, pixel / 127.5 - 1. Out: embeddings (N, 256), not normalised. It follows the stages of
the teacher (models/training/face_teacher.py), so that every part can first be taught alone: `Part.source` and
`Part.target` name the teacher's features between which it stands. Convolutions, depthwise convolutions, additions,
ReLU6, pooling, and a hard-sigmoid gate on the smallest maps; down-sampling is dense 3x3.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

EMBEDDING = "embedding"
IMAGE = "image"


class Convolution(nn.Module):
    """Convolution, batch norm (until `fold`), and ReLU6 unless it is linear."""

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1, linear: bool = False
    ):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(outputs, momentum=0.05)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.linear else functional.relu6(x)

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


class Gate(nn.Module):
    """Squeeze and excitation with a hard sigmoid."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.excite(functional.relu6(self.squeeze(x.mean((2, 3), keepdim=True))))
        # The design's hard sigmoid, written out so that it is exported as add, ReLU6 and multiplication.
        return x * (functional.relu6(gate + 3.0) * (1.0 / 6.0))


class Part(nn.Module):
    """A piece of the student between two of the teacher's features; `residual` adds its input to its output."""

    def __init__(self, source: str, target: str, body: nn.Module, residual: bool):
        super().__init__()
        self.source, self.target, self.residual = source, target, residual
        self.body = body

    @property
    def gated(self) -> bool:
        """Whether its last layer is a gate, which needs to see the whole map."""
        return isinstance(self.body, nn.Sequential) and isinstance(self.body[-1], Gate)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.residual else y


def _down(source: str, target: str, inputs: int, hidden: int, outputs: int, gate: bool) -> Part:
    layers: list[nn.Module] = [Convolution(inputs, hidden, 3, 2), Convolution(hidden, outputs, linear=True)]
    return Part(source, target, nn.Sequential(*layers, *([Gate(outputs)] if gate else [])), residual=False)


def _block(source: str, target: str, channels: int, hidden: int, gate: bool) -> Part:
    layers: list[nn.Module] = [
        Convolution(channels, hidden),
        Convolution(hidden, hidden, 3, groups=hidden),
        Convolution(hidden, channels, linear=True),
    ]
    return Part(source, target, nn.Sequential(*layers, *([Gate(channels)] if gate else [])), residual=True)


class Head(nn.Module):
    """Widen, weigh every position of the 8 x 8 map, and project."""

    def __init__(self, channels: int, hidden: int, outputs: int):
        super().__init__()
        self.widen = Convolution(channels, hidden)
        self.weigh = nn.Conv2d(hidden, hidden, 8, groups=hidden)
        self.project = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.weigh(self.widen(x))).flatten(1)


class Student(nn.Module):
    """The whole network as a list of parts."""

    def __init__(self) -> None:
        super().__init__()
        at32 = ("430_0", "446_0", "462_0", "478_0", "494_0")
        at16 = ("509_0", "525_0", "541_0", "557_0", "573_0", "589_0", "605_0")
        at8 = ("620_0", "636_0", "652_0")
        stem = nn.Sequential(
            Convolution(3, 24, 3, 2),
            Convolution(24, 24, 3, groups=24),
            Convolution(24, 128, 3, 2),
            Convolution(128, 128, 3, groups=128),
            Convolution(128, 64, linear=True),
        )
        parts = [Part(IMAGE, at32[0], stem, residual=False)]
        parts += [_block(a, b, 64, 96, gate=False) for a, b in itertools.pairwise(at32)]
        parts += [_down(at32[-1], at16[0], 64, 160, 128, gate=False)]
        parts += [_block(a, b, 128, 208, gate=False) for a, b in itertools.pairwise(at16)]
        parts += [_down(at16[-1], at8[0], 128, 224, 128, gate=True)]
        parts += [_block(a, b, 128, 256, gate=True) for a, b in itertools.pairwise(at8)]
        parts += [Part(at8[-1], EMBEDDING, Head(128, 432, 256), residual=False)]
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

    def fold(self) -> Student:
        """Folds every batch norm. Returns itself."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.fold()
        return self

    @property
    def folded(self) -> bool:
        return all(m.norm is None for m in self.modules() if isinstance(m, Convolution))


def scaled(pixels: Tensor) -> Tensor:
    """RGB uint8 (N, 128, 128, 3) as the student's input."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def for_teacher(pixels: Tensor) -> Tensor:
    """RGB uint8 (N, 128, 128, 3) as the teacher's input: BGR 0..255."""
    return pixels.permute(0, 3, 1, 2).flip(1).float()
