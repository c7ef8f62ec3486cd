import pytest

from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker
from device.vision.face.view import FaceFinder
from device.vision.inference.manifest import load_manifest
from tests.vision.face import pictures


@pytest.fixture(scope="session")
def manifest():
    found = load_manifest()
    for entry in (*found.of_task("face_detection"), found.default("face_landmarks")):
        if found.find(entry) is None:
            pytest.skip(f"model {entry.name} is not installed: vouchbox models install")
    return found


@pytest.fixture(scope="session")
def detector(manifest):
    return FaceDetector(manifest)


@pytest.fixture(scope="session")
def landmarker(manifest):
    return FaceLandmarker(manifest)


@pytest.fixture(scope="session")
def finder(detector, landmarker):
    return FaceFinder(detector, landmarker)


@pytest.fixture(scope="session")
def astronaut():
    return pictures.astronaut()


@pytest.fixture(scope="session")
def hopper():
    return pictures.hopper()


@pytest.fixture(scope="session")
def coffee():
    return pictures.coffee()
