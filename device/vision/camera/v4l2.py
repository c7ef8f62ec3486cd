"""Cameras through OpenCV: V4L2 devices (USB and CSI), GStreamer pipelines (Jetson), and any file that OpenCV plays.

In: a device path or a pipeline. Out: `Frame`s, always the newest. A thread takes every frame as it comes, so that a
read never gives an old one and a driver that hangs makes `read` time out instead of hanging the worker with it.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from device.config import VisionConfig
from device.errors import CameraError, ConfigurationError
from device.protocol import CameraKind
from device.vision.camera.base import Camera, CameraIdentity, Frame, Image

_SYSFS: Final = Path("/sys/class/video4linux")
_SENSOR_SOURCES: Final = frozenset({"v4l2src", "nvarguscamerasrc", "nvv4l2camerasrc", "libcamerasrc"})
"""GStreamer elements that read a sensor. A pipeline that begins with any other is not taken for a live camera."""

_JOIN_SECONDS: Final = 1.0
"""How long closing waits for the grabbing thread; a thread that a driver holds is left behind (the worker exits)."""


class OpenCVCamera(Camera):
    """A camera that `cv2.VideoCapture` opens.

    Args:
        config: frame size and rate.
        kind: `v4l2` or `gstreamer`.
        rest: `v4l2`: a device path (`/dev/video0`, `/dev/v4l/by-id/…`) or its number; `gstreamer`: a pipeline that ends
            in an appsink, or `nvarguscamerasrc[:SENSOR]` for a Jetson's CSI camera.

    Raises:
        ConfigurationError: nothing is named.
    """

    def __init__(self, config: VisionConfig, kind: str, rest: str) -> None:
        if not rest:
            raise ConfigurationError("a camera must be named: v4l2:/dev/video0 or gstreamer:PIPELINE")
        self._config, self._kind = config, kind
        self._source = _pipeline(config, rest) if kind == "gstreamer" else _device(rest)
        self._identity = (
            _pipeline_identity(self._source) if kind == "gstreamer" else device_identity(Path(self._source))
        )
        self._grabber: _Grabber | None = None

    @property
    def identity(self) -> CameraIdentity:
        return self._identity

    def _open(self) -> None:
        if self._kind == "v4l2" and not Path(self._source).exists():
            raise CameraError(f"{self._source} does not exist; `v4l2-ctl --list-devices` names the cameras there are")
        backend = cv2.CAP_GSTREAMER if self._kind == "gstreamer" else _v4l2_backend(Path(self._source))
        capture = cv2.VideoCapture(self._source, backend)
        if not capture.isOpened():
            why = "; this OpenCV has no GStreamer" if self._kind == "gstreamer" and not _has_gstreamer() else ""
            raise CameraError(f"{self._identity.description} cannot be opened{why}; is another program using it?")
        if self._kind == "v4l2":
            # MJPG before the size: uncompressed 1280x720 does not fit through USB 2 at 15 frames a second.
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._config.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._config.height)
            capture.set(cv2.CAP_PROP_FPS, self._config.fps)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._grabber = _Grabber(capture)

    def _read(self, timeout: float) -> Frame | None:
        if self._grabber is None:
            raise CameraError(f"{self._identity.description} is not open")
        taken = self._grabber.newest(timeout)
        if taken is None:
            return None
        bgr, when, number = taken
        return Frame(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), when, number, self._identity)

    def _close(self) -> None:
        grabber, self._grabber = self._grabber, None
        if grabber is not None:
            grabber.stop()


class _Grabber:
    """Takes every frame on a thread of its own and keeps the newest."""

    def __init__(self, capture: Any) -> None:
        self._capture = capture
        self._ready = threading.Condition()
        self._newest: tuple[Image, float, int] | None = None
        self._number = -1
        self._failure = ""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopping:
                came, image = self._capture.read()
                now = time.monotonic()
                with self._ready:
                    if not came:
                        self._failure = "gives no more frames: unplugged, or the driver stopped"
                        break
                    self._number += 1
                    self._newest = (image, now, self._number)
                    self._ready.notify_all()
        except Exception as error:  # noqa: BLE001 - whatever the driver raises here would die with the thread unseen
            self._failure = str(error)
        finally:
            with self._ready:
                self._ready.notify_all()
            self._capture.release()

    def newest(self, timeout: float) -> tuple[Image, float, int] | None:
        """The newest frame not given out before, BGR, with its arrival time and number; None after `timeout` seconds.

        Raises:
            CameraError: the camera has stopped and its last frame has been given out.
        """
        with self._ready:
            self._ready.wait_for(lambda: self._newest is not None or self._failure, timeout)
            taken, self._newest = self._newest, None
            if taken is None and self._failure:
                raise CameraError(f"the camera {self._failure}")
            return taken

    def stop(self) -> None:
        self._stopping = True
        self._thread.join(_JOIN_SECONDS)


def nvargus_pipeline(config: VisionConfig, sensor: int = 0) -> str:
    """The GStreamer pipeline of a Jetson's CSI camera: the ISP scales and converts, at most one frame waits."""
    return (
        f"nvarguscamerasrc sensor-id={sensor}"
        f" ! video/x-raw(memory:NVMM),width={config.width},height={config.height},framerate={config.fps}/1"
        " ! nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR"
        " ! appsink drop=true max-buffers=1 sync=false"
    )


def device_identity(device: Path, sysfs: Path = _SYSFS) -> CameraIdentity:
    """What sysfs tells of a V4L2 device: path, name, driver, and the USB ids and serial where it has them.

    Only a character device with hardware behind it is live: a plain file is a recording, and a device that lives
    under `/devices/virtual` (v4l2loopback) shows what some program feeds it.
    """
    node = sysfs / device.resolve().name
    facts = [f"v4l2 {device}", _line(node / "name")]
    parent = (node / "device").resolve()
    if (parent / "driver").exists():
        facts.append(f"driver {(parent / 'driver').resolve().name}")
    for folder in [parent, *parent.parents][:4]:
        if (folder / "idVendor").exists():
            facts.append(f"usb {_line(folder / 'idVendor')}:{_line(folder / 'idProduct')}")
            facts.append(f"serial {_line(folder / 'serial')}" if (folder / "serial").exists() else "")
            break
    hardware = node.exists() and "virtual" not in node.resolve().parts
    recorded = device.exists() and not (hardware and device.is_char_device())
    kind = CameraKind.EMULATED if recorded else CameraKind.LIVE
    return CameraIdentity(kind, ", ".join(fact for fact in facts if fact)[:128])


def _pipeline_identity(pipeline: str) -> CameraIdentity:
    source = pipeline.split(maxsplit=1)[0]
    kind = CameraKind.LIVE if source in _SENSOR_SOURCES else CameraKind.EMULATED
    return CameraIdentity(kind, f"gstreamer {pipeline}"[:128])


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()[:48]
    except OSError:
        return ""


def _device(rest: str) -> str:
    return f"/dev/video{rest}" if rest.isdecimal() else rest


def _pipeline(config: VisionConfig, rest: str) -> str:
    name, _, sensor = rest.partition(":")
    if name != "nvarguscamerasrc":
        return rest
    if sensor and not sensor.isdecimal():
        raise ConfigurationError(f"camera 'gstreamer:{rest}': the sensor of nvarguscamerasrc is a number")
    return nvargus_pipeline(config, int(sensor or 0))


def _v4l2_backend(device: Path) -> int:
    """A character device is V4L2's; a plain file (a recording used as a camera) is played by whoever can."""
    return int(cv2.CAP_V4L2 if device.is_char_device() else cv2.CAP_ANY)


def _has_gstreamer() -> bool:
    return cv2.CAP_GSTREAMER in cv2.videoio_registry.getBackends()
