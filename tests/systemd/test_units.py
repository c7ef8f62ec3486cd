"""The units as systemd itself judges them, without starting anything: no warning, and little exposure."""

import configparser
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
SERVICES = ("vision", "notary", "gateway")
GOAL = 1.0
"""Exposure of a service by `systemd-analyze security`, 0 (none) to 10."""
needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def settings(name: str) -> dict[str, list[str]]:
    """Every `Key=value` of a unit's sections, in order; a key may come more than once."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def common_part(service: str) -> str:
    text = (UNITS / f"vouchbox-{service}.service").read_text()
    return text.split("# --- what all three have in common")[1]


@pytest.fixture
def copies(tmp_path):
    """The units, with a program that exists in place of the box's Python."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for source in UNITS.glob("vouchbox*"):
        text = source.read_text().replace("/opt/vouchbox/current/bin/python", str(program))
        text = text.replace("/usr/local/bin/vouchbox-provision", str(program))
        (tmp_path / source.name).write_text(text)
    return tmp_path


@needs_analyze
def test_systemd_finds_nothing_to_say_about_the_units(copies):
    units = sorted(path.name for path in copies.glob("vouchbox*"))
    assert len(units) == 9
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *(f"./{unit}" for unit in units)],
        cwd=copies,
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )
    ours = [line for line in ended.stderr.splitlines() if "vouchbox" in line or str(copies) in line]
    assert (ended.returncode, ours) == (0, [])


@needs_analyze
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_hardly_exposed(service):
    ended = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", f"./vouchbox-{service}.service"],
        cwd=UNITS,
        capture_output=True,
        text=True,
    )
    exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", ended.stdout)[1])
    print(f"vouchbox-{service}.service: exposure {exposure}")
    assert exposure <= GOAL


@needs_analyze
def test_the_measure_tells_an_open_service_from_a_closed_one(tmp_path):
    (tmp_path / "open.service").write_text("[Service]\nExecStart=/bin/true\n")
    ended = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "./open.service"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", ended.stdout)[1]) > 9


def test_what_the_three_have_in_common_is_the_same():
    assert common_part("vision") == common_part("notary") == common_part("gateway")


def test_only_vision_has_the_camera_and_only_the_notary_the_tpm():
    devices = {service: settings(f"vouchbox-{service}.service").get("DeviceAllow", []) for service in SERVICES}
    assert devices["vision"] == ["char-video4linux rw", "char-media rw", "char-dma_heap rw"]
    assert devices["notary"] == ["/dev/tpmrm0 rw"]
    assert devices["gateway"] == []


def test_only_the_notary_has_a_folder_to_write_to():
    for service in SERVICES:
        unit = settings(f"vouchbox-{service}.service")
        assert "StateDirectory" not in unit
        assert "ReadWritePaths" not in unit
        writable = [path for line in unit.get("BindPaths", []) for path in line.split()]
        assert writable == (["-/dev/tpmrm0", "/var/lib/vouchbox"] if service == "notary" else [])


def test_each_has_a_user_of_its_own_that_sysusers_makes():
    users = {settings(f"vouchbox-{service}.service")["User"][0] for service in SERVICES}
    made = {line.split()[1] for line in (UNITS / "sysusers.d/vouchbox.conf").read_text().splitlines() if line[0] == "u"}
    assert users == made == {f"vouchbox-{service}" for service in SERVICES}


def test_each_socket_is_only_for_the_next_room():
    assert settings("vouchbox-vision.socket")["SocketGroup"] == ["vouchbox-notary"]
    assert settings("vouchbox-notary.socket")["SocketGroup"] == ["vouchbox-gateway"]
    assert all(settings(f"vouchbox-{name}.socket")["SocketMode"] == ["0660"] for name in ("vision", "notary"))


def test_the_door_to_the_network_is_loopback_unless_a_technician_says_otherwise():
    assert settings("vouchbox-gateway.socket")["ListenStream"] == ["127.0.0.1:8470"]


def test_a_box_without_a_certificate_is_not_renewed():
    assert settings("vouchbox-renew.service")["ConditionPathExists"] == ["/var/lib/vouchbox/keys/production"]
    assert settings("vouchbox-renew.timer")["WantedBy"] == ["timers.target"]


def test_vision_keeps_proc_whole_or_inference_is_four_times_slower():
    assert "ProcSubset" not in settings("vouchbox-vision.service")


def test_units_are_read_as_they_are_written():
    """No key is misspelt in a way that systemd only warns of when it starts: every section is one that there is."""
    for path in UNITS.glob("vouchbox*"):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str
        parser.read(path)
        assert set(parser.sections()) <= {"Unit", "Service", "Socket", "Timer", "Install"}, json.dumps(
            parser.sections()
        )
