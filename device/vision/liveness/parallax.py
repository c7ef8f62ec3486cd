"""Depth from motion: as a face turns, do its landmarks move as those of a head, or as those of a flat picture?

In: landmarks and pose of each frame of the challenge. Out: a `CheckReport`: pass (a head), fail (`moves_as_plane`), or
not performed (`motion_insufficient`). The tracks of stable points are fitted by a plane, by a bent sheet and by a
rigid head (`depth_fit`); what plane and sheet leave over, beside what the head does, decides. Only turns to a side
count: in a nod a face shows too little relief to tell a head from a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from device.protocol import Check, CheckReport, Reason, Result
from device.vision.face.landmarks import Landmarks, Pose
from device.vision.liveness.depth_fit import (
    STABLE,
    Array,
    eye_distance,
    head_residual,
    mean_shape,
    plane_residual,
    shape_change,
    sheet_residual,
)
from device.vision.liveness.parameters import ParallaxParameters, load_parameters

METHOD: Final = "parallax-2"
_MEMORY: Final = 600
"""Frames that are remembered at most: 40 s at 15 frames a second, a few hundred kilobytes."""


@dataclass(frozen=True)
class DepthEvidence:
    """What the fits say, residuals as RMS over `frames` frames in shares of the eyes' distance. `turned`: these are
    frames in which the head turned to a side from a straight look; else those in which only its shape changed."""

    frames: int
    turned: bool
    plane: float
    sheet: float
    head: float

    @property
    def ratio(self) -> float:
        """Above 1 the head explains more than the plane."""
        return self.plane / max(self.head, 1e-9)

    @property
    def sheet_ratio(self) -> float:
        """Above 1 the head explains more than the bent sheet."""
        return self.sheet / max(self.head, 1e-9)


@dataclass(frozen=True)
class _View:
    points: Array
    yaw: float
    pitch: float
    eyes: float


class Parallax:
    """Collects views of one face and judges them at the end."""

    def __init__(self, parameters: ParallaxParameters | None = None) -> None:
        self._p = parameters or load_parameters().parallax
        self._views: list[_View] = []

    def add(self, landmarks: Landmarks, pose: Pose) -> None:
        """Takes in one frame's landmarks and head pose."""
        if len(self._views) < _MEMORY:
            points = landmarks.points.astype(np.float64)
            self._views.append(_View(points[STABLE], pose.yaw, pose.pitch, eye_distance(points)))

    def report(self) -> CheckReport:
        """The check's answer from all that was seen until now.

        A face that turned is a head if the head explains its tracks much better than plane and bent sheet, else a
        picture. A face that changed its shape as a plane does, without turning, is one too. All else says too little.
        """
        check, evidence = Check.LIVENESS_PARALLAX, self.evidence()
        if evidence is None:
            return CheckReport(check, Result.NOT_PERFORMED, Reason.MOTION_INSUFFICIENT, method=METHOD)
        if evidence.turned and evidence.ratio >= self._p.ratio and evidence.sheet_ratio >= self._p.sheet_ratio:
            return CheckReport(check, Result.PASS, method=METHOD)
        if evidence.turned or evidence.ratio < self._p.plane_ratio:
            return CheckReport(check, Result.FAIL, Reason.MOVES_AS_PLANE, method=METHOD)
        return CheckReport(check, Result.NOT_PERFORMED, Reason.MOTION_INSUFFICIENT, method=METHOD)

    def evidence(self) -> DepthEvidence | None:
        """The residuals behind the answer, or None if too little moved to say anything."""
        if not self._views:
            return None
        straight = [view for view in self._views if max(abs(view.yaw), abs(view.pitch)) <= self._p.reference_pose]
        frontal = bool(straight)
        straight = straight[: self._p.reference_frames] or [min(self._views, key=lambda v: abs(v.yaw) + abs(v.pitch))]
        reference = mean_shape(np.stack([view.points for view in straight]))
        eyes = max(straight[0].eyes, 1e-9)  # mean_shape has the first frame's scale
        frames = np.stack([view.points[:, :2] for view in self._views])
        change = shape_change(reference[:, :2], frames) / eyes
        yaw, pitch = self._away(straight)
        counted = np.flatnonzero(yaw >= self._p.turn)
        turned = frontal and len(counted) >= self._p.frames
        if not turned:  # a head that nods changes its shape too, and not unlike a plane
            counted = np.flatnonzero((change >= self._p.stretch) & (pitch < self._p.nod))
        if len(counted) < self._p.frames:
            return None
        counted = counted[np.argsort(-change[counted])][: self._p.keep]
        fitted = frames[counted]
        plane = np.array([plane_residual(reference[:, :2], frame) for frame in fitted]) / eyes
        sheet = sheet_residual(reference[:, :2], fitted) / eyes
        head = head_residual(reference, fitted) / eyes
        return DepthEvidence(len(counted), turned, _rms(plane), _rms(sheet), _rms(head))

    def _away(self, straight: list[_View]) -> tuple[Array, Array]:
        """Degrees by which each view is turned, and nodded, away from the reference's views."""
        yaw = float(np.median([view.yaw for view in straight]))
        pitch = float(np.median([view.pitch for view in straight]))
        yaws, pitches = np.array([(view.yaw, view.pitch) for view in self._views], np.float64).T
        return np.abs(yaws - yaw), np.abs(pitches - pitch)


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean()))
