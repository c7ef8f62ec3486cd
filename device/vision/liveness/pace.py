"""Did frames come closely enough to follow a movement? A camera may be well and the box too busy to look.

In: the time of each frame that was looked at. Out: how much of the time went by unwatched.
"""

from __future__ import annotations


class Pace:
    """Adds up the gaps between frames.

    Args:
        gap: seconds between two frames above which a movement could fall in between.
    """

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._first: float | None = None
        self._last = 0.0
        self.unwatched = 0.0
        """Seconds in all gaps longer than `gap`."""

    def look(self, time: float) -> float:
        """A frame of that time was looked at. Returns the seconds that went by unwatched before it: 0 or a long gap."""
        before = time if self._first is None else self._last
        if self._first is None:
            self._first = time
        self._last = max(before, time)
        passed = time - before
        missed = passed if passed > self._gap else 0.0
        self.unwatched += missed
        return missed

    @property
    def mostly_unwatched(self) -> bool:
        """Whether more than half of the time went by in such gaps."""
        return self._first is not None and 2 * self.unwatched > self._last - self._first
