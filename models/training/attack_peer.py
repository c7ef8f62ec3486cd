"""What the peer says of a frame, for our own detector to learn from: MiniFASNet's pair (Apache-2.0) as a teacher.

In: a frame (H x W x 3 uint8 RGB) and the square of the face. Out: the log-odds that it is an attack, the mean of both
networks', within +-LIMIT. Two detectors of different make err on different pictures: what the peer saw in its many
cameras and prints is worth more than its own error rate says (docs/decisions/0055).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from device.evaluation.minifasnet import FILES, SIZE, load_network, probability_live
from device.vision.camera.base import Image
from device.vision.liveness.crops import Square, crop

LIMIT: Final = 8.0
SCALES: Final = (2.0, 4.0)
"""Sides of its two crops in sides of the landmarks' square, which is larger than the box that its authors enlarge."""


class Peer:
    """Both networks. `folder` holds their TFLite files."""

    def __init__(self, folder: Path) -> None:
        self._networks = [load_network(folder, name) for name, _ in FILES]

    def opinion(self, image: Image, square: Square) -> float:
        """Mean log-odds of an attack."""
        odds = []
        for network, scale in zip(self._networks, SCALES, strict=True):
            live = min(max(probability_live(network, crop(image, square.scaled(scale), SIZE)), 1e-6), 1 - 1e-6)
            odds.append(np.log((1 - live) / live))
        return float(np.clip(np.mean(odds), -LIMIT, LIMIT))
