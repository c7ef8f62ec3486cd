"""The first phase of distillation: every part of the student alone, between two features of the teacher.

In: a trainer (models/training/faces.py). Out: steps. One pass of the teacher teaches all parts: each is given the
teacher's feature that comes before it and regresses the one that follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.training.face_data import chunks
from models.training.face_net import EMBEDDING, IMAGE, Convolution, Part

if TYPE_CHECKING:
    from models.training.faces import Trainer


class BlockPhase:
    """What a step is while parts learn alone.

    Args:
        trainer: whose student learns.
        chosen: which parts.
    """

    def __init__(self, trainer: Trainer, chosen: slice) -> None:
        self.trainer = trainer
        self.chosen: list[Part] = list(trainer.student.parts)[chosen]
        self.features: dict[str, Tensor] = {}
        self.bank: dict[str, Tensor] = {}
        self.prepare()

    def prepare(self) -> None:
        """Weights of the channels in the block loss, and the last batch norm of each part, from the teacher's features.

        Only means and variances of features are taken over, no weight of the teacher's.
        """
        index, mirrored = self.trainer.faces.draw(64)
        seen = [self.trainer.teach(self.trainer.faces.clean(i, m)) for i, m in chunks(index, mirrored, 8)]
        features = {key: torch.cat([some[key] for some in seen]) for key in seen[0]}
        self.weights: dict[str, Tensor] = {}
        for part in self.trainer.student.parts:
            wanted = self.wanted(part, features)
            axes = tuple(a for a in range(wanted.dim()) if a != 1)
            variance, mean = wanted.var(axes), wanted.mean(axes)
            self.weights[part.target] = 1.0 / (variance + 0.1 * variance.mean())
            if part.target == EMBEDDING or self.trainer.step:
                continue
            last = [m for m in part.modules() if isinstance(m, Convolution)][-1].norm
            with torch.no_grad():  # a gate begins at one half
                last.weight.copy_(variance.sqrt() * (2 if part.gated else 1))
                last.bias.copy_(mean * (2 if part.gated else 1))

    def wanted(self, part: Part, features: dict[str, Tensor]) -> Tensor:
        """What the body of a part has to give: the teacher's next feature, less its input where that is added."""
        target = features[part.target]
        return target - features[part.source] if part.residual else target

    def block_losses(self, part: Part, found: Tensor, wanted: Tensor) -> Tensor:
        weight = self.weights[part.target]
        weight = weight if wanted.dim() == 2 else weight[:, None, None]
        loss = ((found - wanted).square() * weight).mean()
        if part.target == EMBEDDING:
            loss = loss + (1 - functional.cosine_similarity(found, wanted)).mean()
        return loss

    def fill_bank(self) -> None:
        """Keeps the teacher's features of some faces in memory, so that steps cost no pass of the teacher."""
        keys = {key for part in self.chosen for key in (part.source, part.target)} - {IMAGE}
        chunks: list[dict[str, Tensor]] = []
        while len(chunks) * 16 < self.trainer.options.bank:
            pixels = self.trainer.faces.clean(*self.trainer.faces.draw(16))
            chunk = self.trainer.teach(pixels)
            chunks.append({key: chunk[key] for key in keys} | {IMAGE: self.trainer.image(pixels)})
        self.bank = {key: torch.cat([chunk[key] for chunk in chunks]) for key in chunks[0]}

    def step(self, reached: float) -> float:  # noqa: ARG002 - a phase's step is told how far the time is
        if self.trainer.options.bank:
            if not self.bank:
                self.fill_bank()
            drawn = torch.randint(len(self.bank[IMAGE]), (self.trainer.options.batch,))
            self.features = {key: feature[drawn] for key, feature in self.bank.items()}
        elif self.trainer.step % self.trainer.options.reuse == 0 or not self.features:
            index, mirrored = self.trainer.faces.draw(self.trainer.options.batch)
            pixels = self.trainer.faces.views(index, mirrored, self.trainer.options.wear)
            self.features = self.trainer.teach(pixels)
            self.features[IMAGE] = self.trainer.image(pixels)
        total = []
        for part in self.chosen:
            loss = self.part_loss(part)
            loss.backward()
            total.append(float(loss.detach()))
        if self.trainer.rank == 0 and self.trainer.step % 50 == 0:
            shown = zip(self.chosen, total, strict=True)
            print(self.trainer.step, " ".join(f"{part.target}:{value:.3f}" for part, value in shown), flush=True)
        return float(np.mean(total))

    def part_loss(self, part: Part) -> Tensor:
        """The block loss of one part."""
        source, wanted = self.features[part.source], self.wanted(part, self.features)
        with torch.autocast(self.trainer.device.type, torch.bfloat16, enabled=self.trainer.device.type == "cuda"):
            found = part.body(source)
        return self.block_losses(part, found.float(), wanted)
