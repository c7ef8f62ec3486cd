"""How often a face embedder errs on a data set: all cross pairs, and the listed pairs if there are any.

In: a data set (device/evaluation/face_data.py) and an embedder. Out: `FaceFigures`. Similarities are computed in blocks
and counted in a histogram, so a million templates do not need a million squared of memory.
Terms and rates follow ISO/IEC 19795-1; a face that is not found never matches (generalised false non-match rate).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from device.errors import InputError
from device.evaluation.face_data import FaceSet, Labels
from device.evaluation.metrics import ScoreHistogram, bootstrap_interval, fnmr, fold_accuracy, tar_at_far
from device.vision.camera.base import Image
from device.vision.face.detector import Detection, FaceDetector
from device.vision.face.embedder import FaceEmbedder
from device.vision.face.landmarks import FaceLandmarker, Landmarks
from device.vision.stills import load_still

FMR_RATES: Final = (1e-3, 1e-4, 1e-5, 1e-6)
FAR_RATES: Final = (1e-2, 1e-3)
GROUP_RATES: Final = (1e-3, 1e-4)
"""For which the rates within groups are told; stricter ones are too rare to count in a group."""
BLOCK: Final = 1024

Matrix = npt.NDArray[np.float32]
_NO_PAIRS: Final = (np.empty(0, dtype=np.float32), np.empty((0, 2), dtype=np.int64))


@dataclass(frozen=True)
class CrossPairs:
    """Every pair of images once.

    `genuine` are scores of two images of one person, (N,), who is numbered in `owners`; `genuine_of` (N, 2) are the
    images, as indices into `FaceSet.files`. Of the impostors only the most alike are known by their images: `alike` and
    `alike_of`, likest first, as many as were asked for.
    """

    genuine: Matrix
    owners: Labels
    genuine_of: Labels
    impostors: ScoreHistogram
    alike: Matrix
    alike_of: Labels


@dataclass(frozen=True)
class WorstPair:
    """Two images, relative to `images/`, and the cosine that an embedder finds between them."""

    first: str
    second: str
    score: float


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
    labels_corrected: int = 0
    group_fmr: dict[str, dict[str, float]] = field(default_factory=dict)
    at_manifest: dict[str, dict[str, float]] = field(default_factory=dict)
    """FMR and FNMR here at the thresholds that the manifest has, by the level that each is meant for."""

    def as_json(self) -> dict[str, Any]:
        """As DESIGN section 9 says, and what else is known."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


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


def cross_pairs(embeddings: Matrix, persons: Labels, block: int = BLOCK, alike: int = 0) -> CrossPairs:
    """Compares every image with every other once.

    Args:
        embeddings: (N, D), each of length 1, or 0 where no face was found.
        persons: (N,) who is in each image; without them, every pair is an impostor pair.
        block: so many rows are compared with so many at a time.
        alike: keep the images of so many impostor pairs, those that are most alike.
    """
    genuine: list[tuple[Matrix, Labels]] = [_NO_PAIRS]
    likest: tuple[Matrix, Labels] = _NO_PAIRS
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
            corner = np.array([top, left])
            if (once & same).any():
                genuine.append((scores[once & same], np.argwhere(once & same) + corner))
            if alike:
                likest = _likest(likest, scores, once & ~same, corner, alike)
    of = np.concatenate([pair for _, pair in genuine])
    owners = persons[of[:, 0]] if len(of) else np.empty(0, dtype=np.int64)
    return CrossPairs(np.concatenate([score for score, _ in genuine]), owners, of, impostors, *likest)


def _likest(
    known: tuple[Matrix, Labels], scores: Matrix, wanted: npt.NDArray[np.bool_], corner: Labels, count: int
) -> tuple[Matrix, Labels]:
    """The `count` highest of those known and of the wanted ones of a block that begins at `corner`, highest first."""
    floor = known[0][-1] if len(known[0]) == count else -np.inf
    found = np.argwhere(wanted & (scores > floor))
    values = np.concatenate([known[0], scores[found[:, 0], found[:, 1]]])
    pairs = np.concatenate([known[1], found + corner])
    order = np.argsort(-values, kind="stable")[:count]
    return values[order], pairs[order]


def worst_pairs(faces: FaceSet, cross: CrossPairs, count: int) -> dict[str, list[WorstPair]]:
    """The genuine pairs that are least alike and the impostor pairs that are most alike: where an embedder fails, and
    where a data set's labels are wrong."""
    least = np.argsort(cross.genuine, kind="stable")[:count]
    return {
        "genuine": _named(faces, cross.genuine[least], cross.genuine_of[least]),
        "impostor": _named(faces, cross.alike[:count], cross.alike_of[:count]),
    }


def _named(faces: FaceSet, scores: Matrix, pairs: Labels) -> list[WorstPair]:
    return [
        WorstPair(faces.files[first], faces.files[second], round(float(score), 4))
        for score, (first, second) in zip(scores, pairs.tolist(), strict=True)
    ]


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
    """Everything that `vouchbox evaluate faces` says; `manifest` are the thresholds that the embedder is used with.

    Raises:
        InputError: there is no pair of two people.
    """
    cross = cross or cross_pairs(embeddings, faces.persons)
    total = cross.impostors.total
    if not total:
        raise InputError(f"{faces.folder}: every picture is of one person, so nothing says how often two are confused")
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
        tar_at_far={
            spelt(rate): tar_at_far(scores[~same], scores[same], rate)
            for rate in FAR_RATES
            if both and (~same).sum() * rate >= 1
        },
        fnmr_at_fmr={spelt(rate): fnmr(cross.genuine, thresholds[rate]) for rate in measured},
        fnmr_interval={spelt(rate): fnmr_interval(cross, thresholds[rate]) for rate in measured},
        thresholds={spelt(rate): thresholds[rate] for rate in measured},
        impostor_pairs=total,
        genuine_pairs=len(cross.genuine),
        labels_corrected=faces.corrected,
        group_fmr=group_fmr(
            faces.groups,
            embeddings,
            {spelt(rate): cross.impostors.threshold_at(rate) for rate in GROUP_RATES},
            faces.persons,
        ),
        at_manifest={
            level: {"fmr": cross.impostors.rate_at(value), "fnmr": fnmr(cross.genuine, value)}
            for level, value in manifest.items()
            if len(cross.genuine)
        },
    )


def group_fmr(
    groups: Mapping[str, npt.NDArray[np.bool_]],
    embeddings: Matrix,
    thresholds: Mapping[str, float],
    persons: Labels | None = None,
) -> dict[str, dict[str, float]]:
    """False match rate within each labelled group, at thresholds set on everybody: who is mistaken for whom more.

    Args:
        groups: which of the faces are in each, (N,).
        embeddings: (N, D).
        thresholds: cosines, by the rate that they have over everybody; a group is too small for a rate if it has no
            impostor pair to expect at it.
        persons: (N,) who is in each picture, if that is known.
    """
    found: dict[str, dict[str, float]] = {}
    for name, members in sorted(groups.items()):
        known = persons[members] if persons is not None and len(persons) else np.empty(0, dtype=np.int64)
        within = cross_pairs(embeddings[members], known)
        total = within.impostors.total
        rates = {rate: within.impostors.rate_at(at) for rate, at in thresholds.items() if total * float(rate) >= 1}
        if rates:
            found[name] = rates
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
