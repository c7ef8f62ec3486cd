"""A stop signal that `select` can wait for together with sockets.

In: `set()`, from a signal handler or another thread. Out: a descriptor that stays readable from then on.
"""

from __future__ import annotations

import os


class Stop:
    """Set once, never cleared."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self.is_set = False

    def set(self) -> None:
        """Idempotent; safe in a signal handler."""
        if not self.is_set:
            self.is_set = True
            os.write(self._write, b"!")

    def fileno(self) -> int:
        return self._read
