"""A verification without processes: the real session, instruments and policy before the emulated camera."""

from dataclasses import dataclass
from datetime import date

import pytest

from device.config import VisionConfig
from device.errors import CameraError, ModelError
from device.notary.decision import decide
from device.notary.policy import load_policies
from device.protocol import Check, CheckReport, Finished, Outcome, Progress
from device.vision.camera.base import open_camera
from device.vision.camera.watch import CameraWatch
from device.vision.inference.manifest import load_manifest
from device.vision.instruments import load_instruments
from device.vision.plan import make_plan
from device.vision.session import Session


@dataclass(frozen=True)
class Played:
    """What came of a scenario."""

    outcome: Outcome
    checks: dict[Check, CheckReport]
    progress: list[Progress]
    finished: Finished
    frames: int


@pytest.fixture(scope="session")
def instruments():
    try:
        return load_instruments(load_manifest(), 1)
    except ModelError as error:
        pytest.skip(f"{error}")


def play(scenario: str, instruments, seed: bytes = bytes(range(32)), policy: str = "demo") -> Played:
    """Runs a scenario (a built-in name or a path) to its end on the emulated camera's clock."""
    rules = load_policies()[policy]
    order = rules.order("scenario-verification", seed)
    today = date.today()
    session = Session(order, make_plan(order, instruments, today), CameraWatch(), today)
    said, now, count = [], 0.0, 0
    with open_camera(VisionConfig(camera=f"emulated:{scenario}", pace="fast")) as camera:
        while not session.finished:
            try:
                frame = camera.read(0.5)
            except CameraError:
                new = session.camera_lost(now)
            else:
                now = frame.time if frame is not None else now + 0.5
                count += frame is not None
                new = session.observe(frame) if frame is not None else session.tick(now)
            for message in new:
                if isinstance(message, Progress):
                    camera.prompt(message)
            said += new
    finished = said[-1]
    assert isinstance(finished, Finished)
    decision = decide(rules, finished.checks)
    return Played(
        decision.outcome,
        {report.check: report for report in finished.checks},
        [message for message in said if isinstance(message, Progress)],
        finished,
        count,
    )
