"""Batch-norm statistics of a student whose parts were trained apart.

In: the student and faces. Out: the same student with the statistics of its own chain, batch norms folded away.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from models.training.face_data import Faces
from models.training.face_net import Student, scaled


def recalibrate(student: Student, faces: Faces) -> Student:
    """Batch-norm statistics as they are in the chain; then folds the batch norms away."""
    for norm in (m for m in student.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    random = np.random.default_rng(0)  # every worker has to come to the same statistics
    index = random.choice(faces.training, 256, replace=False)
    mirrored = random.random(len(index)) < 0.5
    student.train()
    with torch.no_grad():
        for start in range(0, len(index), 32):
            part = slice(start, start + 32)
            pixels = torch.from_numpy(faces.clean(index[part], mirrored[part])).to(next(student.parameters()).device)
            student(scaled(pixels).contiguous(memory_format=torch.channels_last))
    return student.fold()
