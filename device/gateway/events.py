"""Server-sent events: a verification's pictures, as they come, to one reader.

In: a `Verification` and a function that writes a snapshot as JSON. Out: the bytes of a `text/event-stream`
(HTML Living Standard, 9.2). Events are `progress` and, as the last, `finished`; comments keep the line alive. A reader
that is slower than the camera gets the newest picture and not a queue of old ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Final

from device.gateway.limits import Limits
from device.gateway.problems import Kind, Problem
from device.gateway.snapshot import Snapshot
from device.gateway.verifications import Verification

MEDIA_TYPE: Final = "text/event-stream"
LOOK_SECONDS: Final = 1.0  # how soon a stream notices that the gateway is stopping

Render = Callable[[Verification, Snapshot], bytes]


class Streams:
    """Counts the open event streams, which each hold a thread, and ends them when the gateway stops."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._open = 0
        self._stopping = threading.Event()

    @property
    def open(self) -> int:
        """How many there are."""
        return self._open

    @property
    def stopping(self) -> bool:
        """Whether the gateway is about to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ends them all within `LOOK_SECONDS`."""
        self._stopping.set()

    def stream(self, verification: Verification, render: Render) -> Iterator[bytes]:
        """The events. Takes its place at once, so that a refusal can still be an answer.

        Raises:
            Problem: `too-many-streams`.
        """
        with self._lock:
            if self._open >= self._limits.streams or verification.streams >= self._limits.streams_each:
                raise Problem(Kind.TOO_MANY_STREAMS, "Close one, or ask for the state instead.", retry_after=5)
            self._open += 1
            verification.streams += 1
        return Events(self._run(verification, render), lambda: self._leave(verification))

    def _leave(self, verification: Verification) -> None:
        with self._lock:
            self._open -= 1
            verification.streams -= 1

    def _run(self, verification: Verification, render: Render) -> Generator[bytes, None, None]:
        seen, spoke = 0, time.monotonic()
        while not self._stopping.is_set():
            snapshot = verification.wait(seen, min(LOOK_SECONDS, self._limits.heartbeat_seconds))
            if snapshot.version > seen:
                seen, spoke = snapshot.version, time.monotonic()
                kind = "progress" if snapshot.open else "finished"
                data = render(verification, snapshot).decode()
                yield f"id: {seen}\nevent: {kind}\ndata: {data}\n\n".encode()
                if not snapshot.open:
                    return
            elif time.monotonic() - spoke >= self._limits.heartbeat_seconds:
                spoke = time.monotonic()
                yield b": still here\n\n"


class Events(Iterator[bytes]):
    """An iterator whose `close` is called by the server exactly when the stream is over, even if it never began."""

    def __init__(self, events: Generator[bytes, None, None], leave: Callable[[], None]) -> None:
        self._events = events
        self._leave: Callable[[], None] | None = leave

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> bytes:
        return next(self._events)

    def close(self) -> None:
        """Idempotent."""
        self._events.close()
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
