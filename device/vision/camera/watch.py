"""Notices a camera that is lost, frozen, black or slow within two seconds. Pure: frames and clock readings come in.

In: every frame read, or None for every read that timed out, with the time at which it was read.
Out: the reason why this camera cannot serve a verification now, or None. A reason goes away when the camera is well
again; what to make of it (wait, or end the check) is the session's business.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from device.protocol import Reason
from device.vision.camera.base import Frame, Image

NOTICE_SECONDS: Final = 1.5
"""How long a fault lasts before it is reported; reading and reporting still fit in 2 s."""

MINIMUM_FPS: Final = 3.0
"""Below this a blink (150-400 ms) can fall between two frames, so no challenge can be judged."""

BLACK_LEVEL: Final = 24
"""Nearly every sample of a covered or dead sensor lies below this (8-bit; sensor pedestal and noise stay under it)."""

BLACK_SHARE: Final = 0.99
"""Share of the samples that must lie below `BLACK_LEVEL`: hot pixels and a light leak do not hide the fault."""

_SAMPLES: Final = 64  # rows and columns looked at for blackness: 4,096 pixels tell as much as all of them


class CameraWatch:
    """Watches one opened camera.

    Args:
        fps: the rate that the camera was asked for, frames a second. A camera that was asked for few frames
            is slow only below half of that.
    """

    def __init__(self, fps: float = 15.0) -> None:
        self._minimum_fps = min(MINIMUM_FPS, fps / 2)
        self._begun: float | None = None
        self._arrived: float | None = None
        self._last: Frame | None = None
        self._black_since: float | None = None
        self._changed: float | None = None
        self._recent: deque[tuple[float, int]] = deque()
        self._rate: float | None = None

    def observe(self, frame: Frame | None, now: float) -> Reason | None:
        """Takes in one read.

        Args:
            frame: what the camera gave, or None if nothing came in time. The same frame given twice counts once.
            now: seconds on the clock that `Frame.time` is told on, when the read ended.

        Returns:
            `CAMERA_LOST`, `CAMERA_BLACK`, `CAMERA_FROZEN` or `CAMERA_SLOW` (the first that holds), or None.
        """
        if self._begun is None:
            self._begun = now
        if frame is not None and (self._last is None or frame.number != self._last.number):
            self._take(frame, now)
        if now - (self._begun if self._arrived is None else self._arrived) >= NOTICE_SECONDS:
            return Reason.CAMERA_LOST
        if self._black_since is not None and now - self._black_since >= NOTICE_SECONDS:
            return Reason.CAMERA_BLACK
        if self._changed is not None and now - self._changed >= NOTICE_SECONDS:
            return Reason.CAMERA_FROZEN
        return Reason.CAMERA_SLOW if self._slow() else None

    def _take(self, frame: Frame, now: float) -> None:
        if self._last is None or not _identical(frame.image, self._last.image):
            self._changed = now
        if not _black(frame.image):
            self._black_since = None
        elif self._black_since is None:
            self._black_since = now
        self._arrived, self._last = now, frame
        self._recent.append((now, frame.number))
        while len(self._recent) > 2 and now - self._recent[1][0] >= NOTICE_SECONDS:
            self._recent.popleft()
        begun, first = self._recent[0]
        self._rate = (frame.number - first) / (now - begun) if now - begun >= NOTICE_SECONDS else None

    def _slow(self) -> bool:
        """Judged from arrival to arrival, and in the camera's own frame numbers: neither a sudden silence
        nor a slow reader is a slow camera."""
        return self._rate is not None and self._rate < self._minimum_fps


def _identical(one: Image, other: Image) -> bool:
    """Every pixel the same. Sensor noise makes two exposures differ even of an unmoving scene in the dark."""
    if one.shape != other.shape or not np.array_equal(one[::_SAMPLES], other[::_SAMPLES]):
        return False
    return np.array_equal(one, other)


def _black(image: Image) -> bool:
    rows, columns = max(1, image.shape[0] // _SAMPLES), max(1, image.shape[1] // _SAMPLES)
    return float(np.mean(image[::rows, ::columns].max(axis=2) < BLACK_LEVEL)) >= BLACK_SHARE
