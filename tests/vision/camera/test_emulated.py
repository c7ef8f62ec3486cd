"""Emulated cameras: recordings, pace, the scenario's person, and its faults as the watch sees them."""

import itertools
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.config import VisionConfig
from device.errors import CameraError, ConfigurationError
from device.protocol import CameraKind, Guidance, Progress, Reason, Stage
from device.vision.camera.base import Camera, Frame, open_camera
from device.vision.camera.watch import CameraWatch


def emulated(rest: str, pace: str = "fast", width: int = 640, height: int = 360) -> Camera:
    return open_camera(VisionConfig(camera=f"emulated:{rest}", pace=pace, width=width, height=height))


def take(camera: Camera, count: int) -> list[Frame]:
    frames = [camera.read(0.5) for _ in range(count)]
    assert all(frame is not None for frame in frames)
    return [frame for frame in frames if frame is not None]


def say(camera: Camera, stage: Stage, guidance: Guidance) -> None:
    camera.prompt(Progress(stage, guidance, 20))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        colours = np.full((48, 64, 3), (40 * number, 30, 200), np.uint8)  # BGR for OpenCV: red is 200
        cv2.imwrite(str(tmp_path / f"{number}.png"), colours)
    (tmp_path / "notes.txt").write_text("not a frame")
    return tmp_path


def test_a_folder_is_played_in_order_and_ends(folder: Path) -> None:
    with emulated(str(folder)) as camera:
        frames = take(camera, 4)
        assert [int(frame.image[0, 0, 2]) for frame in frames] == [0, 40, 80, 120]
        assert {int(frame.image[0, 0, 0]) for frame in frames} == {200}
        with pytest.raises(CameraError, match="over after 4 images"):
            camera.read(0.1)


def test_fast_frames_have_the_times_of_live_ones(folder: Path) -> None:
    with emulated(str(folder)) as camera:
        begun = time.monotonic()
        frames = take(camera, 4)
        assert time.monotonic() - begun < 0.15
        gaps = np.diff([frame.time for frame in frames])
        assert np.allclose(gaps, 1 / 15)
        assert camera.time() == frames[-1].time
        assert [frame.number for frame in frames] == [0, 1, 2, 3]


def test_realtime_frames_take_their_time_and_a_late_reader_gets_the_newest(folder: Path) -> None:
    with emulated(str(folder), pace="realtime") as camera:
        begun = time.monotonic()
        take(camera, 2)
        assert time.monotonic() - begun >= 1 / 15 - 0.01
        time.sleep(0.12)
        frame = camera.read(0.2)
        assert frame is not None
        assert frame.number >= 2


def test_a_video_is_played_at_its_own_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(5):
        writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    writer.release()
    with emulated(str(path)) as camera:
        frames = take(camera, 5)
        assert np.allclose(np.diff([frame.time for frame in frames]), 1 / 25)
        assert abs(float(frames[3].image.mean()) - 120) < 6
        with pytest.raises(CameraError, match="over"):
            camera.read(0.1)


def test_every_emulated_camera_says_that_it_is_one(folder: Path) -> None:
    for rest in (str(folder), "standard"):
        identity = emulated(rest).identity
        assert identity.kind is CameraKind.EMULATED
        assert identity.description.startswith("emulated ")


@pytest.mark.parametrize(
    ("rest", "message"), [("", "name a folder"), ("/no/such/folder", "no scenario is called"), (".", "has no images")]
)
def test_a_source_that_cannot_be_used(rest: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        emulated(rest)


def test_an_unknown_pace() -> None:
    with pytest.raises(ConfigurationError, match="realtime or fast"):
        emulated("standard", pace="slow-motion")


def test_a_scenario_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    def frames(rest: str) -> list[np.ndarray]:
        with emulated(rest) as camera:
            say(camera, Stage.SELFIE, Guidance.TURN_LEFT)
            return [frame.image for frame in take(camera, 12)]

    first, again, other = frames("standard#4"), frames("standard#4"), frames("standard#5")
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_no_two_frames_are_alike_and_all_have_noise() -> None:
    with emulated("standard") as camera:
        frames = [frame.image.astype(int) for frame in take(camera, 8)]
    wall = [frame[200:240, 560:620] for frame in frames]
    for one, two in itertools.pairwise(wall):
        assert 0.5 < np.std(one - two) < 6


def test_frames_have_the_configured_size() -> None:
    with emulated("standard", width=320, height=240) as camera:
        assert take(camera, 1)[0].image.shape == (240, 320, 3)


def watched(camera: Camera, seconds: float) -> tuple[Reason, float] | None:
    """What the watch says first, and how long after the fault's stage was announced."""
    watch, begun = CameraWatch(), camera.time()
    while camera.time() - begun < seconds:
        frame = camera.read(0.2)
        if reason := watch.observe(frame, camera.time()):
            return reason, camera.time() - begun
    return None


@pytest.mark.parametrize("fault", ["lost", "frozen", "black", "slow"])
def test_a_fault_of_the_camera_is_noticed_within_two_seconds(fault: str) -> None:
    with emulated(f"camera_{fault}", width=320, height=240) as camera:
        say(camera, Stage.DOCUMENT, Guidance.SHOW_DOCUMENT)
        report = watched(camera, 5)
    assert report is not None
    assert report[0] is Reason(f"camera_{fault}")
    assert 1.0 < report[1] <= 3.1  # a second of grace in the file, then at most two, and a frame


def test_an_unplugged_camera_is_a_camera_error() -> None:
    with emulated("camera_unplugged", width=320, height=240) as camera:
        say(camera, Stage.DOCUMENT, Guidance.SHOW_DOCUMENT)
        with pytest.raises(CameraError, match="no longer there"):
            watched(camera, 5)


def test_a_hand_over_the_lens_is_a_black_camera() -> None:
    with emulated("covered_camera", width=320, height=240) as camera:
        say(camera, Stage.SELFIE, Guidance.LOOK_STRAIGHT)
        report = watched(camera, 6)
    assert report is not None
    assert report[0] is Reason.CAMERA_BLACK


@pytest.mark.parametrize("name", ["standard", "challenge_ignored", "document_late"])
def test_a_well_camera_is_not_reported_whatever_the_person_does(name: str) -> None:
    with emulated(name, width=320, height=240) as camera:
        say(camera, Stage.DOCUMENT, Guidance.SHOW_DOCUMENT)
        assert watched(camera, 4) is None
