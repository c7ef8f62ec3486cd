"""The machine's findings: clock, disk, swap, core dumps, temperature, power.

In: the root of a file system (so that a test can make one), a way to run commands, the time. Out: findings.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provisioning.selftest.limits import Limits
from provisioning.selftest.report import Finding, finding
from provisioning.units import Run, run_command

_THROTTLED: Final = {
    0: "undervoltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "too hot now",
    16: "undervoltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "too hot since boot",
}
"""Bits of `vcgencmd get_throttled` (Raspberry Pi documentation, vcgencmd)."""
_FIRMWARE_THROTTLED: Final = "/sys/devices/platform/soc/soc:firmware/get_throttled"


@dataclass(frozen=True)
class Machine:
    """Where to look. `known_past` is a time that has certainly passed, e.g. when the box's certificate was made."""

    root: Path = Path("/")
    run: Run = run_command
    now: float | None = None
    known_past: float = 0.0

    def read(self, path: str) -> str | None:
        """A file of the machine; None if it is not there."""
        try:
            return (self.root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
        except OSError:
            return None

    @property
    def time(self) -> float:
        return time.time() if self.now is None else self.now


def look_at_machine(machine: Machine, state: Path, limits: Limits) -> list[Finding]:
    """All of them."""
    return [
        clock(machine, limits),
        disk(machine, state),
        swap(machine),
        core_dumps(machine),
        temperature(machine, limits),
        power(machine),
    ]


def clock(machine: Machine, limits: Limits) -> Finding:
    """A time source, and a time that is possible: verdicts say when."""
    behind = machine.known_past - machine.time
    if behind > limits.system.clock:
        text = f"the clock is at least {behind / 86_400:.0f} days slow"
        return finding("time.clock", False, text, "set the clock: `timedatectl set-time`, or connect a time server")
    if (machine.root / "run/systemd/timesync/synchronized").exists():
        return finding("time.clock", True, "set by a time server (systemd-timesyncd)")
    code, words = machine.run(["chronyc", "-n", "tracking"])
    if code == 0 and "Leap status     : Normal" in words:
        return finding("time.clock", True, "set by a time server (chrony)")
    if any((machine.root / "sys/class/rtc").glob("rtc*")):
        advice = "compare it with a watch; better: a time server, or a GPS receiver with chrony"
        return finding("time.clock", True, "a battery-backed clock, no time server seen", advice)
    advice = "switch on systemd-timesyncd or chrony, or fit a battery-backed clock (the Raspberry Pi 5 has a socket)"
    return finding("time.clock", False, "nothing sets the clock", advice)


def disk(machine: Machine, state: Path) -> Finding:
    """The disk that the box's state is on is encrypted (or in memory). Advisory: keys may be in hardware."""
    advice = "put it on a LUKS partition that the TPM unlocks (docs/operations.md, An encrypted disk)"
    mounted = _mount_of(machine, state)
    if mounted is None:
        return finding("disk.encryption", None, f"cannot tell where {state} is mounted", advisory=True)
    device, kind = mounted
    if kind in ("tmpfs", "ramfs"):
        return finding("disk.encryption", True, f"{state} is in memory ({kind})", advisory=True)
    encrypted = _is_encrypted(machine, device)
    if encrypted is None:
        return finding("disk.encryption", None, f"{state} is on {device} ({kind}): cannot tell", advice, advisory=True)
    text = f"{state} is on {device}, {'encrypted' if encrypted else 'not encrypted'}"
    return finding("disk.encryption", encrypted, text, advice, advisory=True)


def _mount_of(machine: Machine, state: Path) -> tuple[str, str] | None:
    """Device number and kind of the file system, by the longest mount point (proc_pid_mountinfo(5))."""
    best: tuple[int, str, str] | None = None
    for line in (machine.read("/proc/self/mountinfo") or "").splitlines():
        fields = line.split(" ")
        if len(fields) < 10 or "-" not in fields:
            continue
        point = Path(fields[4])
        if point == state or point in state.parents:
            kind = fields[fields.index("-") + 1]
            if best is None or len(str(point)) >= best[0]:
                best = (len(str(point)), fields[2], kind)
    return None if best is None else best[1:]


def _is_encrypted(machine: Machine, number: str, depth: int = 0) -> bool | None:
    """Whether a block device, or what it lies on, is dm-crypt; None if the device is not known to sysfs."""
    place = machine.root / "sys/dev/block" / number
    if not place.exists():
        return None
    if (machine.read(f"/sys/dev/block/{number}/dm/uuid") or "").startswith("CRYPT-"):
        return True
    below = [machine.read(f"/sys/dev/block/{number}/slaves/{one.name}/dev") for one in _entries(place / "slaves")]
    known = [number for number in below if number]
    return bool(known) and depth < 4 and all(_is_encrypted(machine, one, depth + 1) for one in known)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def swap(machine: Machine) -> Finding:
    """None on a disk that could be read: faces are in memory. Swap in compressed memory (zram) stays there."""
    lines = (machine.read("/proc/swaps") or "").splitlines()
    if not lines:
        return finding("memory.swap", None, "/proc/swaps cannot be read")
    open_ones = []
    for line in lines[1:]:
        name = line.split()[0]
        number = machine.read(f"/sys/class/block/{Path(name).name}/dev") or ""
        if not Path(name).name.startswith("zram") and not (number and _is_encrypted(machine, number)):
            open_ones.append(name)
    text = f"swap on {', '.join(open_ones)}" if open_ones else "no swap that outlives the power"
    advice = "swapoff -a, and take it out of /etc/fstab (Raspberry Pi OS: `systemctl disable --now dphys-swapfile`)"
    return finding("memory.swap", not open_ones, text, advice)


def core_dumps(machine: Machine) -> Finding:
    """A crash leaves no picture of the memory."""
    pattern = machine.read("/proc/sys/kernel/core_pattern")
    if pattern is None:
        return finding("memory.core_dumps", None, "/proc/sys/kernel/core_pattern cannot be read")
    code, words = machine.run(["systemctl", "show", "-p", "LimitCORE", "vouchbox-vision.service"])
    limited = code == 0 and words.strip() == "LimitCORE=0"
    piped_away = pattern.startswith(("|/bin/false", "|/usr/bin/false"))
    stored = not (machine.read("/etc/systemd/coredump.conf.d/vouchbox.conf") or "").count("Storage=none")
    if limited and not (pattern.startswith("|") and stored and not piped_away):
        return finding("memory.core_dumps", True, "the services may not dump core (LimitCORE=0)")
    good = pattern == "" or piped_away or (pattern.startswith("|") and not stored)
    text = "core dumps go nowhere" if good else f"core dumps go to {pattern}"
    advice = "sysctl kernel.core_pattern='|/bin/false', and keep it in /etc/sysctl.d"
    return finding("memory.core_dumps", good, text, advice)


def temperature(machine: Machine, limits: Limits) -> Finding:
    """Below the point where the processor slows down."""
    readings = [
        int(text) / 1000
        for zone in _entries(machine.root / "sys/class/thermal")
        if zone.name.startswith("thermal_zone") and (text := machine.read(f"/sys/class/thermal/{zone.name}/temp"))
        if text.lstrip("-").isdecimal()
    ]
    if not readings:
        return finding("power.temperature", None, "this machine tells no temperature", advisory=True)
    hottest = max(readings)
    advice = "a heat sink or fan; not in the sun; look for what keeps the processor busy"
    good, figures = hottest < limits.system.temperature, {"celsius": hottest}
    return finding("power.temperature", good, f"{hottest:.0f} degrees", advice, advisory=True, figures=figures)


def power(machine: Machine) -> Finding:
    """Never slowed down for want of current or for heat.

    Raspberry Pi: `vcgencmd`, or the same word from its firmware's node in sysfs; with a kernel that has neither, the
    undervoltage alarm of raspberrypi-hwmon. Jetson: its over-current counters.
    """
    advice = "the power supply that belongs to the board, a shorter cable; then a fan"
    word = _throttled_word(machine)
    if word is not None:
        seen = [text for bit, text in _THROTTLED.items() if word >> bit & 1]
        return finding("power.throttling", not seen, ", ".join(seen) or "never throttled since boot", advice)
    monitors = _entries(machine.root / "sys/class/hwmon")
    for monitor in monitors:
        alarm = machine.read(f"/sys/class/hwmon/{monitor.name}/in0_lcrit_alarm")
        if machine.read(f"/sys/class/hwmon/{monitor.name}/name") == "rpi_volt" and alarm is not None:
            text = "undervoltage now" if alarm != "0" else "no undervoltage; this kernel does not tell of throttling"
            return finding("power.throttling", alarm == "0", text, advice)
    counters = [path for monitor in monitors for path in sorted(monitor.glob("oc*_event_cnt"))]
    if counters:
        events = sum(int(path.read_text().strip() or 0) for path in counters)
        text = f"{events} over-current events since boot"
        return finding("power.throttling", events == 0, text, advice, figures={"events": float(events)})
    return finding("power.throttling", None, "this board does not tell (no vcgencmd, no over-current counters)")


def _throttled_word(machine: Machine) -> int | None:
    code, words = machine.run(["vcgencmd", "get_throttled"])
    told = words.partition("=")[2] if code == 0 else machine.read(_FIRMWARE_THROTTLED) or ""
    try:
        return int(told.strip(), 16)
    except ValueError:
        return None
