"""What a scenario file may say, and how one is found and read.

In: the name of a built-in scenario (`standard`) or the path of a TOML file. Out: a frozen `Scenario`, or
`ConfigurationError` naming the key. Lengths are shares of the frame's height, angles degrees, times seconds.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from device.config import read_toml
from device.errors import ConfigurationError
from device.protocol import DocumentType, Guidance, Stage

BUILT_IN: Final = Path(__file__).resolve().parent.parent / "scenarios"

Share = Annotated[float, Meta(ge=0, le=1)]
Degrees = Annotated[float, Meta(ge=-60, le=60)]
Seconds = Annotated[float, Meta(ge=0, le=600)]


class Behaviour(enum.StrEnum):
    """What the person does when told what to do."""

    COMPLIES = "complies"
    IGNORES = "ignores"
    WRONG_MOVEMENT = "wrong_movement"
    WALKS_AWAY = "walks_away"
    COVERS_CAMERA = "covers_camera"
    ABSENT = "absent"
    """A document is held into the picture; no face ever is."""


class Fault(enum.StrEnum):
    """What goes wrong with the camera itself."""

    NONE = "none"
    LOST = "lost"
    UNPLUGGED = "unplugged"
    FROZEN = "frozen"
    BLACK = "black"
    SLOW = "slow"


class Species(enum.StrEnum):
    """Presentation attack instruments (ISO/IEC 30107-3): what is shown to the camera instead of a face."""

    NONE = "none"
    PRINT_FLAT = "print_flat"
    PRINT_BENT = "print_bent"
    PRINT_EYE_HOLES = "print_eye_holes"
    PHONE_REPLAY = "phone_replay"
    TABLET_REPLAY = "tablet_replay"
    LAPTOP_REPLAY = "laptop_replay"
    PAPER_MASK = "paper_mask"
    REPLAY_WRONG_CHALLENGE = "replay_wrong_challenge"
    REPLAY_LATE_CHALLENGE = "replay_late_challenge"
    MESH_WARP_INJECTED = "mesh_warp_injected"


class Fields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is printed on the document. Dates are days before or after today, so that a scenario does not age."""

    type: DocumentType = DocumentType.PASSPORT
    issuing_state: Annotated[str, Meta(pattern=r"^[A-Z]{1,3}$")] = "UTO"
    nationality: Annotated[str, Meta(pattern=r"^[A-Z]{1,3}$")] = "UTO"
    surname: Annotated[str, Meta(min_length=1, max_length=39)] = "ERIKSSON"
    given_names: Annotated[str, Meta(max_length=39)] = "ANNA MARIA"
    document_number: Annotated[str, Meta(min_length=1, max_length=22)] = "L898902C3"
    personal_number: Annotated[str, Meta(max_length=15)] = "ZE184226B"
    sex: Annotated[str, Meta(pattern=r"^[FMX]$")] = "F"
    born_days_ago: Annotated[int, Meta(ge=0, le=45_000)] = 19_000
    expires_in_days: Annotated[int, Meta(ge=-10_000, le=10_000)] = 1_500
    issued_days_ago: Annotated[int, Meta(ge=0, le=10_000)] = 700


class Tampering(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One character of the machine readable zone, printed as another; check digits stay those of the true text."""

    line: Annotated[int, Meta(ge=1, le=3)]
    column: Annotated[int, Meta(ge=1, le=44)]
    character: Annotated[str, Meta(pattern=r"^[A-Z0-9<]$")]


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The document that is shown. `portrait` names a face as `Who.face` does."""

    layout: Annotated[str, Meta(pattern=r"^(TD1|TD3|GB11643|none)$")] = "TD3"
    fields: Fields = Fields()
    portrait: str = "astronaut"
    tampering: Tampering | None = None


class Holding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the document is held in one stage.

    `height` is the document's as a share of the frame's; `x` and `y` its centre, from the frame's top left corner;
    `tilt_x`, `tilt_y`, `turn` its rotation about the horizontal, vertical and viewing axis; `glare` the strength of
    the lamp's reflection; `blur` the defocus in pixels; `motion` the tremor of the hand in pixels at 720 lines.
    """

    height: Annotated[float, Meta(ge=0.05, le=1.5)] = 0.86
    x: float = 0.5
    y: float = 0.52
    tilt_x: Degrees = 4.0
    tilt_y: Degrees = -5.0
    turn: Degrees = 1.5
    glare: Share = 0.25
    blur: Annotated[float, Meta(ge=0, le=20)] = 0.6
    motion: Annotated[float, Meta(ge=0, le=40)] = 1.2


class Who(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who stands there and what they do.

    `face` and `second_face` are `astronaut`, `grace_hopper` or the path of a picture of one face.
    `stage`, `after`: the behaviour (other than complying) begins that long after that stage was announced.
    `late`: how much later than others this person brings the document. `height`: of the face, share of the frame's.
    """

    face: str = "astronaut"
    second_face: str = ""
    behaviour: Behaviour = Behaviour.COMPLIES
    stage: Stage = Stage.SELFIE
    after: Seconds = 0.0
    late: Seconds = 0.0
    height: Annotated[float, Meta(ge=0.1, le=0.8)] = 0.40
    x: float = 0.5
    y: float = 0.50
    yaw: Degrees = 36.0
    """How far this person turns; pitch and the others follow the person's build, not the file."""
    pitch: Degrees = 18.0
    reaction: tuple[Seconds, Seconds] = (0.4, 0.8)
    natural_blinks: bool = True
    attack: Species = Species.NONE


class Light(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The room's light and the sensor's noise. `level` is exposure, `gradient` how much brighter one side is."""

    level: Annotated[float, Meta(ge=0.02, le=3)] = 1.0
    gradient: Share = 0.25
    noise: Annotated[float, Meta(ge=0.2, le=20)] = 1.6
    """Standard deviation at mid-grey, of 255."""
    warmth: Annotated[float, Meta(ge=-0.3, le=0.3)] = 0.03


class CameraFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fault of the camera that begins `after` seconds into `stage`."""

    fault: Fault = Fault.NONE
    stage: Stage = Stage.DOCUMENT
    after: Seconds = 1.0


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One whole scene with its person, their document and the camera. `expected` is documentation and test data."""

    summary: Annotated[str, Meta(min_length=1, max_length=200)]
    expected: str = "verified"
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 1
    person: Who = Who()
    document: Document = Document()
    holding: dict[Stage, Holding] = {}
    light: Light = Light()
    camera: CameraFault = CameraFault()
    codes: dict[Stage, Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]] = {}
    """Pictures of codes that the person shows where they are asked for one: in `request` and in `holder_key`."""

    def held(self, stage: Stage) -> Holding:
        """How the document is held in `stage`."""
        beside = Holding(height=0.33, x=0.83, y=0.55, tilt_x=2, tilt_y=-8, turn=-2, glare=0.15, blur=0.4)
        other = beside if stage is Stage.HOLDING else self.holding.get(Stage.DOCUMENT, Holding())
        return self.holding.get(stage, other)


SHOWING: Final = frozenset({Stage.DOCUMENT, Stage.DOCUMENT_BACK, Stage.HOLDING})
"""Stages in which the person has the document in hand."""

MOVEMENTS: Final = frozenset(
    {
        Guidance.TURN_LEFT,
        Guidance.TURN_RIGHT,
        Guidance.LOOK_UP,
        Guidance.LOOK_DOWN,
        Guidance.BLINK,
        Guidance.OPEN_MOUTH,
        Guidance.COME_CLOSER,
    }
)


def built_in_scenarios() -> tuple[str, ...]:
    """Names that `load_scenario` knows without a path, sorted."""
    return tuple(sorted(path.stem for path in BUILT_IN.glob("*.toml")))


def load_scenario(named: str) -> Scenario:
    """Reads a scenario.

    Args:
        named: a built-in name, or the path of a file that ends in `.toml`.

    Raises:
        ConfigurationError: no such scenario, not TOML, or a key that is unknown or has an impossible value.
    """
    if named.endswith(".toml"):
        return read_toml(Path(named), Scenario)
    if named not in built_in_scenarios():
        raise ConfigurationError(
            f"no scenario is called {named!r}; built in are {', '.join(built_in_scenarios())};"
            " another one is given as the path of its .toml file"
        )
    return read_toml(BUILT_IN / f"{named}.toml", Scenario)
