import csv
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.vision.document.evidence import ALPHABET, LineEvidence
from device.vision.document.textline import COLUMN, HEIGHT, PITCH, TextLineReader, fit_grid, fit_polynomial, normalise
from device.vision.inference.manifest import load_manifest
from models.training.textline_scenes import OCR_B, Pillow

LINE = "P<UTOERIKSSON<<ANNA<MARIA<<<<<0123456789BCDF"


@pytest.fixture(scope="module")
def reader() -> TextLineReader:
    return TextLineReader(load_manifest())


def strip(text: str, width: int, pitch: float = PITCH, size: float = 23.5) -> np.ndarray:
    """A printed line in the network's nominal geometry."""
    from PIL import ImageDraw, ImageFont

    image = Pillow.new("L", (width, HEIGHT), 225)
    font = ImageFont.truetype(str(OCR_B), size)
    left = (width - pitch * len(text)) / 2
    for index, character in enumerate(text):
        ImageDraw.Draw(image).text((left + (index + 0.5) * pitch, 24), character, font=font, fill=30, anchor="ms")
    return np.asarray(image)


def heat_of(centres: np.ndarray, columns: int = 208) -> np.ndarray:
    x = (np.arange(columns) + 0.5) * COLUMN
    return np.exp(-0.5 * ((x[:, None] - centres[None]) / (0.17 * 17)) ** 2).max(axis=1)


def test_every_character_is_read(reader: TextLineReader) -> None:
    reading = reader.read(strip(LINE, reader.width))
    assert reading is not None
    evidence = LineEvidence(reading.probabilities, np.zeros((4, 2), np.float32))
    assert evidence.text == LINE
    assert evidence.confidence > 0.9
    assert np.allclose(reading.probabilities.sum(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("pitch", [14.5, 16.0, 18.0])
def test_places_and_shape_of_the_line(reader: TextLineReader, pitch: float) -> None:
    reading = reader.read(strip(LINE, reader.width, pitch, 23.5 * pitch / PITCH))
    assert reading is not None
    assert len(reading) == 44
    expected = (reader.width - pitch * 44) / 2 + (np.arange(44) + 0.5) * pitch
    assert np.abs(reading.centres - expected).max() < 2.5
    assert abs(float(np.median(reading.height)) / (16.5 * pitch / PITCH) - 1) < 0.15
    assert abs(float(np.median(reading.middle)) - 16) < 2


def test_a_line_on_its_head_is_no_line(reader: TextLineReader) -> None:
    upright, turned = (
        reader.read(image) for image in (strip(LINE, reader.width), strip(LINE, reader.width)[::-1, ::-1])
    )
    assert upright is not None
    assert turned is None or turned.score < 0.5 * upright.score


@pytest.mark.parametrize("value", [0, 128, 255])
def test_nothing_is_read_on_an_empty_strip(reader: TextLineReader, value: int) -> None:
    reading = reader.read(np.full((HEIGHT, reader.width), value, np.uint8))
    assert reading is None or reading.score < 8


def test_noise_is_not_clear(reader: TextLineReader) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (HEIGHT, reader.width)).astype(np.uint8)
    reading = reader.read(noise)
    assert reading is None or reading.clarity < 0.45


def test_the_grid_bridges_missing_characters() -> None:
    centres = 40 + 17.0 * np.arange(44)
    present = np.delete(np.arange(44), [10, 11, 12, 25])
    found = fit_grid(heat_of(centres[present]), np.full(208, 17.5), 0.4)
    assert found is not None
    coefficients, first, count = found
    assert count == 44
    assert np.abs(np.polyval(coefficients, np.arange(first, first + 44)) - centres).max() < 1


def test_the_grid_bends_with_perspective() -> None:
    number = np.arange(44)
    centres = 30 + 15.5 * number + 0.035 * number**2
    found = fit_grid(heat_of(centres), np.full(208, 17.0), 0.4)
    assert found is not None
    coefficients, first, count = found
    assert count == 44
    assert np.abs(np.polyval(coefficients, np.arange(first, first + count)) - centres).max() < 1


@pytest.mark.parametrize("peaks", [[], [100.0], [100.0, 117.0, 134.0]])
def test_too_few_characters_make_no_grid(peaks: list[float]) -> None:
    heat = heat_of(np.array(peaks)) if peaks else np.zeros(208)
    assert fit_grid(heat, np.full(208, 17.0), 0.4) is None


def test_contrast_is_stretched_but_not_made_of_nothing() -> None:
    assert normalise(np.full((32, 80), 130, np.uint8)).max() <= 255
    ramp = np.tile(np.linspace(100, 140, 80).astype(np.uint8), (32, 1))
    assert np.ptp(normalise(ramp)) > 200


def test_evidence_of_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        LineEvidence(np.zeros((3, len(ALPHABET) - 1), np.float32), np.zeros((4, 2), np.float32))
    with pytest.raises(ValueError, match="quad"):
        LineEvidence(np.zeros((3, len(ALPHABET)), np.float32), np.zeros((4, 3), np.float32))


@pytest.mark.shared
def test_rendered_lines_of_others_are_read(reader: TextLineReader, shared: Path) -> None:
    """Binarised crops of another project: the share of right characters, by lines of the right length."""
    folder = shared / "data/documents/mrz_lines"
    rows = list(csv.DictReader((folder / "truth.csv").read_text(encoding="utf-8").splitlines()))
    archive = zipfile.ZipFile(folder / "lines.zip")
    names = {Path(name).name: name for name in archive.namelist()}
    right = total = 0
    for row in rows[:120]:
        data = archive.read(names[row["file"]])
        grey = cv2.imdecode(np.frombuffer(io.BytesIO(data).read(), np.uint8), cv2.IMREAD_GRAYSCALE)
        scale = min(18 / grey.shape[0], (reader.width - 30) / grey.shape[1])
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas = np.full((HEIGHT, reader.width), 255, np.uint8)
        top, left = (HEIGHT - small.shape[0]) // 2, (reader.width - small.shape[1]) // 2
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        reading = reader.read(canvas)
        text = row["text"]
        said = LineEvidence(reading.probabilities, np.zeros((4, 2), np.float32)).text if reading is not None else ""
        right += sum(one == other for one, other in zip(said, text, strict=False)) if len(said) == len(text) else 0
        total += len(text)
    assert right / total > 0.9


def test_polynomials_are_numpys() -> None:
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 832, 44))
    y, weight = 16 + 0.01 * x + 1e-5 * x**2 + rng.normal(0, 0.3, 44), rng.uniform(0.02, 1, 44)
    for degree in (1, 2):
        ours = np.polyval(fit_polynomial(x, y, degree, weight), x)
        assert np.allclose(ours, np.polyval(np.polyfit(x, y, degree, w=weight), x), atol=1e-6)
    assert np.isfinite(fit_polynomial(np.full(5, 3.0), np.arange(5.0), 1, np.ones(5))).all()
