"""The emulated person before libcamera's virtual camera: hears what the API says, and acts on this machine.

In: a file that the unit can read (`live.c` plays it), a relying party's events. Out: NV12 pictures in that file, as
fast as this machine draws them, of a person who does what they are asked; `unplug` and `plug_in`.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from device.config import VisionConfig
from device.protocol import Guidance, Progress, Stage
from device.vision.camera.base import Camera, open_camera
from tests.system.conftest import TrustingParty

_HEAD = struct.Struct("<4I")  # size of a picture, newest, unplugged, reserved


class LiveStage:
    """What the virtual camera sees. A context: the file is there from the start to the end.

    Args:
        path: of the file; its folder is there.
        scenario: of the emulated camera.
    """

    def __init__(self, path: Path, scenario: str = "standard") -> None:
        self._config = VisionConfig(camera=f"emulated:{scenario}", pace="realtime")
        self._size = self._config.width * self._config.height * 3 // 2
        self._path = path
        self.drawn = 0
        self.rate = 0.0
        """Pictures a second that this machine drew of the last person."""

    def __enter__(self) -> Self:
        with self._path.open("w+b") as file:
            file.truncate(_HEAD.size + 2 * self._size)
            self._file = mmap.mmap(file.fileno(), 0)
        self._path.chmod(0o644)
        self._pictures = np.frombuffer(self._file, np.uint8, 2 * self._size, _HEAD.size).reshape(2, -1)
        self._newest = 0
        self._unplugged = False
        self._tell()
        return self

    def __exit__(self, *_: object) -> None:
        del self._pictures
        self._file.close()  # or the box's disk could not be unmounted
        self._path.unlink()

    def unplug(self) -> None:
        """No frame comes any more."""
        self._unplugged = True
        self._tell()

    def plug_in(self) -> None:
        self._unplugged = False
        self._tell()

    @contextlib.contextmanager
    def person(self, party: TrustingParty, verification: str) -> Iterator[None]:
        """Somebody stands there while the block runs, and follows that verification's events."""
        with open_camera(self._config) as camera:
            over = threading.Event()
            threads = [
                threading.Thread(target=self._play, args=(camera, over), daemon=True),
                threading.Thread(target=_listen, args=(camera, party, verification), daemon=True),
            ]
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                over.set()
                threads[0].join()

    def _play(self, camera: Camera, over: threading.Event) -> None:
        began, before = time.monotonic(), self.drawn
        while not over.is_set():
            self.rate = (self.drawn - before) / max(time.monotonic() - began, 1.0)
            frame = camera.read(0.5)
            if frame is not None:
                self._pictures[1 - self._newest] = nv12(frame.image)
                self._newest = 1 - self._newest
                self._tell()
                self.drawn += 1

    def _tell(self) -> None:
        self._file[: _HEAD.size] = _HEAD.pack(self._size, self._newest, self._unplugged, 0)


def _listen(camera: Camera, party: TrustingParty, verification: str) -> None:
    for event in party.events(verification):
        state = event.data
        if "stage" in state and "guidance" in state:
            left = int(state.get("seconds_left", 0))
            camera.prompt(Progress(Stage(state["stage"]), Guidance(state["guidance"]), left))


def nv12(image: np.ndarray) -> np.ndarray:
    """H x W x 3 uint8 RGB as one row of NV12 bytes (BT.601, limited range)."""
    height, width = image.shape[:2]
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    grey, colour = planes[: height * width], planes[height * width :].reshape(2, -1)
    return np.concatenate([grey, colour.T.reshape(-1)])
