"""The second phase of distillation: the whole chain learns the teacher's embedding.

In: a trainer (models/training/faces.py). Out: steps. The loss is one minus the cosine with the teacher, plus how far
the faces of a batch lie from each other where the teacher has them (relational distillation; Park et al., CVPR 2019).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from models.training.face_rounding import attach, equalise, rounded_weights

if TYPE_CHECKING:
    from models.training.faces import Trainer

RELATION = 10.0
RANGED = 256
"""Faces from which the ranges of the activations are measured."""


class ChainPhase:
    """What a step is while the chain learns.

    Args:
        trainer: whose student learns.
        rounding: feel int8 while learning; the student's batch norms are folded then.
    """

    def __init__(self, trainer: Trainer, rounding: bool) -> None:
        self.trainer, self.rounding = trainer, rounding
        if rounding:
            index, mirrored = trainer.faces.draw(RANGED)
            views = trainer.faces.views(index[::2], mirrored[::2], 0.5)
            whole = trainer.faces.surrounded(index[1::2], mirrored[1::2], 0.5)[0]
            images = trainer.image(np.concatenate([views, whole]))
            equalise(trainer.student, images)
            attach(trainer.student, images)

    def step(self, reached: float) -> float:  # noqa: ARG002 - a phase's step is told how far the time is
        trainer, options = self.trainer, self.trainer.options
        index, mirrored = trainer.faces.draw(options.batch)
        pixels = trainer.faces.views(index, mirrored, options.wear)
        wanted = trainer.targets(index)
        mixed = slice(0, round(options.mixed * options.batch))
        around = slice(mixed.stop, mixed.stop + round(options.surrounded * options.batch))
        if mixed.stop:
            pixels[mixed] = trainer.faces.mixed(index[mixed], mirrored[mixed])
            wanted[mixed] = trainer.both_sides(pixels[mixed])
        if around.stop > around.start:
            pixels[around], shown = trainer.faces.surrounded(index[around], mirrored[around], options.wear)
            wanted[around] = trainer.both_sides(shown)
        with rounded_weights(trainer.student) if self.rounding else contextlib.nullcontext():
            with torch.autocast(trainer.device.type, torch.bfloat16, enabled=trainer.device.type == "cuda"):
                found = trainer.student(trainer.image(pixels))
            found = functional.normalize(found.float())
            loss = (1 - (found * wanted).sum(1)).mean()
            loss = loss + RELATION * (found @ found.T - wanted @ wanted.T).square().mean()
            loss.backward()
        return float(loss.detach())
