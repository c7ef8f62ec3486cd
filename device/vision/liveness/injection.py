"""Notices frames that no sensor took: repeated ones, impossible timing, no noise where light always brings some.

In: every frame of a stage, as it comes. Out: `InjectionWatch.suspicious`, once there is evidence, and what it is.
What is kept of a frame is a checksum, two numbers, and how long each part of the picture has been quiet. A synthetic
camera that adds noise and keeps time is not noticed here; that is what the camera's identity, the challenge and the
passive detector are for. That frames come too regularly is no evidence: a sensor's own clock is as regular.
"""

from __future__ import annotations

import itertools
import statistics
import zlib
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from device.vision.camera.base import Frame, Image
from device.vision.liveness.parameters import InjectionParameters, load_parameters

_STRIDE: Final = 4
_DARK, _BRIGHT = 24, 232
"""Only samples between these can show noise: black is clipped, white is saturated."""
_NEW: Final = 0.75
"""A driver may give every frame twice, but no more than twice."""
_ROWS, _COLUMNS = 6, 8
"""Blocks that a picture is looked at in."""
Samples = npt.NDArray[np.uint8]
Blocks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FrameStatistics:
    """What is remembered of one frame: its time in seconds, a checksum of its samples, the share of samples in which
    noise could show, and the share of those that changed since the frame before (None for the first)."""

    time: float
    checksum: int
    measurable: float
    changed: float | None


def frame_statistics(time: float, samples: Samples, before: Samples | None) -> FrameStatistics:
    """Pure: statistics of `samples` (a subset of a frame's pixels, uint8), given those of the frame before."""
    usable = (samples > _DARK) & (samples < _BRIGHT)
    changed: float | None = None
    if before is not None and before.shape == samples.shape and usable.any():
        changed = float((samples != before)[usable].mean())
    return FrameStatistics(time, zlib.crc32(samples.tobytes()), float(usable.mean()), changed)


def block_changes(samples: Samples, before: Samples) -> tuple[Blocks, Blocks]:
    """Pure: of each block of the picture, whether most of its samples could show noise, and whether any of those that
    can has changed since `before`. Both (6, 8)."""
    usable = (samples > _DARK) & (samples < _BRIGHT)
    changed = usable & (samples != before)
    rows = np.linspace(0, samples.shape[0], _ROWS + 1).astype(int)[:-1]
    columns = np.linspace(0, samples.shape[1], _COLUMNS + 1).astype(int)[:-1]

    def per_block(mask: Blocks) -> npt.NDArray[np.int64]:
        return np.add.reduceat(np.add.reduceat(mask.astype(np.int64), rows, axis=0), columns, axis=1)

    total = per_block(np.ones_like(usable))
    return per_block(usable) * 2 > total, per_block(changed) > 0


class InjectionWatch:
    """Judges a sequence of frames. Fed by the session; keeps no pixels but the last frame's samples."""

    def __init__(self, parameters: InjectionParameters | None = None) -> None:
        self._p = parameters or load_parameters().injection
        self._before: Samples | None = None
        self._seen: deque[FrameStatistics] = deque(maxlen=self._p.window)
        self._quiet = np.zeros((_ROWS, _COLUMNS), np.int64)
        self._dead = False

    def add(self, frame: Frame) -> None:
        """Takes in one frame."""
        samples = _samples(frame.image)
        self.observe(frame_statistics(frame.time, samples, self._before))
        if self._before is not None and self._before.shape == samples.shape:
            self._note_quiet_blocks(samples, self._before)
        self._before = samples

    def observe(self, statistics_of_frame: FrameStatistics) -> None:
        """Takes in a frame's statistics."""
        self._seen.append(statistics_of_frame)

    @property
    def evidence(self) -> tuple[str, ...]:
        """The names of what speaks for injected frames: `repeated`, `noiseless`, `timing`. Empty for a sensor's."""
        if len(self._seen) < self._p.frames:
            return ()
        findings = {"repeated": self._repeated(), "noiseless": self._noiseless(), "timing": self._impossible_timing()}
        return tuple(name for name, found in findings.items() if found)

    @property
    def suspicious(self) -> bool:
        """Whether there is any evidence."""
        return bool(self.evidence)

    def _repeated(self) -> bool:
        """Frames that come back after others: a loop. A driver may give one frame twice in a row, but never later."""
        last: dict[int, int] = {}
        again = 0
        for index, seen in enumerate(self._seen):
            if seen.measurable >= self._p.measurable:
                if index - last.get(seen.checksum, index) > 1:
                    again += 1
                last[seen.checksum] = index
        return again >= self._p.repeats

    def _noiseless(self) -> bool:
        """Most pixels stay exactly as they were although light fell on them, frame after frame; or whole parts of the
        picture do for seconds, while others move: a face was drawn before a background."""
        if self._dead:
            return True
        changes = [
            seen.changed for seen in self._seen if seen.changed is not None and seen.measurable >= self._p.measurable
        ]
        return len(changes) >= self._p.frames // 2 and float(np.quantile(changes, _NEW)) < self._p.changed

    def _note_quiet_blocks(self, samples: Samples, before: Samples) -> None:
        usable, changed = block_changes(samples, before)
        if not changed.any():
            return  # the driver gave the same frame again, or there is no light
        self._quiet = np.where(usable & ~changed, self._quiet + 1, 0)
        dead = (self._quiet >= self._p.quiet_frames).sum()
        self._dead = self._dead or bool(dead >= max(2.0, self._p.quiet_share * usable.sum()))

    def _impossible_timing(self) -> bool:
        """Time that runs backwards, or frames faster than any camera of this kind gives them."""
        times = [seen.time for seen in self._seen]
        gaps = [after - before for before, after in itertools.pairwise(times)]
        return any(gap < 0 for gap in gaps) or statistics.median(gaps) < self._p.fastest


def _samples(image: Image) -> Samples:
    """Every fourth pixel of every fourth row, green channel: where a Bayer sensor measured most."""
    return np.ascontiguousarray(image[::_STRIDE, ::_STRIDE, 1])
