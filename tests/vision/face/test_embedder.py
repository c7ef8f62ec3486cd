"""The embedder on public-domain portraits, and any other embedder by a manifest entry alone."""

import hashlib

import msgspec
import numpy as np
import pytest
import tomli_w

from device.errors import ConfigurationError, ModelError
from device.vision.face.embedder import FaceEmbedder, unit
from device.vision.face.matcher import fused_score
from device.vision.inference.manifest import Colour, load_manifest
from device.vision.inference.model import prepare


@pytest.fixture(scope="session")
def embedder(manifest):
    return FaceEmbedder(manifest)


def look(embedder, detector, landmarker, image):
    return embedder.embed(image, landmarker.find(image, detector.detect(image)[0]))


@pytest.fixture(scope="session")
def faces(embedder, detector, landmarker, astronaut, hopper):
    return [look(embedder, detector, landmarker, image) for image in (astronaut, hopper)]


def test_an_embedding_has_length_one(embedder, faces):
    for face in faces:
        assert face.shape == (embedder.dimensions,)
        assert face.dtype == np.float32
        assert np.linalg.norm(face) == pytest.approx(1.0, abs=1e-5)


def test_the_same_face_under_other_conditions_is_nearer_than_another_face(
    embedder, detector, landmarker, astronaut, faces
):
    darker = (astronaut * 0.6).astype(np.uint8)
    smaller = np.ascontiguousarray(astronaut[::2, ::2])
    for changed in (darker, smaller):
        again = look(embedder, detector, landmarker, changed)
        assert fused_score([faces[0]], [again]) > fused_score([faces[1]], [again]) + 0.2


def test_two_people_do_not_match_at_the_default_rate(embedder, faces):
    assert fused_score([faces[0]], [faces[1]]) < embedder.entry.thresholds["1e-4"]


def test_the_manifest_has_thresholds_and_says_from_what(embedder):
    assert set(embedder.entry.thresholds) == {"1e-2", "1e-3", "1e-4", "1e-5", "1e-6"}
    assert embedder.entry.thresholds_from
    assert embedder.entry.licence_use == "research"


def bundle(folder, embedder, manifest, **changes):
    """A bundle with the same network under another name; `changes` replace keys of its entry."""
    data = manifest.path(embedder.entry).read_bytes()
    (folder / "another.tflite").write_bytes(data)
    entry = {
        **msgspec.to_builtins(embedder.entry),
        "name": "another",
        "file": "another.tflite",
        "sha256": hashlib.sha256(data).hexdigest(),
        "default": False,
        **changes,
    }
    (folder / "manifest.toml").write_text(tomli_w.dumps({"model": [entry]}))
    return load_manifest(folders=(folder, *manifest.folders))


def test_another_embedder_is_added_by_an_entry_alone(tmp_path, embedder, manifest, astronaut, detector, landmarker):
    points = [[0.31, 0.46], [0.69, 0.46], [0.5, 0.64], [0.35, 0.82], [0.65, 0.82]]
    wider = bundle(tmp_path, embedder, manifest, parameters={"template": points, "mirror": True})
    other = FaceEmbedder(wider, "another")
    found = look(other, detector, landmarker, astronaut)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)
    assert other.measurements.keys() == {"another"}
    assert FaceEmbedder(wider).entry.name == embedder.entry.name, "the default stays the default"


def test_with_mirror_a_face_and_its_mirror_image_are_one(tmp_path, embedder, manifest):
    both = FaceEmbedder(
        bundle(tmp_path, embedder, manifest, parameters={"template": "retail-0095", "mirror": True}), "another"
    )
    crop = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert both.embed_crop(crop) == pytest.approx(both.embed_crop(crop[:, ::-1]), abs=1e-5)


def test_two_frames_of_one_face_give_what_a_still_gives(embedder, detector, landmarker, astronaut):
    landmarks = landmarker.find(astronaut, detector.detect(astronaut)[0])
    frames = [embedder.embed_frame(astronaut, landmarks, number) for number in (0, 1)]
    assert unit(frames[0] + frames[1]) == pytest.approx(embedder.embed(astronaut, landmarks), abs=1e-5)
    assert frames[0] != pytest.approx(frames[1], abs=1e-3), "the second was looked at in the mirror"


@pytest.mark.parametrize(
    "changes",
    [{"task": "iris"}, {"parameters": {}}, {"parameters": {"template": [[0, 0]]}}],
    ids=["not_an_embedder", "no_template", "template_of_one_point"],
)
def test_an_entry_that_is_no_embedder_is_refused(tmp_path, embedder, manifest, changes):
    with pytest.raises(ConfigurationError):
        FaceEmbedder(bundle(tmp_path, embedder, manifest, **changes), "another")


def test_another_networks_bytes_are_refused(tmp_path, embedder, manifest):
    with pytest.raises(ModelError, match="SHA-256"):
        FaceEmbedder(bundle(tmp_path, embedder, manifest, sha256="0" * 64), "another")


def test_a_vector_without_a_direction_stays_nothing():
    assert not unit(np.zeros(4, dtype=np.float32)).any()
    assert not unit(np.full(4, np.inf, dtype=np.float32)).any()


def test_a_network_that_wants_grey_gets_grey(embedder):
    grey = msgspec.structs.replace(embedder.entry.input, colour=Colour.GREY, scale=1.0, offset=0.0)
    entry = msgspec.structs.replace(embedder.entry, input=grey)
    crop = np.random.default_rng(0).integers(0, 256, (grey.height, grey.width, 3), dtype=np.uint8)
    tensor = prepare(entry, crop)
    assert tensor.shape == (1, grey.height, grey.width, 1)
    assert tensor[0, ..., 0] == pytest.approx(crop @ np.array([0.299, 0.587, 0.114]), abs=1)
