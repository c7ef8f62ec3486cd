"""A second opinion in passive attack detection: another network on a crop of its own, whose log-odds are added.

In: an image (H x W x 3 uint8 RGB) and the landmarks of the face in it. Out: how much the log-odds of an attack change.
Two networks that were not made alike err on different pictures; which belong together is said by the manifest
(`parameters.second` of the detector: the model's name and its weight; docs/decisions/0092).
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from device.errors import ConfigurationError
from device.vision.camera.base import Image
from device.vision.face.landmarks import Landmarks
from device.vision.inference.manifest import Manifest, ModelEntry, Task
from device.vision.inference.model import Model, load_model, prepare
from device.vision.liveness.crops import crop, face_square

MOST: Final = 8.0
"""Log-odds beyond which a second opinion counts for no more: it may advise, and never decide alone."""


class Second(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`parameters.second` of a detector: which model, and by how much its log-odds are multiplied."""

    model: str
    weight: float


def second_of(entry: ModelEntry) -> Second | None:
    """What the detector `entry` says of a second opinion; None if it decides alone.

    Raises:
        ConfigurationError: it says so in another form, or its weight is not positive.
    """
    if "second" not in entry.parameters:
        return None
    try:
        second = msgspec.convert(entry.parameters["second"], Second, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"model {entry.name}: parameters.second: {error}") from error
    if not 0 < second.weight <= 1:
        raise ConfigurationError(f"model {entry.name}: parameters.second.weight has to be above 0 and at most 1")
    return second


def complete(manifest: Manifest, entry: ModelEntry) -> bool:
    """Whether the detector `entry` is here with all that it needs. Raises `ConfigurationError` as `second_of` does."""
    second = second_of(entry)
    needed = [entry, *([manifest.entry(second.model)] if second else [])]
    return all(manifest.find(one) is not None for one in needed)


class SecondOpinion:
    """One model for the task `presentation_opinion`.

    Args:
        manifest: describes it.
        second: which, and how much it counts.
        threads: how many one inference may use.

    Raises:
        ConfigurationError: there is no such model, it is for something else, or its entry lacks a number.
        ModelError: its file is missing or wrong.
    """

    def __init__(self, manifest: Manifest, second: Second, threads: int = 1) -> None:
        self.entry = manifest.entry(second.model)
        if self.entry.task is not Task.PRESENTATION_OPINION:
            raise ConfigurationError(f"model {self.entry.name} is for {self.entry.task}, not for a second opinion")
        self._model: Model = load_model(manifest, self.entry, threads)
        self._weight = second.weight
        self._side = self.entry.number("side")
        self._live = int(self.entry.number("live"))

    @property
    def measurements(self) -> dict[str, bytes]:
        return {self.entry.name: self._model.measurement}

    def log_odds(self, image: Image, landmarks: Landmarks) -> float:
        """To be added to the first opinion's: above 0 for an attack."""
        square = face_square(landmarks).scaled(self._side)
        tensor = prepare(self.entry, crop(image, square, self.entry.input.width))
        odds = log_odds(self._model.run(tensor)[0].ravel().astype(np.float64), self._live)
        return self._weight * min(max(odds, -MOST), MOST)


def log_odds(logits: np.ndarray[tuple[int], np.dtype[np.float64]], live: int) -> float:
    """Of any other class against class `live`, of a softmax's logits."""
    return float(np.logaddexp.reduce(np.delete(logits, live)) - logits[live])
