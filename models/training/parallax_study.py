"""Measures depth from motion: real turning heads, and photographs of faces turned, bent and tilted by hand.

In: a folder of clips of people who turn their heads, a folder of face images. Out: one JSON line a sequence (kind,
file, frames counted, ratios, answer), and at the end error rates with 95 % bounds, and what became of the clips: of
every face that turns, and of every face photographed from its clip and turned by hand. Every sequence goes through the
box's own detector and landmarks; nothing is computed on ideal points.

    python -m models.training.parallax_study --clips DIR --faces DIR [--count 100]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from device.errors import ConfigurationError
from device.vision.camera.base import Image
from device.vision.camera.emulation.person import Head
from device.vision.camera.emulation.portrait import load_portrait
from device.vision.camera.emulation.puppet import Puppet
from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker, Landmarks, head_pose
from device.vision.inference.manifest import load_manifest
from device.vision.liveness.crops import Square, crop
from device.vision.liveness.parallax import Parallax

KINDS = ("flat", "bent", "bent_around", "tilted", "screen")
FLAT = ("flat", "tilted", "screen")
STRAIGHT, TURN = 12.0, 15.0
"""Degrees: how straight a face has to look once, and how far it has to turn, to be one of the clips' turning heads."""


def clip_frames(path: Path) -> list[Image]:
    """All frames of a video or GIF, RGB."""
    capture = cv2.VideoCapture(str(path))
    frames: list[Image] = []
    while True:
        found, frame = capture.read()
        if not found:
            return frames
        frames.append(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8))


@dataclass
class Followed:
    """One face of a sequence: what depth saw of it, its landmarks and yaw in degrees frame by frame, which frames
    these were, and the face cut out of each with its left upper corner."""

    parallax: Parallax
    seen: list[Landmarks]
    yaws: list[float]
    frames: list[int]
    cut: list[tuple[Image, tuple[int, int]]]

    @property
    def turns(self) -> bool:
        """Whether it turns 15 degrees or more to a side from a straight look."""
        return min(abs(yaw) for yaw in self.yaws) <= STRAIGHT and max(self.yaws) - min(self.yaws) >= TURN


class Tracks:
    """Every face of a sequence with its own `Parallax`, followed by position."""

    def __init__(self, detector: FaceDetector, landmarker: FaceLandmarker) -> None:
        self._detector, self._landmarker = detector, landmarker
        self._count = 0
        self.faces: list[Followed] = []

    def add(self, image: Image) -> None:
        for detection in self._detector.detect(image):
            found = self._landmarker.find(image, detection)
            if found is None:
                continue
            pose = head_pose(found)
            near = (face for face in self.faces if _moved(face.seen[-1], found) < 0.8 * found.inter_eye)
            face = next(near, None)
            if face is None:
                face = Followed(Parallax(), [], [], [], [])
                self.faces.append(face)
            face.parallax.add(image, found, pose)
            face.seen.append(found)
            face.yaws.append(pose.yaw)
            face.frames.append(self._count)
            face.cut.append(_cut(image, found))
        self._count += 1


def _cut(image: Image, found: Landmarks) -> tuple[Image, tuple[int, int]]:
    low, high = found.points[:, :2].min(axis=0), found.points[:, :2].max(axis=0)
    rim = 0.2 * (high - low)
    left, top = (int(value) for value in np.maximum(0, low - rim))
    right, bottom = (int(value) for value in np.maximum(1, high + rim))
    return image[top:bottom, left:right].copy(), (left, top)


def _moved(before: Landmarks, now: Landmarks) -> float:
    return float(np.linalg.norm(before.five.mean(axis=0) - now.five.mean(axis=0)))


def straightest(face: Followed, frames: list[Image]) -> Image:
    """The face with its surroundings, as somebody would photograph or print it, where it looks most nearly straight."""
    index = int(np.argmin(np.abs(face.yaws)))
    image, (left, top, right, bottom) = frames[face.frames[index]], face.seen[index].box
    square = Square((left + right) / 2, (top + bottom) / 2, 2.2 * max(right - left, bottom - top))
    inside = square.inside(*image.shape[:2])
    return crop(image, inside, max(64, round(inside.side)))


def held_photograph(
    rng: np.random.Generator, photo: Image, kind: str, size: tuple[int, int] = (480, 640), frames: int = 24
) -> Iterator[Image]:
    """A photograph before a camera, turned left and right as a head would turn, in front of a plain wall.

    `flat` and `screen` turn around the upright axis, `tilted` around both, `bent` is curved like a sheet held at its
    sides, `bent_around` like paper wrapped around a head (radius 0.55 to 1.2 photo widths).
    """
    height, width = size
    side = rng.uniform(0.75, 1.0) * height
    focal = rng.uniform(0.9, 1.6) * width
    distance = focal * rng.uniform(0.95, 1.1)
    reach = np.deg2rad(rng.uniform(25, 42))
    nod = np.deg2rad(rng.uniform(15, 30)) if kind == "tilted" else np.deg2rad(rng.uniform(0, 4))
    curve = {"bent": rng.uniform(0.3, 0.7), "bent_around": 1 / rng.uniform(0.55, 1.2)}.get(kind, 0.0)
    sign = -1.0 if kind == "bent" and rng.random() < 0.5 else 1.0
    wall = np.full((height, width, 3), rng.uniform(60, 200), np.float32) + rng.normal(0, 8, 3).astype(np.float32)
    scale = side / max(photo.shape[:2])
    for number in range(frames):
        phase = 2 * np.pi * number / frames
        yaw, pitch = reach * np.sin(phase), nod * np.sin(phase + 0.8)
        shake = rng.normal(0, 1.0, 2)
        yield _photograph(rng, photo, wall, scale, (yaw, pitch), curve * sign / side, focal, distance, shake)


def _photograph(
    rng: np.random.Generator,
    photo: Image,
    wall: npt.NDArray[np.float32],
    scale: float,
    angles: tuple[float, float],
    curvature: float,
    focal: float,
    distance: float,
    shake: npt.NDArray[np.float64],
) -> Image:
    """One frame: the sheet as upright strips, each of them flat, mapped through perspective, far ones first."""
    rows, columns = photo.shape[:2]
    strips = 28 if curvature else 1
    edges = np.linspace(0, columns, strips + 1)
    u, v = np.meshgrid(edges, [0.0, float(rows)])
    x, y = (u - columns / 2) * scale, (v - rows / 2) * scale
    z = np.zeros_like(x)
    if curvature:
        bow = np.clip(x * curvature, -2.6, 2.6)
        x, z = np.sin(bow) / curvature, (1 - np.cos(bow)) / curvature
    (cy, sy), (cp, sp) = [(np.cos(angle), np.sin(angle)) for angle in angles]
    x, z = cy * x + sy * z, -sy * x + cy * z
    y, z = cp * y - sp * z, sp * y + cp * z
    px = focal * x / (distance + z) + wall.shape[1] / 2 + shake[0]
    py = focal * y / (distance + z) + wall.shape[0] / 2 + shake[1]
    picture = wall.copy()
    for j in sorted(range(strips), key=lambda strip: -(z[:, strip] + z[:, strip + 1]).sum()):
        corners = np.float32(
            [[px[0, j], py[0, j]], [px[0, j + 1], py[0, j + 1]], [px[1, j + 1], py[1, j + 1]], [px[1, j], py[1, j]]]
        )
        if cv2.contourArea(corners, oriented=True) < 1.0:  # seen from behind, or edge on
            continue
        left, top = np.maximum(np.floor(corners.min(0)).astype(int), 0)
        right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, (wall.shape[1], wall.shape[0]))
        if left >= right or top >= bottom:
            continue
        source = np.float32([[edges[j], 0], [edges[j + 1], 0], [edges[j + 1], rows], [edges[j], rows]])
        shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], np.float64)
        matrix = shift @ cv2.getPerspectiveTransform(source, corners)
        shape = int(right - left), int(bottom - top)
        drawn = cv2.warpPerspective(photo, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros((shape[1], shape[0]), np.uint8)
        cv2.fillConvexPoly(mask, np.rint(corners - (left, top)).astype(np.int32), 255)
        picture[top:bottom, left:right][mask > 0] = drawn[mask > 0]
    picture = cv2.GaussianBlur(picture, (0, 0), 0.7)
    grain = np.empty(picture.shape, np.float32)
    cv2.randn(grain, 0.0, float(rng.uniform(1.5, 3.5)))
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def turning_head(
    rng: np.random.Generator, file: Path, size: tuple[int, int] = (480, 640), frames: int = 24
) -> Iterator[Image]:
    """The emulator's head made of one photograph, turning: a head, though of imagined depth.

    Raises:
        ConfigurationError: the photograph cannot be animated.
    """
    puppet = Puppet(load_portrait(str(file)))
    height, width = size
    wall = np.full((height, width, 3), rng.uniform(60, 200), np.float32)
    reach, nod = rng.uniform(18, 32), rng.uniform(0, 6)
    for number in range(frames):
        phase = 2 * np.pi * number / frames
        frame = np.ascontiguousarray(np.clip(wall, 0, 255).astype(np.uint8))
        head = Head(yaw=float(reach * np.sin(phase)), pitch=float(nod * np.sin(2 * phase)))
        puppet.draw(frame, head, (width / 2, height * 0.5), height * 0.5)
        grain = np.empty(frame.shape, np.float32)
        cv2.randn(grain, 0.0, 2.5)
        yield np.clip(frame + grain, 0, 255).astype(np.uint8)


def bound(wrong: int, total: int) -> float:
    """Upper end of the exact two-sided 95 % interval (Clopper-Pearson) of wrong / total."""
    if total == 0 or wrong == total:
        return 1.0
    low, high = wrong / total, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        chance, term = 0.0, (1 - middle) ** total
        for k in range(wrong + 1):
            chance += term
            term *= (total - k) / (k + 1) * middle / (1 - middle)
        low, high = (middle, high) if chance > 0.025 else (low, middle)
    return high


def line(kind: str, file: str, face: Followed) -> dict[str, object]:
    """What is printed of one face of one sequence."""
    evidence, report = face.parallax.evidence(), face.parallax.report()
    return {
        "kind": kind,
        "file": file,
        "frames": len(face.seen),
        "yaw": [round(min(face.yaws)), round(max(face.yaws))],
        "counted": evidence.frames if evidence else 0,
        "turned": evidence.turned if evidence else False,
        "ratio": round(evidence.ratio, 3) if evidence else None,
        "sheet_ratio": round(evidence.sheet_ratio, 3) if evidence else None,
        "answer": report.reason or report.result,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--save", type=Path, help="folder for the tracks, to study thresholds without rendering again")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    manifest = load_manifest()
    detector, landmarker = FaceDetector(manifest), FaceLandmarker(manifest)
    tally: dict[str, list[str]] = {}
    clips: dict[str, list[str]] = {}

    def tell(kind: str, file: str, tracks: Tracks, least: int, size: tuple[int, int] = (480, 640)) -> None:
        for face in tracks.faces:
            if len(face.seen) < least:
                continue
            row = line(kind, file, face)
            print(json.dumps(row), flush=True)
            tally.setdefault(kind, []).append(str(row["answer"]))
            if file.endswith(".gif") and kind in ("head", *FLAT):
                clips.setdefault("turning heads" if face.turns and kind == "head" else kind, []).append(
                    str(row["answer"])
                )
            if arguments.save:
                arguments.save.mkdir(parents=True, exist_ok=True)
                name = f"{kind}-{sum(len(told) for told in tally.values()):03d}.npz"
                points = np.stack([found.points for found in face.seen])
                pictures = {f"picture_{number:03d}": picture for number, (picture, _) in enumerate(face.cut)}
                corners = np.array([corner for _, corner in face.cut])
                np.savez(arguments.save / name, points=points, corners=corners, size=size, source=file, **pictures)

    rng = np.random.default_rng(7)
    for path in sorted(arguments.clips.glob("*.gif")) if arguments.clips else ():
        frames = clip_frames(path)
        tracks = Tracks(detector, landmarker)
        for frame in frames:
            tracks.add(frame)
        tell("head", path.name, tracks, 8, frames[0].shape[:2])
        for face in tracks.faces:
            if len(face.seen) < 8:
                continue
            for kind in KINDS:
                turned = Tracks(detector, landmarker)
                for frame in held_photograph(rng, straightest(face, frames), kind):
                    turned.add(frame)
                tell(kind, path.name, turned, 12)
    files = sorted(arguments.faces.iterdir()) if arguments.faces else []
    for index in rng.permutation(len(files))[: arguments.count]:
        image = cv2.cvtColor(cv2.imread(str(files[index])), cv2.COLOR_BGR2RGB)
        kind = (*KINDS[:-1], "puppet")[int(rng.integers(len(KINDS)))]
        moving = (
            turning_head(rng, files[index])
            if kind == "puppet"
            else held_photograph(rng, np.asarray(image, np.uint8), kind)
        )
        tracks = Tracks(detector, landmarker)
        try:
            for frame in moving:
                tracks.add(frame)
        except ConfigurationError:
            continue
        tell(kind, files[index].name, tracks, 12)
    for kind, answers in sorted(tally.items()):
        counts = {answer: answers.count(answer) for answer in sorted(set(answers))}
        wrong = counts.get("moves_as_plane" if kind in ("head", "puppet") else "pass", 0)
        print(
            f"{kind}: {len(answers)} sequences {counts}; wrong {wrong}, at most {bound(wrong, len(answers)):.1%} (95 %)"
        )

    for kind, answers in sorted(clips.items()):
        counts = {answer: answers.count(answer) for answer in sorted(set(answers))}
        print(f"of the clips: {kind}: {counts}")


if __name__ == "__main__":
    main()
