"""The vision service: keeps one warm worker waiting at the vision socket, and starts the next when it is taken.

It binds the socket and starts processes; it never opens the camera, loads a model or reads a message, so it is
small and has nothing of a person. The kernel hands a notary's connection to the worker that waits in accept().
systemd's watchdog is fed while every worker is heard of, so that a camera or a model that hangs ends the service.
"""

from __future__ import annotations

import argparse
import enum
import logging
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device.channel import listen
from device.config import load_config
from device.errors import VouchboxError
from device.logs import set_up_logging
from device.supervision import Supervisor

log = logging.getLogger(__name__)

BACK_OFF = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the next try after a worker died without having been taken, by how often in a row."""
LOADING_PATIENCE: Final = 60.0
"""Seconds that a worker may take to load its models on a small board."""
SILENCE_PATIENCE: Final = 15.0
"""Seconds of silence after which a worker counts as stuck. It may wait ten for its order (worker.START_PATIENCE)."""
_TURN: Final = 0.25  # seconds


class _Phase(enum.Enum):
    LOADING = enum.auto()
    SPARE = enum.auto()
    SERVING = enum.auto()


@dataclass
class _Worker:
    """A worker process, and the pipe on which it says `ready`, `taken`, and that it goes on."""

    process: subprocess.Popen[bytes]
    status: int
    heard: float
    phase: _Phase = _Phase.LOADING

    def fileno(self) -> int:
        return self.status

    def stuck(self, now: float) -> bool:
        patience = LOADING_PATIENCE if self.phase is _Phase.LOADING else SILENCE_PATIENCE
        return now - self.heard > patience


class Keeper:
    """Starts workers so that one always stands by.

    Args:
        config_file: given on to each worker.
        listener: descriptor of the listening vision socket.
        supervisor: hears that the service is ready and alive.
    """

    def __init__(self, config_file: Path | None, listener: int, supervisor: Supervisor | None = None) -> None:
        self._config_file = config_file
        self._listener = listener
        self._supervisor = supervisor or Supervisor()
        # Workers hold the reading end: it ends when this process does, however it ends.
        self._lifeline, self._lifeline_held = os.pipe()
        self._workers: list[_Worker] = []
        self._ready = False
        self._failures = 0
        self._not_before = 0.0
        self.stopping = False

    def run(self) -> None:
        """Until `stopping`; then the workers that are left are ended."""
        while not self.stopping:
            serving_only = all(worker.phase is _Phase.SERVING for worker in self._workers)
            if serving_only and time.monotonic() >= self._not_before:
                self._workers.append(self._start())
            self._hear(_TURN)
            self._tell_supervisor()
        self._supervisor.stopping()
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            _reap(worker.process, 5.0)

    def _start(self) -> _Worker:
        read, write = os.pipe()
        command = [sys.executable, "-m", "device.vision.worker", f"--listener={self._listener}"]
        command += [f"--status={write}", f"--lifeline={self._lifeline}"]
        if self._config_file is not None:
            command += [f"--config={self._config_file}"]
        process = subprocess.Popen(command, pass_fds=(self._listener, write, self._lifeline))  # noqa: S603
        os.close(write)
        return _Worker(process, read, time.monotonic())

    def _hear(self, timeout: float) -> None:
        if not self._workers:
            time.sleep(timeout)
            return
        for worker in select.select(self._workers, [], [], timeout)[0]:
            said = os.read(worker.status, 64)
            worker.heard = time.monotonic()
            if b"ready" in said:
                worker.phase = _Phase.SPARE
                self._stands_by(worker)
            if b"taken" in said:
                worker.phase = _Phase.SERVING
            if not said:
                self._ended(worker)

    def _stands_by(self, worker: _Worker) -> None:
        self._failures = 0
        log.info("a worker stands by (process %d)", worker.process.pid)
        self._supervisor.status("a worker stands by")
        self._be_ready()

    def _be_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self._supervisor.ready()

    def _ended(self, worker: _Worker) -> None:
        os.close(worker.status)
        self._workers.remove(worker)
        _reap(worker.process, 2.0)
        if worker.phase is _Phase.SERVING:
            return
        pause = BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
        self._failures += 1
        self._not_before = time.monotonic() + pause
        log.error("a worker ended with %s before it was needed; the next in %.1f s", worker.process.returncode, pause)
        # The service does what it can; that vision is not available is what /healthz then says, with the reason here.
        self._supervisor.status("no worker stands by; the log says why")
        self._be_ready()

    def _tell_supervisor(self) -> None:
        now = time.monotonic()
        if not any(worker.stuck(now) for worker in self._workers):
            self._supervisor.alive()


def _reap(process: subprocess.Popen[bytes], patience: float) -> None:
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(arguments: list[str] | None = None) -> int:
    """`vouchbox vision`: see the module's text."""
    parser = argparse.ArgumentParser(prog="vouchbox vision", description=__doc__)
    parser.add_argument("--config", type=Path)
    options = parser.parse_args(arguments)
    set_up_logging("vision")
    try:
        config = load_config(options.config)
        listener = listen(config.vision_socket, backlog=4)
        keeper = Keeper(options.config, listener.fileno())
    except VouchboxError as error:
        log.error("%s", error)
        return error.exit_code

    def stop(_signal: int, _frame: object) -> None:
        keeper.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    keeper.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
