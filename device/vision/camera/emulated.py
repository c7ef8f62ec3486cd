"""Cameras that are not there: a folder of images, a video file, or a scenario with a person who reacts.

In: `emulated:PATH_OR_NAME`. Out: `Frame`s whose camera is always named as emulated. With `pace = "realtime"` frames
come at their rate as from a device; with `pace = "fast"` as quickly as they are consumed, on a clock of their own that
advances by one frame time for each.
"""

from __future__ import annotations

import abc
import time
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from device.config import VisionConfig
from device.errors import CameraError, ConfigurationError
from device.protocol import CameraKind
from device.vision.camera.base import Camera, CameraIdentity, Frame, Image

IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
LARGEST_FILE: Final = 200_000_000
"""Bytes of one image that is still taken for a frame."""


def open_emulated(config: VisionConfig, rest: str) -> Camera:
    """The emulated camera that `rest` names, not opened yet.

    Args:
        config: frame size and rate of scenarios; `pace`. Recordings keep their own size.
        rest: a folder of images, a video file, a scenario's `.toml`, or the name of a built-in scenario; a number
            after `#` gives a scenario another seed (`standard#7`).

    Raises:
        ConfigurationError: it is none of these, or `pace` is unknown, or the scenario cannot be used.
    """
    if config.pace not in ("realtime", "fast"):
        raise ConfigurationError(f"vision.pace {config.pace!r}: use realtime or fast")
    if not rest:
        raise ConfigurationError("camera 'emulated:': name a folder of images, a video file or a scenario")
    path = Path(rest)
    if path.is_dir():
        return FolderCamera(config, path)
    if path.is_file() and path.suffix != ".toml":
        return VideoCamera(config, path)
    from device.vision.camera.emulation.camera import ScenarioCamera

    return ScenarioCamera(config, rest)


class PacedCamera(Camera):
    """Keeps the clock of an emulated camera; what a frame shows is the subclass's."""

    def __init__(self, config: VisionConfig, description: str) -> None:
        self._identity = CameraIdentity(CameraKind.EMULATED, f"emulated {description}"[:128])
        self._frame_time = 1.0 / config.fps
        self._fast = config.pace == "fast"
        self._begun = self._clock = 0.0
        self._slot = self._number = -1

    @property
    def identity(self) -> CameraIdentity:
        return self._identity

    def time(self) -> float:
        """The emulated clock when fast, else the real one."""
        return self._clock if self._fast else time.monotonic()

    @abc.abstractmethod
    def _picture(self, number: int, time: float) -> Image | None:
        """The frame of slot `number` at `time`; None if the camera is silent now. Raises `CameraError` at the end."""

    def _open(self) -> None:
        self._begun = self._clock = time.monotonic()
        self._slot = self._number = -1

    def _read(self, timeout: float) -> Frame | None:
        """Waits for the next frame's time. A reader that is late gets the newest frame, as from a device; frames that
        the camera did not make (it was silent) have no number."""
        slot = max(self._slot + 1, self._slot_now())
        due = self._begun + slot * self._frame_time
        if not self._fast and due - time.monotonic() > timeout:
            time.sleep(timeout)
            return None
        self._wait_until(due)
        image = self._picture(slot, due)
        if image is None:
            self._wait_until(max(due, self.time()) + timeout)
            self._slot = max(slot, self._slot_now() - 1)
            return None
        self._number += self._made(slot - self._slot)
        self._slot = slot
        return Frame(image, due, self._number, self._identity)

    def _made(self, slots: int) -> int:
        """How many frames the camera made in that many frame times, the one just taken included."""
        return slots

    def _slot_now(self) -> int:
        """Frame times that have passed since the camera was opened."""
        return int((self.time() - self._begun) / self._frame_time + 1e-6)

    def _wait_until(self, moment: float) -> None:
        if self._fast:
            self._clock = max(self._clock, moment)
        elif (remaining := moment - time.monotonic()) > 0:
            time.sleep(remaining)

    def _close(self) -> None:
        """Nothing is held open between frames."""


class FolderCamera(PacedCamera):
    """The images of a folder in the order of their names, one a frame. After the last the recording is over."""

    def __init__(self, config: VisionConfig, folder: Path) -> None:
        super().__init__(config, f"folder {folder.name}")
        self._files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if not self._files:
            raise ConfigurationError(f"{folder} has no images ({', '.join(sorted(IMAGE_SUFFIXES))})")

    def _picture(self, number: int, time: float) -> Image | None:  # noqa: ARG002
        if number >= len(self._files):
            raise CameraError(f"{self._identity.description}: the recording is over after {len(self._files)} images")
        path = self._files[number]
        if path.stat().st_size > LARGEST_FILE:
            raise CameraError(f"{path} is too large for an image")
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise CameraError(f"{path} cannot be read as an image")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


class VideoCamera(PacedCamera):
    """A video file, frame by frame at the file's own rate. After the last frame the recording is over."""

    def __init__(self, config: VisionConfig, path: Path) -> None:
        super().__init__(config, f"video {path.name}")
        self._path = path
        self._capture: cv2.VideoCapture | None = None
        self._next = 0

    def _open(self) -> None:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise CameraError(f"{self._path} cannot be played: not a video that OpenCV understands")
        rate = capture.get(cv2.CAP_PROP_FPS)
        if 1 <= rate <= 240:
            self._frame_time = 1.0 / rate
        self._capture, self._next = capture, 0
        super()._open()

    def _picture(self, number: int, time: float) -> Image | None:  # noqa: ARG002
        assert self._capture is not None
        while self._next < number and self._capture.grab():
            self._next += 1
        came, image = self._capture.read()
        self._next += 1
        if not came:
            raise CameraError(f"{self._identity.description}: the recording is over")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)

    def _close(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()
