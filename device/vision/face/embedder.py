"""A face as a unit vector: faces of one person lie close together, faces of two people do not.

In: an RGB image and the landmarks of a face in it. Out: an embedding. Which network, its template and its input are the
manifest's; any embedder can be added by an entry alone (`parameters.template`, `parameters.mirror`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from device.errors import ConfigurationError
from device.vision.camera.base import Image
from device.vision.face.align import aligned_crop, template_of
from device.vision.face.landmarks import Landmarks
from device.vision.inference.manifest import Manifest, ModelEntry, Task
from device.vision.inference.model import Model, load_model, prepare

Embedding = npt.NDArray[np.float32]


class FaceEmbedder:
    """One embedding network of the manifest.

    Args:
        manifest: what models there are.
        name: which one; None or "" for the manifest's default.
        threads: how many threads one inference may use.

    Raises:
        ConfigurationError: there is no such model, it is no embedder, is not square, or has a wrong template.
        ModelError: its file is missing or is not what the manifest says.
    """

    def __init__(self, manifest: Manifest, name: str | None = None, threads: int = 1):
        entry = manifest.entry(name) if name else manifest.default(Task.FACE_EMBEDDING)
        if entry.task is not Task.FACE_EMBEDDING:
            raise ConfigurationError(f"model {entry.name} is for {entry.task}, not for {Task.FACE_EMBEDDING}")
        if entry.input.width != entry.input.height:
            raise ConfigurationError(f"model {entry.name}: an embedder's input has to be square")
        if "template" not in entry.parameters:
            raise ConfigurationError(f"model {entry.name}: the manifest has no parameters.template")
        self.entry: ModelEntry = entry
        self._template = template_of(entry.parameters["template"])
        self._mirror = bool(entry.parameters.get("mirror", False))
        self._model: Model = load_model(manifest, entry, threads)

    @property
    def measurements(self) -> dict[str, bytes]:
        return {self.entry.name: self._model.measurement}

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        return int(np.prod(self.entry.outputs[0]))

    def embed(self, image: Image, landmarks: Landmarks) -> Embedding:
        """The (dimensions,) float32 embedding, of length 1, of a face in an H x W x 3 uint8 RGB image."""
        return self.embed_crop(self._crop(image, landmarks))

    def embed_frame(self, image: Image, landmarks: Landmarks, number: int) -> Embedding:
        """As `embed`, for the `number`-th of several frames of one face.

        With `parameters.mirror` every other frame is looked at in the mirror: the mean over the frames, which is what
        is matched, then has both sides in it, in half the time a frame.
        """
        crop = self._crop(image, landmarks)
        return self._look(_mirrored(crop) if self._mirror and number % 2 else crop)

    def embed_crop(self, crop: Image) -> Embedding:
        """As `embed`, for a face that is aligned to this embedder's template already.

        With `parameters.mirror` the crop and its mirror image are both looked at and averaged: twice the time.
        """
        found = self._look(crop)
        if self._mirror:
            found = found + self._look(_mirrored(crop))
        return unit(found)

    def _crop(self, image: Image, landmarks: Landmarks) -> Image:
        return aligned_crop(image, landmarks.five, self._template, self.entry.input.width)

    def _look(self, crop: Image) -> Embedding:
        return unit(self._model.run(prepare(self.entry, crop))[0].ravel())


def _mirrored(crop: Image) -> Image:
    return np.ascontiguousarray(crop[:, ::-1])


def unit(vector: Embedding) -> Embedding:
    """`vector` at length 1; one that has no direction stays nothing and is near to nobody."""
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < 1e-12:
        return np.zeros_like(vector, dtype=np.float32)
    return (vector / np.float32(length)).astype(np.float32)
