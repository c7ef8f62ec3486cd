"""What services tell systemd, and the sockets that it passes to them; a datagram socket stands in for systemd."""

import os
import socket
import subprocess
import sys
import types

import pytest

from device import supervision
from device.channel import connect, peer_of
from device.errors import ConfigurationError
from device.supervision import Supervisor

LISTEN = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[2])
from device.supervision import inherited_listener
listener = inherited_listener()
print(listener.getsockname() if listener else None, "LISTEN_FDS" in os.environ, inherited_listener())
"""


@pytest.fixture
def systemd(monkeypatch):
    """Everything that is said to systemd."""
    said: list[str] = []
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "9000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    daemon = types.ModuleType("systemd.daemon")
    daemon.notify = said.append
    monkeypatch.setitem(sys.modules, "systemd", types.ModuleType("systemd"))
    monkeypatch.setitem(sys.modules, "systemd.daemon", daemon)
    return said


def test_without_systemd_nothing_is_said_and_loops_wait_as_long_as_they_like(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    supervisor = Supervisor()
    supervisor.ready()
    supervisor.alive()
    assert supervisor.patience(30) == 30


def test_ready_alive_and_stopping(systemd):
    supervisor = Supervisor()
    supervisor.ready()
    supervisor.alive()
    supervisor.alive()  # a moment later: systemd need not hear it again yet
    supervisor.status("a worker stands by")
    supervisor.status("a worker stands by")
    supervisor.stopping()
    assert systemd == ["READY=1", "WATCHDOG=1", "STATUS=a worker stands by", "STOPPING=1"]
    assert supervisor.patience(30) == 3, "a loop comes round three times in a watchdog's period"


def test_alive_is_told_again_when_time_has_passed(systemd, monkeypatch):
    clock = iter([100.0, 101.0, 102.0, 104.0])
    monkeypatch.setattr(supervision.time, "monotonic", lambda: next(clock))
    supervisor = Supervisor()
    for _ in range(4):
        supervisor.alive()
    assert systemd == ["WATCHDOG=1"] * 3  # at 100, 102 and 104


def test_a_watchdog_for_another_process_is_not_ours(systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_PID", "1")
    Supervisor().alive()
    assert systemd == []


def test_systemd_that_cannot_be_told_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setitem(sys.modules, "systemd.daemon", None)
    with pytest.raises(ConfigurationError, match="python3-systemd"):
        Supervisor()


def run_with_socket(listener, count):
    return subprocess.run(
        [sys.executable, "-c", LISTEN, str(listener.fileno()), count],
        pass_fds=[listener.fileno()],
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_inherited_socket_is_taken_once():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said = run_with_socket(listener, "1").stdout.strip()
        assert said == f"{listener.getsockname()} False None"


def test_two_inherited_sockets_are_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert "takes one" in run_with_socket(listener, "2").stderr


def test_a_socket_for_another_process_is_not_taken(monkeypatch):
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert supervision.inherited_listener() is None


def test_whoever_listened_last_is_whom_a_caller_sees(tmp_path, monkeypatch):
    """systemd listens first; after the service has listened again, callers see the service."""
    path = tmp_path / "socket"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    child = os.fork()
    if child == 0:
        listener.listen(4)  # another process, as systemd is
        os._exit(0)
    os.waitpid(child, 0)
    with connect(path) as caller:
        assert peer_of(caller).pid == child
    from device import channel

    monkeypatch.setattr(channel, "inherited_listener", lambda: listener)
    with channel.listen(path), connect(path) as caller:
        assert peer_of(caller).pid == os.getpid()
