"""Decides which progress is worth a message, so that what leaves vision stays small whatever the camera's rate.

In: what a frame yielded. Out: a `Progress` to send, or None. A new stage or step goes out at once, and so does other
guidance unless it flickers: then, after `GUIDANCE_BURST` changes, `GUIDANCE_HZ` times a second (nobody follows more).
The mirror (face box and pose) moves at most `MIRROR_HZ` times a second. Guidance, mirror and countdown only while their
part of the byte budget lasts.
"""

from __future__ import annotations

from typing import Final

from device.protocol import MAX_VISION_BYTES, Progress, encode

MIRROR_HZ: Final = 4.0
GUIDANCE_HZ: Final = 2.0
GUIDANCE_BURST: Final = 4
COUNTDOWN_SECONDS: Final = 3.0
FOR_ANSWERS: Final = 4096
"""Bytes kept back for `VisionReady`, `SealShown` and `Finished`."""
FOR_STEPS: Final = FOR_ANSWERS + 1024
"""And for every new stage and step: without those a person would not know what to do."""
FOR_COUNTDOWN: Final = FOR_STEPS + 2048
"""And for the countdown, which brings the guidance of its moment along."""
FOR_GUIDANCE: Final = FOR_COUNTDOWN + 2048
"""And for guidance: the mirror is the first to go."""


class Outbox:
    """The throttle of one verification."""

    def __init__(self) -> None:
        self._last: Progress | None = None
        self._sent_at = float("-inf")
        self._bytes = 0
        self._changes_left, self._earned_at = float(GUIDANCE_BURST), 0.0

    def offer(self, progress: Progress, now: float) -> Progress | None:
        """`progress` if it is to be sent now.

        Args:
            now: seconds on the frames' clock.
        """
        last, silent = self._last, now - self._sent_at
        if last is None or _place(progress) != _place(last):
            return self._take(progress, now, FOR_ANSWERS)
        if silent >= COUNTDOWN_SECONDS:
            return self._take(progress, now, FOR_STEPS)
        if progress.guidance is not last.guidance:
            return self._take(progress, now, FOR_COUNTDOWN) if self._may_change(now) else None
        moved = (progress.face, progress.pose) != (last.face, last.pose)
        return self._take(progress, now, FOR_GUIDANCE) if moved and silent >= 1 / MIRROR_HZ else None

    def _may_change(self, now: float) -> bool:
        """Whether guidance may change now: a change is earned with time, and a few can be saved up."""
        earned = (now - self._earned_at) * GUIDANCE_HZ
        self._changes_left, self._earned_at = min(GUIDANCE_BURST, self._changes_left + earned), now
        if self._changes_left < 1:
            return False
        self._changes_left -= 1
        return True

    def _take(self, progress: Progress, now: float, kept_back: int) -> Progress | None:
        size = len(encode(progress)) + 2
        if self._bytes + size > MAX_VISION_BYTES - kept_back:
            return None
        self._last, self._sent_at = progress, now
        self._bytes += size
        return progress


def _place(progress: Progress) -> tuple[object, ...]:
    return (progress.stage, progress.step, progress.steps)
