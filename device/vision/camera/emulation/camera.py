"""The camera that looks at a scenario: person, document and room, with the faults that the scenario gives the camera.

In: `Progress` through `prompt`, as the kiosk page would show it. Out: `Frame`s.
"""

from __future__ import annotations

from device.config import VisionConfig
from device.errors import CameraError, ConfigurationError
from device.protocol import Progress, Stage
from device.vision.camera.base import Image
from device.vision.camera.emulated import PacedCamera
from device.vision.camera.emulation.person import Person
from device.vision.camera.emulation.scenario import Fault, Scenario, load_scenario
from device.vision.camera.emulation.scene import Scene
from device.vision.camera.emulation.shown_code import ShownCodes

SLOW_FRAMES = 1.0
"""Seconds between the frames of a camera that is slow."""


class ScenarioCamera(PacedCamera):
    """See the module's text.

    Args:
        config: frame size, rate and pace.
        named: a built-in scenario's name or a `.toml` path, and optionally `#` and another seed.
        scenario: to be played in place of what is found under that name.

    Raises:
        ConfigurationError: no such scenario, a key that is wrong, or a picture or package that is missing.
    """

    def __init__(self, config: VisionConfig, named: str, scenario: Scenario | None = None) -> None:
        name, _, seed = named.partition("#")
        if seed and not seed.isdecimal():
            raise ConfigurationError(f"scenario {named!r}: the seed after # is a number")
        self.scenario: Scenario = scenario or load_scenario(name)
        super().__init__(config, f"scenario {name}")
        self._seed = int(seed) if seed else self.scenario.seed
        self._size = (config.width, config.height)
        self._scene = Scene(self.scenario, self._size, self._seed)
        self._person = Person(self.scenario, self._seed)
        self._codes = {stage: ShownCodes(files) for stage, files in self.scenario.codes.items()}
        self._stage = Stage.CONSENT
        self._stage_begun: dict[Stage, float] = {}
        self._last: Image | None = None
        self._last_slow = -SLOW_FRAMES

    @property
    def scene(self) -> Scene:
        """What the camera looks at; tests and the preview ask it what is printed on the document."""
        return self._scene

    def _open(self) -> None:
        super()._open()
        self._person = Person(self.scenario, self._seed)
        self._stage_begun.clear()
        self._last, self._last_slow = None, -SLOW_FRAMES

    def prompt(self, progress: Progress) -> None:
        """The person hears it now, and reacts when people do."""
        now = self._played(self.time())
        self._stage_begun.setdefault(progress.stage, now)
        self._stage = progress.stage
        self._person.hear(progress.stage, progress.guidance, now)

    def _played(self, time: float) -> float:
        """Seconds since the camera was opened: the scene knows no other clock, so that it plays alike every time."""
        return round(time - self._begun, 6)

    def _picture(self, number: int, time: float) -> Image | None:  # noqa: ARG002
        time = self._played(time)
        fault = self._fault(time)
        if fault is Fault.UNPLUGGED:
            raise CameraError(f"{self._identity.description}: no longer there (emulated unplugging)")
        if fault is Fault.LOST:
            return None
        if fault is Fault.SLOW and time - self._last_slow < SLOW_FRAMES:
            return None
        if fault is Fault.FROZEN and self._last is not None:
            return self._last.copy()
        self._last_slow = time
        pose = self._person.at(time)
        self._last = self._scene.dark() if fault is Fault.BLACK else self._scene.frame(pose)
        if self._stage in self._codes and fault is not Fault.BLACK:
            self._last = self._codes[self._stage].draw(self._last, time - self._stage_begun[self._stage])
        return self._last

    def _made(self, slots: int) -> int:
        slow = self._fault(self._last_slow) is Fault.SLOW
        return max(1, int(slots * self._frame_time / SLOW_FRAMES)) if slow else slots

    def _fault(self, time: float) -> Fault:
        begun = self._stage_begun.get(self.scenario.camera.stage)
        if begun is None or time - begun < self.scenario.camera.after:
            return Fault.NONE
        return self.scenario.camera.fault
