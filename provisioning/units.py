"""The box's services while provisioning changes what they stand on.

In: what systemd says, or a notary that answers at its socket. Out: a block during which no service runs, and which
starts again what ran before. Where there is no systemd a running notary is an error that says to stop it.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device.config import DEFAULT_FILE, Config
from device.errors import ConfigurationError

TARGET: Final = "vouchbox.target"
UNITS: Final = tuple(
    f"vouchbox-{part}.{kind}" for part in ("gateway", "notary", "vision") for kind in ("socket", "service")
)
Run = Callable[[Sequence[str]], tuple[int, str]]
"""Runs a command; its exit status and what it printed. 127 if there is no such command."""


def run_command(command: Sequence[str]) -> tuple[int, str]:
    """See `Run`. Never waits longer than a minute."""
    if shutil.which(command[0]) is None:
        return 127, f"{command[0]}: not found"
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return 124, str(error)
    return ended.returncode, ended.stdout + ended.stderr


def active_units(run: Run = run_command) -> tuple[str, ...]:
    """Which of the box's units run now."""
    code, words = run(["systemctl", "is-active", TARGET, *UNITS])
    if code in (124, 127):
        return ()
    return tuple(unit for unit, word in zip((TARGET, *UNITS), words.splitlines(), strict=False) if word == "active")


_LISTENS: Final = re.compile(r"^Listen=\[?(.*?)\]?:(\d+) \(Stream\)$", re.MULTILINE)
_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


def gateway_url(file: Path, config: Config, run: Run = run_command) -> str:
    """Where a box's gateway is asked from the box itself: where systemd opened its door, else as configured.

    Args:
        file: the configuration's; systemd's gateway is that of `device.config.DEFAULT_FILE` and no other.
        config: what is in it.
        run: how commands are run.
    """
    gateway = config.gateway
    ask = ["systemctl", "show", "--property=Listen", "vouchbox-gateway.socket"]
    found = _LISTENS.search(run(ask)[1]) if file == DEFAULT_FILE else None
    host, port = (found[1], int(found[2])) if found else (gateway.host, gateway.port)
    host = _EVERYWHERE.get(host, host)
    return f"{'https' if gateway.certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


@contextmanager
def services_stopped(config: Config, run: Run = run_command, *, again: bool = True) -> Iterator[tuple[str, ...]]:
    """Nothing of the box runs inside the block. Gives the units that are started again after it (unless not `again`).

    Raises:
        ConfigurationError: a notary runs that systemd did not start.
    """
    active = active_units(run)
    if active:
        run(["systemctl", "stop", *active])
    if _answers(config):
        raise ConfigurationError(f"a notary runs at {config.notary_socket}: stop the services first")
    try:
        yield active
    finally:
        if active and again:
            run(["systemctl", "start", *active])


def restart_notary(run: Run = run_command) -> bool:
    """So that it takes a new key or configuration; False if it does not run."""
    if "vouchbox-notary.service" not in active_units(run):
        return False
    return run(["systemctl", "restart", "vouchbox-notary.service", "vouchbox-gateway.service"])[0] == 0


def _answers(config: Config) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(config.notary_socket))
        except OSError:
            return False
        return True
