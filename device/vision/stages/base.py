"""What a stage is, and what the stages leave for each other.

A stage takes frames one at a time and says, for each, the one thing the person should do (`Step`).
It never waits, sleeps or talks: time is what the frames' time stamps say.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from device.protocol import Check, CheckReport, Guidance, Reason, Result, SealShown, Stage
from device.vision.camera.base import Frame
from device.vision.document.fusion import DocumentResult
from device.vision.face.view import FaceView


@dataclass(frozen=True)
class Step:
    """A frame's yield. `face` is the view that guidance is about; `step` of `steps` counts challenge movements."""

    guidance: Guidance
    face: FaceView | None = None
    step: int = 0
    steps: int = 0


@dataclass
class Findings:
    """What earlier stages found that later ones need. Lives and dies with the worker."""

    document: DocumentResult | None = None
    seal: SealShown | None = None
    """What the notary is to verify."""
    portraits: list[NDArray[np.float32]] = field(default_factory=list)
    """Embeddings of the document's portrait, best view first; each (D,) float32, L2-normalised."""


class StageMachine(abc.ABC):
    """One stage of one verification."""

    stage: Stage

    @abc.abstractmethod
    def observe(self, frame: Frame) -> Step:
        """Looks at one frame."""

    @property
    @abc.abstractmethod
    def done(self) -> bool:
        """Nothing more to see in this stage."""

    @abc.abstractmethod
    def reports(self) -> list[CheckReport]:
        """The checks that this stage answers, as they stand now; called once, when the stage is over or out of time."""


def passed(check: Check, method: str) -> CheckReport:
    """A report that says pass."""
    return CheckReport(check, Result.PASS, None, method)


def failed(check: Check, reason: Reason, method: str) -> CheckReport:
    """A report that says fail, and why."""
    return CheckReport(check, Result.FAIL, reason, method)


def not_performed(check: Check, reason: Reason, method: str = "") -> CheckReport:
    """A report that says that nobody could look, and why."""
    return CheckReport(check, Result.NOT_PERFORMED, reason, method)
