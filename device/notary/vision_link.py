"""The notary's side of vision: meeting a worker, and remembering what the last one said about itself.

In: the vision socket. Out: a `Meeting` with one worker, which serves one verification or none; the facts (camera and
models) of the last worker met, for health and for `GET /v1/device`. A worker that is met and left ends, and the next
needs a moment to load its models; so the box is probed seldom, and a worker met by a probe is kept for a verification
that follows at once.
"""

from __future__ import annotations

import select
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from device.channel import Channel, connect, require_peer
from device.errors import ChannelTimeout, PeerError
from device.protocol import FROM_VISION, MAX_VISION_BYTES, TO_VISION, VISION_MESSAGES, VisionReady

GREETING_SECONDS: Final = 20.0
"""How long a worker may take to say that it is ready: on a small board it may still be loading its models."""
_FRESH_SECONDS: Final = 7.0  # a worker waits ten seconds for its order
_PROBE_AFTER: Final = 300.0
_PROBE_AGAIN: Final = 1.0


@dataclass(frozen=True)
class Meeting:
    """A connection to one worker that has said what it is."""

    channel: Channel
    ready: VisionReady
    since: float

    @property
    def fresh(self) -> bool:
        """Whether the worker is still there, and will be for a moment."""
        young = time.monotonic() - self.since < _FRESH_SECONDS
        return young and not select.select([self.channel], [], [], 0)[0]

    @property
    def usable(self) -> bool:
        """`fresh`, and not closed by us."""
        return self.channel.fileno() >= 0 and self.fresh

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()


class VisionLink:
    """May be used from any thread.

    Args:
        path: the vision socket.
        allowed_users: who may be listening there.
    """

    def __init__(self, path: Path, allowed_users: frozenset[int]) -> None:
        self._path = path
        self._allowed = allowed_users
        self._probing = threading.Lock()
        self._keeping = threading.Lock()
        self._kept: Meeting | None = None
        self._checked_at = float("-inf")
        self.ready: VisionReady | None = None
        self.trouble = "vision has not been asked yet"

    def meet(self, timeout: float = GREETING_SECONDS) -> Meeting:
        """Connects to the worker that stands by. Raises `PeerError` if none answers, or not as the protocol says."""
        kept = self._take_kept()
        if kept is not None:
            return kept
        try:
            meeting = self._meet(timeout)
        except PeerError as error:
            self.note(str(error))
            raise
        self.ready = meeting.ready
        self.note("")
        return meeting

    def _meet(self, timeout: float) -> Meeting:
        connection = connect(self._path)
        require_peer(connection, self._allowed)
        channel = Channel(
            connection,
            decoder=VISION_MESSAGES,
            incoming=FROM_VISION,
            outgoing=TO_VISION,
            incoming_budget=MAX_VISION_BYTES,
        )
        try:
            ready = channel.receive(timeout)
        except ChannelTimeout as error:
            channel.close()
            raise PeerError(f"no vision worker was ready within {timeout:.0f} s; its log says why") from error
        except PeerError:
            channel.close()
            raise
        assert isinstance(ready, VisionReady)  # the protocol's order: nothing else can come first
        return Meeting(channel, ready, time.monotonic())

    def _take_kept(self) -> Meeting | None:
        with self._keeping:
            kept, self._kept = self._kept, None
        if kept is None or kept.fresh:
            return kept
        kept.channel.close()
        return None

    def note(self, trouble: str) -> None:
        """What is known now about vision; empty: it is well."""
        self.trouble = trouble
        self._checked_at = time.monotonic()

    def probe_if_stale(self) -> None:
        """Asks a worker in the background, unless one was met lately. Returns at once."""
        age = time.monotonic() - self._checked_at
        if age < (_PROBE_AGAIN if self.trouble else _PROBE_AFTER) or not self._probing.acquire(blocking=False):
            return
        threading.Thread(target=self._probe, name="vision-probe", daemon=True).start()

    def _probe(self) -> None:
        try:
            meeting = self.meet()
            with self._keeping:
                self._kept = meeting
        except PeerError:
            pass  # noted
        finally:
            self._probing.release()
