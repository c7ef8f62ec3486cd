"""Somebody else's system that was prepared: a Jetson's root file system, a Raspberry Pi OS card.

Its first start installs Vouchbox, shows the box's code, and enrols as soon as that is approved; the second does nothing
of it again. The system is a Debian here, in a container.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provisioning.conftest import SETTINGS, facts, run
from tests.system import rootfs
from tests.system.bottle import Bottle

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]

PREPARE = rootfs.REPOSITORY / "provisioning/image/prepare.sh"
NAME = "branch-7"
SECONDS = 600


@pytest.fixture
def organisation(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """An authority that serves on every address of this machine; the bottle's is not there yet."""
    folder = tmp_path / "authority"
    options = ("--name", SETTINGS.name, "--issuer", SETTINGS.issuer, "--status-uri", SETTINGS.status_uri)
    facts("authority", "create", folder, *options)
    command = [sys.executable, "-m", "provisioning.cli", "authority", "serve", str(folder), "--json", "--by-hand"]
    command += ["--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=rootfs.REPOSITORY) as server:
        assert server.stdout is not None
        yield folder, json.loads(server.stdout.readline())
        server.terminate()


def until(say: str, look, seconds: float = SECONDS):  # type: ignore[no-untyped-def]
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    raise AssertionError(say)


def test_a_prepared_system_installs_itself_and_waits_for_approval(
    base: Path, stick: Path, bottle_folder: Path, organisation: tuple[Path, dict[str, str]]
) -> None:
    authority, told = organisation
    with rootfs.overlay(base, bottle_folder / "prepared") as root:
        bottle = Bottle(root, {}, 8)
        options = ["--wheels", stick / "wheels", "--models", stick / "models", "--camera", "v4l2:/dev/video0"]
        command = [PREPARE, root, "--wheel", next(stick.glob("vouchbox-*.whl")), *options]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
        port = told["url"].rsplit(":", 1)[1]
        (root / "boot/firmware").mkdir(parents=True)
        settings = (
            f"NAME={NAME}\r\nSERVICE=https://{bottle.host_address}:{port}\r\nFINGERPRINT={told['fingerprint']}\r\n"
        )
        (root / "boot/firmware/vouchbox-enrolment").write_text(settings, newline="")
        bottle.boot(timeout=SECONDS)  # installing is part of this start
        print(f"first start, installation included: {bottle.boot_seconds:.0f} s")
        try:
            first_start(bottle, authority)
            again(bottle)
        finally:
            print(bottle.run("journalctl", "-b", "--no-pager", "-n", "60", "-u", "vouchbox-*", check=False).output)
            bottle.power_off()


def first_start(bottle: Bottle, authority: Path) -> None:
    def code() -> str:
        screen = bottle.run("cat", "/run/issue.d/vouchbox.issue", check=False).output
        found = re.search(r"Its code:\s+([0-9A-Z]{4}(?:-[0-9A-Z]{4}){3})", screen)
        return found[1] if found else ""

    shown = until("no code on the screen", code)
    until("the box does not ask", lambda: shown in run("authority", "waiting", authority).stdout)
    assert facts("authority", "approve", authority, shown, "--yes")["name"] == NAME
    until("not enrolled", lambda: bottle.run("test", "-e", "/var/lib/vouchbox/keys/production", check=False).code == 0)
    until("nothing said", lambda: "then seal" in bottle.run("cat", "/run/issue.d/vouchbox.issue", check=False).output)
    status = json.loads(bottle.run("vouchbox-provision", "status", "--json").output)
    assert (status["stage"], status["name"], status["camera"]) == ("enrolled", NAME, "v4l2:/dev/video0")
    assert bottle.run("test", "-e", "/opt/vouchbox-stick", check=False).code != 0


def again(bottle: Bottle) -> None:
    """Starting the three once more does nothing: their conditions no longer hold."""
    state = "find /var/lib/vouchbox/keys /etc/vouchbox -type f | sort | xargs sha256sum"
    before = bottle.run("sh", "-c", state).output
    for unit in ("install", "first-boot", "enrol"):
        bottle.run("systemctl", "restart", f"vouchbox-{unit}.service")
        assert bottle.state(f"vouchbox-{unit}.service", "ConditionResult") == "no"
    assert bottle.run("sh", "-c", state).output == before
