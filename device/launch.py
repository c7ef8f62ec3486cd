"""Starts the three services as children of one parent, for `vouchbox serve`, `vouchbox demo` and the tests.

What runs is what a box runs: the same three programs over the same sockets, only started by this module
instead of systemd, in a private runtime folder. A service that dies is started again after a pause, as on a box.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from device.config import Config, write_config
from device.errors import InputError, PeerError
from device.health import health

log = logging.getLogger(__name__)

SERVICES = ("vision", "notary", "gateway")
RESTART_PAUSE = 0.5


class Services:
    """Three running services.

    Args:
        config: where they live; `runtime` and `state` must be folders that exist and are private.
        output: where their logs go; None is this process's standard error.
    """

    def __init__(self, config: Config, output: IO[bytes] | None = None) -> None:
        self.config = config
        self._output = output
        self._file = config.runtime / "config.toml"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="services", daemon=True)

    def __enter__(self) -> Self:
        write_config(self.config, self._file)
        for name in SERVICES:
            self._start(name)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._watcher.join()
        for name in reversed(SERVICES):
            self._processes[name].terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The running process of one service."""
        return self._processes[name]

    def wait_ready(self, timeout: float = 60.0) -> str:
        """The gateway's URL, once it answers and all three are well.

        Raises:
            PeerError: they were not within `timeout` seconds; the text says which is missing.
        """
        announcement = self.config.runtime / "gateway.json"
        deadline = time.monotonic() + timeout
        missing = "the gateway has not started"
        while time.monotonic() < deadline:
            if announcement.exists():
                url = str(msgspec.json.decode(announcement.read_bytes())["url"])
                missing = health(url, self.config.gateway.certificate)
                if not missing:
                    return url
            time.sleep(0.1)
        raise PeerError(f"the services were not ready within {timeout:.0f} s: {missing}")

    def _start(self, name: str) -> None:
        command = [sys.executable, "-m", f"device.{name}.service", f"--config={self._file}"]
        self._processes[name] = subprocess.Popen(command, stderr=self._output, env=os.environ)  # noqa: S603

    def _watch(self) -> None:
        while not self._stopping.wait(0.1):
            for name in SERVICES:
                code = self._processes[name].poll()
                if code is None or self._stopping.is_set():
                    continue
                log.error("%s ended with %s; starting it again", name, code)
                time.sleep(RESTART_PAUSE)
                self._start(name)


def private_folders(parent: Path) -> tuple[Path, Path]:
    """A runtime and a state folder below `parent`, readable by this user alone. Raises `InputError`."""
    folders = parent / "run", parent / "state"
    for folder in folders:
        make_folder(folder, 0o700)
    return folders


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """One that a person named, if it is not there. Raises `InputError`."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}; name another") from error
