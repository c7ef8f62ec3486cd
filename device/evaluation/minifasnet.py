"""The peer: minivision's MiniFASNet pair (Silent-Face-Anti-Spoofing, Apache-2.0), to be measured beside our detector.

In: a folder with its two TFLite conversions, then images with face boxes. Out: a score, 0 bona fide ... 1 attack.
Inputs as its authors prepare them: the face's box enlarged 2.7 and 4.0 times and shifted into the image, 80 x 80, BGR,
0..255; class 1 of the softmax is a live face; the two networks' probabilities are averaged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from device.errors import ModelError
from device.vision.camera.base import Image
from device.vision.face.detector import Detection
from device.vision.inference.manifest import Colour, Input, LicenceUse, ModelEntry, Task
from device.vision.inference.model import Model, digest, prepare

FILES: Final = (("2.7_80x80_MiniFASNetV2.tflite", 2.7), ("4_0_0_80x80_MiniFASNetV1SE.tflite", 4.0))
SIZE: Final = 80
LIVE: Final = 1


class MiniFasNet:
    """Both networks. Raises `ModelError` if a file is not under `folder`."""

    name = "minifasnet-pair"

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._models = [(_load(folder, name, threads), scale) for name, scale in FILES]

    def score(self, image: Image, detection: Detection) -> float:
        """1 minus the mean probability of a live face."""
        live = [_live(model, crop_enlarged(image, detection.box, scale)) for model, scale in self._models]
        return 1.0 - sum(live) / len(live)


def crop_enlarged(image: Image, box: tuple[float, float, float, float], scale: float) -> Image:
    """The box enlarged about its centre, as far as the image allows, shifted inside, as 80 x 80 RGB."""
    height, width = image.shape[:2]
    left, top, right, bottom = box
    broad, tall = max(right - left, 1.0), max(bottom - top, 1.0)
    scale = min(scale, (height - 1) / tall, (width - 1) / broad)
    new_width, new_height = broad * scale, tall * scale
    x = min(max((left + right) / 2 - new_width / 2, 0.0), width - 1 - new_width)
    y = min(max((top + bottom) / 2 - new_height / 2, 0.0), height - 1 - new_height)
    cut = image[int(y) : int(y + new_height) + 1, int(x) : int(x + new_width) + 1]
    return np.asarray(cv2.resize(cut, (SIZE, SIZE)), dtype=np.uint8)


def _live(model: Model, crop: Image) -> float:
    values = model.run(prepare(model.entry, crop))[0].ravel().astype(np.float64)
    if abs(values.sum() - 1.0) > 1e-3 or values.min() < 0:  # logits: some conversions leave the softmax out
        values = np.exp(values - values.max())
    return float(values[LIVE] / values.sum())


def _load(folder: Path, name: str, threads: int) -> Model:
    found = sorted(folder.rglob(name))
    if not found:
        raise ModelError(f"{folder}: {name} is not under it; give the folder that holds MiniFASNet's TFLite files")
    entry = ModelEntry(
        name=name.removesuffix(".tflite").lower().replace("_", "-"),
        task=Task.PRESENTATION_ATTACK,
        file=name,
        sha256=digest(found[0]).hex(),
        licence="Apache-2.0",
        licence_use=LicenceUse.ANY,
        training_data="minivision's own, not public",
        input=Input(width=SIZE, height=SIZE, colour=Colour.BGR),
        outputs=((1, 3),),
    )
    return Model(entry, found[0], threads)
