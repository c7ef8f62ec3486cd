"""A worker that scans: frames in, the texts of codes out, and nothing else is looked at.

In: a `StartScan`, a camera. Out, on the channel: each text once, until the notary hangs up (it has seen enough) or the
time is over. Only what can be meant goes out: a Vouchbox request, or what may be a public key in JSON.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable
from typing import Final

from device.channel import Channel
from device.codes import Kind
from device.errors import CameraError, ChannelClosed
from device.protocol import MAX_VISION_BYTES, Code, Guidance, Progress, Reason, ScanEnded, Stage, StartScan
from device.vision.camera.base import Camera, Frame
from device.vision.document.barcode import read_barcodes

log = logging.getLogger(__name__)

MAX_TEXTS: Final = 16
"""Texts that one scan may tell; a request has at most so many parts."""
MAX_BYTES: Final = 3500
"""Of one text."""
MAX_TOLD: Final = MAX_VISION_BYTES - 2048
"""Bytes of one scan: the notary hangs up on a worker that says more than `MAX_VISION_BYTES`."""
_READ_PATIENCE: Final = 0.5
_PROMPT: Final = {Stage.REQUEST: Guidance.SHOW_REQUEST, Stage.HOLDER_KEY: Guidance.SHOW_HOLDER_KEY}
_BEGINS: Final = {Stage.REQUEST: f"VB1:{Kind.REQUEST}:", Stage.HOLDER_KEY: "{"}


class CodeScanner:
    """What has been told already in one scan."""

    def __init__(self, stage: Stage) -> None:
        self._begins = _BEGINS[stage]
        self._told: set[str] = set()
        self._told_bytes = 0

    def look(self, frame: Frame) -> list[str]:
        """The texts in this frame that are of the kind asked for and were not told before."""
        new = []
        for barcode in read_barcodes(frame.image, thorough=False):
            if barcode.format != "QR" or len(barcode.data) > MAX_BYTES:
                continue
            text = barcode.data.decode("utf-8", "replace")
            if not text.startswith(self._begins) or text in self._told:
                continue
            if len(self._told) >= MAX_TEXTS or self._told_bytes + len(barcode.data) > MAX_TOLD:
                continue
            self._told.add(text)
            self._told_bytes += len(barcode.data)
            new.append(text)
        return new


def scan(task: StartScan, channel: Channel, camera: Camera, alive: Callable[[], None]) -> None:
    """The one task of this worker's life.

    Raises:
        PeerError: the notary hung up, which is how it says that it has seen enough.
    """
    scanner = CodeScanner(task.stage)
    ends = time.monotonic() + task.seconds
    try:
        with camera:
            while (left := ends - time.monotonic()) > 0:
                if select.select([channel], [], [], 0)[0]:
                    raise ChannelClosed("the notary has seen enough, or the scan is cancelled")
                camera.prompt(Progress(task.stage, _PROMPT[task.stage], min(300, round(left))))
                frame = camera.read(_READ_PATIENCE)
                for text in scanner.look(frame) if frame is not None else ():
                    channel.send(Code(text))
                alive()
    except CameraError as error:
        log.error("camera lost in a scan: %s", error)
        channel.send(ScanEnded(Reason.CAMERA_LOST))
        return
    channel.send(ScanEnded())
