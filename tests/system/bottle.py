"""A booted Debian in a container of its own: systemd as process 1, no network but one private link to the test.

In: a root folder that may be written to. Out: a `Bottle`: commands run in it, files put there, its journal read, its
plug pulled. Nothing of the machine around it is changed but that link, which ends with the bottle.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Ended:
    """A command that ran in the bottle."""

    code: int
    output: str
    errors: str


class Bottle:
    """One machine.

    Args:
        root: its root file system; what it writes stays there.
        binds: folders of this machine that it may read, by where it sees them.
        number: bottles that run at the same time have different ones, and with them names and addresses.
    """

    def __init__(self, root: Path, binds: dict[str, Path] | None = None, number: int = 0) -> None:
        self._name = f"vouchbox{number}"
        self.host_address = f"192.168.217.{4 * number + 1}"
        self.address = f"192.168.217.{4 * number + 2}"
        self._root = root
        self._binds = binds or {}
        # Two bottles in one control group would each take the other's units for theirs.
        self._control_group = _own_control_group() / self._name
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.leader = 0
        self.boot_seconds = 0.0

    @property
    def root(self) -> Path:
        """Its root as this machine sees it (what lies on its disk; not what is mounted in it)."""
        return self._root

    def boot(self, timeout: float = 60.0) -> None:
        """Until every service that starts at boot has started, or failed to."""
        command = ["systemd-nspawn", "--quiet", "--directory", str(self._root), "--boot", f"--machine={self._name}"]
        command += ["--network-veth", "--register=no", "--keep-unit", "--console=pipe", "--kill-signal=SIGRTMIN+3"]
        command += [f"--bind-ro={source}:{target}" for target, source in self._binds.items()]
        began = time.monotonic()
        self._control_group.mkdir(exist_ok=True)
        enter = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self._control_group)]
        self._nspawn = subprocess.Popen(
            [*enter, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "UNIFIED_CGROUP_HIERARCHY": "1"},
        )
        deadline = began + timeout
        while not self._find_leader():
            self._still_here(deadline)
            time.sleep(0.05)
        while self.run("test", "-S", "/run/systemd/private", check=False).code != 0:
            self._still_here(deadline)
            time.sleep(0.05)
        self._link()
        self.run("systemctl", "is-system-running", "--wait", check=False, timeout=timeout)
        self.boot_seconds = time.monotonic() - began

    def _find_leader(self) -> bool:
        assert self._nspawn is not None
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        for child in map(int, children):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    self.leader = child
                    return True
        return False

    def _still_here(self, deadline: float) -> None:
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise AssertionError(f"the bottle did not boot: systemd-nspawn ended with {self._nspawn.returncode}")
        if time.monotonic() > deadline:
            raise AssertionError("the bottle did not boot in time")

    def _link(self) -> None:
        link = f"ve-{self._name}"  # as systemd-nspawn names the outer end
        _host("ip", "address", "replace", f"{self.host_address}/30", "dev", link)
        _host("ip", "link", "set", link, "up")
        self.run("ip", "address", "replace", f"{self.address}/30", "dev", "host0")
        self.run("ip", "link", "set", "host0", "up")
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command: str, check: bool = True, timeout: float = 60.0, user: str = "") -> Ended:
        """A command, as root or as `user`. Raises `AssertionError` with what it said if it fails and `check` is set."""
        enter = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        enter += ["--root", "env", "--chdir=/", "-i", f"PATH={_PATH}", "LC_ALL=C.UTF-8", "HOME=/root"]
        if user:
            enter += ["runuser", "-u", user, "--"]
        ended = subprocess.run([*enter, *command], capture_output=True, text=True, timeout=timeout, check=False)
        if check and ended.returncode != 0:
            raise AssertionError(
                f"{' '.join(command)}: {ended.returncode}\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}"
            )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def journal(self, *options: str) -> list[dict[str, object]]:
        """Entries of its journal, oldest first."""
        lines = self.run("journalctl", "--output=json", "--no-pager", *options).output.splitlines()
        return [json.loads(line) for line in lines]

    def state(self, unit: str, field: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={field}", unit).output.strip()

    def main_pid(self, unit: str) -> int:
        """The main process of a unit, by its number in the bottle."""
        return int(self.state(unit, "MainPID"))

    def outer_pids(self, unit: str) -> list[int]:
        """All processes of a unit by their numbers on this machine, so that their memory can be read."""
        inner = {int(line) for line in self.cgroup_pids(unit)}
        found = []
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError, ValueError):
                line = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:"))
                numbers = [int(word) for word in line.split()[1:]]
                same_space = (status.parent / "ns/pid").readlink() == Path(f"/proc/{self.leader}/ns/pid").readlink()
                if same_space and numbers[-1] in inner:
                    found.append(numbers[0])
        return found

    def cgroup_pids(self, unit: str) -> list[str]:
        """All processes of a unit, by their numbers in the bottle."""
        group = self.state(unit, "ControlGroup")
        return self.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").output.split()

    def power_off(self) -> None:
        """An orderly end."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._nspawn.send_signal(signal.SIGTERM)
            try:
                self._nspawn.wait(60)
            except subprocess.TimeoutExpired:
                self.pull_the_plug()
        self._gone()

    def pull_the_plug(self) -> None:
        """The end without warning: every process in it is killed."""
        if self._nspawn is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGKILL)
            self._nspawn.wait(30)
        self._gone()

    def _gone(self) -> None:
        self._nspawn = None
        groups = [self._control_group, *self._control_group.rglob("*/")]
        for group in sorted(groups, reverse=True):
            with contextlib.suppress(OSError):  # the kernel may still be at it; the next boot takes it as it is
                group.rmdir()


def _own_control_group() -> Path:
    """This process's control group in the unified hierarchy, wherever that is mounted."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    mount = next(point for _, point, kind, *_ in mounts if kind == "cgroup2")
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return Path(mount) / next(line[3:] for line in lines if line.startswith("0::")).lstrip("/")


def _host(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {ended.stderr}")
