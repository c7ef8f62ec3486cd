"""Reads `parameters.toml` beside this file into frozen structs: what the liveness rules insist on.

In: nothing, or another TOML text of the same tables. Out: `LivenessParameters`. An unknown key, a missing one or a
value out of its bounds is a `ConfigurationError`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from device.errors import ConfigurationError

FILE = Path(__file__).with_name("parameters.toml")

Seconds = Annotated[float, Meta(ge=0.0, le=60.0)]
Degrees = Annotated[float, Meta(gt=0.0, le=90.0)]
Fraction = Annotated[float, Meta(gt=0.0, lt=1.0)]


class ChallengeParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds and windows of the challenge; the comments in the TOML say what each is."""

    baseline_seconds: Seconds
    baseline_frames: Annotated[int, Meta(ge=1, le=60)]
    baseline_window: Seconds
    baseline_pose: Degrees
    baseline_spread: Degrees
    turn: Degrees
    look_up: Degrees
    look_down: Degrees
    eye_closed: Fraction
    mouth_open: Fraction
    closer: Annotated[float, Meta(gt=1.0, le=3.0)]
    hold: Seconds
    blink_hold: Seconds
    wrong_hold: Seconds
    wrong_factor: Annotated[float, Meta(ge=1.0, le=3.0)]
    neutral: Fraction
    neutral_expression: Fraction
    neutral_hold: Seconds
    pause_min: Seconds
    pause_max: Seconds
    reaction_min: Seconds
    window: Seconds
    return_window: Seconds
    lost: Seconds
    gap: Seconds


class InjectionParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When frames are not a sensor's; the comments in the TOML say what each is."""

    frames: Annotated[int, Meta(ge=4, le=1000)]
    window: Annotated[int, Meta(ge=4, le=10_000)]
    measurable: Fraction
    changed: Fraction
    quiet_frames: Annotated[int, Meta(ge=2, le=1000)]
    quiet_share: Fraction
    repeats: Annotated[int, Meta(ge=1, le=1000)]
    fastest: Seconds


class ParallaxParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a turn says enough, and what it then says; the comments in the TOML say what each is."""

    turn: Degrees
    nod: Degrees
    stretch: Fraction
    frames: Annotated[int, Meta(ge=1, le=100)]
    reference_pose: Degrees
    reference_frames: Annotated[int, Meta(ge=1, le=100)]
    keep: Annotated[int, Meta(ge=1, le=1000)]
    ratio: Annotated[float, Meta(gt=0.0, le=100.0)]
    sheet_ratio: Annotated[float, Meta(gt=0.0, le=100.0)]
    plane_ratio: Annotated[float, Meta(gt=0.0, le=100.0)]
    followed_turn: Degrees
    followed_points: Annotated[int, Meta(ge=8, le=100)]
    followed_ratio: Annotated[float, Meta(gt=0.0, le=100.0)]
    followed_sheet_ratio: Annotated[float, Meta(gt=0.0, le=100.0)]
    followed_plane_ratio: Annotated[float, Meta(gt=0.0, le=100.0)]


class HoldingParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a card in hand has moved by itself; the comments in the TOML say what each is."""

    smoothed: Annotated[int, Meta(ge=1, le=30)]
    moved: Annotated[float, Meta(gt=0.0, le=5.0)]
    grown: Annotated[float, Meta(gt=0.0, le=5.0)]


class LivenessParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All tables of the file."""

    challenge: ChallengeParameters
    injection: InjectionParameters
    parallax: ParallaxParameters
    holding: HoldingParameters


def parse_parameters(text: str) -> LivenessParameters:
    """Raises `ConfigurationError` that names the key which is unknown, missing or out of bounds."""
    try:
        return msgspec.toml.decode(text.encode(), type=LivenessParameters)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"liveness parameters: {error}") from error


@cache
def load_parameters() -> LivenessParameters:
    """The parameters that ship with the package."""
    return parse_parameters(FILE.read_text(encoding="utf-8"))
