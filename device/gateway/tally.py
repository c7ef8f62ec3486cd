"""What the operator may know of a day: how many verifications ended how, and how the camera fares.

In: changes of verifications. Out: a `Day`, and `Recent` numbers of the last ones, in order and without time, id or
relying party: nothing that leads to anyone. Kept in memory: it begins anew with the gateway; the ledger has the record.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from device.gateway.snapshot import Snapshot
from device.gateway.verifications import Verification
from device.gateway.wire import State
from device.protocol import Guidance, Reason

KEPT: Final = 40
LIGHT: Final = frozenset({Guidance.TOO_DARK, Guidance.TOO_BRIGHT, Guidance.GLARE})
SHARPNESS: Final = frozenset({Guidance.DOCUMENT_UNCLEAR, Guidance.HOLD_STILL})
CAMERA: Final = frozenset(
    {
        Reason.CAMERA_LOST,
        Reason.CAMERA_FROZEN,
        Reason.CAMERA_BLACK,
        Reason.CAMERA_SLOW,
        Reason.CAMERA_UNEXPECTED,
    }
)


@dataclass(frozen=True)
class Recent:
    """One check: its seconds from consent to result, and how often the person was told of light or of sharpness."""

    seconds: float
    light: int
    sharpness: int


@dataclass(frozen=True)
class Day:
    """Since midnight, or since the gateway started if that was later."""

    since: datetime.datetime
    outcomes: Mapping[str, int]
    reasons: Mapping[str, int]
    camera_faults: int
    recent: tuple[Recent, ...]


@dataclass
class _Course:
    began: float
    hints: Counter[str] = field(default_factory=Counter)


class Tally:
    """Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since = datetime.datetime.now().astimezone()
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._faults = 0
        self._recent: deque[Recent] = deque(maxlen=KEPT)
        self._running: dict[str, _Course] = {}

    def changed(self, verification: Verification, old: Snapshot, new: Snapshot) -> None:
        """A `Watcher`."""
        with self._lock:
            self._turn()
            if new.open and new.state is State.RUNNING:
                course = self._running.setdefault(verification.id, _Course(time.monotonic()))
                if new.guidance is not old.guidance:
                    course.hints["light"] += new.guidance in LIGHT
                    course.hints["sharpness"] += new.guidance in SHARPNESS
            if old.open and not new.open:
                self._end(self._running.pop(verification.id, None), new)

    def _end(self, course: _Course | None, new: Snapshot) -> None:
        finished = new.state is State.FINISHED and new.outcome is not None and new.token is not None
        self._outcomes[new.outcome.value if finished and new.outcome else new.state.value] += 1
        if new.reason is not None:
            self._reasons[new.reason.value] += 1
            self._faults += new.reason in CAMERA
        if course is not None and finished:
            seconds = time.monotonic() - course.began
            self._recent.append(Recent(seconds, course.hints["light"], course.hints["sharpness"]))

    def day(self) -> Day:
        """As of now."""
        with self._lock:
            self._turn()
            outcomes, reasons = dict(self._outcomes), dict(self._reasons.most_common())
            return Day(self._since, outcomes, reasons, self._faults, tuple(self._recent))

    def _turn(self) -> None:
        now = datetime.datetime.now().astimezone()
        if now.date() != self._since.date():
            self._since = now.replace(hour=0, minute=0, second=0, microsecond=0)
            self._outcomes.clear()
            self._reasons.clear()
            self._faults = 0
