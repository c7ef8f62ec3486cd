"""An image for 64-bit ARM is built, looked into, and started in an emulated machine, where it enrols itself.

`make test-image` needs root, mmdebstrap, qemu-user-static, qemu-system-arm, mtools, dosfstools; skipped without.
The machine is QEMU's `virt` and not a Raspberry Pi: what the board's own firmware does with the boot partition is not
shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.vision.inference.install import listing
from device.vision.inference.manifest import load_manifest
from tests.conftest import REPOSITORY
from tests.image.disk import Disk, do
from tests.provisioning.conftest import facts, run
from tests.system import arm64, rootfs

pytestmark = [pytest.mark.system, pytest.mark.timeout(7200)]

BUILD = REPOSITORY / "provisioning/image/build.sh"
PROGRAMS = ("mmdebstrap", "qemu-system-aarch64", "mcopy", "mkfs.vfat", "mke2fs", "sfdisk", "debugfs")
AARCH64 = 183
"""e_machine of an ELF file (ELF for the Arm 64-bit Architecture, section 5.2)."""
NAME = "branch-7"
BOOT_SECONDS = 1500


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    if "VOUCHBOX_IMAGE" not in os.environ:
        pytest.skip("run by `make test-image`")
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    if reason := (f"not installed: {', '.join(lacking)}" if lacking else arm64.why_not()):
        pytest.skip(reason)
    folder = rootfs.cache_folder() / "image"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "admin.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAmanager-of-the-fleet admin\n")
    do(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, REPOSITORY)
    began = time.monotonic()
    options = ["--wheels", rootfs.box_wheels("3.13", "aarch64"), "--models", REPOSITORY / "models/installed"]
    options += ["--wheel", next(folder.glob("vouchbox-*.whl")), "--admin-key", folder / "admin.pub"]
    do(BUILD, folder / "box.img", "--mirror", rootfs.MIRROR, "--camera", "v4l2:/dev/video0", *options)
    size = (folder / "box.img").stat().st_size / 1e6
    print(f"built in {time.monotonic() - began:.0f} s: {size:.0f} MB")
    return Disk(folder / "box.img")


# --- Looked into -----------------------------------------------------------------------------------------------------


def test_a_raspberry_pi_finds_what_it_starts(disk: Disk) -> None:
    boot, root = disk.partitions()
    assert (boot["type"], boot["bootable"], root["type"]) == ("c", True, "83")
    config = disk.boot_file("config.txt").decode()
    assert "root=LABEL=vouchbox-root" in disk.boot_file("cmdline.txt").decode()
    assert "arm_64bit=1" in config
    names = disk.boot_names()
    for key in ("kernel", "initramfs"):
        found = re.search(rf"^{key}[= ](\S+)", config, re.M)
        assert found is not None, config
        assert found[1] in names
    for needed in ("start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb"):
        assert needed in names


def test_its_programs_are_for_the_board(disk: Disk) -> None:
    header = disk.read("/usr/bin/python3.13")[:20]
    assert (header[:4], int.from_bytes(header[18:20], "little")) == (b"\x7fELF", AARCH64)


def named(match: re.Match[str]) -> tuple[str, str]:
    """Name, normalised as the Python packaging specifications say, and version."""
    return re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]


def test_the_product_is_there_as_locked(disk: Disk) -> None:
    release = disk.link("/opt/vouchbox/current")
    site = f"{release}/lib/python3.13/site-packages"
    there = {named(match) for name in disk.names(site) if (match := re.fullmatch(r"(.+)-([^-]+)\.dist-info", name))}
    locked = (REPOSITORY / "requirements/box-py3.13-aarch64.lock").read_text()
    wanted = {named(match) for match in re.finditer(r"^([a-z0-9._-]+)==(\S+)", locked, re.M)}
    assert wanted
    assert wanted <= there
    for command in ("vouchbox", "vouchbox-provision"):
        assert disk.link(f"/usr/local/bin/{command}") == f"/opt/vouchbox/current/bin/{command}"
    for status in listing(load_manifest()):
        if not status.entry.optional:
            packaged = disk.names(f"{site}/models")
            home = f"{site}/models" if status.entry.file in packaged else "/var/lib/vouchbox/models"
            assert hashlib.sha256(disk.read(f"{home}/{status.entry.file}")).hexdigest() == status.entry.sha256


def test_nothing_that_two_boxes_would_share(disk: Disk) -> None:
    assert disk.read("/etc/machine-id") == b"uninitialized\n"
    assert not [name for name in disk.names("/etc/ssh") if name.startswith("ssh_host")]
    assert disk.names("/var/lib/vouchbox") <= {"models", "keys"}
    assert disk.names("/var/lib/vouchbox/keys") == set()


def test_who_may_come_in(disk: Disk) -> None:
    users = {line.split(":")[0]: line.split(":") for line in disk.read("/etc/passwd").decode().splitlines()}
    assert {"vouchbox-vision", "vouchbox-notary", "vouchbox-gateway", "vouchbox-admin"} <= set(users)
    for line in disk.read("/etc/shadow").decode().splitlines():
        assert line.split(":")[1] in ("*", "!", "!*", "!!"), "nobody has a password"
    mode, owner, _ = disk.mode("/home/vouchbox-admin/.ssh/authorized_keys")
    assert (mode, owner) == (0o600, int(users["vouchbox-admin"][2]))
    assert b"PasswordAuthentication no" in disk.read("/etc/ssh/sshd_config.d/vouchbox.conf")


def test_what_starts(disk: Disk) -> None:
    system = "/etc/systemd/system"
    assert {
        *("vouchbox-first-boot.service", "vouchbox-enrol.service", "vouchbox.target", "systemd-networkd.service"),
    } <= disk.names(f"{system}/multi-user.target.wants")
    assert "vouchbox-renew.timer" in disk.names(f"{system}/timers.target.wants")
    assert "vouchbox-grow.service" in disk.names(f"{system}/local-fs.target.wants")
    assert b"|/bin/false" in disk.read("/etc/sysctl.d/60-vouchbox.conf")
    assert b"swap" not in disk.read("/etc/fstab")


# --- Started ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The organisation, as an emulated machine reaches it: 10.0.2.2 is this machine's loopback."""
    folder = tmp_path / "authority"
    options = ("--name", "Test", "--issuer", "https://org.example", "--status-uri", "https://org.example/list")
    facts("authority", "create", folder, *options)
    command = [sys.executable, "-m", "provisioning.cli", "authority", "serve", str(folder), "--port", "0"]
    command += ["--name", "10.0.2.2", "--by-hand", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as server:
        assert server.stdout is not None
        yield folder, json.loads(server.stdout.readline())
        server.terminate()


def started(disk: Disk, console: Path) -> subprocess.Popen[bytes]:
    folder = disk.image.parent
    names = disk.boot_names()
    kernel, initrd = (next(name for name in sorted(names) if name.startswith(word)) for word in ("vmlinuz", "initrd"))
    for name in (kernel, initrd):
        (folder / name).write_bytes(disk.boot_file(name))
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "2048", "-nographic"]
    command += ["-kernel", str(folder / kernel), "-initrd", str(folder / initrd), "-monitor", "none"]
    command += ["-append", "root=LABEL=vouchbox-root rw console=ttyAMA0", "-serial", f"file:{console}"]
    command += ["-drive", f"file={disk.image},format=raw,if=virtio", "-no-reboot"]
    command += ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def heard(machine: subprocess.Popen[bytes], console: Path, words: str) -> re.Match[str]:
    """Waits until the console says `words`, a regular expression."""
    deadline = time.monotonic() + BOOT_SECONDS
    said = ""
    while time.monotonic() < deadline and machine.poll() is None:
        said = console.read_text(errors="replace") if console.exists() else ""
        if found := re.search(words, said):
            return found
        time.sleep(1)
    raise AssertionError(f"the console did not say {words!r}: {said[-4000:]}")


def test_it_starts_shows_its_code_and_enrols_itself(
    disk: Disk, service: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    authority, told = service
    card = Disk(disk.image.with_name("card.img"))
    shutil.copyfile(disk.image, card.image)
    os.truncate(card.image, disk.image.stat().st_size + 256 * 1024 * 1024)
    (tmp_path / "settings").write_text(
        f"NAME={NAME}\r\nSERVICE={told['url']}\r\nFINGERPRINT={told['fingerprint']}\r\n", newline=""
    )
    card.put_boot_file(tmp_path / "settings", "vouchbox-enrolment")
    console = tmp_path / "console"
    machine = started(card, console)
    try:
        began = time.monotonic()
        code = heard(machine, console, r"Its code:\s+([0-9A-Z]{4}(?:-[0-9A-Z]{4}){3})")[1]
        print(f"its code was on the screen after {time.monotonic() - began:.0f} s (emulated)")
        heard(machine, console, "resized filesystem")
        deadline = time.monotonic() + BOOT_SECONDS
        while run("authority", "waiting", authority).stdout.count(code) == 0 and time.monotonic() < deadline:
            time.sleep(2)
        assert facts("authority", "approve", authority, code, "--yes")["name"] == NAME
        heard(machine, console, f"{NAME}: enrolled, its certificate is here")
        listed = [json.loads(line) for line in run("authority", "list", authority, "--json").stdout.splitlines()]
        assert (listed[-1]["name"], listed[-1]["state"]) == (NAME, "valid")
        print(f"enrolled after {time.monotonic() - began:.0f} s")
    finally:
        machine.kill()
        machine.wait(30)
        print(console.read_text(errors="replace")[-6000:] if "VOUCHBOX_CONSOLE" in os.environ else "")
