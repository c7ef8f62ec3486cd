"""The Raspberry Pi's camera through picamera2 (and whatever else libcamera drives).

In: an index of libcamera's camera list. Out: `Frame`s. picamera2 and libcamera come from the system's packages and
are imported only when such a camera is named. What arrives is what libcamera settled on, not what was asked for
(its virtual pipeline answers every request with NV12), so the conversion is chosen by the configuration in force.
"""

from __future__ import annotations

import importlib
import time
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from device.config import VisionConfig
from device.errors import CameraError, ConfigurationError
from device.protocol import CameraKind
from device.vision.camera.base import Camera, CameraIdentity, Frame, Image

_PLAUSIBLE_AGE: Final = 5.0
"""Seconds between exposure and arrival; a sensor clock that is further off is not this machine's boot clock."""


class Picamera2Camera(Camera):
    """One camera of libcamera's list.

    Args:
        config: frame size and rate.
        rest: the index in libcamera's list of cameras; empty for the first.

    Raises:
        ConfigurationError: `rest` is not an index.
        CameraError: picamera2 is not installed, or there is no such camera.
    """

    def __init__(self, config: VisionConfig, rest: str) -> None:
        if rest and not rest.isdecimal():
            raise ConfigurationError(f"camera 'picamera2:{rest}': use picamera2 or picamera2:INDEX")
        self._config = config
        self._index = int(rest or 0)
        self._driver = _import_picamera2().Picamera2
        try:
            cameras = self._driver.global_camera_info()
        except Exception as error:
            raise CameraError(f"libcamera does not start ({error}); look at the log's lines before this one") from error
        if self._index >= len(cameras):
            raise CameraError(
                f"picamera2 sees {len(cameras)} camera(s), none with index {self._index};"
                " look at `rpicam-hello --list-cameras` and the ribbon cable"
            )
        self._identity = _identity(cameras[self._index])
        self._camera: Any = None
        self._job: Any = None
        self._layout = ""
        self._size = (0, 0)
        self._number = -1
        self._clock_offset: float | None = None

    @property
    def identity(self) -> CameraIdentity:
        return self._identity

    def _open(self) -> None:
        camera = self._driver(self._index)
        try:
            camera.configure(self._wanted(camera))
            self._settle(camera.camera_configuration()["main"])
            camera.pre_callback = self._count
            camera.start()
        except BaseException:
            camera.close()
            raise
        self._camera, self._clock_offset = camera, None

    def _wanted(self, camera: Any) -> Any:
        frame_time = round(1e6 / self._config.fps)  # microseconds
        paced = "FrameDurationLimits" in camera.camera_controls
        return camera.create_video_configuration(
            main={"size": (self._config.width, self._config.height), "format": "YUV420"},
            # BT.601, limited range: what OpenCV's YUV conversions assume.
            colour_space=importlib.import_module("libcamera").ColorSpace.Smpte170m(),
            controls={"FrameDurationLimits": (frame_time, frame_time)} if paced else {},
            buffer_count=4,
        )

    def _settle(self, main: dict[str, Any]) -> None:
        self._layout, self._size = str(main["format"]), (int(main["size"][0]), int(main["size"][1]))
        if self._layout not in _CONVERSIONS:
            known = ", ".join(sorted(_CONVERSIONS))
            raise CameraError(f"{self._identity.description} gives {self._layout} pixels; understood are {known}")

    def _count(self, _request: object) -> None:
        """Called by picamera2 for every exposure, also for those that nobody waits for."""
        self._number += 1

    def _read(self, timeout: float) -> Frame | None:
        job = self._job or self._camera.capture_request(wait=False)
        try:
            request = self._camera.wait(job, timeout=timeout)
        except TimeoutError:
            self._job = job  # waited for again by the next read: a cancelled job could lose its buffer
            return None
        self._job = None
        try:
            raw = request.make_array("main")
            stamp = request.get_metadata().get("SensorTimestamp")
        finally:
            request.release()
        image = to_rgb(raw, self._layout, self._size)
        return Frame(image, self._exposure_time(stamp), max(self._number, 0), self._identity)

    def _exposure_time(self, stamp: int | None) -> float:
        """`SensorTimestamp` (nanoseconds of CLOCK_BOOTTIME, libcamera's control list) on the monotonic clock."""
        now = time.monotonic()
        if stamp is None:
            return now
        if self._clock_offset is None:
            boot = time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
            offset = now - boot
            plausible = 0 <= now - (stamp / 1e9 + offset) <= _PLAUSIBLE_AGE
            self._clock_offset = offset if plausible else now - stamp / 1e9
        return stamp / 1e9 + self._clock_offset

    def _close(self) -> None:
        camera, self._camera, self._job = self._camera, None, None
        if camera is not None:
            camera.cancel_all_and_flush()
            camera.stop()
            camera.close()


def _import_picamera2() -> Any:
    try:
        return importlib.import_module("picamera2")
    except ImportError as error:
        raise CameraError(
            f"picamera2 cannot be imported ({error}); install the system's package python3-picamera2"
            " and use a virtual environment made with --system-site-packages"
        ) from error


def _identity(information: dict[str, Any]) -> CameraIdentity:
    """`Model` is the sensor's, `Id` its place in the device tree (bus and address), both from libcamera.

    libcamera's virtual pipeline plays image files: no light falls on a sensor there.
    """
    model, place = str(information.get("Model", "unknown sensor")), information.get("Id", "unknown place")
    kind = CameraKind.EMULATED if model.lower().startswith("virtual") else CameraKind.LIVE
    return CameraIdentity(kind, f"libcamera {model} at {place}"[:128])


def to_rgb(raw: npt.NDArray[np.uint8], layout: str, size: tuple[int, int]) -> Image:
    """A picamera2 main-stream array as RGB.

    Args:
        raw: as `CompletedRequest.make_array` gives it: rows may be longer than the image (stride).
        layout: picamera2's format name. Its RGB888 and BGR888 are named from the last byte to the first.
        size: width and height of the image in pixels.

    Returns:
        height x width x 3 uint8 RGB.
    """
    return _CONVERSIONS[layout](raw, *size)


def _semi_planar(raw: npt.NDArray[np.uint8], width: int, height: int) -> Image:
    planes = np.ascontiguousarray(raw[: height * 3 // 2, :width])
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12), np.uint8)


def _planar(raw: npt.NDArray[np.uint8], width: int, height: int) -> Image:
    """Y over U over V; each row of chrominance is half a row of `raw`, its padding included."""
    stride = raw.shape[1]
    luminance = raw[:height, :width]
    chrominance = raw[height : height * 3 // 2].reshape(2, height // 2, stride // 2)[:, :, : width // 2]
    planes = np.concatenate([luminance, chrominance.reshape(height // 2, width)])
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), np.uint8)


def _packed_rgb(raw: npt.NDArray[np.uint8], width: int, height: int) -> Image:
    return np.ascontiguousarray(raw[:height, :width, :3])


def _packed_bgr(raw: npt.NDArray[np.uint8], width: int, height: int) -> Image:
    return np.ascontiguousarray(raw[:height, :width, 2::-1])


_CONVERSIONS: Final = {
    "NV12": _semi_planar,
    "YUV420": _planar,
    "BGR888": _packed_rgb,
    "XBGR8888": _packed_rgb,
    "RGB888": _packed_bgr,
    "XRGB8888": _packed_bgr,
}
