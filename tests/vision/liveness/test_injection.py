"""Injected frames: a sensor's frames raise no suspicion; loops, noiseless pictures and impossible clocks do."""

import cv2
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


def drawn_face(number):
    """A patch that moves and shimmers before a background that never does."""
    picture = scene()
    x = 50 + number % 7
    picture[20:100, x : x + 60] += np.random.default_rng(number).normal(0, 3, (80, 60, 1))
    return picture.clip(0, 255)


def as_motion_jpeg(picture, quality):
    _, data = cv2.imencode(".jpg", picture.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def test_a_face_drawn_before_a_dead_background():
    assert watch([drawn_face(number) for number in range(60)]).evidence == ("noiseless",)


def test_a_face_drawn_before_a_background_with_a_sensor():
    rng = np.random.default_rng(5)
    frames = [np.clip(drawn_face(n) + rng.normal(0, 1.0, (120, 160, 3)), 0, 255) for n in range(60)]
    assert watch(frames).evidence == ()


@pytest.mark.parametrize("quality", [60, 80, 95])
def test_a_webcam_that_compresses_is_not_suspicious(quality):
    large = np.repeat(np.repeat(scene(), 4, axis=0), 4, axis=1)
    rng = np.random.default_rng(3)
    frames = (large + rng.normal(0, 1.5, (480, 640, 1)) for _ in range(50))
    assert watch([as_motion_jpeg(frame.clip(0, 255), quality) for frame in frames]).evidence == ()


def test_a_driver_that_repeats_frames_does_not_make_the_picture_dead():
    assert watch([frame for frame in noisy(12) for _ in range(8)]).evidence == ("noiseless",)  # 7 of 8 are copies
    assert watch([frame for frame in noisy(40) for _ in range(2)]).evidence == ()


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
