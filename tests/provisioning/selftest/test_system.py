"""Each finding about the machine is provoked, on a file system made for it, and named right."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from device.protocol import Result
from provisioning.selftest import system
from provisioning.selftest.limits import load_limits
from provisioning.selftest.system import Machine

LIMITS = load_limits()
STATE = Path("/var/lib/vouchbox")
SWAPS = "Filename\tType\tSize\tUsed\tPriority\n"


def machine(root: Path, files: dict[str, str], commands: dict[str, str] | None = None, **more: float) -> Machine:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    answers = commands or {}

    def run(command: Sequence[str]) -> tuple[int, str]:
        return (0, answers[command[0]]) if command[0] in answers else (127, "")

    return Machine(root=root, run=run, **more)


# --- Clock -----------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_off(tmp_path: Path) -> None:
    files = {"run/systemd/timesync/synchronized": ""}
    now = time.time()
    found = system.clock(machine(tmp_path, files, now=now - 40 * 86_400, known_past=now), LIMITS)
    assert (found.result, "40 days slow" in found.text) == (Result.FAIL, True)
    assert system.clock(machine(tmp_path, files, now=now, known_past=now - 9), LIMITS).result is Result.PASS


@pytest.mark.parametrize(
    ("files", "commands", "result"),
    [
        ({}, {}, Result.FAIL),
        ({"run/systemd/timesync/synchronized": ""}, {}, Result.PASS),
        ({}, {"chronyc": "Leap status     : Normal\n"}, Result.PASS),
        ({}, {"chronyc": "Leap status     : Not synchronised\n"}, Result.FAIL),
        ({"sys/class/rtc/rtc0/name": "rtc"}, {}, Result.PASS),
    ],
    ids=["nothing", "timesyncd", "chrony", "chrony-lost", "battery"],
)
def test_time_source(tmp_path: Path, files: dict[str, str], commands: dict[str, str], result: Result) -> None:
    assert system.clock(machine(tmp_path, files, commands), LIMITS).result is result


# --- Disk ------------------------------------------------------------------------------------------------------------

MOUNTS = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 {number} / /var/lib rw - {kind} /dev/x rw\n"


@pytest.mark.parametrize(
    ("number", "kind", "files", "result"),
    [
        ("8:2", "ext4", {"sys/dev/block/8:2/dev": "8:2"}, Result.FAIL),
        ("253:0", "ext4", {"sys/dev/block/253:0/dm/uuid": "CRYPT-LUKS2-x"}, Result.PASS),
        (
            "253:1",
            "ext4",
            {
                "sys/dev/block/253:1/dm/uuid": "LVM-x",
                "sys/dev/block/253:1/slaves/dm-0/dev": "253:0",
                "sys/dev/block/253:0/dm/uuid": "CRYPT-LUKS2-x",
            },
            Result.PASS,
        ),
        ("0:30", "tmpfs", {}, Result.PASS),
        ("0:31", "overlay", {}, Result.NOT_PERFORMED),
    ],
    ids=["plain", "luks", "lvm-on-luks", "memory", "overlay"],
)
def test_disk_encryption(tmp_path: Path, number: str, kind: str, files: dict[str, str], result: Result) -> None:
    mounts = {"proc/self/mountinfo": MOUNTS.format(number=number, kind=kind)}
    found = system.disk(machine(tmp_path, mounts | files), STATE)
    assert (found.result, found.advisory) == (result, True)


def test_no_mount_table(tmp_path: Path) -> None:
    assert system.disk(machine(tmp_path, {}), STATE).result is Result.NOT_PERFORMED


# --- Memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "result"),
    [
        ({"proc/swaps": SWAPS}, Result.PASS),
        ({"proc/swaps": SWAPS + "/var/swap file 100 0 -2\n"}, Result.FAIL),
        ({"proc/swaps": SWAPS + "/dev/zram0 partition 100 0 100\n"}, Result.PASS),
        (
            {
                "proc/swaps": SWAPS + "/dev/dm-3 partition 100 0 -2\n",
                "sys/class/block/dm-3/dev": "253:3",
                "sys/dev/block/253:3/dm/uuid": "CRYPT-PLAIN-swap",
            },
            Result.PASS,
        ),
        ({}, Result.NOT_PERFORMED),
    ],
    ids=["none", "file", "zram", "encrypted", "unknown"],
)
def test_swap(tmp_path: Path, files: dict[str, str], result: Result) -> None:
    found = system.swap(machine(tmp_path, files))
    assert found.result is result
    assert result is not Result.FAIL or "/var/swap" in found.text


@pytest.mark.parametrize(
    ("pattern", "files", "commands", "result"),
    [
        ("core", {}, {}, Result.FAIL),
        ("|/usr/lib/systemd/systemd-coredump %P", {}, {}, Result.FAIL),
        ("|/bin/false", {}, {}, Result.PASS),
        ("core", {}, {"systemctl": "LimitCORE=0\n"}, Result.PASS),
        ("core", {}, {"systemctl": "LimitCORE=infinity\n"}, Result.FAIL),
        ("|/usr/lib/systemd/systemd-coredump %P", {}, {"systemctl": "LimitCORE=0\n"}, Result.FAIL),
        (
            "|/usr/lib/systemd/systemd-coredump %P",
            {"etc/systemd/coredump.conf.d/vouchbox.conf": "[Coredump]\nStorage=none\n"},
            {},
            Result.PASS,
        ),
    ],
)
def test_core_dumps(
    tmp_path: Path, pattern: str, files: dict[str, str], commands: dict[str, str], result: Result
) -> None:
    made = machine(tmp_path, {"proc/sys/kernel/core_pattern": pattern + "\n"} | files, commands)
    assert system.core_dumps(made).result is result


# --- Power -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("milli", "result"), [("48312", Result.PASS), ("83000", Result.FAIL)])
def test_temperature(tmp_path: Path, milli: str, result: Result) -> None:
    found = system.temperature(machine(tmp_path, {"sys/class/thermal/thermal_zone0/temp": milli + "\n"}), LIMITS)
    assert (found.result, found.advisory) == (result, True)
    assert system.temperature(machine(tmp_path / "none", {}), LIMITS).result is Result.NOT_PERFORMED


@pytest.mark.parametrize(
    ("answer", "result", "words"),
    [
        ("throttled=0x0\n", Result.PASS, "never"),
        ("throttled=0x50005\n", Result.FAIL, "undervoltage now, throttled now, undervoltage since boot"),
        ("throttled=0x80000\n", Result.FAIL, "too hot since boot"),
    ],
)
def test_raspberry_pi_throttling(tmp_path: Path, answer: str, result: Result, words: str) -> None:
    found = system.power(machine(tmp_path, {}, {"vcgencmd": answer}))
    assert found.result is result
    assert words in found.text


@pytest.mark.parametrize(("word", "result"), [("0", Result.PASS), ("50000", Result.FAIL)])
def test_raspberry_pi_throttling_without_its_tool(tmp_path: Path, word: str, result: Result) -> None:
    found = system.power(machine(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": word + "\n"}))
    assert found.result is result
    assert result is Result.PASS or "undervoltage since boot" in found.text


@pytest.mark.parametrize(("alarm", "result"), [("0", Result.PASS), ("1", Result.FAIL)])
def test_raspberry_pi_undervoltage_by_debians_kernel(tmp_path: Path, alarm: str, result: Result) -> None:
    files = {"sys/class/hwmon/hwmon2/name": "rpi_volt\n", "sys/class/hwmon/hwmon2/in0_lcrit_alarm": alarm + "\n"}
    assert system.power(machine(tmp_path, files)).result is result


@pytest.mark.parametrize(("count", "result"), [("0", Result.PASS), ("3", Result.FAIL)])
def test_jetson_over_current(tmp_path: Path, count: str, result: Result) -> None:
    found = system.power(machine(tmp_path, {"sys/class/hwmon/hwmon1/oc1_event_cnt": count + "\n"}))
    assert found.result is result


def test_a_board_that_does_not_tell(tmp_path: Path) -> None:
    assert system.power(machine(tmp_path / "odd", {}, {"vcgencmd": "error\n"})).result is Result.NOT_PERFORMED
    assert system.power(machine(tmp_path, {})).result is Result.NOT_PERFORMED


def test_the_real_machine_can_be_looked_at() -> None:
    names = [one.name for one in system.look_at_machine(Machine(), STATE, LIMITS)]
    assert len(names) == len(set(names)) == 6
