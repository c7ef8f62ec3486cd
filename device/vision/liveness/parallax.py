"""Depth from motion: as a face turns, do its points move as those of a head, or as those of a flat picture?

In: image, landmarks and pose of each frame of the challenge. Out: a `CheckReport`: pass (a head), fail
(`moves_as_plane`), or not performed (`motion_insufficient`). Tracks of points are fitted by a plane, by a bent sheet
and by a rigid head (`depth_fit`); what plane and sheet leave over, beside what the head does, decides. Points are
followed in the picture itself (`tracks`); where too few can be, the landmarks' own tracks decide, by stricter limits.
Only turns to a side count: in a nod a face shows too little relief to tell a head from a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from device.protocol import Check, CheckReport, Reason, Result
from device.vision.camera.base import Image
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
from device.vision.liveness.tracks import EYES, Shot, follow, shot

METHOD: Final = "parallax-4"
_MEMORY: Final = 600
"""Frames that are remembered at most: 40 s at 15 frames a second, a few hundred kilobytes."""
_SHOTS: Final = 24
"""Turned frames whose picture is kept, the widest turns: 30 kB each."""


@dataclass(frozen=True)
class DepthEvidence:
    """What the fits say, residuals as RMS over `frames` frames in shares of the eyes' distance. `turned`: these are
    frames in which the head turned to a side from a straight look; else those in which only its shape changed.
    `followed`: the points were followed in the picture; else they are landmarks. `change`: of the shape, beyond shift,
    turn and scale, RMS over the three frames that changed most."""

    frames: int
    turned: bool
    followed: bool
    change: float
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


@dataclass(frozen=True, eq=False)
class _Look:
    yaw: float
    pitch: float

    @property
    def away(self) -> float:
        """Degrees from straight."""
        return max(abs(self.yaw), abs(self.pitch))


@dataclass(frozen=True, eq=False)
class _View(_Look):
    points: Array
    eyes: float


@dataclass(frozen=True, eq=False)
class _Kept(_Look):
    shot: Shot


class Parallax:
    """Collects views of one face and judges them at the end."""

    def __init__(self, parameters: ParallaxParameters | None = None) -> None:
        self._p = parameters or load_parameters().parallax
        self._views: list[_View] = []
        self._straight: _Kept | None = None
        self._turned: list[_Kept] = []

    def add(self, image: Image, landmarks: Landmarks, pose: Pose) -> None:
        """Takes in one frame (H x W x 3 uint8 RGB), its landmarks and its head pose."""
        if len(self._views) < _MEMORY:
            points = landmarks.points.astype(np.float64)
            self._views.append(_View(pose.yaw, pose.pitch, points[STABLE], eye_distance(points)))
            self._keep(image, landmarks, self._views[-1])

    def _keep(self, image: Image, landmarks: Landmarks, look: _Look) -> None:
        """Keeps the picture of the straightest look, and those of the widest turns that can still be followed."""
        if abs(look.yaw) > self._p.followed_turn:
            return
        straighter = self._straight is None or look.away < self._straight.away
        wider = len(self._turned) < _SHOTS or abs(look.yaw) > abs(self._least_turned.yaw)
        taken = shot(image, landmarks) if straighter or wider else None
        if taken is None:
            return
        kept = _Kept(look.yaw, look.pitch, taken)
        if straighter:
            self._straight = kept
        if wider:
            if len(self._turned) == _SHOTS:
                self._turned.remove(self._least_turned)
            self._turned.append(kept)

    @property
    def _least_turned(self) -> _Kept:
        return min(self._turned, key=lambda kept: abs(kept.yaw))

    def report(self) -> CheckReport:
        """The check's answer from all that was seen until now.

        A face that turned is a head if the head explains its tracks much better than plane and bent sheet, else a
        picture. A face that changed its shape as a plane does, without turning, is one too. All else says too little.
        """
        check, evidence = Check.LIVENESS_PARALLAX, self.evidence()
        if evidence is None:
            return CheckReport(check, Result.NOT_PERFORMED, Reason.MOTION_INSUFFICIENT, method=METHOD)
        p, limits = self._p, (self._p.ratio, self._p.sheet_ratio, self._p.plane_ratio)
        if evidence.followed:
            limits = (p.followed_ratio, p.followed_sheet_ratio, p.followed_plane_ratio)
        if evidence.turned and evidence.ratio >= limits[0] and evidence.sheet_ratio >= limits[1]:
            return CheckReport(check, Result.PASS, method=METHOD)
        if evidence.turned or (evidence.change >= p.stretch and evidence.ratio < limits[2]):
            return CheckReport(check, Result.FAIL, Reason.MOVES_AS_PLANE, method=METHOD)
        return CheckReport(check, Result.NOT_PERFORMED, Reason.MOTION_INSUFFICIENT, method=METHOD)

    def evidence(self) -> DepthEvidence | None:
        """The residuals behind the answer, or None if too little moved to say anything."""
        if not self._views:
            return None
        straight = [view for view in self._views if view.away <= self._p.reference_pose]
        frontal = bool(straight)
        straight = straight[: self._p.reference_frames] or [min(self._views, key=lambda v: abs(v.yaw) + abs(v.pitch))]
        reference = mean_shape(np.stack([view.points for view in straight]))
        eyes = max(straight[0].eyes, 1e-9)  # mean_shape has the first frame's scale
        frames = np.stack([view.points[:, :2] for view in self._views])
        change = shape_change(reference[:, :2], frames) / eyes
        yaw, pitch = self._away(straight)
        counted = np.flatnonzero(yaw >= self._p.turn)
        turned = frontal and len(counted) >= self._p.frames
        if (followed := self._sides()) is not None:
            return followed
        if not turned and (followed := self._unturned()) is not None:
            return followed
        if not turned:  # a head that nods changes its shape too, and not unlike a plane
            counted = np.flatnonzero((change >= self._p.stretch) & (pitch < self._p.nod))
        if len(counted) < self._p.frames:
            return None
        counted = counted[np.argsort(-change[counted])][: self._p.keep]
        return _evidence(reference, frames[counted], eyes, turned=turned, followed=False)

    def _sides(self) -> DepthEvidence | None:
        """The residuals of points followed in the picture to the side that is less a head's, or None where none were.

        Each side by itself: what is seen from both is too little of a face.
        """
        straight = self._straight
        if straight is None or straight.away > self._p.reference_pose:
            return None
        sides = ([k for k in self._turned if side * (k.yaw - straight.yaw) >= self._p.turn] for side in (-1, 1))
        found = [each for each in (self._tracked(straight, side, turned=True) for side in sides) if each is not None]
        return min(found, key=self._margin, default=None)

    def _unturned(self) -> DepthEvidence | None:
        """The same of whatever else was seen, but for nods: a head that nods changes its shape not unlike a plane."""
        straight = self._straight
        if straight is None:
            return None
        others = [k for k in self._turned if k is not straight and abs(k.pitch - straight.pitch) < self._p.nod]
        return self._tracked(straight, others, turned=False)

    def _tracked(self, straight: _Kept, others: list[_Kept], *, turned: bool) -> DepthEvidence | None:
        """The residuals of what is followed from the straight look into those of the `others` that changed most."""
        if not others:
            return None
        shapes = np.stack([kept.shot.points[STABLE, :2] for kept in others])
        change = shape_change(straight.shot.points[STABLE, :2], shapes)
        widest = [others[index].shot for index in np.argsort(-change)[: self._p.keep]]
        tracks = follow(straight.shot, widest, self._p.followed_points)
        if tracks is None:
            return None
        return _evidence(tracks.reference, tracks.frames, EYES, turned=turned, followed=True)

    def _margin(self, evidence: DepthEvidence) -> float:
        """From 1 on, points that were followed are those of a head."""
        return min(evidence.ratio / self._p.followed_ratio, evidence.sheet_ratio / self._p.followed_sheet_ratio)

    def _away(self, straight: list[_View]) -> tuple[Array, Array]:
        """Degrees by which each view is turned, and nodded, away from the reference's views."""
        yaw = float(np.median([view.yaw for view in straight]))
        pitch = float(np.median([view.pitch for view in straight]))
        yaws, pitches = np.array([(view.yaw, view.pitch) for view in self._views], np.float64).T
        return np.abs(yaws - yaw), np.abs(pitches - pitch)


def _evidence(reference: Array, frames: Array, eyes: float, *, turned: bool, followed: bool) -> DepthEvidence:
    """Of a (P, 3) reference and (F, P, 2) frames in pixels, with the eyes `eyes` pixels apart."""
    change = np.sort(shape_change(reference[:, :2], frames))[-3:]
    plane = np.array([plane_residual(reference[:, :2], frame) for frame in frames])
    sheet, head = sheet_residual(reference[:, :2], frames), head_residual(reference, frames)
    rests = (_rms(rest / eyes) for rest in (change, plane, sheet, head))
    return DepthEvidence(len(frames), turned, followed, *rests)


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean()))
