"""The closed set of messages that the three processes may say to each other, and in which order.

What comes in: bytes of one message (`decode_*`). What goes out: bytes (`encode`).
Every field is an enum, a bounded integer or a bounded string, so that no message *can* carry an image,
an embedding or a landmark list. Messages are msgpack arrays (docs/decisions/0002), at most
`MAX_MESSAGE` bytes each; vision may say at most `MAX_VISION_BYTES` in one verification.

    vision  --VisionMessage-->  notary  --NotaryMessage-->  gateway
    vision  <--NotaryOrder----  notary  <--GatewayRequest-- gateway
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from device.errors import ProtocolViolation

MAX_MESSAGE: Final = 4096
MAX_VISION_BYTES: Final = 16 * 1024
MORE_TIMES: Final = 10
"""How often a person who reads slowly may have the whole time for their answer again (WCAG 2.2, 2.2.1: ten times)."""


# --- Vocabulary: what people, policies and verdicts talk about -------------------------------------------------------


class Stage(enum.StrEnum):
    """Where a verification stands, in the order in which stages happen."""

    REQUEST = "request"
    CONSENT = "consent"
    HOLDER_KEY = "holder_key"
    DOCUMENT = "document"
    DOCUMENT_BACK = "document_back"
    HOLDING = "holding"
    SELFIE = "selfie"
    DECIDING = "deciding"
    FINISHED = "finished"


class Result(enum.StrEnum):
    """The three answers of a check."""

    PASS = "pass"  # noqa: S105 - a result, not a password
    FAIL = "fail"
    NOT_PERFORMED = "not_performed"


class Outcome(enum.StrEnum):
    """The verdict: all required checks passed; one failed; or some could not be performed within the limits."""

    VERIFIED = "verified"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"


class Check(enum.StrEnum):
    """What can be checked; the names appear in policies and verdicts."""

    DOCUMENT_READ = "document.read"
    DOCUMENT_CONSISTENCY = "document.consistency"
    DOCUMENT_PRESENTATION = "document.presentation"
    DOCUMENT_SEAL = "document.seal"
    FACE_MATCH = "face.match"
    LIVENESS_PASSIVE = "liveness.passive"
    LIVENESS_CHALLENGE = "liveness.challenge"
    LIVENESS_PARALLAX = "liveness.parallax"
    HOLDING = "holding"


class Reason(enum.StrEnum):
    """Why a check failed or was not performed. A check that passed has none."""

    # document.read
    DOCUMENT_NOT_FOUND = "document_not_found"
    DOCUMENT_UNREADABLE = "document_unreadable"
    DOCUMENT_TYPE_NOT_ACCEPTED = "document_type_not_accepted"
    # document.consistency
    CHECK_DIGIT_WRONG = "check_digit_wrong"
    CHARACTERS_NOT_ALLOWED = "characters_not_allowed"
    DATE_IMPOSSIBLE = "date_impossible"
    DOCUMENT_EXPIRED = "document_expired"
    SOURCES_DISAGREE = "sources_disagree"
    EVIDENCE_WEAK = "evidence_weak"
    MANDATORY_ELEMENT_MISSING = "mandatory_element_missing"
    # document.presentation
    PORTRAIT_MISSING = "portrait_missing"
    PORTRAIT_MULTIPLE = "portrait_multiple"
    DOCUMENT_COPY = "document_copy"
    DOCUMENT_RECAPTURE = "document_recapture"
    # document.seal
    SEAL_MISSING = "seal_missing"
    SEAL_UNTRUSTED = "seal_untrusted"
    SEAL_INVALID = "seal_invalid"
    # face.match and holding
    FACE_NOT_FOUND = "face_not_found"
    FACE_MULTIPLE = "face_multiple"
    FACE_QUALITY = "face_quality"
    FACE_MISMATCH = "face_mismatch"
    HOLDING_NOT_SEEN = "holding_not_seen"
    PORTRAIT_MISMATCH = "portrait_mismatch"
    # liveness
    PRESENTATION_ATTACK = "presentation_attack"
    CHALLENGE_IGNORED = "challenge_ignored"
    CHALLENGE_WRONG_MOVEMENT = "challenge_wrong_movement"
    CHALLENGE_WRONG_ORDER = "challenge_wrong_order"
    CHALLENGE_TOO_EARLY = "challenge_too_early"
    MOVES_AS_PLANE = "moves_as_plane"
    MOTION_INSUFFICIENT = "motion_insufficient"
    INJECTED_FRAMES = "injected_frames"
    PERSON_LEFT = "person_left"
    # the camera
    CAMERA_LOST = "camera_lost"
    CAMERA_FROZEN = "camera_frozen"
    CAMERA_BLACK = "camera_black"
    CAMERA_SLOW = "camera_slow"
    CAMERA_UNEXPECTED = "camera_unexpected"
    # the course of things
    FRAMES_MISSED = "frames_missed"
    NOT_REQUIRED = "not_required"
    NOT_REACHED = "not_reached"
    NOT_IMPLEMENTED = "not_implemented"
    MODEL_MISSING = "model_missing"
    TIME_LIMIT = "time_limit"
    VISION_LOST = "vision_lost"
    CANCELLED = "cancelled"
    CONSENT_REFUSED = "consent_refused"
    CONSENT_TIME_LIMIT = "consent_time_limit"
    KEY_UNAVAILABLE = "key_unavailable"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    # requests and keys that are shown to the camera as codes
    CODE_NOT_SEEN = "code_not_seen"
    REQUEST_INVALID = "request_invalid"
    REQUEST_EXPIRED = "request_expired"
    REQUEST_USED = "request_used"


class Guidance(enum.StrEnum):
    """The one thing that a frame tells the person in front of the box."""

    WAIT = "wait"
    GOOD = "good"
    SHOW_DOCUMENT = "show_document"
    SHOW_DOCUMENT_BACK = "show_document_back"
    HOLD_DOCUMENT_BESIDE_FACE = "hold_document_beside_face"
    DOCUMENT_UNCLEAR = "document_unclear"
    SHOW_FACE = "show_face"
    ONE_PERSON = "one_person"
    LOOK_STRAIGHT = "look_straight"
    CENTRE_FACE = "centre_face"
    UNCOVER_FACE = "uncover_face"
    MOVE_CLOSER = "move_closer"
    MOVE_BACK = "move_back"
    HOLD_STILL = "hold_still"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    GLARE = "glare"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    LOOK_UP = "look_up"
    LOOK_DOWN = "look_down"
    BLINK = "blink"
    OPEN_MOUTH = "open_mouth"
    COME_CLOSER = "come_closer"
    BACK_TO_CENTRE = "back_to_centre"
    CAMERA_PROBLEM = "camera_problem"
    SHOW_REQUEST = "show_request"
    SHOW_HOLDER_KEY = "show_holder_key"


class Movement(enum.StrEnum):
    """What a challenge can ask for; left and right are the person's own."""

    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    LOOK_UP = "look_up"
    LOOK_DOWN = "look_down"
    BLINK = "blink"
    OPEN_MOUTH = "open_mouth"
    COME_CLOSER = "come_closer"


class DocumentType(enum.StrEnum):
    """Kinds of document that a policy can accept."""

    PASSPORT = "passport"
    VISA = "visa"
    IDENTITY_CARD = "identity_card"
    RESIDENCE_PERMIT = "residence_permit"
    DRIVING_LICENCE = "driving_licence"
    OTHER = "other"


class Attribute(enum.StrEnum):
    """What a policy may ask a verdict to say about the holder or the document; nothing else can be asked."""

    AGE_OVER_16 = "age_over_16"
    AGE_OVER_18 = "age_over_18"
    AGE_OVER_21 = "age_over_21"
    AGE_OVER_65 = "age_over_65"
    DOCUMENT_TYPE = "document_type"
    ISSUING_STATE = "issuing_state"
    NATIONALITY = "nationality"
    DOCUMENT_VALID = "document_valid"
    NAME = "name"
    DATE_OF_BIRTH = "date_of_birth"
    DOCUMENT_NUMBER = "document_number"
    DATE_OF_EXPIRY = "date_of_expiry"


class FmrLevel(enum.StrEnum):
    """False match rates (ISO/IEC 19795-1) for which a matcher has a calibrated threshold."""

    E2 = "1e-2"
    E3 = "1e-3"
    E4 = "1e-4"
    E5 = "1e-5"
    E6 = "1e-6"


class CameraKind(enum.StrEnum):
    """Whether light fell on a sensor. Only `live` can lead to a production verdict."""

    LIVE = "live"
    EMULATED = "emulated"


class ConsentMethod(enum.StrEnum):
    """How the person agreed: pressed yes on the box, or the relying party says that they did."""

    KIOSK = "kiosk"
    ATTESTED = "attested"


# --- Bounded building blocks -----------------------------------------------------------------------------------------

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
ShortText = Annotated[str, Meta(max_length=128)]
Audience = Annotated[str, Meta(min_length=1, max_length=256)]
Nonce = Annotated[str, Meta(min_length=8, max_length=88)]  # EAT nonce, RFC 9711 section 4.1
Identifier = Annotated[str, Meta(min_length=16, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
Seed = Annotated[bytes, Meta(min_length=32, max_length=32)]
Seconds = Annotated[int, Meta(ge=0, le=3600)]
Milliseconds = Annotated[int, Meta(ge=0, le=3_600_000)]
Sixteenth = Annotated[int, Meta(ge=0, le=16)]
FiveDegrees = Annotated[int, Meta(ge=-18, le=18)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Timestamp = Annotated[int, Meta(ge=0, le=2**40)]


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of everything that crosses a process wall."""


class CheckReport(Message, frozen=True):
    """One check's answer. `method` names what looked (a model or a rule); `fmr` is the level that a match met."""

    check: Check
    result: Result
    reason: Reason | None = None
    method: Annotated[str, Meta(max_length=48)] = ""
    fmr: FmrLevel | None = None
    score: Percent | None = None


class FaceBox(Message, frozen=True):
    """Where the face is, in sixteenths of the frame's width and height."""

    left: Sixteenth
    top: Sixteenth
    right: Sixteenth
    bottom: Sixteenth


class HeadPose(Message, frozen=True):
    """Head pose in units of five degrees. Yaw is positive to the person's left, pitch positive upwards,
    roll positive towards the person's left shoulder."""

    yaw: FiveDegrees
    pitch: FiveDegrees
    roll: FiveDegrees = 0


class StageLimits(Message, frozen=True):
    """Time and retry limits of a policy, per stage; and after how many frames a document's text is settled: such as
    agree and whose rules hold, and such as agree and break one."""

    document: Annotated[int, Meta(ge=1, le=300)] = 30
    holding: Annotated[int, Meta(ge=1, le=300)] = 20
    selfie: Annotated[int, Meta(ge=1, le=300)] = 40
    retries: Annotated[int, Meta(ge=0, le=5)] = 1
    frames_consistent: Annotated[int, Meta(ge=1, le=30)] = 2
    frames_inconsistent: Annotated[int, Meta(ge=1, le=90)] = 6


# --- notary -> vision ------------------------------------------------------------------------------------------------


class StartCheck(Message, frozen=True, tag="start"):
    """Begin the one verification of this worker's life."""

    verification: Identifier
    challenge_seed: Seed
    documents: Annotated[tuple[DocumentType, ...], Meta(max_length=8)]
    checks: Annotated[tuple[Check, ...], Meta(max_length=16)]
    limits: StageLimits
    fmr: FmrLevel = FmrLevel.E4
    challenge_steps: Annotated[int, Meta(ge=1, le=8)] = 5
    movements: Annotated[tuple[Movement, ...], Meta(max_length=8)] = tuple(Movement)
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=16)] = ()
    subject: bool = False
    scores: bool = False
    embedder: Annotated[str, Meta(max_length=64)] = ""
    attack_detector: Annotated[str, Meta(max_length=64)] = ""
    decisive: Annotated[tuple[Check, ...], Meta(max_length=16)] = ()
    """Checks whose failure ends the verification at once: nothing that follows could change the verdict."""


class StartScan(Message, frozen=True, tag="scan"):
    """Look for codes, and for nothing else, for so long; the one task of this worker's life, instead of a check.
    `stage` is what the person is asked for: `request` or `holder_key`."""

    stage: Stage
    seconds: Annotated[int, Meta(ge=1, le=300)]


NotaryOrder = StartCheck | StartScan
"""A notary that wants a check or a scan to end early closes the connection; the worker then dies."""


# --- vision -> notary ------------------------------------------------------------------------------------------------


class VisionReady(Message, frozen=True, tag="ready"):
    """First words of a worker: which camera it will open and which models it has loaded."""

    camera: CameraKind
    camera_id: ShortText
    measurements: Annotated[dict[Name, Digest], Meta(max_length=16)]


class Progress(Message, frozen=True, tag="p"):
    """All that anyone learns about a frame while a check runs. `step` of `steps` counts challenge movements."""

    stage: Stage
    guidance: Guidance
    seconds_left: Seconds
    step: Annotated[int, Meta(ge=0, le=8)] = 0
    steps: Annotated[int, Meta(ge=0, le=8)] = 0
    face: FaceBox | None = None
    pose: HeadPose | None = None


class Finished(Message, frozen=True, tag="fin"):
    """The check is over. `attributes` has only what `StartCheck.attributes` named;
    `subject` is the normalised document number and state, only if `StartCheck.subject` asked."""

    checks: Annotated[tuple[CheckReport, ...], Meta(max_length=16)]
    attributes: Annotated[dict[Attribute, ShortText], Meta(max_length=16)] = {}
    subject: Annotated[str, Meta(max_length=64)] = ""
    milliseconds: Annotated[dict[Stage, Milliseconds], Meta(max_length=8)] = {}


class SealShown(Message, frozen=True, tag="seal"):
    """What the notary needs to verify a signed code on the document (Doc 9303-13, VDS-NC, IDB): it has the keys, and
    vision has the pixels. At most one, before `Finished`, and only if `StartCheck.checks` has `document.seal`."""

    signed: Annotated[bytes, Meta(min_length=1, max_length=2048)]
    signature: Annotated[bytes, Meta(min_length=1, max_length=256)]
    signer: Annotated[str, Meta(max_length=16)]
    reference: Annotated[str, Meta(max_length=64)]
    certificate: Annotated[bytes, Meta(max_length=1500)] = b""


class Code(Message, frozen=True, tag="code"):
    """The text of a code that was shown, each one once; only in a scan. The notary takes a request signed by a key
    that it knows, or a public key, out of it and passes nothing of it on, so a worker that lies here tells nobody."""

    text: Annotated[str, Meta(min_length=1, max_length=3500)]


class ScanEnded(Message, frozen=True, tag="noscan"):
    """The scan's time is over, or the camera has failed (`reason`). A notary that has seen enough hangs up before."""

    reason: Reason | None = None


VisionMessage = VisionReady | Progress | SealShown | Finished | Code | ScanEnded


# --- gateway -> notary -----------------------------------------------------------------------------------------------


class OpenVerification(Message, frozen=True, tag="open"):
    """A relying party asks for a check. `consent_at` is set when it attests that the person agreed."""

    relying_party: Name
    audience: Audience
    nonce: Nonce
    policy: Name
    consent_at: Timestamp | None = None


class OpenByCode(Message, frozen=True, tag="opencode"):
    """The person will show a relying party's signed request to the camera: there is no network to bring it."""


class Consent(Message, frozen=True, tag="consent"):
    """The person pressed yes or no on the kiosk page. `proof`: they want a proof of their own, too."""

    given: bool
    proof: bool = False


class MoreTime(Message, frozen=True, tag="more"):
    """The person wants the whole time for their answer again, at most `MORE_TIMES`. Answered by a `Progress` with the
    seconds that there are now."""


class AskDevice(Message, frozen=True, tag="device?"):
    """Answered by `DeviceFact`s and `End`."""


class AskHealth(Message, frozen=True, tag="health?"):
    """Answered by `Health`."""


GatewayRequest = OpenVerification | OpenByCode | MoreTime | Consent | AskDevice | AskHealth
"""A gateway that wants to cancel closes the connection."""


# --- notary -> gateway -----------------------------------------------------------------------------------------------


class Refusal(enum.StrEnum):
    """Why a verification was not opened."""

    BUSY = "busy"
    POLICY_UNKNOWN = "policy_unknown"
    CONSENT_METHOD = "consent_method"
    KEY_UNAVAILABLE = "key_unavailable"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    VISION_UNAVAILABLE = "vision_unavailable"


class Opened(Message, frozen=True, tag="opened"):
    """The verification exists; the person may be asked (`consent_needed`) or the camera opens at once.
    `subject`: whether a verdict would carry the pairwise pseudonym, which the person is told before they agree."""

    verification: Identifier
    consent_needed: bool
    seconds_left: Seconds
    checks: Annotated[tuple[Check, ...], Meta(max_length=16)]
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=16)]
    subject: bool = False
    party: Annotated[str, Meta(max_length=100)] = ""
    """Who asks, as the person is told; only for a request that was shown as a code: else the gateway knows."""
    policy: Annotated[str, Meta(max_length=64)] = ""
    proof: bool = False
    """Whether the policy lets the person have a proof of their own."""


class Refused(Message, frozen=True, tag="refused"):
    """The verification was not opened."""

    reason: Refusal
    retry_after: Seconds = 0


class TokenPart(Message, frozen=True, tag="token"):
    """A verdict is longer than one message may be: its parts, in order. The ledger row is on disk before the first."""

    index: Annotated[int, Meta(ge=0, le=15)]
    text: Annotated[str, Meta(max_length=3500)]


class ProofPart(Message, frozen=True, tag="proof"):
    """The proof that the person takes along, for their eyes alone: in parts as a verdict, and after it."""

    index: Annotated[int, Meta(ge=0, le=15)]
    text: Annotated[str, Meta(max_length=3500)]


class Ended(Message, frozen=True, tag="ended"):
    """After the last `TokenPart` or `ProofPart`; or alone, when there is no verdict because the person was never asked
    to begin."""

    outcome: Outcome
    reason: Reason | None = None


class Key(Message, frozen=True, tag="key"):
    """A verdict key: its id, its DER certificate chain (leaf first), and whether it is the development key."""

    kid: ShortText
    chain: Annotated[tuple[Annotated[bytes, Meta(max_length=1900)], ...], Meta(max_length=3)]
    development: bool


class DeviceId(Message, frozen=True, tag="deviceid"):
    """Which box this is: the `ueid` of its verdicts, which a request that is shown as a code is addressed to."""

    ueid: Annotated[str, Meta(min_length=1, max_length=64)]


class Measurement(Message, frozen=True, tag="measurement"):
    """SHA-256 of a model or a policy that verdicts from this box are made with."""

    name: Annotated[str, Meta(max_length=80)]
    digest: Digest


class PolicyFact(Message, frozen=True, tag="policy"):
    """One policy that this box accepts."""

    name: Name
    digest: Digest
    checks: Annotated[tuple[Check, ...], Meta(max_length=16)]
    documents: Annotated[tuple[DocumentType, ...], Meta(max_length=8)]
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=16)]
    consent: Annotated[tuple[ConsentMethod, ...], Meta(max_length=2)]
    fmr: FmrLevel


class End(Message, frozen=True, tag="end"):
    """No more device facts."""


class Health(Message, frozen=True, tag="health"):
    """State of the notary and what it knows of vision; an empty string means well."""

    notary: ShortText
    vision: ShortText
    ledger_rows: Annotated[int, Meta(ge=0, le=2**53)]
    busy: bool
    camera: CameraKind | None = None
    by_code: bool = False
    """Whether any relying party's key is registered, so that requests may be shown as codes."""


NotaryMessage = (
    Opened
    | Refused
    | Progress
    | TokenPart
    | ProofPart
    | Ended
    | DeviceId
    | Key
    | Measurement
    | PolicyFact
    | End
    | Health
)

AnyMessage = NotaryOrder | VisionMessage | GatewayRequest | NotaryMessage


# --- Order: which message may follow which ---------------------------------------------------------------------------

Order = Mapping[str, Mapping[type[Message], str]]
"""state -> message type -> next state. A type that the state does not list is out of order. '' is the end."""

FROM_VISION: Final[Order] = {
    "start": {VisionReady: "ready"},
    "ready": {Progress: "ready", SealShown: "sealed", Finished: "", Code: "scanning", ScanEnded: ""},
    "sealed": {Finished: ""},
    "scanning": {Progress: "scanning", Code: "scanning", ScanEnded: ""},
}
TO_VISION: Final[Order] = {"start": {StartCheck: "", StartScan: ""}}
FROM_GATEWAY: Final[Order] = {
    "start": {OpenVerification: "opened", OpenByCode: "opened", AskDevice: "", AskHealth: ""},
    "opened": {MoreTime: "opened", Consent: ""},
}
TO_GATEWAY: Final[Order] = {
    "start": {
        Opened: "running",
        Refused: "",
        Progress: "scanning",
        DeviceId: "facts",
        Key: "facts",
        Measurement: "facts",
        PolicyFact: "facts",
        End: "",
        Health: "",
    },
    "scanning": {Progress: "scanning", Opened: "running", Refused: "", Ended: ""},
    "running": {Progress: "running", TokenPart: "token", Ended: ""},
    "token": {TokenPart: "token", ProofPart: "proof", Ended: ""},
    "proof": {ProofPart: "proof", Ended: ""},
    "facts": {Key: "facts", Measurement: "facts", PolicyFact: "facts", End: ""},
}

_encoder: Final = msgspec.msgpack.Encoder()


def encode(message: AnyMessage) -> bytes:
    """Bytes of one message.

    Raises:
        ProtocolViolation: it is longer than `MAX_MESSAGE`. The bounds of its fields are checked by the receiver,
            who has no reason to trust the sender.
    """
    data = _encoder.encode(message)
    if len(data) > MAX_MESSAGE:
        raise ProtocolViolation(f"{type(message).__name__} is {len(data)} bytes long; the limit is {MAX_MESSAGE}")
    return data


class Decoder:
    """Decodes one direction's messages: bytes in, a checked struct out."""

    def __init__(self, union: object) -> None:
        self._decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(union)

    def decode(self, data: bytes) -> Message:
        """Raises `ProtocolViolation` for anything but exactly one well-formed message of this direction."""
        if len(data) > MAX_MESSAGE:
            raise ProtocolViolation(f"a message of {len(data)} bytes; the limit is {MAX_MESSAGE}")
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolViolation(f"not a message of this direction: {error}") from error


VISION_MESSAGES: Final = Decoder(VisionMessage)
NOTARY_ORDERS: Final = Decoder(NotaryOrder)
GATEWAY_REQUESTS: Final = Decoder(GatewayRequest)
NOTARY_MESSAGES: Final = Decoder(NotaryMessage)
