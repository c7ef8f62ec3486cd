"""Two-dimensional barcodes in an image: PDF417, QR, Aztec and DataMatrix.

In: an H×W×3 uint8 RGB (or H×W grey) image. Out: the decoded symbols with their bytes and corners.
zxing-cpp does the decoding. What it leaves unread is looked for by us: regions with the texture of a barcode are turned
upright and enlarged before giving up (PDF417 tilted by 7° or more needs it). Why not pyzbar: docs/decisions/0041.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Quad = NDArray[np.float32]

FORMATS: Final[Any] = zxingcpp.barcode_formats_from_str("PDF417|QRCode|Aztec|DataMatrix")
NAMES: Final = {"PDF417": "PDF417", "QRCode": "QR", "Aztec": "Aztec", "DataMatrix": "DataMatrix"}

MAX_BARCODES: Final = 8
"""No document carries more; a picture full of codes must not cost more than that."""
MAX_BYTES: Final = 4096
"""PDF417 ends at 1850 characters, QR at 2953 bytes, Aztec at 1914, DataMatrix at 1556: longer is not a barcode."""
PLAIN_SIDE: Final = 2400
"""A larger picture is first read at this size (longer side, px); what is too small there is found by its region."""
BUDGET_S: Final = 0.7
"""CPU time after which no further second look begins."""
LEAST_SPARE: Final = 0.02
"""A symbol that was read with less error correction to spare is looked at again."""
SEARCH_SIDE: Final = 800
"""Regions are looked for at this size (longer side, px): a code too small to see there cannot be read either."""
MAX_REGIONS: Final = 4
REGION_AREA: Final = 0.004
"""Smallest share of the picture that a region worth a second look has."""
TARGET_SIDE: Final = 480
"""A region's shorter side is brought up to this many pixels (at most fourfold): about 4 px a module row of PDF417."""
QUIET_ZONE: Final = 0.08
"""Margin around a region, as a share of its longer side: the codes' quiet zones."""


@dataclass(frozen=True, eq=False)
class Barcode:
    """One decoded symbol. `format` is one of `NAMES`' values; `quad` (4, 2) float32 are its corners in the image;
    `spare` is the share of its error correction that reading it did not need (1 where the decoder does not say)."""

    format: str
    data: bytes
    quad: Quad
    spare: float = 1.0


def read_barcodes(image: NDArray[np.uint8], thorough: bool = True) -> tuple[Barcode, ...]:
    """All barcodes in the image, in no particular order; the same bytes in the same format count once.

    thorough: look for light symbols on dark ground and for larger ones too, and again at regions that look like a
        barcode if nothing was read at first.
    """
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    start = time.thread_time()
    scale = min(1.0, PLAIN_SIDE / max(grey.shape))
    plain = grey
    if scale < 1:
        plain = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    found = _decode(plain, np.diag([1 / scale, 1 / scale, 1.0]), thorough)
    if not found and thorough:
        for attempt, back in _attempts(grey):
            found = _decode(attempt, back)
            if found or time.thread_time() - start > BUDGET_S:
                break
    return tuple(code for code in (_confirmed(grey, code) for code in found) if code is not None)


def _confirmed(grey: Grey, code: Barcode) -> Barcode | None:
    """The symbol, or what a straight view of it says if reading it took all of its error correction: what is corrected
    that far is now and then corrected into another text. None if the straight view says nothing."""
    if code.spare > LEAST_SPARE:
        return code
    again = max(_decode(*_rectify(grey, code.quad)), key=lambda each: each.spare, default=None)
    return again if again is not None and again.spare > LEAST_SPARE else None


def _decode(grey: Grey, back: NDArray[np.float64], thorough: bool = True) -> tuple[Barcode, ...]:
    """zxing-cpp on one picture; `back` (3, 3) maps its pixels to the original image's. Without `thorough` it looks
    neither for inverted symbols nor at halved pictures, which saves four tenths of the time."""
    symbols: dict[tuple[str, bytes], Barcode] = {}
    options = {"formats": FORMATS, "try_invert": thorough, "try_downscale": thorough}
    for result in zxingcpp.read_barcodes(np.ascontiguousarray(grey), **options):
        name = _name(result)
        data = bytes(result.bytes)
        if not name or not result.valid or not 0 < len(data) <= MAX_BYTES:
            continue
        at = result.position
        corners = [(p.x, p.y) for p in (at.top_left, at.top_right, at.bottom_right, at.bottom_left)]
        quad = cv2.perspectiveTransform(np.array([corners], np.float64), back)[0].astype(np.float32)
        symbols.setdefault((name, data), Barcode(name, data, quad, _spare(result)))
        if len(symbols) >= MAX_BARCODES:
            break
    return tuple(symbols.values())


def _spare(result: Any) -> float:
    """Unused error correction, where this version of zxing-cpp says it."""
    extra = getattr(result, "extra", None)
    value = extra.get("UEC") if isinstance(extra, dict) else None
    return float(value) if isinstance(value, int | float) else 1.0


def _name(result: Any) -> str:
    """Name of the symbology; zxing-cpp before 3.0 has it as the format."""
    printed = str(getattr(result, "symbology", result.format)).rpartition(".")[2].replace(" ", "")
    return NAMES.get(printed, "")


def _attempts(grey: Grey) -> Iterator[tuple[Grey, NDArray[np.float64]]]:
    """Other views of the picture, the likeliest first, each with the way back."""
    for quad in _regions(grey):
        upright, back = _rectify(grey, quad)
        yield upright, back
        yield np.asarray(cv2.GaussianBlur(upright, (0, 0), 1.2), np.uint8), back
        sharp = cv2.addWeighted(upright, 2.0, cv2.GaussianBlur(upright, (0, 0), 2.5), -1.0, 0)
        yield np.asarray(sharp, np.uint8), back
    if max(grey.shape) <= 2 * SEARCH_SIDE:
        enlarged = cv2.resize(grey, None, fx=2.0, fy=2.0, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
        yield enlarged, np.diag([0.5, 0.5, 1.0])


def _regions(grey: Grey) -> list[Quad]:
    """Rotated rectangles with the texture of a barcode (strong edges everywhere), largest first.

    Each is (4, 2) corners in the order of `cv2.boxPoints`.
    """
    scale = min(1.0, SEARCH_SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    floats = small.astype(np.float32)
    energy = cv2.magnitude(cv2.Sobel(floats, cv2.CV_32F, 1, 0), cv2.Sobel(floats, cv2.CV_32F, 0, 1))
    window = max(9, max(small.shape) // 40) | 1
    busy = cv2.blur(energy, (window, window))
    busy8 = np.asarray(busy * (255.0 / max(float(busy.max()), 1.0)), np.uint8)
    _, binary = cv2.threshold(busy8, 0, 255, cv2.THRESH_OTSU)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (window, window))
    binary = cv2.morphologyEx(cv2.morphologyEx(binary, cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel)
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = []
    for contour in sorted(contours, key=cv2.contourArea, reverse=True)[:MAX_REGIONS]:
        if cv2.contourArea(contour) < REGION_AREA * binary.size:
            break
        boxes.append((cv2.boxPoints(cv2.minAreaRect(contour)) / scale).astype(np.float32))
    return boxes


def _rectify(grey: Grey, quad: Quad) -> tuple[Grey, NDArray[np.float64]]:
    """The region turned upright along its longer side, with a quiet zone, enlarged; and the way back."""
    first, second = float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[2] - quad[1]))
    corners = quad if first >= second else np.roll(quad, -1, axis=0)
    width, height = max(first, second), min(first, second)
    scale = min(4.0, max(1.0, TARGET_SIDE / max(height, 1.0)), 2400 / max(width, 1.0))
    margin = QUIET_ZONE * width * scale
    right, bottom = width * scale + margin, height * scale + margin
    target = np.array([[margin, margin], [right, margin], [right, bottom], [margin, bottom]], np.float32)
    forth = np.asarray(cv2.getPerspectiveTransform(corners, target), np.float64)
    size = (round(right + margin), round(bottom + margin))
    upright = cv2.warpPerspective(grey, forth, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(upright, np.uint8), np.linalg.inv(forth).astype(np.float64)
