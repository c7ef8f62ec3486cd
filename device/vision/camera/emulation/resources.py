"""Where the emulator's faces and fonts lie: in packages of the `[demo]` extra and beside this file.

In: a name. Out: an image or a font. Packages are found, not imported: matplotlib and scikit-image would cost a second
and a hundred megabytes for the sake of one file each.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from device.errors import ConfigurationError
from device.vision.camera.base import Image

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FONTS: Final = Path(__file__).resolve().parent / "fonts"
OCR_B: Final = FONTS / "OCRB.otf"

FACES: Final = {
    # NASA photograph, public domain (docstring of skimage.data.astronaut).
    "astronaut": ("skimage", "data/astronaut.png"),
    # United States Navy photograph, public domain.
    "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}

LARGEST_PICTURE: Final = 64_000_000
"""Bytes of an image file that is taken for a face; more is a mistake."""


def package_file(package: str, path: str) -> Path:
    """A file that comes with an installed package, which is not imported.

    Raises:
        ConfigurationError: the package or the file is missing; the text says what to install.
    """
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None and (found := Path(spec.origin).parent / path).is_file():
        return found
    raise ConfigurationError(f"the emulated camera needs {package}'s {path}: pip install vouchbox[demo]")


def load_picture(named: str) -> Image:
    """The picture of a face, H x W x 3 uint8 RGB: one of `FACES`, or a path.

    Raises:
        ConfigurationError: there is no such picture, or it is not one.
    """
    path = package_file(*FACES[named]) if named in FACES else Path(named)
    if not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
        raise ConfigurationError(f"face {named!r}: use {', '.join(FACES)} or the path of a picture of one face")
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigurationError(f"face {named!r}: not a picture that can be read")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


@functools.cache
def font(kind: str, pixels: float) -> FreeTypeFont:
    """`ocr_b`, `plain` or `bold` (DejaVu Sans, from matplotlib) with the given size of the em in pixels."""
    try:
        from PIL import ImageFont
    except ImportError as error:
        raise ConfigurationError("the emulated camera needs Pillow: pip install vouchbox[demo]") from error
    ttf = "mpl-data/fonts/ttf/DejaVuSans"
    path = OCR_B if kind == "ocr_b" else package_file("matplotlib", f"{ttf}{'-Bold' if kind == 'bold' else ''}.ttf")
    return ImageFont.truetype(str(path), pixels)
