"""The passive detector: its crops, the arithmetic around the network, and the shipped model where there is one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.errors import ConfigurationError
from device.vision.face.landmarks import Landmarks
from device.vision.inference.manifest import Input, LicenceUse, ModelEntry, Task, load_manifest
from device.vision.liveness import passive
from device.vision.liveness.crops import Square, crop, face_square, stacked_crops
from device.vision.liveness.passive import PassiveDetector
from device.vision.liveness.second_opinion import complete

ENTRY = ModelEntry(
    name="test-attack",
    task=Task.PRESENTATION_ATTACK,
    file="test.tflite",
    sha256="0" * 64,
    licence="Apache-2.0",
    licence_use=LicenceUse.ANY,
    training_data="none",
    input=Input(width=80, height=160, scale=1 / 255),
    outputs=((1, 4),),
    thresholds={"attack": 0.5},
    parameters={"tight": 1.0, "wide": 2.7},
)


class _Manifest:
    def __init__(self, entry):
        self._entry = entry

    def default(self, _task):
        return self._entry


class _Model:
    """Answers with the brightness of the two crops as logits."""

    measurement = b"\0" * 32

    def run(self, x):
        assert x.shape == (1, 160, 80, 3)
        assert x.dtype == np.float32
        assert 0 <= x.min() <= x.max() <= 1
        return [np.array([[x[0, :80].mean(), x[0, 80:].mean(), 0.0, 0.0]], np.float32) * 10]


@pytest.fixture
def detector(monkeypatch):
    monkeypatch.setattr(passive, "load_model", lambda *_: _Model())
    return PassiveDetector(_Manifest(ENTRY))


def landmarks(left, top, right, bottom):
    points = np.zeros((468, 3), np.float32)
    points[:, 0] = np.linspace(left, right, 468)
    points[:, 1] = np.linspace(top, bottom, 468)
    return Landmarks(points, 1.0)


squares = st.builds(Square, st.floats(-50, 250), st.floats(-50, 250), st.floats(1, 700))


@given(squares, st.integers(40, 200), st.integers(40, 200))
def test_crops_never_leave_the_image(square, height, width):
    inner = square.inside(height, width)
    assert inner.x - inner.side / 2 >= -1e-6
    assert inner.y - inner.side / 2 >= -1e-6
    assert inner.x + inner.side / 2 <= width + 1e-6
    assert inner.y + inner.side / 2 <= height + 1e-6
    image = np.zeros((height, width, 3), np.uint8)
    assert crop(image, square, 32).shape == (32, 32, 3)


def test_the_face_is_above_its_surroundings():
    image = np.zeros((240, 320, 3), np.uint8)
    image[80:160, 120:200] = 255
    stacked = stacked_crops(image, face_square(landmarks(120, 80, 200, 160)), 80, 1.0, 2.7)
    assert stacked.shape == (160, 80, 3)
    assert stacked[:80].min() == 255
    assert 0.1 < stacked[80:].mean() / 255 < 0.2


def test_score_is_the_probability_of_any_attack(detector):
    image = np.zeros((240, 320, 3), np.uint8)
    image[80:160, 120:200] = 255
    face = landmarks(120, 80, 200, 160)
    logits = np.array([10.0, 10 * stacked_crops(image, face_square(face), 80, 1.0, 2.7)[80:].mean() / 255, 0, 0])
    expected = 1 - np.exp(logits[0]) / np.exp(logits).sum()
    assert detector.score(image, face) == pytest.approx(expected, abs=1e-6)
    assert detector.threshold == 0.5
    assert detector.measurements == {"test-attack": b"\0" * 32}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_fusing_stays_between_and_forgives_one_frame(scores):
    low, high = np.clip([min(scores), max(scores)], 1e-4, 1 - 1e-4)
    assert low - 1e-9 <= PassiveDetector.fuse(scores) <= high + 1e-9


def test_one_unlucky_frame_decides_nothing():
    assert PassiveDetector.fuse([0.02] * 7 + [0.97]) < 0.2
    assert PassiveDetector.fuse([0.98] * 7 + [0.03]) > 0.8
    with pytest.raises(ValueError, match="no frame"):
        PassiveDetector.fuse([])


def test_a_manifest_without_its_numbers_is_refused(monkeypatch):
    import msgspec

    monkeypatch.setattr(passive, "load_model", lambda *_: _Model())
    for change in ({"parameters": {"tight": 1.0}}, {"thresholds": {}}):
        with pytest.raises(ConfigurationError, match=r"wide|attack"):
            PassiveDetector(_Manifest(msgspec.structs.replace(ENTRY, **change)))


def test_the_shipped_models_load_and_answer():
    manifest = load_manifest()
    entries = manifest.of_task("presentation_attack")
    if not entries:
        pytest.skip("the package has no presentation-attack model yet")
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    for entry in entries:
        if not complete(manifest, entry):  # its second opinion comes from elsewhere and only when it is asked for
            assert entry.optional
            continue
        found = PassiveDetector(manifest, name=entry.name)
        assert 0 <= found.score(image, landmarks(250, 150, 400, 330)) <= 1
        assert 0 < found.threshold < 1
        if entry.default:
            files = [manifest.path(manifest.entry(name)) for name in found.measurements]
            assert sum(path.stat().st_size for path in files) <= 1_000_000
