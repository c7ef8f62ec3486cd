"""Solves what can be solved: refits every linear layer of a student in closed form, along its own chain.

In: a checkpoint and the face cache. Out: a checkpoint whose parts each end in the least-squares optimum, given what
the parts before it really put out. Parts that were taught alone meet inputs in the chain that they have never seen;
here each one learns at once to give the teacher's next feature from those, so errors stop adding up.

    python -m models.training.face_refit R/blocks.pt --cache C --out R/refit.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.face_data import Faces
from models.training.face_net import EMBEDDING, Convolution, Gate, Head, Part, Student, for_teacher, scaled
from models.training.face_teacher import QuickTeacher, Teacher

CHUNK = 16
RIDGE = 3e-4
LEAST_GATE = 0.25


def least_squares(hidden: Tensor, wanted: Tensor, weight: Tensor, bias: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """New `weight` (outputs, inputs) and `bias` of a linear layer that maps rows of `hidden` to rows of `wanted`; the
    ridge pulls towards the old ones, in units of the mean power of an input."""
    rows = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], dim=1)
    old = torch.cat([weight, bias[:, None]], dim=1)
    residual = wanted - rows @ old.T
    gram = (rows.T @ rows).double()
    gram += torch.eye(len(gram), dtype=gram.dtype) * (ridge * gram.diagonal().mean())
    change = torch.linalg.solve(gram, (rows.T @ residual).double()).T.float()
    return weight + change[:, :-1], bias + change[:, -1]


def refit_part(part: Part, x: Tensor, target: Tensor) -> None:
    """Refits the last linear convolution of a part for the input `x` that it gets in the chain."""
    layers = list(part.body)
    gate = layers.pop() if isinstance(layers[-1], Gate) else None
    last = layers.pop()
    for layer in (*layers, last):
        if layer.norm is not None:
            statistics(layer, layers, x)
            layer.fold()
    inner = nn.Sequential(*layers)
    wanted = target - x if part.residual else target
    hidden = torch.cat([inner(piece) for piece in x.split(CHUNK)])
    if gate is not None:
        linear = torch.cat([last(piece) for piece in hidden.split(CHUNK)])
        opened = gate(linear).mean((2, 3), keepdim=True) / linear.mean((2, 3), keepdim=True)
        wanted = wanted / opened.clamp(min=LEAST_GATE)
    convolution = last.conv
    weight, bias = least_squares(_rows(hidden), _rows(wanted), convolution.weight.flatten(1), convolution.bias, RIDGE)
    convolution.weight.copy_(weight.view_as(convolution.weight))
    convolution.bias.copy_(bias)


def statistics(layer: Convolution, before: list[Convolution], x: Tensor) -> None:
    """Sets the batch norm of `layer` to what it meets in the chain; the layers before it are folded already."""
    norm = layer.norm
    assert norm is not None
    for piece in before[: before.index(layer)] if layer in before else before:
        x = torch.cat([piece(part) for part in x[:128].split(CHUNK)])
    found = torch.cat([layer.conv(part) for part in x[:128].split(CHUNK)])
    norm.running_mean.copy_(found.mean((0, 2, 3)))
    norm.running_var.copy_(found.var((0, 2, 3)))
    norm.eval()


def refit_head(head: Head, x: Tensor, wanted: Tensor) -> None:
    """Refits the projection onto the embedding."""
    if head.widen.norm is not None:
        statistics(head.widen, [], x)
        head.widen.fold()
    hidden = torch.cat([head.weigh(head.widen(piece)) for piece in x.split(CHUNK)]).flatten(1)
    weight, bias = least_squares(hidden, wanted, head.project.weight.flatten(1), head.project.bias, 10 * RIDGE)
    head.project.weight.copy_(weight.view_as(head.project.weight))
    head.project.bias.copy_(bias)


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


@torch.no_grad()
def refit(student: Student, teacher: QuickTeacher, crops: np.ndarray, more: np.ndarray) -> None:
    """Refits all parts in order on `crops` (N, 128, 128, 3), and the head on `more` as well."""
    pixels = torch.from_numpy(crops)
    features = [teacher.features(for_teacher(piece)) for piece in pixels.split(CHUNK)]
    x = scaled(pixels).contiguous(memory_format=torch.channels_last)
    for part in student.parts[:-1]:
        target = torch.cat([chunk.pop(part.target) for chunk in features])
        refit_part(part, x, target)
        part.eval()
        x = torch.cat([part(piece) for piece in x.split(CHUNK)])
        explained = 1 - (x - target).square().mean() / target.var((0, 2, 3)).mean()
        print(f"{part.target}: {explained:.3f} of the variance in the chain", flush=True)
    embeddings = [torch.cat([chunk[EMBEDDING] for chunk in features])]
    for piece in torch.from_numpy(more).split(CHUNK):
        embeddings.append(teacher.features(for_teacher(piece))[EMBEDDING])
        image = scaled(piece).contiguous(memory_format=torch.channels_last)
        for part in student.parts[:-1]:
            image = part(image)
        x = torch.cat([x, image])
    refit_head(student.parts[-1].body, x, functional.normalize(torch.cat(embeddings)))


def _part(name: str) -> int:
    """Number of the part to which a weight of the student belongs."""
    return int(name.split(".")[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=384)
    parser.add_argument("--more", type=int, default=1200, help="further images for the head, which has fewest samples")
    parser.add_argument("--late", type=Path, help="take the parts from --first-late on from this checkpoint")
    parser.add_argument("--first-late", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    faces = Faces(arguments.cache, seed=0)
    teacher = QuickTeacher(Teacher(), arguments.cache)
    student = Student()
    state = student.restore(arguments.checkpoint)
    if arguments.late:
        late = torch.load(arguments.late, map_location="cpu", weights_only=True)
        taken = {k: v for k, v in {**late["student"], **late["mean"]}.items() if _part(k) >= arguments.first_late}
        student.load_state_dict(student.state_dict() | taken)
    student.eval()
    random = np.random.default_rng(2)
    index = random.choice(faces.training, arguments.images + arguments.more, replace=False)
    crops = faces.clean(index, random.random(len(index)) < 0.5)
    refit(student, teacher, crops[: arguments.images], crops[arguments.images :])
    weights = {name: value.detach().clone() for name, value in student.state_dict().items()}
    torch.save({**state, "student": weights, "mean": weights, "folded": True}, arguments.out)
    index = faces.validation[:128]
    held = torch.from_numpy(faces.clean(index, np.zeros(len(index), dtype=bool)))
    with torch.no_grad():
        found = torch.cat([student(scaled(piece)) for piece in held.split(CHUNK)])
        wanted = torch.cat([teacher.features(for_teacher(piece))[EMBEDDING] for piece in held.split(CHUNK)])
    print(f"cosine with the teacher, validation faces: {functional.cosine_similarity(found, wanted).mean():.4f}")


if __name__ == "__main__":
    main()
