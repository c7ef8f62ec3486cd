"""Whether a picture of a face is good enough to compare, and if not, what the person should do.

In: an RGB image, the landmarks in it, the head pose, and a gate (limits from the manifest: one for people in front of
the camera, one for portraits printed on documents). Out: the measures and at most one guidance code. The measures
follow the quality components of ISO/IEC 29794-5 (capture- and subject-related); each is named beside its field.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Final

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from device.errors import ConfigurationError
from device.protocol import Guidance
from device.vision.camera.base import Image
from device.vision.face.align import similarity, warp
from device.vision.face.landmarks import Landmarks, Pose, expression
from device.vision.inference.manifest import Manifest, load_manifest

PATCH: Final = 128
"""Side in pixels of the upright face patch on which light and sharpness are measured, so that size does not matter."""
PATCH_EYES: Final = np.array([(0.30, 0.35), (0.70, 0.35)])
SKIN: Final = (slice(44, 116), slice(26, 102))
"""Rows and columns of the patch that are face on every upright head: below brows, above chin, within ears."""

SECOND_DERIVATIVES: Final = tuple(
    np.array(kernel, dtype=np.float32)
    for kernel in (
        ((0, 0, 0), (1, -2, 1), (0, 0, 0)),
        ((0, 1, 0), (0, -2, 0), (0, 1, 0)),
        ((0.5, 0, 0), (0, -1, 0), (0, 0, 0.5)),
        ((0, 0, 0.5), (0, -1, 0), (0.5, 0, 0)),
    )
)
"""Along a row, a column and both diagonals, the latter halved for their longer step."""

BROW_POINTS: Final = (8, 9, 168, 151, 107, 336, 108, 337, 6)
"""Landmarks between and above the brows, which a mask leaves free."""
NOSE_POINTS: Final = (4, 1, 5, 45, 275, 44, 274, 220, 440, 98, 327, 2, 164)
"""Landmarks of the nose and under it, which a mask covers and a beard does not."""
GREY: Final = 5.0
"""Chroma (CIE L*a*b*) of the skin below which a picture has too little colour to compare."""


class QualityGate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of one kind of picture. Angles in degrees, distances in pixels, fractions 0..1."""

    inter_eye: float
    yaw: float
    pitch: float
    roll: float
    presence: float
    covered: float
    sharpness: float
    mean_low: float
    mean_high: float
    under: float
    over: float
    contrast: float
    eyes_open: float
    mouth_open: float


class QualityGates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`live` for a person in front of the camera, `printed` for a portrait on a document."""

    live: QualityGate
    printed: QualityGate


@dataclass(frozen=True)
class FaceQuality:
    """What was measured, and what follows from it.

    Attributes:
        inter_eye: inter-eye distance in pixels (29794-5 "inter-eye distance").
        yaw, pitch, roll: degrees ("head pose").
        presence: how sure the landmark model is of a face, 0..1.
        covered: how unlike in colour the nose is to the brow; 1 is grey on skin ("face occlusion prevention", of masks
            and scarves only: a hand has the colour of a face).
        sharpness: energy of fine detail over that of coarse structure, logarithmic ("sharpness").
        mean: mean luminance 0..1 ("illumination mean").
        under, over: fraction of skin pixels clipped dark or bright ("under-/over-exposure prevention").
        contrast: 5th to 95th percentile of luminance, 0..1 ("dynamic range").
        eyes_open, mouth_open: ratios of `expression` ("eyes open", "mouth closed").
        guidance: the most pressing thing that is wrong by the `live` gate, or None if it is passed.
        usable_portrait: whether it passes the `printed` gate, if it is the portrait on a document.
    """

    inter_eye: float
    yaw: float
    pitch: float
    roll: float
    presence: float
    covered: float
    sharpness: float
    mean: float
    under: float
    over: float
    contrast: float
    eyes_open: float
    mouth_open: float
    guidance: Guidance | None = None
    usable_portrait: bool = False


def load_gates(manifest: Manifest) -> QualityGates:
    """The limits in `parameters.quality` of the landmark model. Raises `ConfigurationError` naming a wrong key."""
    entry = manifest.default("face_landmarks")
    try:
        return msgspec.convert(entry.parameters.get("quality"), QualityGates, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"model {entry.name}: parameters.quality in the manifest: {error}") from error


@functools.cache
def default_gates() -> QualityGates:
    """The gates of this box's manifest, read once."""
    return load_gates(load_manifest())


def assess(image: Image, landmarks: Landmarks, pose: Pose, gates: QualityGates | None = None) -> FaceQuality:
    """Measures one face in an H x W x 3 uint8 RGB image and holds it against both gates (else the manifest's)."""
    gates = gates or default_gates()
    patch = face_patch(image, landmarks)
    light = patch[SKIN].astype(np.float32) / 255.0
    low, high = np.percentile(light, [5, 95]).tolist()
    shown = expression(landmarks)
    measured = FaceQuality(
        inter_eye=landmarks.inter_eye,
        yaw=pose.yaw,
        pitch=pose.pitch,
        roll=pose.roll,
        presence=landmarks.presence,
        covered=covering(image, landmarks),
        sharpness=sharpness(patch),
        mean=float(light.mean()),
        under=float((light < 0.04).mean()),
        over=float((light > 0.98).mean()),
        contrast=high - low,
        eyes_open=shown.eye_openness,
        mouth_open=shown.mouth_openness,
    )
    return replace(
        measured,
        guidance=_judge(measured, gates.live),
        usable_portrait=_judge(measured, gates.printed) is None,
    )


def face_patch(image: Image, landmarks: Landmarks) -> npt.NDArray[np.uint8]:
    """PATCH x PATCH uint8 luminance of the face, upright, eyes at `PATCH_EYES`."""
    matrix = similarity(landmarks.five[:2].astype(np.float64), PATCH_EYES * PATCH)
    grey = cv2.cvtColor(warp(image, matrix, PATCH), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, dtype=np.uint8)


def sharpness(patch: npt.NDArray[np.uint8]) -> float:
    """log10 of the energy of second derivatives over the variance of luminance, in the direction where it is least.

    Blur lowers it, low contrast does not. Motion blurs in one direction only, hence four are looked at.
    """
    smooth = cv2.GaussianBlur(patch[SKIN].astype(np.float32), (0, 0), 0.8)  # sensor noise is not sharpness
    detail = min(float(cv2.filter2D(smooth, cv2.CV_32F, kernel).var()) for kernel in SECOND_DERIVATIVES)
    return float(np.log10((detail + 1e-3) / (float(smooth.var()) + 1.0)))


def covering(image: Image, landmarks: Landmarks) -> float:
    """Distance of the nose's colour from the brow's, in units of the brow's chroma; 0 where the picture is grey."""
    left, top, right, bottom = landmarks.box
    height, width = image.shape[:2]
    rows = slice(max(0, int(top)), min(height, max(0, int(bottom)) + 1))
    columns = slice(max(0, int(left)), min(width, max(0, int(right)) + 1))
    part = image[rows, columns]
    if not part.size:
        return 0.0
    # Averaged over a few pixels by a small copy, in which two pixels are a sixth of the distance between the eyes.
    scale = min(1.0, 12.0 / max(landmarks.inter_eye, 1.0))
    small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(np.asarray(small, dtype=np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)
    places = (landmarks.points[:, :2] - (columns.start, rows.start)) * (lab.shape[1] / part.shape[1])
    across, down = np.clip(places.astype(int), 0, (lab.shape[1] - 1, lab.shape[0] - 1)).T
    chroma = lab[down, across, 1:]
    brow, nose = (np.median(chroma[list(points)], axis=0) for points in (BROW_POINTS, NOSE_POINTS))
    strength = float(np.hypot(*brow))
    return float(np.hypot(*(nose - brow))) / strength if strength > GREY else 0.0


def _judge(quality: FaceQuality, gate: QualityGate) -> Guidance | None:
    """The first thing to put right, in the order in which it helps: see the face, light, pose, detail."""
    findings = (
        (quality.presence < gate.presence or quality.covered > gate.covered, Guidance.UNCOVER_FACE),
        (quality.inter_eye < gate.inter_eye, Guidance.MOVE_CLOSER),
        (quality.mean < gate.mean_low or quality.under > gate.under, Guidance.TOO_DARK),
        (quality.over > gate.over, Guidance.GLARE),
        (quality.mean > gate.mean_high, Guidance.TOO_BRIGHT),
        (abs(quality.yaw) > gate.yaw or abs(quality.pitch) > gate.pitch, Guidance.LOOK_STRAIGHT),
        (abs(quality.roll) > gate.roll, Guidance.LOOK_STRAIGHT),
        (quality.contrast < gate.contrast, Guidance.TOO_DARK if quality.mean < 0.5 else Guidance.TOO_BRIGHT),
        (quality.sharpness < gate.sharpness, Guidance.HOLD_STILL),
        (quality.eyes_open < gate.eyes_open or quality.mouth_open > gate.mouth_open, Guidance.LOOK_STRAIGHT),
    )
    return next((guidance for wrong, guidance in findings if wrong), None)
