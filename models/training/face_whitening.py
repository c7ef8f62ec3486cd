"""Partial whitening of the embedder: a student leans on the few directions in which faces differ most.

A distilled network learns the strong directions of its teacher first and gives the weak ones too little weight; faces
that agree in the strong ones (of one sex, age, origin) are then too near to each other. `whiten` multiplies embeddings
by a power of their covariance (Jegou and Chum 2012, with a power below the whole), and puts that matrix into the last
layer: nothing is added to what a box runs. It is done at export; a checkpoint to go on from stays as the teacher wants
it.

In: a checkpoint and the face cache. Out: a table by which the power was chosen, on faces held back from training: how
often a face's own worn view falls below the threshold that the held-back faces set among each other, and how far apart
the live frames of Replay-Attack's persons are under the two lights (d').

    python -m models.training.face_whitening R/rounded.pt --cache C
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from device.evaluation.calibration import held_back, old_enough
from models.training.face_augment import worn
from models.training.face_data import Faces, chunks
from models.training.face_net import Student, scaled

POWER = 0.25
POWERS = (0.0, 0.125, 0.25, 0.375, 0.5)
FLOOR = 0.1
"""Of the mean variance, added to every direction's: what is hardly there must not be blown up."""
FACES = 4000
WEAR = ("worn once", "worn twice")
RATES = (1e-4, 1e-5)

Matrix = npt.NDArray[np.float32]


def whitening(embeddings: Tensor, power: float) -> Tensor:
    """The (D, D) float32 symmetric matrix for rows of (N, D) unit vectors."""
    variances, directions = torch.linalg.eigh(torch.cov(embeddings.double().T))
    weights = (variances / variances.mean() + FLOOR) ** -power
    return (directions @ torch.diag(weights) @ directions.T).float()


@torch.no_grad()
def embed(student: Student, crops: Matrix | npt.NDArray[np.uint8]) -> Tensor:
    """(N, D) unit vectors of (N, 128, 128, 3) uint8 RGB crops: of a face and its mirror image, as boxes do."""
    found = []
    for start in range(0, len(crops), 16):
        part = np.asarray(crops[start : start + 16])
        sides = [student(scaled(torch.from_numpy(np.ascontiguousarray(side)))) for side in (part, part[:, :, ::-1])]
        found.append(functional.normalize(functional.normalize(sides[0]) + functional.normalize(sides[1])))
    return torch.cat(found)


def known_faces(student: Student, faces: Faces) -> Tensor:
    """(N, D) unit vectors of faces that may be trained on: what a covariance is taken of."""
    random = np.random.default_rng(3)
    index = random.choice(faces.training, min(FACES, len(faces.training)), replace=False)
    parts = [faces.typical(i, m, random) for i, m in chunks(index, random.random(len(index)) < 0.5, 256)]
    return torch.cat([embed(student, part) for part in parts])


@torch.no_grad()
def whiten(student: Student, faces: Faces, power: float = POWER) -> Student:
    """Changes the last layer of a folded `student` so that its embeddings are whitened by `power`. Returns it."""
    student.whiten(whitening(known_faces(student, faces), power))
    return student


def held_back_views(faces: Faces, names: list[str]) -> dict[str, npt.NDArray[np.uint8]]:
    """Held-back adults, clean and worn."""
    random = np.random.default_rng(5)
    chosen = [n for n, name in enumerate(names) if name.endswith(".webp") and held_back(name) and old_enough(name)]
    clean = faces.clean(np.array(chosen), np.zeros(len(chosen), dtype=bool))
    once = np.stack([worn(crop, random) for crop in clean])
    return {"clean": clean, WEAR[0]: once, WEAR[1]: np.stack([worn(crop, random) for crop in once])}


def apart(embeddings: Matrix, persons: npt.NDArray[np.str_], lights: npt.NDArray[np.bool_]) -> float:
    """d' between one person under two lights and two persons."""
    scores = embeddings @ embeddings.T
    first, second = np.triu_indices(len(scores), 1)
    same = persons[first] == persons[second]
    genuine = scores[first, second][same & (lights[first] != lights[second])]
    impostor = scores[first, second][~same]
    return float((genuine.mean() - impostor.mean()) / np.sqrt((genuine.var() + impostor.var()) / 2))


def unit(rows: Matrix) -> Matrix:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    faces = Faces(arguments.cache, seed=0)
    student = Student()
    student.restore(arguments.checkpoint)
    student.eval()
    names = (arguments.cache / "names.txt").read_text().splitlines()
    views = {name: embed(student, crops).numpy() for name, crops in held_back_views(faces, names).items()}
    live = [n for n, name in enumerate(names) if "__real__" in name][::4]
    frames = embed(student, faces.clean(np.array(live), np.zeros(len(live), dtype=bool))).numpy()
    persons = np.array([next(word for word in names[n].split("_") if word.startswith("client")) for n in live])
    lights = np.array(["adverse" in names[n] for n in live])
    known = known_faces(student, faces)
    print(f"{len(views['clean'])} held-back faces; {len(live)} live frames of {len(set(persons))} persons")
    for power in POWERS:
        matrix = whitening(known, power).numpy()
        by_view = {name: unit(rows @ matrix) for name, rows in views.items()}
        clean = by_view["clean"]
        impostors = np.sort((clean @ clean.T)[np.triu_indices(len(clean), 1)])[::-1]
        told = [f"power {power:.3f}: live d' {apart(unit(frames @ matrix), persons, lights):.3f}"]
        for name in WEAR:
            genuine = np.sum(clean * by_view[name], axis=1)
            missed = [float((genuine < impostors[int(rate * len(impostors))]).mean()) for rate in RATES]
            told.append(f"{name} " + ", ".join(f"{m:.4f} at {r:.0e}" for m, r in zip(missed, RATES, strict=True)))
        print("; ".join(told), flush=True)


if __name__ == "__main__":
    main()
