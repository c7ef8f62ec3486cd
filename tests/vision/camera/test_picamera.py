"""The picamera2 camera's own part: pixel formats, time stamps, identity. picamera2 itself is a small stand-in here."""

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from device.config import VisionConfig
from device.errors import CameraError, ConfigurationError
from device.protocol import CameraKind
from device.vision.camera.base import open_camera
from device.vision.camera.picamera import to_rgb

WIDTH, HEIGHT, STRIDE = 320, 240, 384


def scene() -> np.ndarray:
    """Smooth colours, since chrominance has half the resolution."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 200 // WIDTH + 20, y * 200 // HEIGHT + 20, 220 - x * 150 // WIDTH], axis=2).astype(np.uint8)


def encoded(layout: str) -> np.ndarray:
    """`scene()` as picamera2 hands it over in `layout`, rows padded to `STRIDE`."""
    image = scene()
    if layout in ("BGR888", "RGB888"):
        return image if layout == "BGR888" else image[:, :, ::-1].copy()
    if layout in ("XBGR8888", "XRGB8888"):
        alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
        return np.concatenate([image if layout == "XBGR8888" else image[:, :, ::-1], alpha], axis=2)
    i420 = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    luma, u, v = np.split(i420.reshape(-1), [WIDTH * HEIGHT, WIDTH * HEIGHT * 5 // 4])
    out = np.zeros((HEIGHT * 3 // 2, STRIDE), np.uint8)
    out[:HEIGHT, :WIDTH] = luma.reshape(HEIGHT, WIDTH)
    if layout == "NV12":
        out[HEIGHT:, :WIDTH] = np.stack([u, v], axis=1).reshape(HEIGHT // 2, WIDTH)
    else:
        chroma = out[HEIGHT:].reshape(HEIGHT, STRIDE // 2)
        chroma[:, : WIDTH // 2] = np.concatenate([u, v]).reshape(HEIGHT, WIDTH // 2)
    return out


class FakeRequest:
    def __init__(self, layout: str, stamp: int | None) -> None:
        self._layout, self._stamp, self.released = layout, stamp, False

    def make_array(self, _name: str) -> np.ndarray:
        return encoded(self._layout)

    def get_metadata(self) -> dict[str, int]:
        return {} if self._stamp is None else {"SensorTimestamp": self._stamp}

    def release(self) -> None:
        self.released = True


class FakePicamera2:
    """Answers every request for a format with `layout`, as libcamera may."""

    layout = "NV12"
    model = "imx708"
    silent = 0
    stamp: int | None = None
    camera_controls: ClassVar = {"FrameDurationLimits": (0, 1, 0)}
    instances: ClassVar[list["FakePicamera2"]] = []

    def __init__(self, index: int) -> None:
        self.index, self.closed, self.requests, self.pre_callback = index, False, [], None
        FakePicamera2.instances.append(self)

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return [{"Model": cls.model, "Id": "/base/i2c@1a", "Num": 0}]

    def create_video_configuration(self, **asked: Any) -> dict[str, Any]:
        return asked

    def configure(self, asked: dict[str, Any]) -> None:
        self.asked = asked

    def camera_configuration(self) -> dict[str, Any]:
        return {"main": {"format": self.layout, "size": (WIDTH, HEIGHT)}}

    def start(self) -> None: ...

    def capture_request(self, wait: bool) -> FakeRequest:
        assert wait is False
        return FakeRequest(self.layout, self.stamp)

    def wait(self, job: FakeRequest, timeout: float) -> FakeRequest:
        if self.silent:
            FakePicamera2.silent -= 1
            raise TimeoutError
        self.pre_callback(job)
        self.requests.append(job)
        return job

    def cancel_all_and_flush(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[FakePicamera2]:
    module, libcamera = ModuleType("picamera2"), ModuleType("libcamera")
    fake = type("Fake", (FakePicamera2,), {})
    module.Picamera2 = fake  # type: ignore[attr-defined]
    libcamera.ColorSpace = SimpleNamespace(Smpte170m=lambda: "smpte170m")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    monkeypatch.setattr(FakePicamera2, "silent", 0)
    return fake


CONFIG = VisionConfig(camera="picamera2", width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize("layout", ["NV12", "YUV420", "RGB888", "BGR888", "XRGB8888", "XBGR8888"])
def test_every_format_arrives_as_the_same_rgb(layout: str) -> None:
    image = to_rgb(encoded(layout), layout, (WIDTH, HEIGHT))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - scene()).max() <= 6


def test_a_frame_has_pixels_number_time_and_identity(picamera2: type[FakePicamera2]) -> None:
    exposed = time.monotonic()
    picamera2.stamp = int((time.clock_gettime(time.CLOCK_BOOTTIME) - 0.05) * 1e9)
    with open_camera(CONFIG) as camera:
        first, second = camera.read(1.0), camera.read(1.0)
    assert first is not None
    assert second is not None
    assert np.abs(first.image.astype(int) - scene()).max() <= 6
    assert (first.number, second.number) == (0, 1)
    assert abs(first.time - (exposed - 0.05)) < 0.04
    assert first.camera.kind is CameraKind.LIVE
    assert "imx708" in first.camera.description
    opened = picamera2.instances[-1]
    assert opened.closed
    assert all(request.released for request in opened.requests)
    assert opened.asked["controls"] == {"FrameDurationLimits": (66667, 66667)}


@pytest.mark.parametrize("stamp", [None, 12_345])
def test_an_absent_or_foreign_sensor_clock_becomes_arrival_time(
    picamera2: type[FakePicamera2], stamp: int | None
) -> None:
    picamera2.stamp = stamp
    with open_camera(CONFIG) as camera:
        frame = camera.read(1.0)
        assert frame is not None
        assert abs(frame.time - camera.time()) < 0.5


def test_silence_is_none_and_the_next_frame_still_comes(picamera2: type[FakePicamera2]) -> None:
    with open_camera(CONFIG) as camera:
        FakePicamera2.silent = 2
        assert camera.read(0.01) is None
        assert camera.read(0.01) is None
        assert camera.read(0.01) is not None


def test_the_virtual_pipeline_is_not_a_live_camera(picamera2: type[FakePicamera2]) -> None:
    picamera2.model = "Virtual0"
    assert open_camera(CONFIG).identity.kind is CameraKind.EMULATED


def test_an_unknown_pixel_format_is_a_camera_error_and_closes(picamera2: type[FakePicamera2]) -> None:
    picamera2.layout = "MJPEG"
    with pytest.raises(CameraError, match="MJPEG"), open_camera(CONFIG):
        pass
    assert picamera2.instances[-1].closed


def test_an_index_without_a_camera(picamera2: type[FakePicamera2]) -> None:
    with pytest.raises(CameraError, match="none with index 3"):
        open_camera(VisionConfig(camera="picamera2:3"))


def test_a_word_for_an_index() -> None:
    with pytest.raises(ConfigurationError, match="picamera2:INDEX"):
        open_camera(VisionConfig(camera="picamera2:front"))


def test_no_picamera2_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CameraError, match="python3-picamera2"):
        open_camera(CONFIG)
