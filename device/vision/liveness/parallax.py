"""Depth from motion: as a face turns, do its landmarks move as those of a head, or as those of a flat picture?

In: landmarks and pose of each frame of the challenge. Out: a `CheckReport`: pass (a head), fail (`moves_as_plane`), or
not performed (`motion_insufficient`). The tracks of stable points are fitted by a plane and by a rigid head
(`depth_fit`); the plane's residual over the head's decides.
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
)
from device.vision.liveness.parameters import ParallaxParameters, load_parameters

METHOD: Final = "parallax-1"
_MEMORY: Final = 600
"""Frames that are remembered at most: 40 s at 15 frames a second, a few hundred kilobytes."""


@dataclass(frozen=True)
class DepthEvidence:
    """What the fits say, residuals as RMS over `frames` frames in shares of the eyes' distance. `turned`: these are
    frames in which the head pose left a straight look; else frames in which only the face's shape changed.
    `nodded`: it turned, but up or down only."""

    frames: int
    turned: bool
    nodded: bool
    plane: float
    head: float

    @property
    def ratio(self) -> float:
        """Above 1 the head explains more than the plane."""
        return self.plane / max(self.head, 1e-9)


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

        A face that turned is a head if the head explains its tracks much better than the plane, else a plane. A face
        that changed its shape as a plane does, without turning, is a plane too. All else says too little.
        """
        check, evidence = Check.LIVENESS_PARALLAX, self.evidence()
        needed = self._p.nod_ratio if evidence is not None and evidence.nodded else self._p.ratio
        if evidence is not None and evidence.turned and evidence.ratio >= needed:
            return CheckReport(check, Result.PASS, method=METHOD)
        if evidence is not None and (evidence.turned or evidence.ratio < self._p.plane_ratio):
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
        nodded = len(counted) < self._p.frames  # a turn says more than a nod: nods count only where nobody turned
        if nodded:
            counted = np.flatnonzero(np.maximum(yaw, pitch) >= self._p.turn)
        turned = frontal and len(counted) >= self._p.frames
        if not turned:
            counted = np.flatnonzero(change >= self._p.stretch)
        if len(counted) < self._p.frames:
            return None
        counted = counted[np.argsort(-change[counted])][: self._p.keep]
        plane = np.array([plane_residual(reference[:, :2], frames[index]) for index in counted]) / eyes
        head = head_residual(reference, frames[counted]) / eyes
        return DepthEvidence(len(counted), turned, turned and nodded, _rms(plane), _rms(head))

    def _away(self, straight: list[_View]) -> tuple[Array, Array]:
        """Degrees by which each view is turned, and nodded, away from the reference's views."""
        yaw = float(np.median([view.yaw for view in straight]))
        pitch = float(np.median([view.pitch for view in straight]))
        yaws, pitches = np.array([(view.yaw, view.pitch) for view in self._views], np.float64).T
        return np.abs(yaws - yaw), np.abs(pitches - pitch)


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean()))
