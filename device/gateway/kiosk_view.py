"""What the kiosk page is told, and nothing else: one small struct for each moment.

In: the newest verification and its snapshot. Out: a `KioskView`. It has codes and not texts (the page has those in the
person's language), a face box in sixteenths and a head pose in steps of five degrees, and never a pixel.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from device.gateway.languages import explanation_of
from device.gateway.snapshot import Snapshot
from device.gateway.verifications import Verification
from device.gateway.wire import State
from device.protocol import Attribute, Check, Guidance, Outcome, Stage


class View(enum.StrEnum):
    """What the page shows."""

    IDLE = "idle"
    CONSENT = "consent"
    WORK = "work"
    RESULT = "result"


class Happening(enum.StrEnum):
    """What a person will be asked to do, in plain steps."""

    DOCUMENT = "document"
    HOLDING = "holding"
    FACE = "face"
    PRESENCE = "presence"


_HAPPENS: Final = {
    Happening.DOCUMENT: (
        Check.DOCUMENT_READ,
        Check.DOCUMENT_CONSISTENCY,
        Check.DOCUMENT_PRESENTATION,
        Check.DOCUMENT_SEAL,
    ),
    Happening.HOLDING: (Check.HOLDING,),
    Happening.FACE: (Check.FACE_MATCH,),
    Happening.PRESENCE: (Check.LIVENESS_PASSIVE, Check.LIVENESS_CHALLENGE, Check.LIVENESS_PARALLAX),
}


class KioskView(msgspec.Struct, frozen=True, kw_only=True):
    """`face` is left, top, right, bottom in sixteenths of the frame; `pose` is yaw, pitch, roll in steps of five
    degrees, yaw positive to the person's left. `token` proves that an answer comes from this page. `explanation` is the
    key of a text."""

    view: View
    id: str = ""
    token: str = ""
    party: str = ""
    happens: tuple[Happening, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    subject: bool = False
    scan: bool = False
    """Whether the idle page offers to show a request to the camera."""
    proof: bool = False
    """Whether the person may have a proof of their own."""
    codes: tuple[int, int] = (0, 0)
    """How many codes there are to photograph: of the verdict, and of the person's proof."""
    stage: Stage | None = None
    stages: tuple[Stage, ...] = ()
    guidance: Guidance | None = None
    step: int = 0
    steps: int = 0
    seconds_left: int = 0
    more: bool = False
    """Whether the person may have the whole time again."""
    face: tuple[int, int, int, int] | None = None
    pose: tuple[int, int, int] | None = None
    result: str = ""
    explanation: str = ""


IDLE: Final = KioskView(view=View.IDLE)
SCAN_IDLE: Final = KioskView(view=View.IDLE, scan=True)


def kiosk_view(verification: Verification | None, snapshot: Snapshot | None, token: str) -> KioskView:
    """The view of a moment. `token` is put only where the page has to answer something."""
    if verification is None or snapshot is None or verification.left_the_screen:
        return IDLE
    common = _common(verification)
    if snapshot.state is State.WAITING_FOR_CONSENT:
        return msgspec.structs.replace(
            common, view=View.CONSENT, token=token, seconds_left=snapshot.seconds_left, more=verification.more_times > 0
        )
    if not snapshot.open:
        counts = (len(snapshot.verdict_codes), len(snapshot.proof_codes))
        return msgspec.structs.replace(
            common,
            view=View.RESULT,
            token=token,
            seconds_left=max(1, round(verification.seconds_shown)),
            more=verification.more_times > 0,
            result=_result(snapshot),
            explanation=_explanation(snapshot),
            codes=counts,
        )
    face, pose = snapshot.face, snapshot.pose
    return msgspec.structs.replace(
        common,
        view=View.WORK,
        token=token,
        stage=snapshot.stage,
        guidance=snapshot.guidance,
        step=snapshot.step,
        steps=snapshot.steps,
        seconds_left=snapshot.seconds_left,
        face=(face.left, face.top, face.right, face.bottom) if face else None,
        pose=(pose.yaw, pose.pitch, pose.roll) if pose else None,
    )


def _common(verification: Verification) -> KioskView:
    checks = verification.opened.checks
    if verification.snapshot.stage is Stage.REQUEST:
        return KioskView(view=View.IDLE, id=verification.id)
    stages = [Stage.DOCUMENT, *([Stage.HOLDING] if Check.HOLDING in checks else []), Stage.SELFIE, Stage.DECIDING]
    return KioskView(
        view=View.IDLE,
        id=verification.id,
        party=verification.party_name,
        happens=tuple(step for step, those in _HAPPENS.items() if set(those) & set(checks)),
        attributes=verification.opened.attributes,
        subject=verification.opened.subject,
        proof=verification.opened.proof,
        stages=tuple(stages),
    )


def _result(snapshot: Snapshot) -> str:
    if snapshot.state is State.FINISHED and snapshot.token is not None and snapshot.outcome is not None:
        return snapshot.outcome.value
    if snapshot.state is State.FAILED:
        return Outcome.INCONCLUSIVE.value
    return "stopped"


def _explanation(snapshot: Snapshot) -> str:
    if snapshot.reason is not None:
        return explanation_of(snapshot.reason)
    return "box" if snapshot.state is State.FAILED else ""
