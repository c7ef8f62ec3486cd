"""A vision worker: loads the models, waits for one notary, serves one verification, and exits.

Its whole memory goes back to the kernel with it, so that nothing of a person is left for the next check.
It is started by `device.vision.service` with three inherited descriptors: the listening socket, a pipe on which it says
`ready`, `taken` and that it goes on, and a pipe that ends when its parent does.
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import socket
import sys
import time
from datetime import date
from pathlib import Path

from device.channel import Channel, require_peer
from device.config import Config, load_config
from device.errors import CameraError, ChannelClosed, ConfigurationError, PeerError, VouchboxError
from device.logs import about, set_up_logging
from device.protocol import (
    FROM_VISION,
    NOTARY_ORDERS,
    TO_VISION,
    CameraKind,
    Progress,
    StartCheck,
    StartScan,
    VisionReady,
)
from device.vision.camera.base import Camera, open_camera
from device.vision.camera.watch import CameraWatch
from device.vision.inference.manifest import load_manifest
from device.vision.instruments import Instruments, load_instruments
from device.vision.plan import make_plan
from device.vision.scan import scan
from device.vision.session import Said, Session

log = logging.getLogger(__name__)

START_PATIENCE = 10.0
"""Seconds that a notary has to say what it wants after it connected."""
READ_PATIENCE = 0.5
"""Seconds to wait for one frame before the session is told that time passes."""
BEAT = 2.0
"""Seconds between two signs of life on the status pipe, at least."""


class Status:
    """The pipe to the service. Signs of life are given where progress was made: a frame looked at, a wait ended."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._last = time.monotonic()
        os.set_blocking(descriptor, False)  # a service that does not listen must not hold up a verification

    def say(self, word: bytes) -> None:
        """Nothing happens if nobody listens."""
        try:
            os.write(self._descriptor, word + b"\n")
        except OSError:
            pass

    def alive(self) -> None:
        now = time.monotonic()
        if now - self._last >= BEAT:
            self._last = now
            self.say(b".")


def serve_one(
    connection: socket.socket, config: Config, camera: Camera, instruments: Instruments, status: Status
) -> None:
    """The one verification of this process's life.

    Raises:
        PeerError: the notary is somebody else, broke the protocol, or went away (which cancels the verification).
    """
    require_peer(connection, config.allowed_users)
    with Channel(connection, decoder=NOTARY_ORDERS, incoming=TO_VISION, outgoing=FROM_VISION) as channel:
        identity = camera.identity
        channel.send(VisionReady(identity.kind, identity.description[:128], instruments.measurements))
        task = channel.receive(START_PATIENCE)
        if isinstance(task, StartScan):
            scan(task, channel, camera, status.alive)
            return
        assert isinstance(task, StartCheck)  # the only other order that there is
        today = date.today()
        session = Session(task, make_plan(task, instruments, today), CameraWatch(), today)
        log.info("verification begins", extra=about(verification=task.verification))
        _run(session, channel, camera, status)


def _run(session: Session, channel: Channel, camera: Camera, status: Status) -> None:
    now = camera.time()
    try:
        with camera:
            while not session.finished:
                if _hung_up(channel):
                    raise ChannelClosed("the notary hung up: the verification is cancelled")
                frame = camera.read(READ_PATIENCE)
                now = frame.time if frame is not None else camera.time()
                messages = session.observe(frame) if frame is not None else session.tick(now)
                _say(messages, channel, camera)
                status.alive()
    except CameraError as error:
        log.error("camera lost: %s", error)
        _say(session.camera_lost(now), channel, camera)


def _say(messages: list[Said], channel: Channel, camera: Camera) -> None:
    for message in messages:
        channel.send(message)
        if isinstance(message, Progress):
            camera.prompt(message)


def _hung_up(channel: Channel) -> bool:
    """The notary says nothing after its order, so a readable socket means that it closed (or broke the protocol)."""
    return bool(select.select([channel], [], [], 0)[0])


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the process; see the module's text."""
    parser = argparse.ArgumentParser(prog="vouchbox-vision-worker", description=__doc__)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--listener", type=int, required=True, help="descriptor of the listening socket")
    parser.add_argument("--status", type=int, required=True, help="descriptor of the pipe to say ready, taken and . on")
    parser.add_argument("--lifeline", type=int, required=True, help="descriptor of the pipe that ends with the parent")
    options = parser.parse_args(arguments)
    set_up_logging("vision")
    try:
        return _work(options)
    except VouchboxError as error:
        log.error("%s", error)
        return error.exit_code


def next_notary(listener: socket.socket, lifeline: int, status: Status) -> socket.socket | None:
    """The first notary in the queue that still waits; None when the service has ended.

    One that gave up while this worker loaded its models must not cost the worker: on a slow board each of them would
    find only such a connection, and end, and the box would never be ready.
    """
    watched: list[socket.socket | int] = [listener, lifeline]
    while True:
        readable = select.select(watched, [], [], BEAT)[0]
        status.alive()
        if lifeline in readable:
            return None
        if not readable:
            continue
        connection, _ = listener.accept()
        if not _given_up(connection):
            return connection
        connection.close()


def _given_up(connection: socket.socket) -> bool:
    """Whether the other side is gone and has left nothing to read."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def _work(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    camera = open_camera(config.vision)
    if config.sealed is not None and camera.identity.kind is not CameraKind.LIVE:
        raise ConfigurationError(
            f"this box is sealed: it does not look through an {camera.identity.kind} camera ({config.vision.camera}); "
            "name a real one in vision.camera"
        )
    instruments = load_instruments(load_manifest(), config.vision.threads)
    listener = socket.socket(fileno=options.listener)
    status = Status(options.status)
    status.say(b"ready")
    connection = next_notary(listener, options.lifeline, status)
    if connection is None:
        return 0
    listener.close()
    status.say(b"taken")
    try:
        serve_one(connection, config, camera, instruments, status)
    except PeerError as error:
        log.info("verification ended early: %s", error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
