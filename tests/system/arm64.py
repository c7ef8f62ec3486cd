"""Unit and document tests on 64-bit ARM, where there is no board: a Debian for arm64, run by qemu-user.

In: nothing, or the tests to run instead of `TESTS`. Out: pytest's words, and exit 0 if all passed. `make test-arm64`
runs this; it takes long, since every instruction is translated. Figures of speed from here mean nothing.

The processor is a Raspberry Pi 4's: with all that the emulator can do (SVE and more) OpenBLAS and NumPy take other
ways, some of which came out wrong here.

Only the tests are translated: Debian's packages and the wheels are unpacked and not set up. `make test-image` is where
a whole system for arm64 is set up and started.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.system import rootfs

PROCESSOR = "cortex-a72"
SLOWNESS = 40
BINFMT = Path("/proc/sys/fs/binfmt_misc")
DESCRIPTION = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
TOOLS = ("pytest", "pytest-timeout", "hypothesis", "pillow", "pyjwt")
TESTS = (
    *("tests/test_protocol.py", "tests/test_channel.py", "tests/test_codes.py", "tests/test_verify.py"),
    *(
        f"tests/notary/test_{name}.py"
        for name in ("decision", "document_seal", "ledger", "policy", "pseudonym", "verdict")
    ),
    *("tests/vision/test_session.py", "tests/vision/inference/test_model.py"),
    *("tests/vision/liveness", "tests/vision/document"),
)
"""What needs neither the emulated person's pictures nor services that run."""
PACKAGES = ("base-files", "base-passwd", "bash", "coreutils", "libstdc++6", "python3", "tzdata")


def why_not() -> str:
    """What is lacking beyond what every system test needs; empty if nothing is."""
    if reason := rootfs.why_not():
        return reason
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed"
    if not DESCRIPTION.exists():
        return "qemu-user-static is not installed"
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=False, capture_output=True)
    if not (BINFMT / "register").exists():
        return "this kernel has no binfmt_misc"
    if not (BINFMT / "qemu-aarch64").exists():
        (BINFMT / "register").write_text(DESCRIPTION.read_text().strip())
    return ""


def tools() -> Path:
    """A folder with the wheels of the test tools and of what they need."""
    folder = rootfs.cache_folder() / f"tools-aarch64-{hashlib.sha256(repr(TOOLS).encode()).hexdigest()[:12]}"
    if not (folder / ".complete").exists():
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q"]
        subprocess.run([*command, *rootfs.target_options("3.13", "aarch64"), "-d", str(folder), *TOOLS], check=True)
        (folder / ".complete").touch()
    return folder


def copy_checkout(target: Path) -> None:
    """What git knows, and the face models."""
    listed = subprocess.run(["git", "ls-files"], cwd=rootfs.REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        source = rootfs.REPOSITORY / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
    shutil.copytree(rootfs.REPOSITORY / "models/installed", target / "models/installed", dirs_exist_ok=True)


@contextlib.contextmanager
def shared_data(root: Path) -> Iterator[None]:
    """`../shared` where the tests look for it, to be read; where this machine has none, they skip what wants it."""
    source, target = rootfs.REPOSITORY.parent / "shared", root / "shared"
    if not source.is_dir():
        yield
        return
    target.mkdir()
    subprocess.run(["mount", "--bind", "-o", "ro", str(source.resolve()), str(target)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)


def base() -> Path:
    """Debian for arm64, its packages unpacked and none of them set up; from the cache if it is there."""
    target = rootfs.cache_folder() / f"trixie-arm64-{hashlib.sha256(repr(PACKAGES).encode()).hexdigest()[:12]}"
    if not (target / ".complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        command = ["mmdebstrap", "--quiet", "--mode=root", "--architectures=arm64", "--variant=extract"]
        subprocess.run([*command, f"--include={','.join(PACKAGES)}", "trixie", target, rootfs.MIRROR], check=True)
        for name in ("passwd", "group"):  # what base-passwd would do
            shutil.copyfile(target / f"usr/share/base-passwd/{name}.master", target / f"etc/{name}")
        compile_here(target / "usr/lib/python3.13")
        (target / ".complete").touch()
    return target


def install(packages: Path) -> None:
    """The box's locked wheels, whose hashes were checked when they were fetched, and the tools' (PEP 427: zips)."""
    for folder in (tools(), rootfs.box_wheels("3.13", "aarch64")):
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(packages)


def compile_here(*folders: Path) -> None:
    """Modules to bytecode by this machine's own Python 3.13, if it has one: translated, that takes minutes."""
    if (python := shutil.which("python3.13")) is not None:
        subprocess.run([python, "-m", "compileall", "-q", *folders], check=False, capture_output=True)


def main() -> int:
    """Builds, installs, runs."""
    if reason := why_not():
        print(f"vouchbox: make test-arm64 cannot run here: {reason}", file=sys.stderr)
        return 2
    upper = rootfs.cache_folder() / "arm64-run"
    rootfs.clear(upper)
    with rootfs.overlay(base(), upper) as root, rootfs.inside(root), shared_data(root):
        print(rootfs.in_chroot(root, "uname", "-m").strip(), flush=True)
        copy_checkout(root / "checkout")
        install(root / "packages")
        compile_here(root / "packages", root / "checkout")
        command = ["chroot", str(root), "/usr/bin/env", "-C", "/checkout", "PYTHONPATH=/packages", "python3", "-m"]
        environment = {**os.environ, "QEMU_CPU": PROCESSOR, "VOUCHBOX_SLOWNESS": str(SLOWNESS)}
        # Plain: to rewrite every test's assertions would be translated too.
        options = ("--timeout=1800", "--durations=5", "--assert=plain", "-p", "no:cacheprovider")
        tests = sys.argv[1:] or TESTS
        ended = subprocess.run([*command, "pytest", *options, *tests], check=False, env=environment)
    rootfs.clear(upper)
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
