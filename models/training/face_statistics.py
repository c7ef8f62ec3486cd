"""Batch-norm statistics of a student, as they are in its own chain.

In: the student and faces. Out: the same student with its batch norms folded away (`recalibrate`), or put back so that
it can go on learning (`unfold`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models.training.face_data import Faces
from models.training.face_net import Chain, Convolution, Student, scaled

Network = TypeVar("Network", bound=Chain)


def recalibrate(student: Student, faces: Faces) -> Student:
    """Batch-norm statistics as they are in the chain; then folds the batch norms away."""
    random = np.random.default_rng(0)  # every worker has to come to the same statistics
    index = random.choice(faces.training, min(256, len(faces.training)), replace=False)
    mirrored = random.random(len(index)) < 0.5
    device = next(student.parameters()).device
    pixels = faces.typical(index, mirrored, random)

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(index), 32):
            yield scaled(torch.from_numpy(pixels[start : start + 32]).to(device))

    return measured(student, batches()).fold()


@torch.no_grad()
def measured(network: Network, batches: Iterable[Tensor]) -> Network:
    """Batch-norm statistics of these inputs (N, 3, height, width) in place of those that were followed in training."""
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    network.train()
    for batch in batches:
        network(batch.contiguous(memory_format=torch.channels_last))
    return network


LEAST_VARIANCE = 1e-4


@torch.no_grad()
def unfold(student: Student, faces: Faces) -> Student:
    """Puts batch norms back into a folded student without changing what it computes; learning needs them, see
    docs/decisions/0090."""
    convolutions = [m for m in student.modules() if isinstance(m, Convolution)]
    found: dict[int, Tensor] = {}

    def keep(number: int, output: Tensor) -> None:
        found[number] = torch.stack([output.mean((0, 2, 3)), output.var((0, 2, 3))])

    hooks = [
        layer.conv.register_forward_hook(lambda _module, _inputs, output, number=number: keep(number, output))
        for number, layer in enumerate(convolutions)
    ]
    random = np.random.default_rng(0)
    index = random.choice(faces.training, min(128, len(faces.training)), replace=False)
    pixels = torch.from_numpy(faces.typical(index, np.zeros(len(index), dtype=bool), random))
    student(scaled(pixels.to(next(student.parameters()).device)).contiguous(memory_format=torch.channels_last))
    for number, layer in enumerate(convolutions):
        hooks[number].remove()
        mean, variance = found[number]
        layer.unfold(mean, variance.clamp(min=LEAST_VARIANCE))
    return student
