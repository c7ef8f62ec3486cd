"""The camera's watch: each fault noticed within two seconds, and nothing noticed of a camera that is well."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.protocol import CameraKind, Reason
from device.vision.camera.base import CameraIdentity, Frame
from device.vision.camera.watch import CameraWatch

CAMERA = CameraIdentity(CameraKind.LIVE, "test")
RANDOM = np.random.default_rng(3)


def frame(number: int, level: int = 120, spread: int = 6) -> Frame:
    image = RANDOM.integers(max(0, level - spread), level + spread, (48, 64, 3), dtype=np.uint8)
    return Frame(image, number / 15, number, CAMERA)


def first_report(watch: CameraWatch, reads: list[tuple[Frame | None, float]]) -> tuple[Reason, float] | None:
    for read, now in reads:
        if reason := watch.observe(read, now):
            return reason, now
    return None


def test_a_well_camera_is_never_reported() -> None:
    assert first_report(CameraWatch(), [(frame(n), n / 15) for n in range(150)]) is None


def test_a_dim_room_is_not_a_black_camera() -> None:
    assert first_report(CameraWatch(), [(frame(n, level=30, spread=12), n / 15) for n in range(60)]) is None


@pytest.mark.parametrize("well", [0, 40])
def test_lost_is_noticed_within_two_seconds(well: int) -> None:
    reads = [(frame(n), n / 15) for n in range(well)]
    reads += [(None, well / 15 + 0.2 * n) for n in range(20)]
    report = first_report(CameraWatch(), reads)
    assert report is not None
    assert report[0] is Reason.CAMERA_LOST
    assert 1 <= report[1] - well / 15 <= 2


def test_frozen_is_noticed_within_two_seconds() -> None:
    still = frame(30).image
    reads = [(frame(n), n / 15) for n in range(30)]
    reads += [(Frame(still.copy(), n / 15, n, CAMERA), n / 15) for n in range(30, 90)]
    report = first_report(CameraWatch(), reads)
    assert report is not None
    assert report[0] is Reason.CAMERA_FROZEN
    assert 1 <= report[1] - 2 <= 2


def test_one_grey_level_in_one_pixel_is_not_frozen() -> None:
    reads: list[tuple[Frame | None, float]] = []
    base = frame(0).image
    for n in range(60):
        image = base.copy()
        image[n % 48, n, n % 3] ^= 1
        reads.append((Frame(image, n / 15, n, CAMERA), n / 15))
    assert first_report(CameraWatch(), reads) is None


def test_black_is_noticed_within_two_seconds() -> None:
    reads = [(frame(n), n / 15) for n in range(30)]
    reads += [(frame(n, level=8, spread=7), n / 15) for n in range(30, 90)]
    report = first_report(CameraWatch(), reads)
    assert report is not None
    assert report[0] is Reason.CAMERA_BLACK
    assert 1 <= report[1] - 2 <= 2


def test_slow_is_noticed_within_two_seconds() -> None:
    reads: list[tuple[Frame | None, float]] = [(frame(n), n / 15) for n in range(30)]
    reads += [(frame(30 + n), 2 + 0.8 * n) for n in range(6)]
    report = first_report(CameraWatch(), reads)
    assert report is not None
    assert report[0] is Reason.CAMERA_SLOW
    assert report[1] - 2 <= 2.4


def test_slow_from_the_start_with_timeouts_between() -> None:
    reads = [(frame(n // 5) if n % 5 == 0 else None, 0.2 * n) for n in range(20)]
    report = first_report(CameraWatch(), reads)
    assert report is not None
    assert report[0] is Reason.CAMERA_SLOW
    assert report[1] <= 2


def test_a_slow_reader_is_not_a_slow_camera() -> None:
    reads = [(frame(12 * n), 0.8 * n) for n in range(12)]
    assert first_report(CameraWatch(), reads) is None


def test_a_camera_that_recovers_is_well_again() -> None:
    watch = CameraWatch()
    watch.observe(frame(0), 0.0)
    assert watch.observe(None, 1.9) is Reason.CAMERA_LOST
    reads = [watch.observe(frame(n), 2 + n / 15) for n in range(1, 60)]
    assert reads[-1] is None
    assert Reason.CAMERA_BLACK not in reads
    assert Reason.CAMERA_FROZEN not in reads


@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 0.3)), min_size=1, max_size=60))
def test_silence_and_only_silence_is_lost(reads: list[tuple[bool, float]]) -> None:
    watch, now, last, number = CameraWatch(), 0.0, 0.0, 0
    for came, step in reads:
        now += step if last or number else 0.0
        number += came
        last = now if came else last
        reason = watch.observe(frame(number) if came else None, now)
        assert (reason is Reason.CAMERA_LOST) == (now - last >= 1.5)
