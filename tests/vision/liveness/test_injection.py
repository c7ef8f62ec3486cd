"""Injected frames: a sensor's frames raise no suspicion; loops, noiseless pictures and impossible clocks do."""

import numpy as np
import pytest

from device.protocol import CameraKind
from device.vision.camera.base import CameraIdentity, Frame
from device.vision.liveness.injection import FrameStatistics, InjectionWatch, frame_statistics

CAMERA = CameraIdentity(CameraKind.LIVE, "test")


def scene(level=120):
    y, x = np.mgrid[0:120, 0:160]
    picture = np.stack([level + 40 * np.sin(x / 17.0), level + 40 * np.cos(y / 11.0), level + 0 * x], axis=2)
    return picture.clip(0, 255)


def watch(images, times=None):
    found = InjectionWatch()
    for number, image in enumerate(images):
        time = number / 15 if times is None else times[number]
        found.add(Frame(image.astype(np.uint8), time, number, CAMERA))
    return found


def noisy(count, sigma=1.5, seed=0):
    rng = np.random.default_rng(seed)
    return [np.clip(scene() + rng.normal(0, sigma, (120, 160, 3)), 0, 255) for _ in range(count)]


@pytest.mark.parametrize("sigma", [0.5, 1.5, 4.0])
def test_a_sensor_is_not_suspicious(sigma):
    assert watch(noisy(60, sigma)).evidence == ()


def test_a_driver_may_give_a_frame_twice():
    frames = [frame for frame in noisy(40) for _ in range(2)]
    assert "repeated" not in watch(frames).evidence


def test_a_looped_recording():
    loop = noisy(10)
    assert watch(loop * 4).evidence == ("repeated",)


def test_a_still_picture_and_a_picture_moved_in_steps():
    assert "noiseless" in watch([scene()] * 30).evidence
    moved = [np.roll(scene(), number // 8, axis=1) for number in range(60)]
    assert "noiseless" in watch(moved).evidence


def test_darkness_and_glare_say_nothing_about_noise():
    assert watch([np.zeros((120, 160, 3))] * 40).evidence == ()
    assert watch([np.full((120, 160, 3), 255.0)] * 40).evidence == ()


def test_impossible_timing():
    assert watch(noisy(30), [number * 0.0005 for number in range(30)]).evidence == ("timing",)
    backwards = [number / 15 for number in range(30)]
    backwards[20] = 0.5
    assert watch(noisy(30), backwards).evidence == ("timing",)


def test_few_frames_say_nothing():
    assert not watch([scene()] * 10).suspicious


def test_statistics_are_of_what_can_be_measured():
    before = np.full((8, 8), 100, np.uint8)
    now = before.copy()
    now[:4] = 101
    assert frame_statistics(1.0, now, before) == FrameStatistics(
        1.0, frame_statistics(1.0, now, None).checksum, 1.0, 0.5
    )
    assert frame_statistics(1.0, np.zeros((8, 8), np.uint8), before).changed is None
