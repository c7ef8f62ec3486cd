"""Faces for tests that everybody has: public-domain photographs out of well-kept packages, and what is done to them."""

from pathlib import Path

import cv2
import numpy as np
import pytest


def astronaut():
    """512 x 512 RGB: one frontal face, eyes near (204, 102) and (247, 105)."""
    data = pytest.importorskip("skimage.data", reason="the photograph comes with scikit-image (extra [demo])")
    return np.ascontiguousarray(data.astronaut())


def hopper():
    """600 x 512 RGB: one frontal face with glasses."""
    matplotlib = pytest.importorskip("matplotlib", reason="the photograph comes with matplotlib (extra [demo])")
    path = Path(matplotlib.__file__).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def coffee():
    """400 x 600 RGB without a face."""
    data = pytest.importorskip("skimage.data", reason="the photograph comes with scikit-image (extra [demo])")
    return np.ascontiguousarray(data.coffee())


def turned(image, degrees, scale=1.0):
    """The image turned counter-clockwise about its middle, same size; and the 2 x 3 map of its points."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), matrix


def moved(points, matrix):
    return points @ matrix[:, :2].T + matrix[:, 2]
