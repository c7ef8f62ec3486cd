"""The texts of the kiosk page: one TOML file a language, complete or refused.

In: the files beside this one. Out: `Language`s. The keys are codes (`device.protocol.Guidance`, explanations of
`Reason`s, ...), so a code without a text in some language is an error at start and in the tests.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from device.config import read_toml
from device.errors import ConfigurationError
from device.protocol import Attribute, Guidance, Reason, Stage

ORDER: Final = ("en", "zh-Hans", "zh-Hant", "es", "fr", "de", "pt", "ar", "hi", "uk")
DEFAULT: Final = "en"
SHOWN_STAGES: Final = (Stage.DOCUMENT, Stage.DOCUMENT_BACK, Stage.HOLDING, Stage.SELFIE, Stage.DECIDING)

EXPLANATIONS: Final[dict[str, tuple[Reason, ...]]] = {
    "document_not_seen": (Reason.DOCUMENT_NOT_FOUND,),
    "document_unreadable": (Reason.DOCUMENT_UNREADABLE, Reason.EVIDENCE_WEAK, Reason.MANDATORY_ELEMENT_MISSING),
    "document_type": (Reason.DOCUMENT_TYPE_NOT_ACCEPTED,),
    "document_inconsistent": (
        Reason.CHECK_DIGIT_WRONG,
        Reason.CHARACTERS_NOT_ALLOWED,
        Reason.DATE_IMPOSSIBLE,
        Reason.SOURCES_DISAGREE,
    ),
    "document_expired": (Reason.DOCUMENT_EXPIRED,),
    "portrait": (Reason.PORTRAIT_MISSING, Reason.PORTRAIT_MULTIPLE),
    "document_original": (Reason.DOCUMENT_COPY, Reason.DOCUMENT_RECAPTURE),
    "seal": (Reason.SEAL_MISSING, Reason.SEAL_UNTRUSTED, Reason.SEAL_INVALID),
    "face_not_seen": (Reason.FACE_NOT_FOUND, Reason.PERSON_LEFT),
    "one_person": (Reason.FACE_MULTIPLE,),
    "face_quality": (Reason.FACE_QUALITY,),
    "face_mismatch": (Reason.FACE_MISMATCH, Reason.PORTRAIT_MISMATCH),
    "holding_not_seen": (Reason.HOLDING_NOT_SEEN,),
    # One text for all of these: who attacks the box shall not learn from it what gave them away.
    "presence": (Reason.PRESENTATION_ATTACK, Reason.MOVES_AS_PLANE, Reason.INJECTED_FRAMES),
    "movements": (
        Reason.CHALLENGE_IGNORED,
        Reason.CHALLENGE_WRONG_MOVEMENT,
        Reason.CHALLENGE_WRONG_ORDER,
        Reason.CHALLENGE_TOO_EARLY,
        Reason.MOTION_INSUFFICIENT,
    ),
    "camera": (
        Reason.CAMERA_LOST,
        Reason.CAMERA_FROZEN,
        Reason.CAMERA_BLACK,
        Reason.CAMERA_SLOW,
        Reason.CAMERA_UNEXPECTED,
    ),
    "box": (
        Reason.KEY_UNAVAILABLE,
        Reason.LEDGER_UNAVAILABLE,
        Reason.VISION_LOST,
        Reason.FRAMES_MISSED,
        Reason.MODEL_MISSING,
        Reason.NOT_IMPLEMENTED,
    ),
    "time_limit": (Reason.TIME_LIMIT,),
    "cancelled": (Reason.CANCELLED,),
    "consent_refused": (Reason.CONSENT_REFUSED,),
    "consent_time_limit": (Reason.CONSENT_TIME_LIMIT,),
    "code_not_seen": (Reason.CODE_NOT_SEEN,),
    "request_invalid": (Reason.REQUEST_INVALID,),
    "request_old": (Reason.REQUEST_EXPIRED, Reason.REQUEST_USED),
    "not_needed": (Reason.NOT_REQUIRED, Reason.NOT_REACHED),
}
"""What a person is told for each reason: what to try next, which is the same for several codes."""

Text = Annotated[str, Meta(min_length=1, max_length=200)]


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The page's own sentences; `{party}` is who asks, `{step}` and `{steps}` count movements."""

    title: Text
    idle_title: Text
    idle_text: Text
    consent_title: Text
    consent_lead: Text
    happens: Text
    happens_document: Text
    happens_holding: Text
    happens_face: Text
    happens_presence: Text
    told: Text
    told_result: Text
    told_subject: Text
    kept: Text
    kept_sentence: Text
    kept_nothing: Text
    yes: Text
    no: Text
    staff: Text
    time_left: Text
    little_time: Text
    more_time: Text
    more_how: Text
    clears: Text
    mirror: Text
    movement: Text
    stop: Text
    verified: Text
    verified_text: Text
    rejected: Text
    inconclusive: Text
    stopped: Text
    again: Text
    who: Text
    who_party: Text
    who_box: Text
    who_nobody: Text
    lost_title: Text
    lost_text: Text
    language: Text
    larger: Text
    contrast: Text
    speak: Text
    low: Text
    scan: Text
    want_proof: Text
    code_verdict: Text
    code_verdict_text: Text
    code_proof: Text
    code_proof_text: Text
    code_part: Text
    done: Text


class Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One language. `name` is in the language itself; `voice` is a BCP 47 tag for speech."""

    name: Text
    direction: Literal["ltr", "rtl"]
    voice: Text
    text: Texts
    stage: dict[Stage, Text]
    guidance: dict[Guidance, Text]
    explanation: dict[str, Text]
    attribute: dict[Attribute, Text]

    def for_reason(self, reason: Reason) -> str:
        """What a person is told when a verification ends for this reason."""
        return self.explanation[explanation_of(reason)]


@functools.cache
def explanation_of(reason: Reason) -> str:
    """The key of the text for a reason. Raises `KeyError` if somebody added a reason without one (a test finds out)."""
    for key, reasons in EXPLANATIONS.items():
        if reason in reasons:
            return key
    raise KeyError(reason)


def load_language(code: str) -> Language:
    """Raises `ConfigurationError`: a text is missing, too long, or one too many."""
    language = read_toml(Path(__file__).parent / f"{code}.toml", Language)
    for what, given, wanted in (
        ("stage", set(language.stage), set(SHOWN_STAGES)),
        ("guidance", set(language.guidance), set(Guidance)),
        ("explanation", set(language.explanation), set(EXPLANATIONS)),
        ("attribute", set(language.attribute), set(Attribute)),
    ):
        if given != wanted:
            raise ConfigurationError(f"{code}.toml: {what} has no, or needs no, text for {sorted(given ^ wanted)}")
    return language


@functools.cache
def languages() -> dict[str, Language]:
    """Every language, in the order in which the page offers them."""
    return {code: load_language(code) for code in ORDER}
