"""Everything that a worker looks with, loaded and checked before anybody stands in front of the camera.

In: the manifest and the number of threads. Out: `Instruments`, or `ModelError` naming the model that is missing or
wrong. An embedder and an attack detector may be absent from the manifest: their checks then answer `not_performed`.
"""

from __future__ import annotations

from dataclasses import dataclass

from device.vision.document.reader import DocumentReader
from device.vision.face.detector import FaceDetector
from device.vision.face.embedder import FaceEmbedder
from device.vision.face.iris import EyeReader
from device.vision.face.landmarks import FaceLandmarker
from device.vision.face.view import FaceFinder
from device.vision.inference.manifest import Manifest, Task
from device.vision.liveness.passive import PassiveDetector
from device.vision.liveness.second_opinion import complete


@dataclass(frozen=True)
class Instruments:
    """A worker's models. `embedders` and `detectors` (of presentation attacks) are by name, the default first;
    `eyes` is None without its model; `measurements` is the SHA-256 of each model."""

    reader: DocumentReader
    faces: FaceFinder
    eyes: EyeReader | None
    embedders: dict[str, FaceEmbedder]
    detectors: dict[str, PassiveDetector]
    measurements: dict[str, bytes]

    def embedder(self, name: str) -> FaceEmbedder | None:
        """The embedder that a policy names, or for an empty name the default one, else whichever is here; None if it is
        not on this box."""
        return self.embedders.get(name) if name else next(iter(self.embedders.values()), None)

    def detector(self, name: str) -> PassiveDetector | None:
        """The same of the attack detectors."""
        return self.detectors.get(name) if name else next(iter(self.detectors.values()), None)


def load_instruments(manifest: Manifest, threads: int) -> Instruments:
    """Loads and checks every model.

    Raises:
        ModelError: one that no check can do without is missing, or one that is here is wrong.
    """
    detector, landmarker = FaceDetector(manifest, threads), FaceLandmarker(manifest, threads)
    reader = DocumentReader(manifest, threads, thorough=False)
    embedders = {
        entry.name: FaceEmbedder(manifest, entry.name, threads)
        for entry in manifest.of_task(Task.FACE_EMBEDDING)
        if manifest.find(entry) is not None
    }
    detectors = {
        entry.name: PassiveDetector(manifest, threads, entry.name)
        for entry in manifest.of_task(Task.PRESENTATION_ATTACK)
        if complete(manifest, entry)
    }
    irises = manifest.of_task(Task.IRIS)
    eyes = EyeReader(manifest, threads) if irises and manifest.find(irises[0]) is not None else None
    measurements: dict[str, bytes] = {}
    for part in (detector, landmarker, eyes, reader, *detectors.values(), *embedders.values()):
        if part is not None:
            measurements |= part.measurements
    return Instruments(reader, FaceFinder(detector, landmarker), eyes, embedders, detectors, measurements)
