import numpy as np
import pytest

from device.errors import ModelError
from device.vision.inference.manifest import load_manifest, package_folder
from device.vision.inference.model import Model, load_model, prepare
from tests.vision.inference.bundles import describe, make_bundle


def bundle(tmp_path, text, *files):
    make_bundle(tmp_path / "bundle", text, *files)
    manifest = load_manifest(folders=(package_folder(), tmp_path))
    return manifest, manifest.entry("tiny")


def expected(x):
    padded = np.pad(x[0], ((1, 1), (1, 1), (0, 0)))
    sums = np.array([[padded[r : r + 3, c : c + 3].sum() for c in range(4)] for r in range(4)]) / 2
    return np.stack([sums, -sums], axis=-1)[None]


def test_float_model_computes(tmp_path):
    model = load_model(*bundle(tmp_path, describe(), "tiny_float.tflite"))
    x = np.random.default_rng(1).random((1, 4, 4, 3), dtype=np.float32)
    (y,) = model.run(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected(x), rtol=1e-5)


def test_int8_model_takes_and_gives_floats(tmp_path):
    model = load_model(*bundle(tmp_path, describe(file="tiny_int8.tflite"), "tiny_int8.tflite"))
    x = np.random.default_rng(1).random((1, 4, 4, 3), dtype=np.float32) * 0.5
    (y,) = model.run(x)
    assert y.dtype == np.float32
    # Runtimes and architectures differ by single steps: half a step of the output and one of 27 inputs.
    np.testing.assert_allclose(y, expected(x), atol=0.12)


def test_int8_input_beyond_its_range_is_clipped(tmp_path):
    model = load_model(*bundle(tmp_path, describe(file="tiny_int8.tflite"), "tiny_int8.tflite"))
    (low,) = model.run(np.full((1, 4, 4, 3), -9, dtype=np.float32))
    np.testing.assert_allclose(low, 0, atol=0.12)


def test_results_are_not_overwritten_by_the_next_run(tmp_path):
    model = load_model(*bundle(tmp_path, describe(), "tiny_float.tflite"))
    (first,) = model.run(np.ones((1, 4, 4, 3), dtype=np.float32))
    kept = first.copy()
    model.run(np.zeros((1, 4, 4, 3), dtype=np.float32))
    np.testing.assert_array_equal(first, kept)


def test_measurement_is_the_hash(tmp_path):
    manifest, entry = bundle(tmp_path, describe(), "tiny_float.tflite")
    assert load_model(manifest, entry).measurement.hex() == entry.sha256


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (describe(sha256=f'"{"1" * 64}"'), "SHA-256 is"),
        (describe(input="{ width = 8, height = 8 }"), "inputs are"),
        (describe(input='{ width = 4, height = 4, colour = "grey" }'), "inputs are"),
        (describe(outputs="[[1, 4, 4, 3]]"), "outputs are"),
        (describe(outputs="[[1, 4, 4, 2], [1, 1]]"), "outputs are"),
    ],
    ids=["wrong_hash", "wrong_input_size", "wrong_channels", "wrong_output", "output_missing"],
)
def test_wrong_model_is_refused_and_named(tmp_path, text, said):
    manifest, entry = bundle(tmp_path, text, "tiny_float.tflite")
    with pytest.raises(ModelError, match=f"tiny_float.tflite: {said}.*vouchbox models verify"):
        load_model(manifest, entry)


def test_changed_byte_is_refused(tmp_path):
    manifest, entry = bundle(tmp_path, describe(), "tiny_float.tflite")
    path = manifest.path(entry)
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256"):
        Model(entry, path)


def test_not_a_model(tmp_path):
    from hashlib import sha256

    text = b"this is no flatbuffer, whatever its hash says" * 30
    manifest, entry = bundle(tmp_path, describe(sha256=f'"{sha256(text).hexdigest()}"'), "tiny_float.tflite")
    manifest.path(entry).write_bytes(text)
    with pytest.raises(ModelError, match="cannot load it"):
        load_model(manifest, entry)


def test_missing_file(tmp_path):
    _, entry = bundle(tmp_path, describe())
    with pytest.raises(ModelError, match="cannot read"):
        Model(entry, tmp_path / "absent.tflite")


def test_wrong_input_shape_at_run(tmp_path):
    model = load_model(*bundle(tmp_path, describe(), "tiny_float.tflite"))
    with pytest.raises(ModelError, match=r"input is \(1, 3, 4, 4\)"):
        model.run(np.zeros((1, 3, 4, 4), dtype=np.float32))


def test_prepare_scales_and_reorders(tmp_path):
    _, entry = bundle(tmp_path, describe(input='{ width = 4, height = 4, colour = "bgr", scale = 0.5, offset = -1.0 }'))
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    image[..., 0] = 200
    x = prepare(entry, image)
    assert x.shape == (1, 4, 4, 3)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x[0, 0, 0], [-1, -1, 99])


def test_no_runtime_says_what_to_install(tmp_path, monkeypatch):
    manifest, entry = bundle(tmp_path, describe(), "tiny_float.tflite")
    monkeypatch.setattr("device.vision.inference.model.Interpreter", None)
    with pytest.raises(ModelError, match="pip install ai-edge-litert"):
        load_model(manifest, entry)
