"""Passive presentation-attack detection: is this face flesh, or paper or a screen with a face on it?

In: an image (H x W x 3 uint8 RGB) and the landmarks of the face in it. Out: a score, 0 bona fide ... 1 attack, and the
threshold above which several frames' fused score is an attack. A detector may take a second opinion, whose log-odds are
added to its own (`second_opinion`). The networks and how they were trained: the models' cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from device.vision.camera.base import Image
from device.vision.face.landmarks import Landmarks
from device.vision.inference.manifest import Manifest, ModelEntry
from device.vision.inference.model import Model, load_model, prepare
from device.vision.liveness.crops import face_square, stacked_crops
from device.vision.liveness.second_opinion import SecondOpinion, log_odds, second_of

BONA_FIDE: Final = 0
"""Of the network's classes."""


class PassiveDetector:
    """One presentation-attack model, with its second opinion if the manifest gives it one.

    Args:
        manifest: has a model for the task `presentation_attack`.
        threads: how many one inference may use.
        name: of the model; the default one for None.

    Raises:
        ConfigurationError: there is no such model, or the manifest lacks a number that it needs.
        ModelError: its file is missing or wrong, or that of its second opinion.
    """

    def __init__(self, manifest: Manifest, threads: int = 1, name: str | None = None) -> None:
        self.entry: ModelEntry = manifest.entry(name) if name else manifest.default("presentation_attack")
        self._model: Model = load_model(manifest, self.entry, threads)
        self._tight = self.entry.number("tight")
        self._wide = self.entry.number("wide")
        self._size = self.entry.input.width
        second = second_of(self.entry)
        self._second = SecondOpinion(manifest, second, threads) if second else None
        self.threshold: float = self.entry.threshold("attack")

    @property
    def name(self) -> str:
        """The model's name, as verdicts give it."""
        return self.entry.name

    @property
    def measurements(self) -> dict[str, bytes]:
        """SHA-256 of each file that has a say."""
        own = {self.entry.name: self._model.measurement}
        return own | self._second.measurements if self._second else own

    def crops(self, image: Image, landmarks: Landmarks) -> Image:
        """What the network sees: 2S x S x 3 uint8 RGB, the face above the face with its surroundings."""
        return stacked_crops(image, face_square(landmarks), self._size, self._tight, self._wide)

    def score(self, image: Image, landmarks: Landmarks) -> float:
        """0 bona fide ... 1 attack, of one frame."""
        tensor = prepare(self.entry, self.crops(image, landmarks))
        odds = log_odds(self._model.run(tensor)[0].ravel().astype(np.float64), BONA_FIDE)
        if self._second is not None:
            odds += self._second.log_odds(image, landmarks)
        return float(np.exp(-np.logaddexp(0.0, -odds)))

    @staticmethod
    def fuse(scores: Sequence[float]) -> float:
        """One score for several frames of one presentation: the mean of their log-odds.

        One unlucky frame (a blink of light, a blur) neither saves an attack nor sinks a person.

        Raises:
            ValueError: there are no scores.
        """
        if not scores:
            raise ValueError("no frame was scored")
        odds = np.clip(np.asarray(scores, dtype=np.float64), 1e-4, 1 - 1e-4)
        return float(1.0 / (1.0 + np.exp(-np.log(odds / (1 - odds)).mean())))
