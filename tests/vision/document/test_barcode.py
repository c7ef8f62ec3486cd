"""Barcodes are read upright, tilted and small; nothing else is taken for one, and nothing hangs."""

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp

from device.vision.document import barcode
from device.vision.document.barcode import Barcode, read_barcodes
from tests.slowness import SLOWNESS

PAYLOAD = b"@\n\x1e\rANSI 636000100001DL00310350" + b"\n".join(b"D%02dSYNTHETIC" % index for index in range(20))


def _symbol(format_name: str, payload: bytes = PAYLOAD, scale: int = 3) -> np.ndarray:
    kind = zxingcpp.barcode_format_from_str(format_name)
    return np.asarray(zxingcpp.create_barcode(payload, kind).to_image(scale=scale), np.uint8)


def _on_card(symbol: np.ndarray, degrees: float = 0.0, size: int = 900) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((symbol.shape[1] / 2, symbol.shape[0] / 2), degrees, 1.0)
    matrix[:, 2] += (size - symbol.shape[1]) / 2, (size - symbol.shape[0]) / 2
    card = np.full((size, size), 225, np.uint8)
    cv2.warpAffine(symbol, matrix, (size, size), dst=card, borderMode=cv2.BORDER_TRANSPARENT)
    return np.repeat(card[:, :, None], 3, axis=2)


@pytest.mark.parametrize("name", ["PDF417", "QRCode", "Aztec", "DataMatrix"])
def test_each_symbology_is_read_with_its_bytes(name: str) -> None:
    (code,) = read_barcodes(_on_card(_symbol(name)))
    assert code.data == PAYLOAD
    assert code.format == {"QRCode": "QR"}.get(name, name)


@pytest.mark.parametrize("degrees", [-20, -12, -7, 7, 12, 20])
def test_tilted_pdf417_is_rectified(degrees: float) -> None:
    symbol = _symbol("PDF417", scale=2)
    (code,) = read_barcodes(_on_card(symbol, degrees))
    assert code.data == PAYLOAD
    centre = code.quad.mean(axis=0)
    assert np.abs(centre - 450).max() < 40


def test_bytes_survive_that_are_no_text() -> None:
    payload = bytes(range(256))
    (code,) = read_barcodes(_on_card(_symbol("QRCode", payload)))
    assert code.data == payload


def test_the_same_symbol_twice_counts_once() -> None:
    card = _on_card(_symbol("QRCode", b"one and the same", 4), size=300)
    assert len(read_barcodes(np.concatenate([card, card], axis=1))) == 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 400, 3), (40, 60, 3), (600, 800, 3)])
def test_pictures_without_a_barcode(shape: tuple[int, int, int]) -> None:
    generator = np.random.default_rng(5)
    assert read_barcodes(np.zeros(shape, np.uint8)) == ()
    assert read_barcodes(generator.integers(0, 256, shape, np.uint8)) == ()


def test_damaged_symbols_end_in_time_and_say_nothing_else() -> None:
    generator = np.random.default_rng(11)
    card = _on_card(_symbol("PDF417", scale=2), 4, 700)
    for _ in range(20):
        damaged = card.copy()
        for _ in range(int(generator.integers(1, 30))):
            top, left = generator.integers(0, 650, 2)
            damaged[top : top + 50, left : left + 50] = generator.integers(0, 256)
        start = time.process_time()
        codes = read_barcodes(damaged)
        assert time.process_time() - start < 2 * SLOWNESS
        assert all(isinstance(code, Barcode) and code.data == PAYLOAD for code in codes)


def test_a_symbol_without_spare_correction_is_looked_at_again() -> None:
    card = _on_card(_symbol("PDF417", scale=3))
    (code,) = read_barcodes(card)
    grey = np.ascontiguousarray(card[:, :, 0])
    doubtful = replace(code, data=b"corrected into another text", spare=0.0)
    confirmed = barcode._confirmed(grey, doubtful)
    assert confirmed is not None
    assert confirmed.data == PAYLOAD
    assert barcode._confirmed(np.full_like(grey, 225), doubtful) is None
    assert barcode._confirmed(grey, code) is code


@pytest.mark.shared
def test_pdf417_of_other_projects(shared: Path) -> None:
    images = [
        path
        for path in sorted((shared / "data/documents/barcodes").rglob("pdf417-*/*"))
        if path.suffix in (".png", ".webp", ".jpg")
    ]
    assert len(images) > 60
    read = 0
    for path in images:
        image = cv2.imread(str(path))
        assert image is not None
        read += bool(read_barcodes(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)))
    assert read >= 0.95 * len(images)
    print(f"{read} of {len(images)} images of PDF417 decoded")
