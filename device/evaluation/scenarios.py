"""Plays scenarios many times before the emulated camera: each attack species and the honest person, with N seeds.

In: names of built-in scenarios, a policy, the number of runs. Out: a `Run` for each seed and a `Tally` for each
scenario. Session, instruments and decision are the box's own, in this process, on the emulated camera's clock: nothing
waits. Each seed is another challenge, other movements of the person, and within bounds another face, reach, distance
and light.

An emulated face is a photograph rendered again. What passive detection says of it is reported, but means nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

import msgspec
import numpy as np

from device.config import VisionConfig
from device.errors import CameraError, ConfigurationError
from device.evaluation.attack_metrics import Rate
from device.notary.decision import decide
from device.notary.policy import Policy
from device.protocol import Check, CheckReport, Finished, Outcome, Progress
from device.vision.camera.base import Camera
from device.vision.camera.emulation.camera import ScenarioCamera
from device.vision.camera.emulation.scenario import Scenario, Species, built_in_scenarios, load_scenario
from device.vision.camera.watch import CameraWatch
from device.vision.instruments import Instruments
from device.vision.plan import make_plan
from device.vision.session import Plan, Said, Session

LIVENESS = (Check.LIVENESS_PASSIVE, Check.LIVENESS_CHALLENGE, Check.LIVENESS_PARALLAX)
HONEST = "standard"
FACES = ("astronaut", "grace_hopper")
READ_PATIENCE = 0.5
"""Seconds that pass on the camera's clock where it gives no frame."""


@dataclass(frozen=True)
class Course:
    """How runs are played: the policy, whether from the document on or the selfie stage alone, the size of frames, and
    how many of them a second the worker has time for."""

    policy: Policy
    whole: bool
    size: tuple[int, int]
    fps: int = 15

    @property
    def rules(self) -> Policy:
        """The policy that decides: where only the selfie stage is played, no more of it than liveness."""
        if self.whole:
            return self.policy
        required = tuple(check for check in self.policy.rules.required if check in LIVENESS)
        if not required:
            raise ConfigurationError(f"policy {self.policy.name}: asks for no liveness check, so no attack can fail it")
        others = tuple(check for check in LIVENESS if check not in required)
        rules = msgspec.structs.replace(self.policy.rules, required=required, optional=others)
        return msgspec.structs.replace(self.policy, rules=rules)


@dataclass(frozen=True)
class Run:
    """What came of one seed."""

    seed: int
    outcome: Outcome
    checks: dict[Check, CheckReport]


@dataclass
class Tally:
    """What came of one scenario."""

    scenario: str
    attack: bool
    runs: list[Run] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        return sum(run.outcome is outcome for run in self.runs)

    @property
    def accepted(self) -> int:
        return self.count(Outcome.VERIFIED)

    @property
    def as_wanted(self) -> bool:
        """Every attack rejected; the honest person accepted in 96 of 100."""
        if self.attack:
            return self.count(Outcome.REJECTED) == len(self.runs)
        return self.accepted >= 0.96 * len(self.runs)

    @property
    def answers(self) -> dict[Check, Counter[str]]:
        """How often each check answered what: `pass`, or its reason."""
        counts: dict[Check, Counter[str]] = {}
        for run in self.runs:
            for check, report in run.checks.items():
                counts.setdefault(check, Counter())[str(report.reason or report.result)] += 1
        return counts

    def as_json(self) -> dict[str, object]:
        """The tally for `--json`; `unwanted` are the seeds that did not end as they should."""
        low, high = Rate(self.accepted, len(self.runs)).interval
        wanted = Outcome.REJECTED if self.attack else Outcome.VERIFIED
        return {
            "runs": len(self.runs),
            "accepted": self.accepted,
            "accepted_interval": [round(low, 4), round(high, 4)],
            "rejected": self.count(Outcome.REJECTED),
            "inconclusive": self.count(Outcome.INCONCLUSIVE),
            "as_wanted": self.as_wanted,
            "unwanted": [run.seed for run in self.runs if run.outcome is not wanted],
            "checks": {str(check): dict(counts.most_common()) for check, counts in self.answers.items()},
        }


def species_scenarios() -> tuple[str, ...]:
    """The honest person, then every built-in attack."""
    return (HONEST, *(name for name in built_in_scenarios() if name.startswith("attack_")))


def play(name: str, seed: int, instruments: Instruments, course: Course) -> Run:
    """One run to its end.

    Raises:
        ConfigurationError: no such scenario, or it cannot be drawn.
    """
    today, rules = date.today(), course.rules
    order = rules.order(f"{name}-{seed}", hashlib.sha256(f"vouchbox scenario run {seed}".encode()).digest())
    plan = make_plan(order, instruments, today)
    session = Session(order, plan if course.whole else Plan(plan.stages[-1:]), CameraWatch(), today)
    width, height = course.size
    config = VisionConfig(camera=f"emulated:{name}", pace="fast", width=width, height=height, fps=course.fps)
    with ScenarioCamera(config, f"{name}#{seed}", varied(load_scenario(name), seed)) as camera:
        finished = _to_the_end(session, camera)
    decision = decide(rules, finished.checks)
    return Run(seed, decision.outcome, {report.check: report for report in finished.checks})


def varied(scenario: Scenario, seed: int) -> Scenario:
    """The scenario with another person, reach, distance and light, as people and boxes differ."""
    rng = np.random.default_rng([seed, 31])
    face, other = (str(name) for name in rng.permutation(FACES))
    person = msgspec.structs.replace(
        scenario.person,
        face=face,
        second_face=other if scenario.person.second_face else "",
        yaw=float(rng.uniform(22, 32)),
        pitch=float(rng.uniform(15, 21)),
        height=float(rng.uniform(0.35, 0.45)),
        x=float(rng.uniform(0.46, 0.54)),
    )
    light = msgspec.structs.replace(
        scenario.light,
        level=float(rng.uniform(0.8, 1.15)),
        gradient=float(rng.uniform(0.1, 0.5)),
        noise=float(rng.uniform(1.2, 2.6)),
    )
    document = msgspec.structs.replace(scenario.document, portrait=face)
    return msgspec.structs.replace(scenario, person=person, light=light, document=document)


def is_attack(name: str) -> bool:
    """Whether the scenario presents or injects something."""
    return load_scenario(name).person.attack is not Species.NONE


def tally(name: str, seeds: Iterable[int], instruments: Instruments, course: Course) -> Tally:
    """All runs of one scenario."""
    found = Tally(name, is_attack(name))
    for seed in seeds:
        found.runs.append(play(name, seed, instruments, course))
    return found


def _to_the_end(session: Session, camera: Camera) -> Finished:
    now = camera.time()
    said: Sequence[Said] = ()
    while not session.finished:
        try:
            frame = camera.read(READ_PATIENCE)
        except CameraError:
            said = session.camera_lost(now)
        else:
            now = frame.time if frame is not None else camera.time()
            said = session.observe(frame) if frame is not None else session.tick(now)
        for message in said:
            if isinstance(message, Progress):
                camera.prompt(message)
    finished = said[-1]
    assert isinstance(finished, Finished)
    return finished
