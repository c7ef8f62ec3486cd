"""Each finding about camera and light is provoked, on frames of the emulated camera, and named right."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from device.config import VisionConfig
from device.errors import CameraError
from device.protocol import CameraKind, Guidance, Progress, Result, Stage
from device.vision.camera.base import Camera, CameraIdentity, Frame, Image, open_camera
from provisioning.selftest.camera import identity, judge, look_at_camera, observe
from provisioning.selftest.limits import load_limits
from provisioning.selftest.optics import distortion_of
from provisioning.selftest.report import Finding
from provisioning.selftest.target import render_target

FPS = 14
LIVE = CameraIdentity(CameraKind.LIVE, "v4l2 Test camera, serial 1")
ROWS_A_SECOND = 30.0
"""A rolling shutter that takes a thirtieth of a second from the first row to the last."""


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    """Twenty frames of the emulated person, who looks into the camera."""
    with open_camera(VisionConfig(camera="emulated:standard", pace="fast", fps=FPS, width=640, height=480)) as camera:
        camera.prompt(Progress(Stage.SELFIE, Guidance.LOOK_STRAIGHT, 10))
        frames = [camera.read(1.0) for _ in range(24)]
    return [frame.image for frame in frames if frame is not None]


def frames(pictures: list[Image], change: Callable[[Image, float], Image], fps: float = FPS) -> list[Frame]:
    return [Frame(change(image, number / fps), number / fps, number, LIVE) for number, image in enumerate(pictures)]


def findings(taken: list[Frame], fps: int = FPS) -> dict[str, Finding]:
    judged = judge(VisionConfig(camera="v4l2:0", fps=fps), observe(taken), load_limits())
    return {one.name.removeprefix("camera."): one for one in judged}


def plain(image: Image, _time: float) -> Image:
    return image


def dark(image: Image, _time: float) -> Image:
    return (image * 0.1).astype(np.uint8)


def bright(image: Image, _time: float) -> Image:
    return np.clip(image.astype(np.int32) * 2 + 60, 0, 255).astype(np.uint8)


def unfocused(image: Image, _time: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 3), np.uint8)


def from_behind(image: Image, _time: float) -> Image:
    third = image.shape[1] // 3
    lit = np.clip(image.astype(np.int32) + 90, 0, 235).astype(np.uint8)
    lit[:, third : 2 * third] = (image[:, third : 2 * third] * 0.55).astype(np.uint8)
    return lit


def noisy(image: Image, time: float) -> Image:
    random = np.random.default_rng(int(time * 1000))
    return np.clip(image + random.normal(0, 16, image.shape), 0, 255).astype(np.uint8)


def flickering(mains: int, share: float = 0.05) -> Callable[[Image, float], Image]:
    """Light at twice the mains frequency on a rolling shutter."""

    def change(image: Image, time: float) -> Image:
        rows = np.arange(image.shape[0]) / image.shape[0] / ROWS_A_SECOND
        light = 1 + share * np.sin(2 * np.pi * 2 * mains * (time + rows))
        return np.clip(image * light[:, None, None], 0, 255).astype(np.uint8)

    return change


def test_a_good_camera_passes(pictures: list[Image]) -> None:
    found = findings(frames(pictures, plain))
    results = {name: one.result for name, one in found.items()}
    assert results == dict.fromkeys(found, Result.PASS) | {"distortion": Result.NOT_PERFORMED}


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (dark, "exposure", "too dark"),
        (dark, "light", "too dark"),
        (bright, "exposure", "too bright"),
        (unfocused, "focus", "unfocused"),
        (from_behind, "light", "from behind"),
        (noisy, "noise", "grey levels"),
        (flickering(50), "flicker", "50 Hz"),
        (flickering(60), "flicker", "60 Hz"),
    ],
    ids=["dark", "dark-place", "bright", "unfocused", "backlight", "noise", "flicker-50", "flicker-60"],
)
def test_what_is_wrong_is_named(pictures: list[Image], change: Callable[..., Image], name: str, words: str) -> None:
    found = findings(frames(pictures, change))
    assert found[name].result is Result.FAIL
    assert words in found[name].text
    assert found[name].advice
    related = {"exposure": {"light"}, "light": {"exposure", "focus"}}
    failed = {other for other, one in found.items() if one.result is Result.FAIL} - {name} - related.get(name, set())
    assert failed == set(), "a defect is not taken for another"


def test_in_the_dark_focus_is_not_judged(pictures: list[Image]) -> None:
    assert findings(frames(pictures, dark))["focus"].result is Result.NOT_PERFORMED


def test_a_wall_has_nothing_to_focus_on() -> None:
    walls = [np.full((480, 640, 3), 140, np.uint8)] * 14
    assert findings(frames(walls, plain))["focus"].result is Result.NOT_PERFORMED


def test_a_weak_flicker_is_let_be(pictures: list[Image]) -> None:
    assert findings(frames(pictures, flickering(50, 0.003)))["flicker"].result is Result.PASS


def test_late_frames_do_not_hide_flicker(pictures: list[Image]) -> None:
    random = np.random.default_rng(3)
    taken = [
        Frame(one.image, one.time + float(random.uniform(0, 0.004)), one.number, LIVE)
        for one in frames(pictures, flickering(50))
    ]
    assert findings(taken)["flicker"].figures["mains"] == 50


def test_what_the_frame_rate_cannot_show_is_said(pictures: list[Image]) -> None:
    at_15 = findings(frames(pictures, flickering(60), fps=15), fps=15)["flicker"]
    assert at_15.result is Result.PASS
    assert "60 Hz stands still" in at_15.text
    at_20 = findings(frames(pictures, plain, fps=20), fps=20)["flicker"]
    assert at_20.result is Result.NOT_PERFORMED


def test_slow_and_lost_frames(pictures: list[Image]) -> None:
    slow = findings(frames(pictures, plain, fps=7))["rate"]
    assert (slow.result, "7.0 frames/s" in slow.text) == (Result.FAIL, True)
    some = [frame for frame in frames(pictures, plain) if frame.number % 5]
    lost = findings(some)["rate"]
    assert (lost.result, "lost" in lost.text) == (Result.FAIL, True)


# --- The printed target ----------------------------------------------------------------------------------------------


def board(bend: float) -> Image:
    """The target as a lens with radial distortion sees it (first coefficient `bend`)."""
    image = np.full((480, 640), 255, np.uint8)
    for y in range(7):
        for x in range(10):
            if (x + y) % 2 == 0:
                image[60 + y * 50 : 110 + y * 50, 70 + x * 50 : 120 + x * 50] = 0
    size, middle = np.array([640, 480]), np.array([320.0, 240.0])
    y_, x_ = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float64)
    x_, y_ = (x_ - middle[0]) / 400, (y_ - middle[1]) / 400
    stretch = 1 + bend * (x_**2 + y_**2)
    to_x, to_y = (
        (x_ * stretch * 400 + middle[0]).astype(np.float32),
        (y_ * stretch * 400 + middle[1]).astype(np.float32),
    )
    bent = cv2.remap(image, to_x, to_y, cv2.INTER_LINEAR, borderValue=255)
    return np.repeat(np.asarray(bent, np.uint8)[..., None], 3, axis=2)


def test_distortion_is_measured_on_the_target() -> None:
    straight, bent = (distortion_of(np.ascontiguousarray(board(bend)[..., 0])) for bend in (0.0, 0.3))
    assert straight is not None
    assert bent is not None
    assert straight < 0.002 < load_limits().distortion.share < bent
    assert distortion_of(np.zeros((480, 640), np.uint8)) is None
    found = findings(frames([board(0.3)] * 13, plain))["distortion"]
    assert (found.result, found.advisory) == (Result.FAIL, True)


def test_the_target_is_the_board_that_is_looked_for() -> None:
    svg = render_target()
    assert svg.count("<rect x=") == 35  # 10 x 7 squares, half of them black: 9 x 6 inner corners


# --- Which camera ----------------------------------------------------------------------------------------------------


def test_the_wrong_camera_is_named() -> None:
    other = CameraIdentity(CameraKind.LIVE, "v4l2 Another camera, serial 2")
    config = VisionConfig(camera="v4l2:0", camera_id=LIVE.description)
    assert identity(config, LIVE).result is Result.PASS
    found = identity(config, other)
    assert found.result is Result.FAIL
    assert "serial 2" in found.text
    assert "serial 1" in found.text
    emulated = CameraIdentity(CameraKind.EMULATED, "emulated scenario standard")
    assert identity(VisionConfig(), emulated).result is Result.FAIL


class Odd(Camera):
    """A camera that is open and says nothing, or does not open."""

    def __init__(self, *, opens: bool) -> None:
        self._opens = opens

    @property
    def identity(self) -> CameraIdentity:
        return LIVE

    def _open(self) -> None:
        if not self._opens:
            raise CameraError("no such device")

    def _read(self, timeout: float) -> Frame | None:
        return None

    def _close(self) -> None:
        pass


@pytest.mark.parametrize("opens", [True, False])
def test_no_camera_no_figures(opens: bool) -> None:
    found = {one.name: one.result for one in look_at_camera(VisionConfig(), Odd(opens=opens), load_limits(), 0.2)}
    assert found.pop("camera.present") is Result.FAIL
    assert Result.PASS not in {result for name, result in found.items() if name != "camera.identity"}
    if not opens:
        assert found["camera.identity"] is Result.NOT_PERFORMED
