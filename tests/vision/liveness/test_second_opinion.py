"""A second opinion: its log-odds are added to the detector's own, never decide alone, and come only when asked for."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.commands.fetch import NetworkFetcher
from device.errors import ConfigurationError, ModelError
from device.vision.face.landmarks import Landmarks
from device.vision.inference.install import State, install, verify
from device.vision.inference.manifest import (
    Input,
    LicenceUse,
    Manifest,
    ModelEntry,
    Task,
    UrlSource,
    load_manifest,
    package_folder,
)
from device.vision.instruments import load_instruments
from device.vision.liveness import passive, second_opinion
from device.vision.liveness.passive import PassiveDetector
from device.vision.liveness.second_opinion import MOST, complete, log_odds, second_of

COMMON = {
    "sha256": "0" * 64,
    "licence": "Apache-2.0",
    "licence_use": LicenceUse.ANY,
    "training_data": "none",
}
ADVISER = ModelEntry(
    name="adviser",
    task=Task.PRESENTATION_OPINION,
    file="adviser.tflite",
    input=Input(width=80, height=80),
    outputs=((1, 3),),
    parameters={"side": 2.0, "live": 1},
    **COMMON,
)
DETECTOR = ModelEntry(
    name="advised",
    task=Task.PRESENTATION_ATTACK,
    file="own.tflite",
    input=Input(width=80, height=160, scale=1 / 255),
    outputs=((1, 4),),
    thresholds={"attack": 0.5},
    parameters={"tight": 1.0, "wide": 2.7, "second": {"model": "adviser", "weight": 0.5}},
    **COMMON,
)
IMAGE = np.full((240, 320, 3), 128, np.uint8)
FACE = Landmarks(np.array([(120, 80, 0), (200, 160, 0)], np.float32), 1.0)
OWN = [2.0, 1.0, 0.0, -1.0]


class _Model:
    def __init__(self, logits, mark):
        self.logits, self.measurement = logits, mark * 32

    def run(self, _x):
        return [np.array([self.logits], np.float32)]


def detector(monkeypatch, advice, entry=DETECTOR):
    answers = {"advised": _Model(OWN, b"o"), "adviser": _Model(advice, b"a")}
    for module in (passive, second_opinion):
        monkeypatch.setattr(module, "load_model", lambda _manifest, chosen, _threads: answers[chosen.name])
    here = {one.name: (one, package_folder()) for one in (entry, ADVISER)}
    return PassiveDetector(Manifest(here, {}, ()))


def odds(score):
    return math.log(score / (1 - score))


def own():
    return float(np.log(np.exp(OWN[1:]).sum()) - OWN[0])


def test_log_odds_of_both_are_added(monkeypatch):
    found = detector(monkeypatch, [1.5, -1.0, 0.5])
    second = math.log(math.exp(1.5) + math.exp(0.5)) + 1.0
    assert odds(found.score(IMAGE, FACE)) == pytest.approx(own() + 0.5 * second, abs=1e-5)
    assert found.measurements == {"advised": b"o" * 32, "adviser": b"a" * 32}


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3))
def test_an_adviser_moves_the_log_odds_no_further_than_it_may(advice):
    with pytest.MonkeyPatch.context() as patch:
        moved = odds(detector(patch, advice).score(IMAGE, FACE)) - own()
    assert abs(moved) <= 0.5 * MOST + 1e-6
    sure = log_odds(np.array(advice, np.float64), 1)
    assert moved * sure >= -1e-6, "it is moved to where the adviser wants it"


@pytest.mark.parametrize(("bona_fide", "score"), [(1e4, 0.0), (-1e4, 1.0)])
def test_a_detector_may_be_as_sure_as_it_likes(monkeypatch, bona_fide, score):
    found = detector(monkeypatch, [0.0, 0.0, 0.0])
    found._model.logits = [bona_fide, 0.0, 0.0, 0.0]
    assert found.score(IMAGE, FACE) == score


@pytest.mark.parametrize(
    "second",
    [
        {"model": "adviser"},
        {"model": "adviser", "weight": 0},
        {"model": "adviser", "weight": 1.5},
        {"model": "adviser", "weight": 0.5, "wieght": 1},
        "adviser",
        {"model": "advised", "weight": 0.5},
        {"model": "nobody", "weight": 0.5},
    ],
    ids=["no_weight", "nothing", "too_much", "misspelt", "no_table", "no_adviser", "unknown"],
)
def test_a_second_opinion_that_cannot_be_is_refused(monkeypatch, second):
    entry = msgspec.structs.replace(DETECTOR, parameters={**DETECTOR.parameters, "second": second})
    with pytest.raises(ConfigurationError):
        detector(monkeypatch, [0, 0, 0], entry)


def test_a_detector_without_its_adviser_is_not_complete(tmp_path):
    (tmp_path / "own.tflite").write_bytes(b"-")
    here = Manifest({one.name: (one, tmp_path) for one in (DETECTOR, ADVISER)}, {}, (tmp_path,))
    assert not complete(here, DETECTOR)
    (tmp_path / "adviser.tflite").write_bytes(b"-")
    assert complete(here, DETECTOR)
    assert second_of(DETECTOR).weight == 0.5


def test_the_makers_network_is_fetched_only_when_it_is_named(tmp_path):
    manifest = load_manifest(folders=(package_folder(), tmp_path))
    entry = manifest.entry("minifasnet-v2")
    assert isinstance(entry.source, UrlSource)
    assert entry.optional

    asked = []

    class Nothing:
        def url(self, url, *_):
            raise ModelError(url)

        def wheel(self, wheel, _folder):
            asked.append(wheel.requirement)
            raise ModelError("no network")

        def mirrored(self, file, *_):
            asked.append(file)

    with pytest.raises(ModelError, match="no network"):
        install(manifest, [], tmp_path, Nothing())
    assert entry.file not in asked
    with pytest.raises(ModelError, match="MiniFASNetV2"):
        install(manifest, ["minifasnet-v2"], tmp_path, Nothing())


@pytest.mark.shared
def test_the_makers_network_is_installed_from_a_mirror_and_asked(tmp_path, shared):
    manifest = load_manifest(folders=(package_folder(), tmp_path))
    mirror = shared / "models" / "silent_face_minifasnet"
    install(manifest, ["minifasnet-v2"], tmp_path, NetworkFetcher(str(mirror)))
    assert [status.state for status in verify(manifest, ["minifasnet-v2"])] == [State.OK]
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    face = Landmarks(np.array([(250, 150, 0), (400, 330, 0)], np.float32), 1.0)
    both = PassiveDetector(manifest, name="presentation-attack-minifasnet")
    assert set(both.measurements) == {"presentation-attack-minifasnet", "minifasnet-v2"}
    alone = PassiveDetector(manifest, name="presentation-attack")
    assert both.score(image, face) != alone.score(image, face)


def test_a_policy_names_the_detector():
    manifest = load_manifest()
    instruments = load_instruments(manifest, 1)
    assert instruments.detector("").name == "presentation-attack"
    assert instruments.detector("presentation-attack") is instruments.detector("")
    assert instruments.detector("somebody-elses") is None, "answered with not_performed, as a missing embedder is"
    for name in instruments.detectors:
        assert instruments.measurements[name] == bytes.fromhex(manifest.entry(name).sha256)
