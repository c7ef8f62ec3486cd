"""The attack detector's network: two small residual nets, one for each crop, and one answer.

In: N x 3 x 2S x S float32 in 0..1, the tight crop above the wide one. Out: N x 4 logits: bona fide, print, screen,
mask.
Dense 3 x 3 convolutions with ReLU6 throughout: they are fast in int8 and fast to train on a CPU.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

INPUT = 80
CLASSES = 4


def _convolution(source: int, target: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(source, target, 3, stride, 1, bias=False), nn.BatchNorm2d(target)]
    return nn.Sequential(*layers, nn.ReLU6()) if relu else nn.Sequential(*layers)


class Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = _convolution(width, width, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu6(x + self.second(self.first(x)))


class Branch(nn.Module):
    """One crop to a vector."""

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        a, b, c, d = widths
        self.body = nn.Sequential(
            _convolution(3, a, 2),
            _convolution(a, b, 2),
            _convolution(b, c, 2),
            Residual(c),
            _convolution(c, d, 2),
            Residual(d),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x).mean(dim=(2, 3))


class Committee(nn.Module):
    """Several networks and the mean of their logits, as one."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = self.members[0](x)
        for member in self.members[1:]:
            total = total + member(x)
        return total / len(self.members)


class AttackNetwork(nn.Module):
    """Both branches and the decision over them; in training also each branch's own opinion."""

    def __init__(self, widths: tuple[int, int, int, int] = (16, 24, 32, 64)) -> None:
        super().__init__()
        self.tight, self.wide = Branch(widths), Branch(widths)
        self.decide = nn.Linear(2 * widths[-1], CLASSES)
        self.alone = nn.ModuleList([nn.Linear(widths[-1], CLASSES) for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decide(torch.cat(self.vectors(x), dim=1))

    def vectors(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Each branch's vector."""
        half = x.shape[2] // 2
        return self.tight(x[:, :, :half]), self.wide(x[:, :, half:])

    def opinions(self, x: torch.Tensor, drop: float) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Logits of the whole with either branch blinded now and then, and of each branch alone."""
        vectors = self.vectors(x)
        alone = [head(vector) for head, vector in zip(self.alone, vectors, strict=True)]
        blind = torch.rand(len(x), 1)
        kept = [vectors[0] * (blind >= drop), vectors[1] * (blind <= 1 - drop)]
        return self.decide(functional.dropout(torch.cat(kept, dim=1), 0.2, self.training)), alone
