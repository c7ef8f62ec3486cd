"""The emulated person: hears what the kiosk page would say, takes a moment, and moves.

In: a scenario, then stage and guidance as they are announced. Out: for each time asked, a `Pose` of the person and
the document in hand. No pixels here. The same scenario and the same announcements give the same movements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from device.protocol import Guidance, Stage
from device.vision.camera.emulation.motion import Spring, Tremor, pulse
from device.vision.camera.emulation.scenario import MOVEMENTS, SHOWING, Behaviour, Scenario

BLINK: Final = (0.09, 0.42, 0.13)
"""Seconds to close, stay closed and open when asked to blink: people who are asked do it with care."""
NATURAL_BLINK: Final = (0.07, 0.06, 0.11)
BLINK_AGAIN: Final = 1.6
"""Seconds after which somebody who is still asked to blink does so again."""
TRY_AGAIN: Final = (2.6, 0.8)
"""Seconds for which a movement is held before somebody who is still asked for it relaxes, and for how long, before
they do it again, a little more."""
ADJUST_AGAIN: Final = 0.9
"""Seconds after which somebody who is still told to move closer moves again."""
GONE: Final = 1.1
"""Frame heights off the middle at which nothing of the person is left in the picture."""

CONTRARY: Final = {
    Guidance.TURN_LEFT: Guidance.TURN_RIGHT,
    Guidance.TURN_RIGHT: Guidance.TURN_LEFT,
    Guidance.LOOK_UP: Guidance.LOOK_DOWN,
    Guidance.LOOK_DOWN: Guidance.LOOK_UP,
    Guidance.BLINK: Guidance.OPEN_MOUTH,
    Guidance.OPEN_MOUTH: Guidance.TURN_LEFT,
    Guidance.COME_CLOSER: Guidance.TURN_RIGHT,
}


@dataclass(frozen=True)
class Head:
    """Angles in degrees (signs as `HeadPose`), eyes and mouth 0..1, `scale` 1 at the usual distance, offsets in shares
    of the frame's height."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    eyes_closed: float = 0.0
    mouth_open: float = 0.0
    scale: float = 1.0
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Held:
    """The document in hand: which side, centre and height as in `Holding`, rotation in degrees. `y` beyond the frame
    means that it is on its way."""

    back: bool
    height: float
    x: float
    y: float
    tilt_x: float
    tilt_y: float
    turn: float
    glare: float
    blur: float


@dataclass(frozen=True)
class Pose:
    """All that the scene has to draw. `head` is None while nobody is there; `cover` is the hand over the lens, 0..1."""

    head: Head | None
    second: Head | None
    held: Held | None
    cover: float


class Person:
    """One person in one verification. Times are the camera's, and only go forward."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario, self._who = scenario, scenario.person
        self._random = np.random.default_rng([seed, 11])
        self._heard: tuple[Stage, Guidance] = (Stage.CONSENT, Guidance.WAIT)
        self._queue: list[tuple[float, Stage, Guidance]] = []
        self._stage, self._guidance = Stage.CONSENT, Guidance.WAIT
        self._stage_since: dict[Stage, float] = {}
        self._time: float | None = None
        self._told = 0.0
        rates = {"yaw": 6.5, "pitch": 7.0, "mouth": 11.0, "scale": 5.0, "away": 2.6, "cover": 9.0}
        self._springs = {name: Spring(0.0, rate) for name, rate in rates.items()}
        self._hand = {name: Spring(0.0, 4.5) for name in ("height", "x", "y", "tilt_x", "tilt_y", "turn")}
        self._hand_visible = False
        self._flip = Spring(0.0, 5.0)
        self._correction = {"height": 1.0, "tilt": 1.0}
        self._adjusted = self._blinked = -math.inf
        self._next_natural = float("nan")
        self._natural = -math.inf
        self._tremors = [Tremor(self._random) for _ in range(10)]

    def hear(self, stage: Stage, guidance: Guidance, time: float) -> None:
        """What the kiosk page says from now on. Saying the same again changes nothing."""
        if (stage, guidance) == self._heard:
            return
        if stage is not self._heard[0]:
            self._stage_since.setdefault(stage, time)
        self._heard = (stage, guidance)
        delay = float(self._random.uniform(*self._who.reaction))
        if stage is Stage.DOCUMENT and stage is not self._stage:
            delay += self._who.late
        self._queue.append((time + delay, stage, guidance))

    def at(self, time: float) -> Pose:
        """Where everything is at `time`."""
        passed = 0.0 if self._time is None else max(0.0, time - self._time)
        self._time = time
        while self._queue and self._queue[0][0] <= time:
            _, stage, guidance = self._queue.pop(0)
            if stage is not self._stage:
                self._correction = {"height": 1.0, "tilt": 1.0}
            self._stage, self._guidance, self._told = stage, guidance, time
        self._adjust(time)
        self._aim(time)
        for spring in self._springs.values():
            spring.advance(passed)
        held = self._held(time, passed)
        head = self._head(time)
        second = self._second(time)
        cover = self._springs["cover"].value
        return Pose(None if self._absent else head, second, held, cover if cover > 0.01 else 0.0)

    # --- what the person wants ---

    @property
    def _absent(self) -> bool:
        return self._who.behaviour is Behaviour.ABSENT or self._springs["away"].value > 0.97 * GONE

    def _misbehaves(self, time: float) -> bool:
        since = self._stage_since.get(self._who.stage)
        return since is not None and time - since >= self._who.after

    def _wish(self, time: float) -> Guidance | None:
        """The movement that the person makes now, if any."""
        if self._stage is not Stage.SELFIE or self._guidance not in MOVEMENTS:
            return None
        if self._misbehaves(time):
            if self._who.behaviour is Behaviour.IGNORES:
                return None
            if self._who.behaviour is Behaviour.WRONG_MOVEMENT:
                return CONTRARY[self._guidance]
        return self._guidance

    def _aim(self, time: float) -> None:
        wish, springs = self._wish(time), self._springs
        tries, since = divmod(time - self._told, sum(TRY_AGAIN))
        effort = 0.0 if since > TRY_AGAIN[0] else min(1.25, 1 + 0.12 * tries)
        turns = {Guidance.TURN_LEFT: 1.0, Guidance.TURN_RIGHT: -1.0}
        nods = {Guidance.LOOK_UP: 1.0, Guidance.LOOK_DOWN: -1.0}
        springs["yaw"].target = turns.get(wish, 0.0) * self._who.yaw * effort if wish else 0.0
        springs["pitch"].target = nods.get(wish, 0.0) * self._who.pitch * effort if wish else 0.0
        springs["mouth"].target = effort if wish is Guidance.OPEN_MOUTH else 0.0
        springs["scale"].target = 0.38 * effort if wish is Guidance.COME_CLOSER else 0.0
        if wish is Guidance.BLINK and time - self._blinked > BLINK_AGAIN:
            self._blinked = time
        misbehaves = self._misbehaves(time)
        springs["away"].target = 1.25 * GONE if misbehaves and self._who.behaviour is Behaviour.WALKS_AWAY else 0.0
        springs["cover"].target = 1.0 if misbehaves and self._who.behaviour is Behaviour.COVERS_CAMERA else 0.0

    def _adjust(self, time: float) -> None:
        """Closer, further, another tilt: as told, by and by."""
        if time - self._adjusted < ADJUST_AGAIN:
            return
        factor = {Guidance.MOVE_CLOSER: 1.12, Guidance.MOVE_BACK: 0.9}.get(self._guidance)
        if self._guidance is Guidance.GLARE:
            self._correction["tilt"] = -self._correction["tilt"] * 1.3
        elif factor is not None:
            self._correction["height"] = min(1.6, max(0.6, self._correction["height"] * factor))
        else:
            return
        self._adjusted = time

    # --- how it looks ---

    def _head(self, time: float) -> Head:
        sway, springs = self._tremors, self._springs
        calm = 0.5 if self._guidance is Guidance.HOLD_STILL else 1.0
        selfie = self._correction["height"] if self._stage is Stage.SELFIE else 1.0
        away = springs["away"].value
        return Head(
            yaw=springs["yaw"].value + 0.7 * calm * sway[0].at(time) + 60 * min(0.6, away / GONE),
            pitch=springs["pitch"].value + 0.6 * calm * sway[1].at(time),
            roll=0.6 * calm * sway[2].at(time),
            eyes_closed=max(pulse(time - self._blinked, *BLINK), self._natural_blink(time)),
            mouth_open=springs["mouth"].value,
            scale=(1 + springs["scale"].value) * selfie * (1 + 0.004 * sway[3].at(time)),
            x=0.003 * calm * sway[4].at(time) + away,
            y=0.002 * calm * sway[5].at(time),
        )

    def _second(self, time: float) -> Head | None:
        if not self._who.second_face or not self._misbehaves(time):
            return None
        sway = self._tremors
        return Head(yaw=-4 + sway[6].at(time), pitch=sway[7].at(time), x=0.004 * sway[8].at(time), scale=0.97)

    def _natural_blink(self, time: float) -> float:
        if not self._who.natural_blinks:
            return 0.0
        if math.isnan(self._next_natural):
            self._next_natural = time + float(self._random.uniform(1.5, 4))
        if time >= self._next_natural:
            self._natural = time
            self._next_natural = time + float(self._random.uniform(2.5, 6))
        return pulse(time - self._natural, *NATURAL_BLINK)

    def _held(self, time: float, passed: float) -> Held | None:
        showing = self._stage in SHOWING and self._scenario.document.layout != "none" and not self._gone_from_hand
        if not showing and not self._hand_visible:
            return None
        how = self._scenario.held(self._stage if showing else Stage.DOCUMENT)
        height = how.height * (self._correction["height"] if showing else 1.0)
        tilt = self._correction["tilt"]
        target = {"height": height, "x": how.x, "y": how.y if showing else 1.3 + height / 2}
        target |= {"tilt_x": how.tilt_x * tilt, "tilt_y": how.tilt_y * tilt, "turn": how.turn}
        for name, spring in self._hand.items():
            if not self._hand_visible:
                spring.value = target[name] if name != "y" else 1.2 + height / 2
            spring.target = target[name]
            spring.advance(passed)
        self._hand_visible = showing or self._hand["y"].value < 1.05 + height / 2
        unrest = [how.motion / 720 * tremor.at(time * 1.3 + 7) for tremor in self._tremors]
        value = {name: spring.value for name, spring in self._hand.items()}
        self._flip.target = 1.0 if self._stage is Stage.DOCUMENT_BACK else 0.0
        flip = self._flip.advance(passed)
        held = Held(back=False, glare=how.glare, blur=how.blur, **value)
        return replace(
            held,
            back=flip > 0.5,
            x=held.x + unrest[0],
            y=held.y + unrest[1],
            tilt_x=held.tilt_x + 200 * unrest[2],
            tilt_y=held.tilt_y + 200 * unrest[3] + 180 * (flip - 1 if flip > 0.5 else flip),
            turn=held.turn + 120 * unrest[4],
        )

    @property
    def _gone_from_hand(self) -> bool:
        return self._springs["away"].value > 0.3
