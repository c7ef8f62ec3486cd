"""The OpenCV camera on recordings that OpenCV plays, on a driver that hangs, and on a sysfs of one's own."""

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.config import VisionConfig
from device.errors import CameraError, ConfigurationError
from device.protocol import CameraKind
from device.vision.camera.base import Frame, open_camera
from device.vision.camera.v4l2 import OpenCVCamera, device_identity, nvargus_pipeline

RED = (200, 30, 40)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Twelve frames of MJPEG, mostly red (RGB), each with its number as a brightness in the corner."""
    path = tmp_path / "recording.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 15, (320, 240))
    for n in range(12):
        image = np.full((240, 320, 3), RED, np.uint8)
        image[:64, :64] = n * 20
        writer.write(np.ascontiguousarray(image[:, :, ::-1]))
    writer.release()
    return path


def config(camera: str) -> VisionConfig:
    return VisionConfig(camera=camera, width=320, height=240)


def frames_until_the_end(camera: OpenCVCamera) -> list[Frame]:
    frames = []
    try:
        while frame := camera.read(1.0):
            frames.append(frame)
    except CameraError:
        return frames
    pytest.fail("the end of the recording is a read without a frame")


def test_a_recording_arrives_in_rgb_newest_first_and_ends_as_a_camera_error(recording: Path) -> None:
    camera = open_camera(config(f"v4l2:{recording}"))
    assert isinstance(camera, OpenCVCamera)
    with camera:
        frames = frames_until_the_end(camera)
    assert frames
    numbers = [frame.number for frame in frames]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 11
    assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)
    last = frames[-1].image
    assert last.shape == (240, 320, 3)
    assert np.abs(last[160:, 160:].reshape(-1, 3).mean(axis=0) - RED).max() < 8
    assert abs(last[16:48, 16:48].mean() - 220) < 8


def test_a_recording_is_never_a_live_camera(recording: Path) -> None:
    assert open_camera(config(f"v4l2:{recording}")).identity.kind is CameraKind.EMULATED
    assert open_camera(config("gstreamer:filesrc location=x.mp4 ! appsink")).identity.kind is CameraKind.EMULATED
    assert open_camera(config("gstreamer:nvarguscamerasrc:1")).identity.kind is CameraKind.LIVE


def test_a_driver_that_hangs_makes_the_read_time_out(monkeypatch: pytest.MonkeyPatch, recording: Path) -> None:
    released = threading.Event()

    class Hanging:
        def __init__(self, *_: object) -> None: ...
        def isOpened(self) -> bool:
            return True

        def set(self, *_: object) -> bool:
            return True

        def read(self) -> tuple[bool, None]:
            released.wait(20)
            return False, None

        def release(self) -> None: ...

    monkeypatch.setattr(cv2, "VideoCapture", Hanging)
    with open_camera(config(f"v4l2:{recording}")) as camera:
        begun = time.monotonic()
        assert camera.read(0.2) is None
        assert 0.15 < time.monotonic() - begun < 1
        released.set()


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(CameraError, match="/dev/video97 does not exist"), open_camera(config("v4l2:97")):
        pass


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "not_a_video.avi"
    path.write_bytes(b"not a video" * 40)
    with pytest.raises(CameraError, match="cannot be opened"), open_camera(config(f"v4l2:{path}")):
        pass


def test_no_camera_named() -> None:
    with pytest.raises(ConfigurationError, match="/dev/video0"):
        open_camera(config("v4l2:"))


def test_the_jetson_pipeline_asks_for_the_configured_size() -> None:
    pipeline = nvargus_pipeline(VisionConfig(width=1920, height=1080, fps=30), sensor=1)
    assert "sensor-id=1" in pipeline
    assert "width=1920,height=1080,framerate=30/1" in pipeline
    assert pipeline.endswith("appsink drop=true max-buffers=1 sync=false")


def test_identity_of_a_usb_camera_and_of_a_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usb = tmp_path / "devices/pci0/usb1/1-2"
    interface = usb / "1-2:1.0"
    (interface / "video4linux/video0").mkdir(parents=True)
    (tmp_path / "drivers/uvcvideo").mkdir(parents=True)
    (interface / "driver").symlink_to(tmp_path / "drivers/uvcvideo")
    for name, text in {"idVendor": "046d", "idProduct": "085e", "serial": "AB12"}.items():
        (usb / name).write_text(text + "\n")
    (interface / "video4linux/video0/name").write_text("Sharp Eye\n")
    (interface / "video4linux/video0/device").symlink_to(interface)
    loopback = tmp_path / "devices/virtual/video4linux/video9"
    loopback.mkdir(parents=True)
    (loopback / "name").write_text("Dummy video device\n")
    sysfs = tmp_path / "class"
    sysfs.mkdir()
    (sysfs / "video0").symlink_to(interface / "video4linux/video0")
    (sysfs / "video9").symlink_to(loopback)
    recording = tmp_path / "recordings/video0"
    recording.parent.mkdir()
    devices = [tmp_path / "video0", tmp_path / "video9"]
    for file in (*devices, recording):
        file.touch()
    monkeypatch.setattr(Path, "is_char_device", lambda path: path in devices)

    real = device_identity(tmp_path / "video0", sysfs)
    assert real.kind is CameraKind.LIVE
    assert (
        "Sharp Eye, driver uvcvideo, usb 046d:085e, serial AB12" in device_identity(Path("video0"), sysfs).description
    )
    assert device_identity(tmp_path / "video9", sysfs).kind is CameraKind.EMULATED
    assert device_identity(recording, sysfs).kind is CameraKind.EMULATED, "whatever its name"
