"""How often a face embedder errs on a data set: all cross pairs, and the listed pairs if there are any.

In: a folder with `images/` (one folder a person, or flat if nobody knows who is who), optionally `pairs.csv`
(`fold,first,second,same`) and `groups.csv` (`file,group`); an embedder. Out: `FaceFigures`. Similarities are computed
in blocks and counted in a histogram, so a million templates do not need a million squared of memory.
Terms and rates follow ISO/IEC 19795-1; a face that is not found never matches (generalised false non-match rate).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from device.errors import InputError
from device.evaluation.metrics import ScoreHistogram, bootstrap_interval, fnmr, fold_accuracy, tar_at_far
from device.vision.camera.base import Image
from device.vision.face.detector import Detection, FaceDetector
from device.vision.face.embedder import FaceEmbedder
from device.vision.face.landmarks import FaceLandmarker, Landmarks
from device.vision.stills import load_still

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
FMR_RATES: Final = (1e-3, 1e-4, 1e-5, 1e-6)
FAR_RATES: Final = (1e-2, 1e-3)
BLOCK: Final = 1024

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ListedPair:
    """One line of pairs.csv; `first` and `second` are indices into `FaceSet.files`."""

    fold: int
    first: int
    second: int
    same: bool


@dataclass(frozen=True)
class FaceSet:
    """A data set. `files` are relative to `images/`; `persons` number the people, or are empty if they are unknown."""

    folder: Path
    files: tuple[str, ...]
    persons: Labels
    pairs: tuple[ListedPair, ...] = ()
    groups: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True)
class CrossPairs:
    """Every pair of images once. `genuine` are scores of two images of one person, who is named in `owners`."""

    genuine: Matrix
    owners: Labels
    impostors: ScoreHistogram


@dataclass(frozen=True)
class FaceFigures:
    """What was measured; rates are fractions, an absent rate is one that the data set is too small for."""

    embedder: str
    images: int
    not_found: int
    pairs: int
    accuracy: float | None
    tar_at_far: dict[str, float]
    fnmr_at_fmr: dict[str, float]
    fnmr_interval: dict[str, tuple[float, float]]
    thresholds: dict[str, float]
    impostor_pairs: int
    genuine_pairs: int
    group_fmr: dict[str, dict[str, float]] = field(default_factory=dict)
    at_manifest: dict[str, dict[str, float]] = field(default_factory=dict)
    """FMR and FNMR here at the thresholds that the manifest has, by the level that each is meant for."""

    def as_json(self) -> dict[str, Any]:
        """As DESIGN section 9 says, and what else is known."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def load_face_set(folder: Path, wanted: Callable[[str], bool] = lambda _name: True) -> FaceSet:
    """Reads a data set's lists; only files that are `wanted` (by file name) are in it.

    Raises:
        InputError: the folder, its images or a list in it is missing or is not what it should be.
    """
    images = folder / "images"
    if not images.is_dir():
        raise InputError(f"{folder} has no folder images/: give a data set as `vouchbox evaluate faces --help` says")
    found = (path for path in sorted(images.rglob("*")) if path.suffix.lower() in SUFFIXES)
    files = tuple(str(path.relative_to(images)) for path in found if wanted(path.name))
    if len(files) < 2:
        raise InputError(f"{images} has fewer than two images of the kinds {', '.join(sorted(SUFFIXES))}")
    index = {name: number for number, name in enumerate(files)}
    owners = [str(Path(name).parent) for name in files]
    known = "." not in owners
    persons = np.unique(owners, return_inverse=True)[1].astype(np.int64) if known else np.empty(0, dtype=np.int64)
    pairs = tuple(_pairs(folder / "pairs.csv", index)) if (folder / "pairs.csv").is_file() else ()
    groups = _groups(folder / "groups.csv", index) if (folder / "groups.csv").is_file() else {}
    return FaceSet(folder, files, persons, pairs, groups)


def _pairs(path: Path, index: dict[str, int]) -> Iterator[ListedPair]:
    for number, row in enumerate(_rows(path, ("fold", "first", "second", "same")), start=2):
        missing = [row[key] for key in ("first", "second") if row[key] not in index]
        if missing or row["same"] not in {"0", "1"} or not row["fold"].isdigit():
            raise InputError(f"{path}, line {number}: {row} does not name two images, a fold, and same as 0 or 1")
        yield ListedPair(int(row["fold"]), index[row["first"]], index[row["second"]], row["same"] == "1")


def _groups(path: Path, index: dict[str, int]) -> dict[str, npt.NDArray[np.bool_]]:
    groups: dict[str, npt.NDArray[np.bool_]] = {}
    for row in _rows(path, ("file", "group")):
        if row["file"] in index:
            members = groups.setdefault(row["group"], np.zeros(len(index), dtype=bool))
            members[index[row["file"]]] = True
    return groups


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != columns:
                raise InputError(f"{path}: its first line has to be {','.join(columns)}")
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(f"{path}, line {reader.line_num}: there have to be {len(columns)} columns")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def central_face(image: Image, detections: Iterable[Detection]) -> Detection | None:
    """The face nearest the middle: whom a data set's picture is meant to show, whoever stands in the background."""
    middle = np.array([image.shape[1], image.shape[0]]) / 2

    def distance(detection: Detection) -> float:
        left, top, right, bottom = detection.box
        return float(np.linalg.norm(np.array([left + right, top + bottom]) / 2 - middle) - 0.5 * detection.size)

    return min(detections, key=distance, default=None)


def find_face(image: Image, detector: FaceDetector, landmarker: FaceLandmarker) -> Landmarks | None:
    """Landmarks of the central face of an H x W x 3 uint8 RGB image; None if there is none."""
    detection = central_face(image, detector.detect(image))
    return landmarker.find(image, detection) if detection is not None else None


def embed_all(
    faces: FaceSet,
    detector: FaceDetector,
    landmarker: FaceLandmarker,
    embedder: FaceEmbedder,
    seen: Callable[[int], None] = lambda _count: None,
) -> Matrix:
    """(N, D) float32 embeddings of all files, of length 1, or 0 where no face was found. Raises `InputError`."""
    embeddings = np.zeros((len(faces.files), embedder.dimensions), dtype=np.float32)
    for number, name in enumerate(faces.files):
        image = load_still(faces.folder / "images" / name)
        landmarks = find_face(image, detector, landmarker)
        if landmarks is not None:
            embeddings[number] = embedder.embed(image, landmarks)
        seen(number + 1)
    return embeddings


def similarity(first: Matrix, second: Matrix) -> Matrix:
    """Cosines of every row of `first` with every row of `second`; -1 where a face was not found (a row of zeros)."""
    scores = np.clip(first @ second.T, -1.0, 1.0)
    scores[~first.any(axis=1)] = -1.0
    scores[:, ~second.any(axis=1)] = -1.0
    return np.asarray(scores, dtype=np.float32)


def cross_pairs(embeddings: Matrix, persons: Labels, block: int = BLOCK) -> CrossPairs:
    """Compares every image with every other once. Without `persons`, every pair is an impostor pair."""
    genuine: list[Matrix] = []
    owners: list[Labels] = []
    impostors = ScoreHistogram()
    count = len(embeddings)
    for top in range(0, count, block):
        rows = slice(top, min(top + block, count))
        for left in range(top, count, block):
            columns = slice(left, min(left + block, count))
            scores = similarity(embeddings[rows], embeddings[columns])
            everywhere = np.ones(scores.shape, dtype=bool)
            once = np.triu(everywhere, 1) if top == left else everywhere
            same = np.zeros(scores.shape, dtype=bool)
            if len(persons):
                same |= persons[rows][:, None] == persons[columns][None, :]
            impostors.add(scores[once & ~same])
            if (once & same).any():
                genuine.append(scores[once & same])
                owners.append(persons[rows][np.argwhere(once & same)[:, 0]])
    empty = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64)
    return CrossPairs(
        np.concatenate(genuine) if genuine else empty[0], np.concatenate(owners) if owners else empty[1], impostors
    )


def pair_scores(faces: FaceSet, embeddings: Matrix) -> Matrix:
    """Score of each listed pair."""
    first = np.array([pair.first for pair in faces.pairs], dtype=np.int64)
    second = np.array([pair.second for pair in faces.pairs], dtype=np.int64)
    scores = np.einsum("ij,ij->i", embeddings[first], embeddings[second])
    found = np.asarray(embeddings.any(axis=1), dtype=bool)
    return np.where(found[first] & found[second], np.clip(scores, -1, 1), -1.0).astype(np.float32)


def figures(
    faces: FaceSet,
    embeddings: Matrix,
    embedder: str,
    cross: CrossPairs | None = None,
    manifest: Mapping[str, float] = MappingProxyType({}),
) -> FaceFigures:
    """Everything that `vouchbox evaluate faces` says; `manifest` are the thresholds that the embedder is used with."""
    cross = cross or cross_pairs(embeddings, faces.persons)
    total = cross.impostors.total
    measured = [rate for rate in FMR_RATES if total * rate >= 1 and len(cross.genuine)]
    thresholds = {rate: cross.impostors.threshold_at(rate) for rate in measured}
    scores = pair_scores(faces, embeddings) if faces.pairs else np.empty(0, dtype=np.float32)
    same = np.array([pair.same for pair in faces.pairs], dtype=bool)
    both = bool(len(same)) and bool(same.any()) and not bool(same.all())
    folds = np.array([pair.fold for pair in faces.pairs], dtype=np.int64)
    return FaceFigures(
        embedder=embedder,
        images=len(faces.files),
        not_found=int((~embeddings.any(axis=1)).sum()),
        pairs=len(faces.pairs),
        accuracy=fold_accuracy(scores, same, folds) if both else None,
        tar_at_far={spelt(rate): tar_at_far(scores[~same], scores[same], rate) for rate in FAR_RATES} if both else {},
        fnmr_at_fmr={spelt(rate): fnmr(cross.genuine, thresholds[rate]) for rate in measured},
        fnmr_interval={spelt(rate): fnmr_interval(cross, thresholds[rate]) for rate in measured},
        thresholds={spelt(rate): thresholds[rate] for rate in measured},
        impostor_pairs=total,
        genuine_pairs=len(cross.genuine),
        group_fmr=group_fmr(
            faces.groups,
            embeddings,
            {spelt(rate): cross.impostors.threshold_at(rate) for rate in (1e-3, 1e-4)},
            faces.persons,
        ),
        at_manifest={
            level: {"fmr": cross.impostors.rate_at(value), "fnmr": fnmr(cross.genuine, value)}
            for level, value in manifest.items()
            if total and len(cross.genuine)
        },
    )


def group_fmr(
    groups: Mapping[str, npt.NDArray[np.bool_]],
    embeddings: Matrix,
    thresholds: Mapping[str, float],
    persons: Labels | None = None,
) -> dict[str, dict[str, float]]:
    """False match rate within each labelled group, at thresholds set on everybody: who is mistaken for whom more."""
    found: dict[str, dict[str, float]] = {}
    for name, members in sorted(groups.items()):
        known = persons[members] if persons is not None and len(persons) else np.empty(0, dtype=np.int64)
        within = cross_pairs(embeddings[members], known)
        if within.impostors.total:
            found[name] = {rate: within.impostors.rate_at(value) for rate, value in thresholds.items()}
    return found


def fnmr_interval(cross: CrossPairs, threshold: float) -> tuple[float, float]:
    """95 % bootstrap interval of the FNMR at a threshold, resampling people; the threshold is taken as given."""
    people, owner = np.unique(cross.owners, return_inverse=True)
    totals = np.bincount(owner, minlength=len(people))
    misses = np.bincount(owner, weights=cross.genuine < threshold, minlength=len(people))
    return bootstrap_interval(lambda drawn: float(drawn @ misses / max(int(drawn @ totals), 1)), len(people))


def spelt(rate: float) -> str:
    """1e-4 for 0.0001: how rates are written in manifests and JSON."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
