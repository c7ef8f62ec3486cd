"""Decides which progress is worth a message, so that what leaves vision stays small whatever the camera's rate.

In: what a frame yielded. Out: a `Progress` to send, or None. Guidance changes go out at once; the mirror (face box
and pose) at most `MIRROR_HZ` times a second and only while the byte budget lasts; the countdown every few seconds.
"""

from __future__ import annotations

from typing import Final

from device.protocol import MAX_VISION_BYTES, Progress, encode

MIRROR_HZ: Final = 4.0
COUNTDOWN_SECONDS: Final = 3.0
RESERVED: Final = 2 * 4096 + 1024
"""Bytes kept back for `VisionReady`, `SealShown`, `Finished` and every change of guidance."""


class Outbox:
    """The throttle of one verification."""

    def __init__(self) -> None:
        self._last: Progress | None = None
        self._sent_at = float("-inf")
        self._bytes = 0

    def offer(self, progress: Progress, now: float) -> Progress | None:
        """`progress` if it is to be sent now.

        Args:
            now: seconds on the frames' clock.
        """
        last = self._last
        if last is None or _words(progress) != _words(last):
            return self._take(progress, now)
        if now - self._sent_at >= COUNTDOWN_SECONDS:
            return self._take(progress, now)
        moved = (progress.face, progress.pose) != (last.face, last.pose)
        if moved and now - self._sent_at >= 1 / MIRROR_HZ and self._bytes < MAX_VISION_BYTES - RESERVED:
            return self._take(progress, now)
        return None

    def _take(self, progress: Progress, now: float) -> Progress | None:
        size = len(encode(progress)) + 2
        if self._bytes + size > MAX_VISION_BYTES - 4096:
            return None  # guidance that flickers all along: better silent than cut off by the notary
        self._last, self._sent_at = progress, now
        self._bytes += size
        return progress


def _words(progress: Progress) -> tuple[object, ...]:
    return (progress.stage, progress.guidance, progress.step, progress.steps)
