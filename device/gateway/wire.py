"""What the API takes and gives, as msgspec structs: they decode requests, encode answers and make the OpenAPI schemas.

In: JSON bytes of a request (`decode_request`). Out: structs. No field here can hold anything about the person.
"""

from __future__ import annotations

import enum
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from device.gateway.problems import Kind, Problem
from device.protocol import (
    Attribute,
    Audience,
    CameraKind,
    Check,
    ConsentMethod,
    DocumentType,
    FmrLevel,
    Guidance,
    Name,
    Nonce,
    Outcome,
    Reason,
    Stage,
)


class State(enum.StrEnum):
    """How a verification is, seen from outside."""

    WAITING_FOR_CONSENT = "waiting_for_consent"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ConsentStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The relying party states that the person agreed, and when (seconds since 1970, UTC; a fraction is dropped)."""

    attested_at: Annotated[float, Meta(ge=0, le=2**40)]


class OpenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What opens a verification. `nonce` comes back in the verdict: make it fresh and unguessable for each request."""

    audience: Audience
    nonce: Nonce
    policy: Name
    consent: ConsentStatement | UnsetType = UNSET


class VerificationState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a verification stands. `guidance` is what the person is being told; `deadline` is when the present stage
    ends by itself (seconds since 1970). `outcome` and `reason` are there once it has ended; `verdict` once there is
    one; `problem` is the type of the problem that ended it."""

    id: str
    state: State
    policy: str
    audience: str
    stage: Stage
    guidance: Guidance
    step: Annotated[int, Meta(ge=0, le=8)]
    steps: Annotated[int, Meta(ge=0, le=8)]
    seconds_left: Annotated[int, Meta(ge=0, le=3600)]
    opened_at: int
    deadline: int
    checks: tuple[Check, ...]
    attributes: tuple[Attribute, ...]
    events: str
    outcome: Outcome | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET
    verdict: str | UnsetType = UNSET
    problem: str | UnsetType = UNSET


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457. `part` names the process at fault, `reason` why a verification ended, where there is such a thing."""

    type: str
    title: str
    status: int
    detail: str
    part: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class KeyDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict key. `certificates`: base64 DER, leaf first. `development`: signs for emulated cameras only."""

    kid: str
    development: bool
    certificates: tuple[str, ...]


class PolicyDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A policy of this box; `sha256` is what the verdict's measurements say of it."""

    name: str
    sha256: str
    checks: tuple[Check, ...]
    documents: tuple[DocumentType, ...]
    attributes: tuple[Attribute, ...]
    consent: tuple[ConsentMethod, ...]
    fmr: FmrLevel


class DeviceDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What this box is. `measurements`: SHA-256 (hex) of each model and policy."""

    software: str
    version: str
    ueid: str
    """As in its verdicts; a request that is shown as a code is addressed to it."""
    keys: tuple[KeyDescription, ...]
    measurements: dict[str, str]
    policies: tuple[PolicyDescription, ...]


class KeySet(msgspec.Struct, frozen=True):
    """RFC 7517 section 5: the keys that verdicts of this box are signed with."""

    keys: tuple[dict[str, str | list[str]], ...]


class Condition(enum.StrEnum):
    """Of one process."""

    WELL = "well"
    UNWELL = "unwell"
    UNKNOWN = "unknown"


class ProcessHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`detail` is given only to callers on the box itself."""

    status: Condition
    detail: str | UnsetType = UNSET


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """The three processes; `busy` while a verification runs."""

    status: Condition
    gateway: ProcessHealth
    notary: ProcessHealth
    vision: ProcessHealth
    busy: bool
    camera: CameraKind | UnsetType = UNSET


_DECODER: Final = msgspec.json.Decoder(OpenRequest)


def decode_request(body: bytes) -> OpenRequest:
    """Raises `Problem` `malformed-json`, or `invalid-body` naming the key."""
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise Problem(Kind.INVALID_BODY, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(Kind.MALFORMED_JSON, str(error)) from error
