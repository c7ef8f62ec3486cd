"""A code on a telephone or a sheet of paper, held before the emulated camera.

In: pictures of codes and, for each frame, how long they have been shown. Out: the frame with the code of the moment in
it, held as a document is; several are shown one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from device.errors import ConfigurationError
from device.vision.camera.base import Image
from device.vision.camera.emulation.document_art import DocumentArt
from device.vision.camera.emulation.held_document import HeldDocument
from device.vision.camera.emulation.person import Held

EACH_SECONDS: Final = 1.2
_SIDE: Final = 900  # pixels of the sheet that a picture is printed on
_HELD: Final = Held(back=False, height=0.8, x=0.5, y=0.5, tilt_x=4, tilt_y=-6, turn=3, glare=0.1, blur=0.6)


class ShownCodes:
    """The pictures of one stage.

    Args:
        files: in the order in which they are shown.

    Raises:
        ConfigurationError: one of them is not a picture.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._sheets = [HeldDocument(_art(Path(file))) for file in files]

    def draw(self, frame: Image, seconds: float) -> Image:
        """A copy of `frame` with the code that is shown after `seconds`."""
        sheet = self._sheets[int(seconds / EACH_SECONDS) % len(self._sheets)]
        seen = frame.copy()
        sheet.draw(seen, _HELD)
        return seen


def _art(path: Path) -> DocumentArt:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ConfigurationError(f"{path} cannot be read as a picture of a code")
    side = int(_SIDE * 0.9)
    code = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if picture.shape[0] > side else 0)
    sheet = np.full((_SIDE, _SIDE), 245, np.uint8)
    margin = (_SIDE - side) // 2
    sheet[margin : margin + side, margin : margin + side] = np.minimum(code, 245)
    front = np.asarray(cv2.cvtColor(sheet, cv2.COLOR_GRAY2RGB), np.uint8)
    return DocumentArt(front, None, (100.0, 100.0), (), (), (0.0, 0.0, 0.0, 0.0))
