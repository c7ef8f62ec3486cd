"""Faces for distillation: aligned once by the box's own detector and landmarks, then drawn as batches of views.

In: folders of face images (UTKFace; live frames of Replay-Attack's train split). Out: `canvases.npy`, (N, 144, 144, 3)
uint8 RGB around the teacher's 128-pixel crop (so that crops can be moved and scaled a little), `inside.npy`, which of
their pixels the photograph covered (as bits), `names.txt`, and `Faces`, which draws batches. Every sixth UTKFace face
is held back: never trained on, used to set thresholds.

    python -m models.training.face_data --out /path/of/cache
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from device.evaluation.calibration import held_back
from models.training.face_augment import clean, moved, worn
from models.training.face_surround import surrounded
from models.training.face_teacher import DIMENSIONS, SHARED, SIZE, TEMPLATE

CANVAS = 144
Images = npt.NDArray[np.uint8]


def canvas_template() -> npt.NDArray[np.float32]:
    """The teacher's template when its crop is the middle of a canvas."""
    margin = (CANVAS - SIZE) / 2
    return ((TEMPLATE * SIZE + margin) / CANVAS).astype(np.float32)


def sources(shared: Path) -> list[Path]:
    """Files to align, in a fixed order."""
    faces = sorted((shared / "data/faces/utkface/images").glob("*.webp"))
    live = sorted((shared / "data/attacks/replay_attack/train").glob("train__real__*/*.jpg"))
    return [*faces, *live]


def align_all(paths: list[Path], out: Path) -> int:
    """Writes `canvases.npy` and `names.txt`; a file in which no face is found is left out. Returns the count."""
    from device.vision.face.align import similarity, warp
    from device.vision.face.detector import FaceDetector
    from device.vision.face.landmarks import FaceLandmarker
    from device.vision.inference.manifest import load_manifest

    manifest = load_manifest()
    detector, landmarker = FaceDetector(manifest), FaceLandmarker(manifest)
    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    canvases = np.lib.format.open_memmap(
        out / "canvases.part.npy", mode="w+", dtype=np.uint8, shape=(len(paths), CANVAS, CANVAS, 3)
    )
    target = canvas_template().astype(np.float64) * CANVAS
    inside: list[npt.NDArray[np.uint8]] = []
    names: list[str] = []
    for index, path in enumerate(paths):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        found = detector.detect(image)
        landmarks = landmarker.find(image, found[0]) if found else None
        if landmarks is None:
            continue
        matrix = similarity(landmarks.five.astype(np.float64), target)
        canvases[len(names)] = warp(image, matrix, CANVAS)
        covered = cv2.warpAffine(np.ones(image.shape[:2], np.uint8), matrix, (CANVAS, CANVAS), flags=cv2.INTER_NEAREST)
        inside.append(np.packbits(covered))
        names.append(path.name if path.suffix == ".webp" else f"{path.parent.name}/{path.name}")
        if index % 2000 == 0:
            print(f"{index} of {len(paths)} files, {len(names)} faces", flush=True)
    canvases.flush()
    whole = np.lib.format.open_memmap(
        out / "canvases.npy", mode="w+", dtype=np.uint8, shape=(len(names), CANVAS, CANVAS, 3)
    )
    for start in range(0, len(names), 1024):
        stop = min(start + 1024, len(names))
        whole[start:stop] = canvases[start:stop]
    whole.flush()
    (out / "canvases.part.npy").unlink()
    np.save(out / "inside.npy", np.stack(inside))
    (out / "names.txt").write_text("\n".join(names) + "\n")
    return len(names)


class Faces:
    """Batches of views of the faces that may be trained on.

    `labels` keeps the teacher's embedding of every clean and every mirrored face once it has been asked for; the file
    is shared by all workers of a run and by later runs.
    """

    def __init__(self, cache: Path, seed: int) -> None:
        self.canvases: Images = np.load(cache / "canvases.npy", mmap_mode="r")
        self.inside: npt.NDArray[np.uint8] = np.load(cache / "inside.npy", mmap_mode="r")
        names = (cache / "names.txt").read_text().splitlines()
        kept = np.array([not (n.endswith(".webp") and held_back(n)) for n in names])
        validation = np.array([validates(n) for n in names]) & kept
        self.training = np.flatnonzero(kept & ~validation)
        self.validation = np.flatnonzero(validation)
        self._random = np.random.default_rng(seed)
        self._order = np.empty(0, dtype=np.int64)
        path = cache / "labels.npy"
        if not path.exists():
            shape = (len(names), 2, DIMENSIONS)
            np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape).flush()
        self.labels: npt.NDArray[np.float32] = np.load(path, mmap_mode="r+")

    def draw(self, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Indices into `canvases` without repetition within a round, and whether each is mirrored."""
        while len(self._order) < count:
            self._order = np.concatenate([self._order, self._random.permutation(self.training)])
        chosen, self._order = self._order[:count], self._order[count:]
        return chosen, self._random.random(count) < 0.5

    def clean(self, index: npt.NDArray[np.int64], mirrored: npt.NDArray[np.bool_]) -> Images:
        """(N, 128, 128, 3) as the teacher wants them."""
        return np.stack([clean(self.canvases[i], bool(m)) for i, m in zip(index, mirrored, strict=True)])

    def views(self, index: npt.NDArray[np.int64], mirrored: npt.NDArray[np.bool_], wear: float) -> Images:
        """(N, 128, 128, 3): a part `wear` of them moved and worn, half of the others only moved."""
        return self._views(self.canvases[index], mirrored, wear)

    def _views(self, canvases: Images, mirrored: npt.NDArray[np.bool_], wear: float) -> Images:
        random = self._random
        made: list[Images] = []
        for canvas, m in zip(canvases, mirrored, strict=True):
            chance = random.random()
            if chance < wear:
                made.append(worn(moved(canvas, bool(m), random), random))
            elif chance < (1 + wear) / 2:
                made.append(moved(canvas, bool(m), random))
            else:
                made.append(clean(canvas, bool(m)))
        return np.stack(made)

    def surrounded(
        self, index: npt.NDArray[np.int64], mirrored: npt.NDArray[np.bool_], wear: float
    ) -> tuple[Images, Images]:
        """(N, 128, 128, 3) each: views of the faces in other surroundings, and the same clean, for the teacher."""
        canvases = np.stack([self._surrounded(i, self._random) for i in index])
        views = self._views(canvases, mirrored, wear)
        return views, np.stack([clean(c, bool(m)) for c, m in zip(canvases, mirrored, strict=True)])

    def typical(
        self, index: npt.NDArray[np.int64], mirrored: npt.NDArray[np.bool_], random: np.random.Generator
    ) -> Images:
        """(N, 128, 128, 3) to measure statistics and ranges on: clean faces, two of three in other surroundings."""
        canvases = [self._surrounded(i, random) if n % 3 else self.canvases[i] for n, i in enumerate(index)]
        return np.stack([clean(c, bool(m)) for c, m in zip(canvases, mirrored, strict=True)])

    def _surrounded(self, index: np.int64, random: np.random.Generator) -> Images:
        covered = np.unpackbits(self.inside[index])[: CANVAS * CANVAS].reshape(CANVAS, CANVAS).astype(bool)
        other = self.canvases[random.choice(self.training)]
        return surrounded(self.canvases[index], covered, other, random)

    def mixed(self, index: npt.NDArray[np.int64], mirrored: npt.NDArray[np.bool_]) -> Images:
        """(N, 128, 128, 3): each face blended with another: people who do not exist, for the teacher to label."""
        first = self.clean(index, mirrored).astype(np.float32)
        other = self.clean(*self.draw(len(index))).astype(np.float32)
        part = self._random.uniform(0.3, 0.7, (len(index), 1, 1, 1)).astype(np.float32)
        return np.asarray(first * part + other * (1 - part), dtype=np.uint8)


def chunks(index: npt.NDArray[np.int64], mirrored: npt.NDArray[np.bool_], size: int) -> list[tuple[Any, Any]]:
    """Faces and their sides in pieces of at most `size`."""
    return [(index[i : i + size], mirrored[i : i + size]) for i in range(0, len(index), size)]


def validates(name: str) -> bool:
    """Whether a file is one of the few hundred on which checkpoints are compared (never trained on either)."""
    return hashlib.sha256(name.encode()).digest()[1] < 4


def main() -> None:
    """Aligns everything and says how many faces there are."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    paths = sources(arguments.shared)
    print(f"{align_all(paths, arguments.out)} faces in {len(paths)} files")


if __name__ == "__main__":
    main()
