"""Everything that a worker looks with, loaded and checked before anybody stands in front of the camera.

In: the manifest and the number of threads. Out: `Instruments`, or `ModelError` naming the model that is missing or
wrong. Models without which a check cannot be performed at all, but the others can (an embedder, an attack detector), may
be absent: the check then answers `not_performed`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from device.errors import ConfigurationError, ModelError
from device.vision.document.reader import DocumentReader
from device.vision.face.detector import FaceDetector
from device.vision.face.embedder import FaceEmbedder
from device.vision.face.landmarks import FaceLandmarker
from device.vision.face.view import FaceFinder
from device.vision.inference.manifest import Manifest
from device.vision.liveness.passive import PassiveDetector

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Instruments:
    """A worker's models. `measurements` is the SHA-256 of each, by name, for the verdict."""

    reader: DocumentReader
    faces: FaceFinder
    embedder: FaceEmbedder | None
    passive: PassiveDetector | None
    measurements: dict[str, bytes]


def load_instruments(manifest: Manifest, threads: int) -> Instruments:
    """Loads and checks every model.

    Raises:
        ModelError: a model that no check can do without is missing or wrong.
    """
    detector, landmarker = FaceDetector(manifest, threads), FaceLandmarker(manifest, threads)
    reader = DocumentReader(manifest, threads)
    embedder = load_embedder(manifest, "", threads)
    passive: PassiveDetector | None = None
    if manifest.has("presentation_attack"):
        passive = PassiveDetector(manifest, threads)
    measurements: dict[str, bytes] = {}
    for part in (detector, landmarker, reader, embedder, passive):
        if part is not None:
            measurements |= part.measurements
    return Instruments(reader, FaceFinder(detector, landmarker), embedder, passive, measurements)


def load_embedder(manifest: Manifest, name: str, threads: int) -> FaceEmbedder | None:
    """The named embedder, or the default one for an empty name; None if it is not here (the match is then not performed).

    A model that is here and has the wrong bytes still raises: that is not an absence.
    """
    try:
        return FaceEmbedder(manifest, name or None, threads)
    except ConfigurationError as error:
        log.warning("no face embedder: %s", error)
        return None


__all__ = ["Instruments", "ModelError", "load_embedder", "load_instruments"]
