"""The real detector and landmarks, as tests/vision/face has them."""

from tests.vision.face.conftest import detector, finder, landmarker, manifest

__all__ = ["detector", "finder", "landmarker", "manifest"]
