"""The image's files: scripts that a shell can read, units that systemd takes, a first start that initialises a box."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

IMAGE = REPOSITORY / "provisioning/image"
FILES = IMAGE / "files"


@pytest.mark.parametrize("script", [IMAGE / "build.sh", FILES / "usr/local/sbin/vouchbox-first-boot"])
def test_scripts_can_be_read(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_build_says_what_it_lacks() -> None:
    ended = subprocess.run([str(IMAGE / "build.sh")], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "name the file" in ended.stderr
    assert "--wheels" in subprocess.run([str(IMAGE / "build.sh"), "--help"], capture_output=True, text=True).stdout


def test_units_are_taken_by_systemd(tmp_path: Path) -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in (FILES / "etc/systemd/system").iterdir():
        text = unit.read_text().replace("/usr/local/sbin/vouchbox-first-boot", "/bin/true")
        (tmp_path / unit.name).write_text(text.replace("/usr/local/bin/vouchbox-provision", "/bin/true"))
    units = [str(path) for path in tmp_path.iterdir()]
    ended = subprocess.run([analyse, "verify", "--man=no", *units], capture_output=True, text=True)
    about_ours = [line for line in ended.stderr.splitlines() if "vouchbox" in line]
    assert about_ours == []


def test_the_first_start_makes_an_identity(tmp_path: Path) -> None:
    """With the programs' places moved into a folder: what it types is what the command takes."""
    script = (FILES / "usr/local/sbin/vouchbox-first-boot").read_text()
    (tmp_path / "enrolment").write_text("NAME=branch-7\n")
    script = script.replace("/etc/vouchbox/enrolment", str(tmp_path / "enrolment")).replace(
        "/boot/firmware", str(tmp_path)
    )
    typed = tmp_path / "vouchbox-provision"
    typed.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/typed\n')
    typed.chmod(0o755)
    script = script.replace("/usr/local/bin/vouchbox-provision", str(typed))
    ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "typed").read_text() == "init --name branch-7\n"
    assert "authority code FOLDER branch-7" in ended.stdout
    (tmp_path / "enrolment").write_text("NAME=branch-7\nSERVICE=https://e\nFINGERPRINT=00\nCODE=1-2\n")
    subprocess.run(["sh", "-c", script], check=True, capture_output=True)
    assert "enrol --service https://e --fingerprint 00 --code 1-2" in (tmp_path / "typed").read_text()
    assert not (tmp_path / "enrolment").exists(), "a used code is not left behind"


def test_what_the_image_sets_is_what_the_self_test_wants() -> None:
    assert "kernel.core_pattern=|/bin/false" in (FILES / "etc/sysctl.d/60-vouchbox.conf").read_text()
    assert "Storage=none" in (FILES / "etc/systemd/coredump.conf.d/vouchbox.conf").read_text()
