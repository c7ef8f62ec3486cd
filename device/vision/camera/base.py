"""The camera port: what a frame is, what a camera must do, and how one is opened by its configured name.

A `Camera` implements `_read`, `_open` and `_close`; the concrete `read` turns whatever the driver throws into
`CameraError`, so that nothing above this module knows which camera it has.
"""

from __future__ import annotations

import abc
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from device.config import VisionConfig
from device.errors import CameraError, ConfigurationError
from device.protocol import CameraKind, Progress

Image = npt.NDArray[np.uint8]
"""H x W x 3, uint8, RGB, row 0 at the top."""


@dataclass(frozen=True)
class CameraIdentity:
    """What the worker can tell about the camera itself (device path, driver, sensor, serial), as one line of text."""

    kind: CameraKind
    description: str


@dataclass(frozen=True)
class Frame:
    """One exposure.

    Attributes:
        image: H x W x 3 uint8 RGB, not mirrored.
        time: seconds of exposure where the sensor tells, else of arrival; on the clock of `Camera.time()`.
        number: counts from 0 for each opened camera.
        camera: identity of the camera that took it.
    """

    image: Image
    time: float
    number: int
    camera: CameraIdentity


class Camera(abc.ABC):
    """A source of frames, open between `__enter__` and `__exit__` and never otherwise."""

    @property
    @abc.abstractmethod
    def identity(self) -> CameraIdentity:
        """Known before the camera is opened, as far as the system can tell."""

    @abc.abstractmethod
    def _open(self) -> None: ...

    @abc.abstractmethod
    def _read(self, timeout: float) -> Frame | None: ...

    @abc.abstractmethod
    def _close(self) -> None: ...

    def read(self, timeout: float) -> Frame | None:
        """The newest frame, or None if none came within `timeout` seconds.

        Raises:
            CameraError: the camera is gone (unplugged, driver error, end of a recording).
        """
        try:
            return self._read(timeout)
        except CameraError:
            raise
        except Exception as error:
            raise CameraError(f"{self.identity.description}: {error}") from error

    def time(self) -> float:
        """Now, on the clock that `Frame.time` is told on."""
        return time.monotonic()

    def prompt(self, progress: Progress) -> None:
        """What the person is being told. A real person reads the kiosk page; only the emulated one listens here."""

    def __enter__(self) -> Self:
        try:
            self._open()
        except CameraError:
            raise
        except Exception as error:
            raise CameraError(f"cannot open {self.identity.description}: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


def open_camera(config: VisionConfig) -> Camera:
    """The camera that `config.camera` names, not opened yet. Drivers are imported only when named.

    Raises:
        ConfigurationError: no such kind of camera, or the emulated source cannot be used.
        CameraError: the driver's package is missing.
    """
    kind, _, rest = config.camera.partition(":")
    if kind == "picamera2":
        from device.vision.camera.picamera import Picamera2Camera

        return Picamera2Camera(config, rest)
    if kind in ("v4l2", "gstreamer"):
        from device.vision.camera.v4l2 import OpenCVCamera

        return OpenCVCamera(config, kind, rest)
    if kind == "emulated":
        from device.vision.camera.emulated import open_emulated

        return open_emulated(config, rest)
    raise ConfigurationError(
        f"camera {config.camera!r}: use picamera2, v4l2:/dev/video0, gstreamer:PIPELINE or emulated:PATH"
    )
