import contextlib
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.errors import InputError
from device.vision.stills import decode_still, load_still

PICTURE = np.zeros((60, 90, 3), np.uint8)
PICTURE[:20, :30] = (250, 10, 20)  # red, at the top left


def encoded(extension: str) -> bytes:
    return cv2.imencode(extension, PICTURE[:, :, ::-1])[1].tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it is enormous."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def with_orientation(data: bytes, value: int) -> bytes:
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHII", 0x112, 3, 1, value) + b"\x00" * 4
    exif = b"Exif\x00\x00" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


@pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_formats(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"picture{extension}"
    path.write_bytes(encoded(extension))
    image = load_still(path)
    assert image.shape == (60, 90, 3)
    assert image.dtype == np.uint8
    assert image[8, 8, 0] > 200 > 60 > image[8, 8, 2]  # RGB


def test_exif_orientation_is_honoured() -> None:
    image = decode_still(with_orientation(encoded(".jpg"), 6), "turned.jpg")
    assert image.shape == (90, 60, 3)
    assert image[8, -8, 0] > 200  # what was at the top left is at the top right


@pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated(extension: str, share: float) -> None:
    data = encoded(extension)
    with pytest.raises(InputError, match="cut"):
        decode_still(data[: int(len(data) * share)], "cut")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"no image at all", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "not an image"),
        (b"\xff\xd8\xff", "not an image"),
        (b"GIF89a" + bytes(60), "not an image"),
        (bomb(60_000, 60_000), "60000×60000"),
        (bomb(29_000, 29_000), "megapixels"),
        (bomb(400, 400), "damaged"),
    ],
    ids=["empty", "text", "header_only", "marker_only", "gif", "too_wide", "bomb", "data_too_short"],
)
def test_refused(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        decode_still(data, "picture")


@pytest.mark.parametrize("name", ["missing.png", "folder", "nul\0.png"])
def test_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError):
        load_still(tmp_path / name)


def test_mutated_files_are_read_or_refused() -> None:
    rng = np.random.default_rng(7)
    originals = [encoded(extension) for extension in (".png", ".jpg", ".bmp", ".webp", ".tiff")]
    for _ in range(600):
        data = bytearray(originals[rng.integers(len(originals))])
        for _ in range(int(rng.integers(1, 8))):
            data[rng.integers(len(data))] = int(rng.integers(256))
        with contextlib.suppress(InputError):
            assert decode_still(bytes(data[: int(rng.integers(1, len(data) + 1))]), "mutated").ndim == 3
