"""The image's files: scripts that a shell can read, units that systemd takes, a first start that initialises a box."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.image.disk import Disk

IMAGE = REPOSITORY / "provisioning/image"
FILES = IMAGE / "files"


SCRIPTS = [IMAGE / name for name in ("build.sh", "disk.sh", "prepare.sh", "files-disk/usr/local/sbin/vouchbox-grow")]
SCRIPTS.append(FILES / "usr/local/sbin/vouchbox-first-boot")
WANTS = "etc/systemd/system/multi-user.target.wants"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
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
    for unit in IMAGE.glob("files*/etc/systemd/system/*"):
        text = unit.read_text().replace("/usr/local/sbin/vouchbox-first-boot", "/bin/true")
        text = text.replace("/usr/local/sbin/vouchbox-grow", "/bin/true")
        (tmp_path / unit.name).write_text(text.replace("/usr/local/bin/vouchbox-provision", "/bin/true"))
    units = [str(path) for path in tmp_path.iterdir()]
    ended = subprocess.run([analyse, "verify", "--man=no", *units], capture_output=True, text=True)
    about_ours = [line for line in ended.stderr.splitlines() if "vouchbox" in line]
    assert about_ours == []


class FirstStart:
    """The script with the places that it knows moved into a folder, and programs that note what they were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "vouchbox-enrolment"
        self.screen = folder / "issue.d/vouchbox.issue"
        initialised = "echo 'b-7: initialised'; echo '  code      AB12-CD34-EF56-GH78  (x)'"
        answers = {
            "vouchbox-provision": f"case $1 in init) {initialised} ;; enrol) echo 'b-7: enrolled' ;; esac",
            "systemd-id128": "echo 0123456789abcdef",
        } | dict.fromkeys(("ssh-keygen", "agetty", "systemctl"), "true")
        for name, text in answers.items():
            program = folder / name
            program.write_text(f'#!/bin/sh\necho {name} "$@" >>{folder}/typed\n{text}\n')
            program.chmod(0o755)
        script = (FILES / "usr/local/sbin/vouchbox-first-boot").read_text()
        for place, moved in (
            ("/usr/local/bin/vouchbox-provision", folder / "vouchbox-provision"),
            ("/boot/firmware", folder),
            ("/etc/vouchbox/enrolment", folder / "enrolment"),
            ("/run/issue.d", folder / "issue.d"),
            ("/proc/device-tree/model", folder / "model"),
            ("/var/lib/vouchbox", folder / "state"),
        ):
            script = script.replace(place, str(moved))
        self.script = script

    def run(self, action: str) -> list[str]:
        """What was typed at the product."""
        (self.folder / "typed").write_text("")
        path = f"{self.folder}:{os.environ['PATH']}"
        ended = subprocess.run(
            ["sh", "-c", self.script, "sh", action], capture_output=True, text=True, env=os.environ | {"PATH": path}
        )
        assert ended.returncode == 0, ended.stderr
        typed = (self.folder / "typed").read_text().splitlines()
        return [line.removeprefix("vouchbox-provision ") for line in typed if line.startswith("vouchbox-provision")]


@pytest.fixture
def first_start(tmp_path: Path) -> FirstStart:
    return FirstStart(tmp_path)


def test_the_first_start_without_a_word_from_the_organisation(first_start: FirstStart) -> None:
    assert first_start.run("init") == ["init --name box-01234567"]
    assert "AB12-CD34-EF56-GH78" in first_start.screen.read_text()
    assert first_start.run("enrol") == []
    (first_start.folder / "state/keys/generation-1").mkdir(parents=True)
    assert first_start.run("init") == ["init"], "a box keeps the name that it has"


def test_the_first_start_with_a_service_that_approves_by_hand(first_start: FirstStart) -> None:
    """The file was written on Windows, and nothing in it is executed."""
    first_start.settings.write_text(
        "# of the bank\r\nNAME=branch-7\r\nCAMERA=v4l2:/dev/video2\r\nSERVICE=https://e\r\n"
        f"FINGERPRINT=00\r\nCODE=\r\ntouch {first_start.folder}/executed\r\n",
        newline="",
    )
    assert first_start.run("init") == ["init --name branch-7 --camera v4l2:/dev/video2"]
    assert "asks https://e to be enrolled" in first_start.screen.read_text()
    assert first_start.run("enrol") == ["enrol --service https://e --fingerprint 00 --wait"]
    assert "then seal" in first_start.screen.read_text()
    assert not (first_start.folder / "executed").exists()


def test_a_used_code_is_not_left_behind(first_start: FirstStart) -> None:
    (first_start.folder / "enrolment").write_text("NAME=b\nSERVICE=https://e\nFINGERPRINT=00\nCODE=1-2\n")
    assert first_start.run("enrol") == ["enrol --service https://e --fingerprint 00 --code 1-2"]
    assert not (first_start.folder / "enrolment").exists()


@pytest.mark.parametrize(
    ("model", "camera"),
    [("NVIDIA Jetson Orin Nano Developer Kit\0", "v4l2:/dev/video0"), ("Some board\0", "")],
)
def test_the_board_says_which_camera(first_start: FirstStart, model: str, camera: str) -> None:
    (first_start.folder / "model").write_text(model)
    expected = f"init --name box-01234567{camera and f' --camera {camera}'}"
    assert first_start.run("init") == [expected]


def test_a_root_file_system_becomes_a_disk(tmp_path: Path) -> None:
    """Of a small one: partitions, both file systems, owners and links; nothing of it is mounted."""
    if lacking := [
        name for name in ("sfdisk", "mkfs.vfat", "mcopy", "mke2fs", "debugfs") if shutil.which(name) is None
    ]:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    root = tmp_path / "root"
    for folder in ("boot/firmware/overlays", "etc", "opt"):
        (root / folder).mkdir(parents=True)
    command = [str(IMAGE / "disk.sh"), str(root), str(tmp_path / "box.img")]
    assert subprocess.run(command, capture_output=True).returncode == 2, "nothing that a Raspberry Pi starts"
    (root / "boot/firmware/config.txt").write_text("arm_64bit=1\n")
    (root / "etc/secret").write_text("s")
    (root / "etc/secret").chmod(0o600)
    (root / "opt/current").symlink_to("/opt/releases/1")
    subprocess.run(command, check=True, capture_output=True)
    disk = Disk(tmp_path / "box.img")
    assert [(one["type"], one.get("bootable", False)) for one in disk.partitions()] == [("c", True), ("83", False)]
    assert disk.boot_names() == {"config.txt", "overlays"}
    assert (disk.read("/etc/secret"), disk.mode("/etc/secret")[0]) == (b"s", 0o600)
    assert disk.link("/opt/current") == "/opt/releases/1"
    assert disk.names("/boot/firmware") == set(), "mounted there, and not there twice"
    disk.put_boot_file(root / "etc/secret", "vouchbox-enrolment")
    assert disk.boot_file("vouchbox-enrolment") == b"s"


def test_another_system_is_prepared_without_running_it(tmp_path: Path) -> None:
    """A Jetson's root file system before it is flashed: only files are put there, for the board to run."""
    root, wheel = tmp_path / "rootfs", tmp_path / "vouchbox-1-py3-none-any.whl"
    (root / "etc/systemd/system").mkdir(parents=True)
    wheel.write_bytes(b"wheel")
    prepare = [str(IMAGE / "prepare.sh"), str(root), "--wheel", str(wheel)]
    if os.geteuid() != 0:
        pytest.skip("files of root are put there")
    assert subprocess.run(prepare[:2], capture_output=True).returncode == 2
    for _ in range(2):
        subprocess.run(
            [*prepare, "--camera", "gstreamer:nvarguscamerasrc sensor-id=0"], check=True, capture_output=True
        )
    enabled = {path.name for path in (root / WANTS).iterdir()}
    assert enabled == {f"vouchbox-{unit}.service" for unit in ("install", "first-boot", "enrol")}
    unit = (root / "etc/systemd/system/vouchbox-install.service").read_text()
    assert '--camera "gstreamer:nvarguscamerasrc sensor-id=0"' in unit
    for line in unit.splitlines():
        for word in line.split():
            if word.startswith("/opt/vouchbox-stick/"):
                assert (root / word[1:]).exists(), word


def test_what_the_image_sets_is_what_the_self_test_wants() -> None:
    assert "kernel.core_pattern=|/bin/false" in (FILES / "etc/sysctl.d/60-vouchbox.conf").read_text()
    assert "Storage=none" in (FILES / "etc/systemd/coredump.conf.d/vouchbox.conf").read_text()
