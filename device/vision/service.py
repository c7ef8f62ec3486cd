"""The vision service: keeps one warm worker waiting at the vision socket, and starts the next when it is taken.

It binds the socket and starts processes; it never opens the camera, loads a model or reads a message, so it is
small and has nothing of a person. The kernel hands a notary's connection to the worker that waits in accept().
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from device.channel import listen
from device.config import load_config
from device.errors import VouchboxError
from device.logs import set_up_logging

log = logging.getLogger(__name__)

BACK_OFF = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the next try after a worker died without having been taken, by how often in a row."""


@dataclass(frozen=True)
class _Spare:
    """The worker that waits for a notary, and the pipe on which it says `ready` and `taken`."""

    process: subprocess.Popen[bytes]
    status: int


class Keeper:
    """Starts workers so that one always stands by.

    Args:
        config_file: given on to each worker.
        listener: descriptor of the listening vision socket.
    """

    def __init__(self, config_file: Path | None, listener: int) -> None:
        self._config_file = config_file
        self._listener = listener
        # Workers hold the reading end: it ends when this process does, however it ends.
        self._lifeline, self._lifeline_held = os.pipe()
        self._spare: _Spare | None = None
        self._serving: list[subprocess.Popen[bytes]] = []
        self._failures = 0
        self._not_before = 0.0
        self.stopping = False

    def run(self) -> None:
        """Until `stopping`; then the workers that are left are ended."""
        while not self.stopping:
            self._serving = [process for process in self._serving if process.poll() is None]
            if self._spare is None and time.monotonic() >= self._not_before:
                self._spare = self._start()
            self._hear(0.25)
        left = [*self._serving, *([self._spare.process] if self._spare else [])]
        for process in left:
            process.terminate()
        for process in left:
            process.wait(5)

    def _start(self) -> _Spare:
        read, write = os.pipe()
        command = [sys.executable, "-m", "device.vision.worker", f"--listener={self._listener}"]
        command += [f"--status={write}", f"--lifeline={self._lifeline}"]
        if self._config_file is not None:
            command += [f"--config={self._config_file}"]
        process = subprocess.Popen(command, pass_fds=(self._listener, write, self._lifeline))  # noqa: S603
        os.close(write)
        return _Spare(process, read)

    def _hear(self, timeout: float) -> None:
        if self._spare is None:
            time.sleep(timeout)
            return
        if not select.select([self._spare.status], [], [], timeout)[0]:
            return
        said = os.read(self._spare.status, 64)
        if b"ready" in said:
            self._failures = 0
            log.info("a worker stands by (process %d)", self._spare.process.pid)
        if b"taken" in said:
            self._serving.append(self._spare.process)
        if b"taken" in said or not said:
            os.close(self._spare.status)
            if not said:
                self._note_failure(self._spare.process)
            self._spare = None

    def _note_failure(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        pause = BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
        self._failures += 1
        self._not_before = time.monotonic() + pause
        log.error("a worker ended with %s before it was needed; the next in %.1f s", process.returncode, pause)


def main(arguments: list[str] | None = None) -> int:
    """`vouchbox vision`: see the module's text."""
    parser = argparse.ArgumentParser(prog="vouchbox vision", description=__doc__)
    parser.add_argument("--config", type=Path)
    options = parser.parse_args(arguments)
    set_up_logging("vision")
    try:
        config = load_config(options.config)
        listener = listen(config.vision_socket, backlog=4)
    except VouchboxError as error:
        log.error("%s", error)
        return error.exit_code
    keeper = Keeper(options.config, listener.fileno())

    def stop(_signal: int, _frame: object) -> None:
        keeper.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    keeper.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
