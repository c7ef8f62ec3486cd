"""What a service and systemd tell each other: the listening socket, `ready`, signs of life, the end.

In: the environment that systemd sets (sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3)). Out: an inherited
listener, and a `Supervisor` whose words go to systemd through systemd-python; started otherwise there is no such
listener, and the words go nowhere. Whoever calls `alive` has seen progress: a clock of its own would keep a frozen
service looking well.
"""

from __future__ import annotations

import importlib
import os
import socket
import time
from collections.abc import Callable
from typing import Final

from device.errors import ConfigurationError

_FIRST: Final = 3  # SD_LISTEN_FDS_START
_BEATS: Final = 3
"""Signs of life in one watchdog period (sd_watchdog_enabled(3) recommends at least two)."""


def inherited_listener() -> socket.socket | None:
    """The one listening socket that systemd passed to this process, or None; taken once, as the environment is cleared.

    Raises:
        ConfigurationError: there is more than one, so that it is not known which is meant.
    """
    mine = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    count = os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not mine or not count.isdecimal() or count == "0":
        return None
    if count != "1":
        raise ConfigurationError(
            f"systemd passed {count} sockets; a Vouchbox service takes one: look at its .socket unit"
        )
    os.set_inheritable(_FIRST, False)
    return socket.socket(fileno=_FIRST)


class Supervisor:
    """This process's line to the service manager. Safe to call from any thread.

    Raises:
        ConfigurationError: systemd waits to be told, and systemd-python is not here to tell it.
    """

    def __init__(self) -> None:
        self._notify = _notifier()
        self._period = _watchdog_seconds() / _BEATS
        self._last = float("-inf")
        self._status = ""

    def patience(self, longest: float) -> float:
        """For how many seconds a loop may wait at most so that it comes round in time; `longest` without a watchdog."""
        return min(longest, self._period) if self._period else longest

    def ready(self) -> None:
        """The service can be used."""
        self._notify("READY=1")

    def alive(self) -> None:
        """Progress was made just now; told on as often as systemd wants to hear it."""
        now = time.monotonic()
        if self._period and now - self._last >= self._period / 2:
            self._last = now
            self._notify("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; nothing about a person."""
        if text != self._status:
            self._status = text
            self._notify(f"STATUS={text}")

    def stopping(self) -> None:
        """The service ends by itself now."""
        self._notify("STOPPING=1")


def _notifier() -> Callable[[str], object]:
    if not os.environ.get("NOTIFY_SOCKET"):
        return lambda _state: None
    try:
        notify: Callable[[str], object] = importlib.import_module("systemd.daemon").notify
    except ImportError as error:
        raise ConfigurationError(
            "systemd started this service and waits to be told that it is ready, which needs systemd-python: "
            "install python3-systemd, or 'vouchbox[box]'"
        ) from error
    return notify


def _watchdog_seconds() -> float:
    """The period in which systemd wants a sign of life from this very process; 0 if it does not."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    addressed = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if addressed and microseconds.isdecimal() else 0.0
