"""The students of the second opinion: networks of the MiniFASNet pair's topology, made only of what int8 likes.

In: RGB (N, 3, 80, 80) float32 in 0..1. Out: three logits (N, 3), of which `attack_teacher.LIVE` is a live face. Every
part stands between two features of its teacher (`attack_teacher.Teacher.features`), so that it can be taught alone.
The teachers' rectifiers have slopes near zero below zero: plain ones do, which int8 joins to the convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from models.training.attack_teacher import LOGITS
from models.training.face_net import IMAGE, Chain, Convolution, Gate, Head, Part

NARROW, MIDDLE, WIDE = 64, 128, 128
"""Channels of the maps of 20, 10 and 5 positions a side."""


class Rectified(Convolution):
    """Convolution, batch norm, and a plain rectifier."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(super().forward(x))


class Answer(Head):
    """Widen, weigh every position of the 5 x 5 map, and answer."""

    def __init__(self, channels: int, hidden: int):
        super().__init__(channels, hidden, 3)
        self.widen = Rectified(channels, hidden)
        self.weigh = nn.Conv2d(hidden, hidden, 5, groups=hidden)


@dataclass(frozen=True)
class Block:
    """A residual block: the teacher's feature that it makes, how far it widens, whether a gate weighs its channels."""

    target: str
    hidden: int
    gated: bool = False


@dataclass(frozen=True)
class Design:
    """One teacher's features, in order; hidden widths where the teacher is very narrow are somewhat wider."""

    stem: str
    at20: tuple[Block, ...]
    down10: str
    at10: tuple[Block, ...]
    down5: str
    at5: tuple[Block, ...]


DESIGNS = {
    "v2": Design(
        "150",
        (Block("156", 24), Block("162", 24), Block("168", 24), Block("174", 24)),
        "180",
        (Block("186", 231), Block("192", 64), Block("198", 40), Block("204", 88), Block("210", 40), Block("216", 40)),
        "222",
        (Block("228", 48), Block("234", 48)),
    ),
    "v1se": Design(
        "163",
        (Block("169", 24), Block("175", 32), Block("181", 24), Block("192", 56, gated=True)),
        "198",
        (
            Block("204", 154), Block("210", 64), Block("216", 40),
            Block("222", 64), Block("228", 40), Block("239", 40, gated=True),
        ),
        "245",
        (Block("251", 48), Block("262", 48, gated=True)),
    ),
}  # fmt: skip


def _inverted(inputs: int, hidden: int, outputs: int, stride: int, gated: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [
        Rectified(inputs, hidden),
        Rectified(hidden, hidden, 3, stride, groups=hidden),
        Convolution(hidden, outputs),
    ]
    return nn.Sequential(*layers, *([Gate(outputs)] if gated else []))


class AttackStudent(Chain):
    """One student. `name` is its teacher's."""

    def __init__(self, name: str) -> None:
        design = DESIGNS[name]
        stem = nn.Sequential(
            Rectified(3, 40, 3, 2),
            Rectified(40, 40, 3, groups=40),
            *_inverted(40, 112, NARROW, 2),
        )
        parts = [Part(IMAGE, design.stem, stem, residual=False)]

        def blocks(width: int, chosen: tuple[Block, ...]) -> None:
            for block in chosen:
                body = _inverted(width, block.hidden, width, 1, block.gated)
                parts.append(Part(parts[-1].target, block.target, body, residual=True))

        blocks(NARROW, design.at20)
        parts.append(Part(parts[-1].target, design.down10, _inverted(NARROW, 231, MIDDLE, 2), residual=False))
        blocks(MIDDLE, design.at10)
        parts.append(Part(parts[-1].target, design.down5, _inverted(MIDDLE, 308, WIDE, 2), residual=False))
        blocks(WIDE, design.at5)
        parts.append(Part(parts[-1].target, LOGITS, Answer(WIDE, 448), residual=False))
        super().__init__(parts)
