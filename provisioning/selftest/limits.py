"""The self-test's limits: in `limits.toml` beside this file, not in code."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Exposure(_Table, frozen=True):
    """Grey levels and shares."""

    darkest: float
    brightest: float
    clipped: float
    crushed: float


class Light(_Table, frozen=True):
    """At the person's place."""

    darkest: float
    backlight: float


class Focus(_Table, frozen=True):
    """See the file."""

    structure: float
    blur: float


class Noise(_Table, frozen=True):
    """See the file."""

    sigma: float


class Flicker(_Table, frozen=True):
    """See the file."""

    amplitude: float
    coherence: float


class Rate(_Table, frozen=True):
    """See the file."""

    share: float
    lost: float


class Distortion(_Table, frozen=True):
    """See the file."""

    share: float


class System(_Table, frozen=True):
    """See the file."""

    temperature: float
    clock: float


class VerificationTime(_Table, frozen=True):
    """See the file."""

    seconds: float
    frame: float


class Limits(_Table, frozen=True):
    """The whole file."""

    exposure: Exposure
    light: Light
    focus: Focus
    noise: Noise
    flicker: Flicker
    rate: Rate
    distortion: Distortion
    system: System
    verification: VerificationTime


@functools.cache
def load_limits() -> Limits:
    """As they come with the package."""
    return msgspec.toml.decode(Path(__file__).with_name("limits.toml").read_bytes(), type=Limits)
