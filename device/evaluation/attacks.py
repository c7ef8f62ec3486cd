"""Measures the passive attack detector on a data set: scores every presentation, then the rates of ISO/IEC 30107-3.

In: a folder with `manifest.csv`. Out: `AttackEvaluation`: scores, and for each detector the figures. Presentations in
which the box finds no face get no score and are counted apart (non-response, 30107-3 section 13.2.3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from device.errors import InputError
from device.evaluation.attack_data import Presentation, read_presentations
from device.evaluation.attack_metrics import (
    Array,
    Operating,
    Rate,
    area_under_roc,
    bootstrap_eer,
    equal_error_rate,
    operating_point,
    threshold_at_bpcer,
)
from device.evaluation.minifasnet import MiniFasNet
from device.vision.camera.base import Image
from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker
from device.vision.inference.manifest import Manifest
from device.vision.liveness.passive import PassiveDetector
from device.vision.stills import load_still

BPCER_POINTS: Final = ("0.01", "0.05", "0.10", "0.15")


@dataclass(frozen=True)
class Scored:
    """A presentation with its score, or None where no face was found."""

    presentation: Presentation
    score: float | None


@dataclass(frozen=True)
class DetectorFigures:
    """One detector's figures. `shipped` is its own operating point, None for a detector without a threshold."""

    name: str
    scored: tuple[Scored, ...]
    bona_fide: Array
    attacks: dict[str, Array]
    eer: float
    eer_interval: tuple[float, float]
    auc: float
    at_bpcer: dict[str, Operating]
    shipped: Operating | None

    @property
    def not_scored(self) -> dict[str, int]:
        """How many presentations had no face, by label."""
        missing = Counter(
            "attack" if scored.presentation.attack else "bona_fide" for scored in self.scored if scored.score is None
        )
        return {"bona_fide": missing["bona_fide"], "attack": missing["attack"]}


def evaluate(
    folder: Path,
    manifest: Manifest,
    name: str | None = None,
    peer: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[DetectorFigures]:
    """Our detector's figures, then the peer's if a folder with it is given, on the same faces of the same images.

    Raises:
        InputError: the data set cannot be read, or nobody in it could be scored.
        ModelError, ConfigurationError: a model is missing.
    """
    presentations = read_presentations(folder)
    detector, landmarker = FaceDetector(manifest), FaceLandmarker(manifest)
    ours = PassiveDetector(manifest, name=name)
    theirs = MiniFasNet(peer) if peer else None
    scores: list[tuple[Scored, Scored | None]] = []
    for done, presentation in enumerate(presentations):
        progress(done, len(presentations))
        image: Image = load_still(presentation.path)
        detections = detector.detect(image)
        landmarks = landmarker.find(image, detections[0]) if detections else None
        if landmarks is None:
            scores.append((Scored(presentation, None), Scored(presentation, None) if theirs else None))
            continue
        own = Scored(presentation, ours.score(image, landmarks))
        scores.append((own, Scored(presentation, theirs.score(image, detections[0])) if theirs else None))
    progress(len(presentations), len(presentations))
    found = [figures(ours.name, [own for own, _ in scores], ours.threshold)]
    if theirs:
        found.append(figures(theirs.name, [other for _, other in scores if other], 0.5))
    return found


def figures(name: str, scored: Sequence[Scored], threshold: float | None) -> DetectorFigures:
    """The rates of scored presentations. Raises `InputError` if there is no score of one of the labels."""
    bona_fide = np.array([s.score for s in scored if not s.presentation.attack and s.score is not None], np.float64)
    species = sorted({s.presentation.species for s in scored if s.presentation.attack and s.score is not None})
    attacks = {
        kind: np.array([s.score for s in scored if s.presentation.species == kind and s.score is not None], np.float64)
        for kind in species
    }
    if not len(bona_fide) or not attacks:
        raise InputError("no face was found in the bona fide presentations or in the attacks: nothing can be measured")
    pooled = np.concatenate(list(attacks.values()))
    people = (
        [s.presentation.subject for s in scored if not s.presentation.attack and s.score is not None],
        [
            s.presentation.subject
            for kind in species
            for s in scored
            if s.presentation.species == kind and s.score is not None
        ],
    )
    points = {
        text: operating_point(bona_fide, attacks, threshold_at_bpcer(bona_fide, float(text))) for text in BPCER_POINTS
    }
    return DetectorFigures(
        name=name,
        scored=tuple(scored),
        bona_fide=bona_fide,
        attacks=attacks,
        eer=equal_error_rate(bona_fide, pooled),
        eer_interval=bootstrap_eer(bona_fide, pooled, people),
        auc=area_under_roc(bona_fide, pooled),
        at_bpcer=points,
        shipped=None if threshold is None else operating_point(bona_fide, attacks, threshold),
    )


def as_json(found: list[DetectorFigures]) -> dict[str, Any]:
    """The object that `vouchbox evaluate attacks --json` prints; rates are fractions."""
    ours, *others = found
    answer = _detector_json(ours)
    if others:
        answer["peer"] = _detector_json(others[0])
    return answer


def _detector_json(found: DetectorFigures) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "total": len(found.scored),
        "eer": found.eer,
        "auc": found.auc,
        "apcer_at_bpcer": {
            text: {
                "worst": point.apcer[point.worst].value,
                "species": {kind: rate.value for kind, rate in point.apcer.items()},
            }
            for text, point in found.at_bpcer.items()
        },
        "threshold": found.shipped.threshold if found.shipped else None,
        "detector": found.name,
        "not_scored": found.not_scored,
        "eer_interval": list(found.eer_interval),
    }
    if found.shipped:
        answer["at_threshold"] = {
            "bpcer": _rate_json(found.shipped.bpcer),
            "worst": found.shipped.worst,
            "apcer": {kind: _rate_json(rate) for kind, rate in found.shipped.apcer.items()},
        }
    return answer


def _rate_json(rate: Rate) -> dict[str, Any]:
    return {"rate": rate.value, "wrong": rate.wrong, "total": rate.total, "interval": list(rate.interval)}
