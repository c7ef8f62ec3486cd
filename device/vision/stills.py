"""Loading still images from files that nobody vouches for.

In: a path. Out: H×W×3 uint8 RGB, the right way up by its EXIF orientation. Anything that is not one whole,
reasonably sized image ends in one `InputError` that names the file and what to do.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from device.errors import InputError

MAX_PIXELS: Final = 100_000_000  # four times a 24-megapixel still; decoded it is 300 MB
MAX_BYTES: Final = 200_000_000
MAX_SIDE: Final = 30_000
MIN_SIDE: Final = 16

FORMATS: Final = "JPEG, PNG, WebP, BMP or TIFF"


def load_still(path: str | Path) -> NDArray[np.uint8]:
    """The image in `path` as H×W×3 uint8 RGB; grey and palette images are expanded, transparency is dropped.

    The size is taken from the file's header before anything is decoded, so a decompression bomb costs nothing.

    Raises:
        InputError: missing, unreadable, empty, not an image, truncated, or larger than `MAX_PIXELS`.
    """
    data = _read(Path(path))
    return decode_still(data, str(path))


def decode_still(data: bytes, name: str) -> NDArray[np.uint8]:
    """As `load_still`, of bytes already in memory; `name` is what the error calls them."""
    if not data:
        raise InputError(f"{name}: the file is empty; take the picture again")
    size = _header_size(data)
    if size is None:
        raise InputError(f"{name}: not an image that can be read; give a {FORMATS} file")
    width, height = size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise InputError(
            f"{name}: the image says it is {width}×{height} pixels; the limit is {MAX_PIXELS // 1_000_000} megapixels, "
            "scale it down first"
        )
    if _truncated(data):
        raise InputError(f"{name}: the file ends in the middle of the image; copy it again")
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        decoded = None
    if decoded is None or decoded.size == 0:
        raise InputError(f"{name}: the image data is damaged; copy the file again or save it as {FORMATS}")
    if min(decoded.shape[:2]) < MIN_SIDE:
        raise InputError(f"{name}: the image is only {decoded.shape[1]}×{decoded.shape[0]} pixels; give a larger one")
    return np.ascontiguousarray(decoded[:, :, ::-1])


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise InputError(f"{path}: this is a directory; give an image file")
        if not path.exists():
            raise InputError(f"{path}: there is no such file; check the path")
        if not path.is_file():
            raise InputError(f"{path}: not a regular file; give an image file")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 1_000_000} MB; give a smaller image")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"{str(path)!r}: not a file name; check the path") from error


def _header_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) as the header states it, or None where the bytes are no image format that we take."""
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack(">II", data[16:24])
        if data[:2] == b"\xff\xd8":
            return _jpeg_size(data)
        if data[:2] == b"BM":
            width, height = struct.unpack("<ii", data[18:26])
            return abs(width), abs(height)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:4] in (b"II*\x00", b"MM\x00*"):
            return _tiff_size(data)
    except (struct.error, IndexError, KeyError):
        return None
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 < len(data):
        if data[position] != 0xFF:
            position += 1
            continue
        marker = data[position + 1]
        if marker in (0xFF, 0x00) or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # ITU-T T.81 table B.1: start of frame
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return width, height
        position += 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]  # RFC 9649 section 2
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    order = "<" if data[:2] == b"II" else ">"
    (offset,) = struct.unpack(order + "I", data[4:8])
    (count,) = struct.unpack(order + "H", data[offset : offset + 2])
    found: dict[int, int] = {}
    for index in range(min(count, 256)):
        entry = data[offset + 2 + 12 * index : offset + 14 + 12 * index]
        tag, kind = struct.unpack(order + "HH", entry[:4])
        if tag in (256, 257):  # ImageWidth, ImageLength
            found[tag] = struct.unpack(order + ("H" if kind == 3 else "I"), entry[8 : 10 if kind == 3 else 12])[0]
    return found[256], found[257]


def _truncated(data: bytes) -> bool:
    """Whether the file lacks its end: decoders fill it with grey, which a reader must not take for a page."""
    if data[:2] == b"\xff\xd8":
        return b"\xff\xd9" not in data[-4096:]
    if data[:4] == b"\x89PNG":
        return b"IEND" not in data[-64:]
    if data[:4] == b"RIFF":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data[:2] == b"BM":
        return int.from_bytes(data[2:6], "little") > len(data)
    return False
