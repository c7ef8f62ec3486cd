"""How bodies move: springs that settle without swinging, pulses, and the tremor of a hand.

In: targets and time. Out: positions. Everything is a pure function of its seed and the times asked for.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

_STEP: Final = 1 / 120
"""Seconds: springs are stepped this finely, so that the course of a movement hardly depends on the frame rate."""


class Spring:
    """A critically damped spring: `value` follows `target`, 90 % of the way in about 3.9 / `pace` seconds."""

    def __init__(self, value: float, pace: float) -> None:
        self.value = self.target = value
        self._pace, self._speed = pace, 0.0

    def advance(self, seconds: float) -> float:
        """Moves on and returns the new value."""
        while seconds > 1e-9:
            step = min(seconds, _STEP)
            pull = self._pace**2 * (self.target - self.value) - 2 * self._pace * self._speed
            self._speed += pull * step
            self.value += self._speed * step
            seconds -= step
        return self.value


class Tremor:
    """A small unrest about zero, of unit standard deviation: slow sway, and the 8 to 11 Hz of muscles."""

    _BANDS: Final = ((0.15, 0.5, 1.0), (0.6, 1.6, 0.55), (8.0, 11.0, 0.12))  # lowest and highest Hz, amplitude

    def __init__(self, random: np.random.Generator) -> None:
        parts = [
            (amplitude, random.uniform(low, high) * math.tau, random.uniform(0, math.tau))
            for low, high, amplitude in self._BANDS
            for _ in range(2)
        ]
        norm = math.sqrt(sum(amplitude**2 for amplitude, _, _ in parts) / 2)
        self._parts = [(amplitude / norm, speed, phase) for amplitude, speed, phase in parts]

    def at(self, time: float) -> float:
        """The displacement at `time`."""
        return sum(amplitude * math.sin(speed * time + phase) for amplitude, speed, phase in self._parts)


def smooth(fraction: float) -> float:
    """0..1 to 0..1 with no jump in speed at either end."""
    fraction = min(1.0, max(0.0, fraction))
    return fraction * fraction * (3 - 2 * fraction)


def pulse(elapsed: float, rise: float, hold: float, fall: float) -> float:
    """0, up to 1, held, and back to 0, `elapsed` seconds after it began."""
    if elapsed < 0:
        return 0.0
    if elapsed < rise + hold:
        return smooth(elapsed / rise)
    return 1 - smooth((elapsed - rise - hold) / fall)
