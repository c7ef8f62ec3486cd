"""What frames tell about camera and light: exposure, focus, noise, flicker, frame rate, distortion.

In: `Frame`s of a few seconds, one after the other; none is kept. Out: figures. Nothing here judges: `camera.py` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Frame

Grey = npt.NDArray[np.float32]
BOARD: Final = (9, 6)
"""Inner corners of the printed target's chessboard."""
MAINS: Final = (50, 60)
_CROP: Final = 256
_SAME: Final = 0.9
"""A light whose phase turns less than this between frames stands still in the picture, and cannot be told from it."""


@dataclass(frozen=True)
class Flicker:
    """`amplitude` is the light's, as a share; `mains` 50 or 60 if the bands move as such light does; `unseen` are mains
    frequencies that this frame rate cannot show."""

    amplitude: float
    coherence: float
    mains: int | None
    unseen: tuple[int, ...]


@dataclass
class Optics:
    """Collects figures from frames."""

    times: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    clipped: list[float] = field(default_factory=list)
    crushed: list[float] = field(default_factory=list)
    centre: list[float] = field(default_factory=list)
    surround: list[float] = field(default_factory=list)
    blurs: list[float] = field(default_factory=list)
    structure: list[float] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)
    distortions: list[float] = field(default_factory=list)
    profiles: list[Grey] = field(default_factory=list)
    histogram: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(32))
    size: tuple[int, int] = (0, 0)
    _crop: Grey | None = None

    def add(self, frame: Frame) -> None:
        """Measures one frame."""
        grey8 = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        grey = grey8.astype(np.float32)
        height, width = grey.shape
        self.size = (width, height)
        self.times.append(frame.time)
        self.numbers.append(frame.number)
        self.means.append(float(grey.mean()))
        self.clipped.append(float((grey >= 250).mean()))
        self.crushed.append(float((grey <= 5).mean()))
        middle = grey[:, width // 3 : 2 * width // 3]
        rest = np.concatenate([grey[:, : width // 3], grey[:, 2 * width // 3 :]], axis=1)
        self.centre.append(float(middle.mean()))
        self.surround.append(float(rest.mean()))
        self.profiles.append(grey.mean(axis=1))
        self.histogram += np.histogram(grey, 32, (0, 256))[0] / grey.size
        blur, structure = blur_of(grey)
        self.blurs.append(blur)
        self.structure.append(structure)
        self._note_noise(grey)
        if len(self.times) % 8 == 1 and (bent := distortion_of(np.asarray(grey8, np.uint8))) is not None:
            self.distortions.append(bent)

    def _note_noise(self, grey: Grey) -> None:
        top, left = (max(0, (side - _CROP) // 2) for side in grey.shape)
        crop = grey[top : top + _CROP, left : left + _CROP]
        if self._crop is not None and self._crop.shape == crop.shape:
            difference = crop - self._crop
            difference -= np.median(difference, axis=1, keepdims=True)  # bands of a flickering light are not noise
            # Median absolute deviation: what moved is not noise. The difference of two has twice the variance.
            spread = float(np.median(np.abs(difference - np.median(difference))))
            self.sigmas.append(float(1.4826 * spread / np.sqrt(2)))
        self._crop = crop

    @property
    def rate(self) -> float:
        """Frames a second that the camera makes, lost ones included; 0 if there were too few."""
        period = self._period()
        return 1 / period if period > 0 else 0.0

    @property
    def lost(self) -> float:
        """Share of frames that the camera made and that did not come."""
        made = self.numbers[-1] - self.numbers[0] + 1 if self.numbers else 0
        return 1 - len(self.numbers) / made if made > 0 else 0.0

    def _period(self) -> float:
        if len(self.times) < 3 or self.numbers[-1] == self.numbers[0]:
            return 0.0
        return float(np.polyfit(self.numbers, self.times, 1)[0])

    def flicker(self) -> Flicker:
        """Bands that move through the picture as light at twice a mains frequency makes them on a rolling shutter.

        Each frame's mean by row, against the median frame, leaves what changes; the strongest spatial frequency of
        that is followed in time. Times are taken from frame numbers: what arrives late was exposed in time.
        """
        period = self._period()
        if period <= 0 or len(self.profiles) < 12:
            return Flicker(0.0, 0.0, None, MAINS)
        profiles = np.stack(self.profiles).astype(np.float64) + 1.0
        ratio = profiles / np.median(profiles, axis=0) - 1
        times = np.asarray(self.numbers) * period
        window = np.hanning(ratio.shape[1])
        spectrum = np.fft.rfft(ratio * window, axis=1)[:, : max(2, ratio.shape[1] // 8)]
        best = Flicker(0.0, 0.0, None, tuple(mains for mains in MAINS if _stands(times, 2 * mains)))
        for band in range(1, spectrum.shape[1]):
            series = spectrum[:, band]
            amplitude = 2 * float(np.sqrt(np.mean(np.abs(series) ** 2))) / float(window.sum())
            for mains in MAINS:
                coherence = 0.0 if mains in best.unseen else _coherence(series, times, 2 * mains)
                if amplitude * coherence > best.amplitude * best.coherence:
                    best = Flicker(amplitude, coherence, mains, best.unseen)
        return best


def _stands(times: npt.NDArray[np.float64], hertz: float) -> bool:
    steps = np.exp(2j * np.pi * hertz * np.diff(times))
    return bool(steps.real.mean() > _SAME)


def _coherence(series: npt.NDArray[np.complex128], times: npt.NDArray[np.float64], hertz: float) -> float:
    """Share of the series' power that turns at `hertz` (either way); mains and sensor clocks may differ a little."""
    power = float(np.sum(np.abs(series) ** 2)) * len(series)
    if power <= 0:
        return 0.0
    found = 0.0
    for near in np.linspace(hertz - 0.15, hertz + 0.15, 7):
        turning = np.exp(2j * np.pi * near * times)
        found = max(found, *(float(np.abs(np.vdot(turn, series)) ** 2) for turn in (turning, turning.conj())))
    return found / power


def blur_of(grey: Grey) -> tuple[float, float]:
    """The no-reference blur measure of Crété et al., "The blur effect" (2007): 0 sharp to 1 blurred; and the mean
    gradient in grey levels a pixel, without which there is nothing to be sharp. Taken at half size, where noise is
    less.
    """
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    measures, gradients = [], []
    for axis, kernel in ((0, (1, 9)), (1, (9, 1))):
        smooth = cv2.blur(half, kernel)
        sharp_steps = np.abs(np.diff(half, axis=axis))
        smooth_steps = np.abs(np.diff(smooth, axis=axis))
        total = float(sharp_steps.sum())
        lost = float(np.maximum(0, sharp_steps - smooth_steps).sum())
        measures.append((total - lost) / total if total > 0 else 1.0)
        gradients.append(float(sharp_steps.mean()))
    return max(measures), max(gradients)


def distortion_of(grey: npt.NDArray[np.uint8]) -> float | None:
    """How far the printed chessboard's corners lie from where a pinhole camera would see them, as a share of the
    picture's diagonal (largest over all corners); None if no board is seen."""
    scale = 640 / max(grey.shape)
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    quick = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_FAST_CHECK
    found, corners = cv2.findChessboardCorners(small, BOARD, flags=quick)
    if not found:
        return None
    corners = cv2.cornerSubPix(
        small, corners, (5, 5), (-1, -1), (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 30, 0.01)
    )
    seen = corners.reshape(-1, 2).astype(np.float64)
    plan = np.mgrid[0 : BOARD[0], 0 : BOARD[1]].T.reshape(-1, 2).astype(np.float64)
    homography, _ = cv2.findHomography(plan, seen, 0)
    straight = cv2.perspectiveTransform(plan[None], homography)[0]
    return float(np.linalg.norm(straight - seen, axis=1).max() / np.hypot(*small.shape))
