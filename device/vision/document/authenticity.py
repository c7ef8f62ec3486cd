"""Whether the document in the picture looks like a document: its portrait, its colour, and no screen's pixel grid.

In: the rectified document (RGB), the faces found on it, and what kind of document it is. Out: the answer to
`document.presentation` with one answer for each rule and its score.

- Portrait: one face of a portrait's size where the type has it; a smaller second one is a ghost image.
- Copy: a black-and-white copy has one colour, whatever tint the light gives it. What is left of the colour channels
  after their dependence on lightness is taken out tells it from a coloured print.
- Recapture: a display's sub-pixels, sampled by the sensor, leave narrow peaks in the spectrum.

A colour copy on good paper, and a display whose grid the camera does not resolve, pass: this is no proof of
authenticity. Limits and their measured error rates: docs/decisions/0043, `python -m models.training.presentation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from device.protocol import Check, CheckReport, DocumentType, Reason, Result
from device.vision.document.parameters import parameters

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Answer = tuple[Result, Reason | None]
PASSED: Final[Answer] = (Result.PASS, None)
METHOD: Final = "portrait+chroma+spectrum"

TILE: Final = 128
"""Side of the spectrum's tiles, px: fine enough to tell a grid's peak from texture, small enough for a perspective."""
MOST_TILES: Final = 8
"""Tiles in each direction; more would cost time and add little."""
LOW: Final = 1 / 16
"""Frequency (cycles a pixel) below which the spectrum is that of the print itself."""
AXIS: Final = 1 / 40
"""Distance from the spectrum's axes within which text lines, rules and the blocks of JPEG are."""
COPY_WIDTH: Final = 160
"""Width at which colour is looked at, px: sensor noise and the colour errors of demosaicing are averaged away."""


class Face(Protocol):
    """A face on the document, as `device.vision.face.detector.Detection` has it."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels of the document image."""
        ...


@dataclass(frozen=True)
class Presentation:
    """The report of `document.presentation`, each rule's answer, and the scores: `copy` is the colour that is left
    (small means a copy), `recapture` the height of the spectrum's peak (large means a screen)."""

    report: CheckReport
    details: Mapping[str, Answer]
    scores: Mapping[str, float]


def assess(
    image: Image | None, faces: Sequence[Face] | None, kind: DocumentType, *, portrait_side: bool = True
) -> Presentation:
    """Judge one picture of a document.

    Args:
        image: H×W×3 uint8 RGB, the document rectified and about filling it; None if it could not be cut out.
        faces: those found in `image`; None if nobody looked.
        kind: which document it is.
        portrait_side: whether this is the side that has the portrait (the zone of a TD1 card is on the other one).
    """
    details: dict[str, Answer] = {}
    scores: dict[str, float] = {}
    if image is None:
        details = dict.fromkeys(("portrait", "copy", "recapture"), (Result.NOT_PERFORMED, Reason.DOCUMENT_NOT_FOUND))
    else:
        limits = parameters("presentation")
        details["portrait"] = _portrait(image, faces, kind, portrait_side, limits)
        details["copy"], scores["copy"] = _copy(image, limits)
        details["recapture"], scores["recapture"] = _recapture(image, limits)
    failed = next((reason for result, reason in details.values() if result is Result.FAIL), None)
    missing = next((reason for result, reason in details.values() if result is Result.NOT_PERFORMED), None)
    if failed is not None:
        report = CheckReport(Check.DOCUMENT_PRESENTATION, Result.FAIL, failed, METHOD)
    elif missing is not None and missing is not Reason.NOT_REQUIRED:
        report = CheckReport(Check.DOCUMENT_PRESENTATION, Result.NOT_PERFORMED, missing, METHOD)
    else:
        report = CheckReport(Check.DOCUMENT_PRESENTATION, Result.PASS, None, METHOD)
    return Presentation(report, details, scores)


# --- Portrait --------------------------------------------------------------------------------------------------------


def _portrait(
    image: Image, faces: Sequence[Face] | None, kind: DocumentType, portrait_side: bool, limits: Mapping[str, float]
) -> Answer:
    if not portrait_side or kind is DocumentType.OTHER:
        return (Result.NOT_PERFORMED, Reason.NOT_REQUIRED)
    if faces is None:
        return (Result.NOT_PERFORMED, Reason.NOT_REACHED)
    height, width = image.shape[:2]
    shares = sorted((_share(face, height) for face in faces if _inside(face, width, height)), reverse=True)
    portraits = [share for share in shares if limits["portrait_least"] <= share <= limits["portrait_most"]]
    if not portraits:
        # A visa may be a sticker without a portrait (Doc 9303-7 section 2.2).
        missing = Result.NOT_PERFORMED if kind is DocumentType.VISA else Result.FAIL
        return (missing, Reason.PORTRAIT_MISSING)
    if len(portraits) > 1 and portraits[1] > limits["ghost_most"] * portraits[0]:
        return (Result.FAIL, Reason.PORTRAIT_MULTIPLE)
    return PASSED


def _share(face: Face, height: int) -> float:
    return (face.box[3] - face.box[1]) / height


def _inside(face: Face, width: int, height: int) -> bool:
    across, down = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    return 0 <= across < width and 0 <= down < height


# --- Black-and-white copy --------------------------------------------------------------------------------------------


def colour_left(image: Image) -> float:
    """Spread (standard deviation, 8-bit Lab units) of a and b that lightness does not explain.

    A copy under any light is one ink on one paper: its a and b follow its lightness, along a line for the mixture of
    paper and ink, bent a little by the camera's tone curve; the second-degree polynomial takes both out.
    """
    scale = min(1.0, COPY_WIDTH / image.shape[1])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    lightness = lab[:, 0] / 255.0
    seen = (lightness > 0.08) & (lightness < 0.97)  # clipped channels have colours of their own
    if seen.sum() < 100:
        return 0.0
    basis = np.stack([np.ones(seen.sum()), lightness[seen], lightness[seen] ** 2], axis=1)
    colour = lab[seen, 1:]
    solution, *_ = np.linalg.lstsq(basis, colour, rcond=None)
    return float(np.sqrt(((colour - basis @ solution) ** 2).sum(axis=1).mean()))


def _copy(image: Image, limits: Mapping[str, float]) -> tuple[Answer, float]:
    lightness = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    score = colour_left(image)
    if float(lightness.mean()) < limits["dark"]:
        return (Result.NOT_PERFORMED, Reason.CAMERA_BLACK), score
    return ((Result.FAIL, Reason.DOCUMENT_COPY) if score < limits["copy"] else PASSED), score


# --- Screen recapture ------------------------------------------------------------------------------------------------


def grid_peak(image: Image) -> float | None:
    """Height of the highest narrow peak in the spectrum of lightness, in standard deviations of the spectrum around
    it. None if the picture is too small to say.

    The logarithms of the powers of all tiles are averaged: a grid is in every tile, print only in some. Colour is left
    out on purpose: cameras and JPEG subsample it, which leaves grids of its own.
    """
    height, width = image.shape[:2]
    if width < 2 * TILE or height < 1.5 * TILE:
        return None
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    power = _log_power(grey - cv2.GaussianBlur(grey, (0, 0), 4.0))
    excess = power - cv2.medianBlur(power, 5)
    lines = np.abs(np.fft.fftfreq(TILE))
    across, down = np.meshgrid(lines, lines)
    field = excess[(np.hypot(across, down) >= LOW) & (across >= AXIS) & (down >= AXIS)]
    spread = float(np.quantile(field, 0.84) - np.quantile(field, 0.16)) / 2  # one standard deviation, peaks apart
    return float(field.max()) / max(spread, 1e-3)


def _log_power(detail: Floats) -> Floats:
    """(TILE, TILE) mean logarithm of the power of tiles spread over the picture, zero frequency first."""
    height, width = detail.shape
    window = np.outer(np.hanning(TILE), np.hanning(TILE)).astype(np.float32)
    tops = np.linspace(0, height - TILE, min(MOST_TILES, 2 * height // TILE)).astype(int)
    lefts = np.linspace(0, width - TILE, min(MOST_TILES, 2 * width // TILE)).astype(int)
    total = np.zeros((TILE, TILE), np.float32)
    for top in tops:
        for left in lefts:
            tile = cv2.dft(detail[top : top + TILE, left : left + TILE] * window, flags=cv2.DFT_COMPLEX_OUTPUT)
            total += np.log((tile**2).sum(axis=2) + np.float32(1e-3))
    return total / np.float32(len(tops) * len(lefts))


def _recapture(image: Image, limits: Mapping[str, float]) -> tuple[Answer, float]:
    score = grid_peak(image)
    if score is None:
        return (Result.NOT_PERFORMED, Reason.EVIDENCE_WEAK), 0.0
    return ((Result.FAIL, Reason.DOCUMENT_RECAPTURE) if score > limits["recapture"] else PASSED), score
