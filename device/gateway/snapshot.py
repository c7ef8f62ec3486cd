"""Where a verification stands, as a value: the whole of it at one moment, and what follows from what the notary says.

In: a `Snapshot` and a message. Out: the next `Snapshot`. Pure but for the clock; `verifications` keeps the newest one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

from device.gateway.problems import Kind
from device.gateway.wire import State
from device.protocol import Ended, FaceBox, Guidance, HeadPose, Opened, Outcome, Progress, Reason, Stage

OPEN_STATES: Final = frozenset({State.WAITING_FOR_CONSENT, State.RUNNING})


@dataclass(frozen=True)
class Snapshot:
    """Where a verification stands. `face` and `pose` are for the kiosk page alone.

    `since` and `until` are when the stage began and when it ends by itself, in monotonic seconds: the clock of a board
    without a battery jumps when it finds a time server.
    """

    version: int
    state: State
    stage: Stage
    guidance: Guidance
    since: float
    until: float
    step: int = 0
    steps: int = 0
    face: FaceBox | None = None
    pose: HeadPose | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    token: str | None = None
    verdict_codes: tuple[str, ...] = ()
    proof_codes: tuple[str, ...] = ()
    """Texts of codes for the kiosk page alone: a verdict that nobody can fetch, and what the person takes along."""
    failure: Kind | None = None
    left: bool = False
    """The person has pressed that they are done: the result is no longer shown."""

    @property
    def open(self) -> bool:
        """Whether anything more will happen."""
        return self.state in OPEN_STATES

    @property
    def seconds_left(self) -> int:
        """Until the present stage ends by itself."""
        return max(0, min(3600, round(self.until - time.monotonic()))) if self.open else 0

    @property
    def deadline(self) -> int:
        """The same as Unix time; for one that has ended, when its last stage would have."""
        return round(time.time() + self.until - time.monotonic())


def progressed(old: Snapshot, progress: Progress, consent_said: bool) -> Snapshot:
    """What a frame, or more time for the answer, makes of it."""
    if not old.open:
        return old
    waits = progress.stage is Stage.CONSENT and not consent_said
    return replace(
        old,
        state=State.WAITING_FOR_CONSENT if waits else State.RUNNING,
        stage=progress.stage,
        guidance=progress.guidance,
        since=old.since if progress.stage is old.stage else time.monotonic(),
        until=time.monotonic() + progress.seconds_left,
        step=progress.step,
        steps=progress.steps,
        face=progress.face,
        pose=progress.pose,
    )


def newly_opened(old: Snapshot, opened: Opened) -> Snapshot:
    """A request was read from a code: now the person is asked."""
    return replace(
        old,
        state=State.WAITING_FOR_CONSENT,
        stage=Stage.CONSENT,
        guidance=Guidance.WAIT,
        since=time.monotonic(),
        until=time.monotonic() + opened.seconds_left,
        step=0,
        steps=0,
    )


def finished(old: Snapshot, ended: Ended, token: str | None) -> Snapshot:
    """The notary's last word, with the verdict if there is one."""
    return replace(
        old,
        state=State.FINISHED,
        stage=Stage.FINISHED,
        guidance=Guidance.WAIT,
        since=time.monotonic(),
        outcome=ended.outcome,
        reason=ended.reason,
        token=token,
        face=None,
        pose=None,
    )
