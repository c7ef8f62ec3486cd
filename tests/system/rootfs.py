"""Debian root file systems to install the product in: built once, kept in a cache, never changed after that.

In: a suite and a list of packages. Out: a folder with that system; `why_not()` says what a machine lacks for it.
The cache is `$VOUCHBOX_SYSTEM_CACHE`, else `~/.cache/vouchbox/system`; whoever changes a recipe gets a new folder.

    python -m tests.system.rootfs                     builds what is missing, and prints the folder
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MIRROR = os.environ.get("VOUCHBOX_DEBIAN_MIRROR", "http://deb.debian.org/debian")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_PROGRAMS = ("debootstrap", "systemd-nspawn", "mount", "chroot", "nsenter")


@dataclass(frozen=True)
class Recipe:
    """What a base system has.

    `first` is what debootstrap itself installs, `packages` what apt adds; `wheels` are installed system-wide from the
    index, as Raspberry Pi OS's own package would (python3-picamera2 is not in Debian); `compiled` are those of
    them that have to be built first, with `tools`, which do not stay.
    """

    suite: str = "trixie"
    first: tuple[str, ...] = ("systemd", "systemd-sysv", "dbus", "ca-certificates", "python3", "python3-venv")
    packages: tuple[str, ...] = (
        *("python3-systemd", "python3-pip", "python3-tpm2-pytss", "swtpm", "swtpm-tools"),
        *("python3-libcamera", "libcamera-ipa", "libcamera-tools", "softhsm2", "iproute2", "procps"),
    )
    wheels: tuple[str, ...] = ("picamera2==0.3.38",)
    compiled: tuple[str, ...] = ("PiDNG", "python-prctl")
    tools: tuple[str, ...] = field(default=("gcc", "libc6-dev", "python3-dev", "libcap-dev"))

    @property
    def folder(self) -> Path:
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:12]
        return cache_folder() / f"{self.suite}-{digest}"


def cache_folder() -> Path:
    """Where base systems and wheels are kept between runs."""
    named = os.environ.get("VOUCHBOX_SYSTEM_CACHE", "")
    return Path(named) if named else Path.home() / ".cache/vouchbox/system"


def why_not() -> str:
    """An empty string if whole systems can be built and booted here, else what is lacking."""
    if not sys.platform.startswith("linux"):
        return "this is not Linux"
    if os.geteuid() != 0:
        return "only root may build and boot a system: sudo make test-system"
    lacking = [program for program in _PROGRAMS if shutil.which(program) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)} (apt-get install debootstrap systemd-container)"
    tried = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "namespaces are refused here: " + tried.stderr.decode().strip()


def base(recipe: Recipe | None = None) -> Path:
    """The base system, built now if it is not in the cache (about five minutes). Nobody may change it."""
    recipe = recipe or Recipe()
    target = recipe.folder
    if (target / ".complete").exists():
        return target
    cache_folder().mkdir(parents=True, exist_ok=True)
    building = target.with_suffix(".building")
    shutil.rmtree(building, ignore_errors=True)
    _say(f"building {target}")
    options = ["--variant=minbase", f"--include={','.join(recipe.first)}"]
    _run("debootstrap", *options, recipe.suite, str(building), MIRROR)
    if recipe.packages:
        with inside(building):
            _apt(building, recipe.packages)
    if recipe.wheels:
        _system_wheels(building, recipe)
    (building / "etc/resolv.conf").unlink(missing_ok=True)
    (building / ".complete").touch()
    shutil.rmtree(target, ignore_errors=True)
    building.rename(target)
    return target


@contextlib.contextmanager
def overlay(lower: Path | Sequence[Path], upper: Path) -> Iterator[Path]:
    """A writable system over `lower` (the topmost layer first), whose changes lie in `upper/upper` (and stay there)."""
    for name in ("upper", "work", "root"):
        (upper / name).mkdir(parents=True, exist_ok=True)
    below = ":".join(str(layer) for layer in ([lower] if isinstance(lower, Path) else lower))
    layers = f"lowerdir={below},upperdir={upper / 'upper'},workdir={upper / 'work'}"
    _run("mount", "-t", "overlay", "overlay", "-o", layers, str(upper / "root"))
    try:
        yield upper / "root"
    finally:
        _run("umount", "--recursive", str(upper / "root"))


def clear(folder: Path) -> None:
    """Removes what a run left, cut off or not. What is still mounted there goes first: /dev is among it."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in reversed(mounted):
        if Path(point).is_relative_to(folder.resolve()):
            _run("umount", point)
    shutil.rmtree(folder, ignore_errors=True)


def clear_runs_cut_off() -> None:
    """Removes the disks of runs whose process is gone."""
    for folder in cache_folder().glob("run-*"):
        if not Path("/proc", folder.name.removeprefix("run-")).exists():
            clear(folder)


@contextlib.contextmanager
def inside(root: Path) -> Iterator[None]:
    """Programs in `root` work in the block: /proc and /dev are there, names resolve, authorities are known."""
    borrowed = {root / "tmp/authorities.crt": AUTHORITIES, root / "etc/resolv.conf": Path("/etc/resolv.conf")}
    for target, source in borrowed.items():
        if source.exists():
            target.unlink(missing_ok=True)
            shutil.copyfile(source, target)
    _run("mount", "-t", "proc", "proc", str(root / "proc"))
    _run("mount", "--bind", "/dev", str(root / "dev"))
    try:
        yield
    finally:
        _run("umount", str(root / "proc"), str(root / "dev"))
        (root / "tmp/authorities.crt").unlink(missing_ok=True)


def in_chroot(root: Path, *command: str, **environment: str) -> str:
    """Runs a command in a system that is not booted; its output. Raises `AssertionError` with it on failure."""
    variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    variables |= {"DEBIAN_FRONTEND": "noninteractive", "PIP_CERT": "/tmp/authorities.crt"}
    variables |= {"SSL_CERT_FILE": "/tmp/authorities.crt"}
    variables |= {"PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment}
    return _run("chroot", str(root), *command, environment=variables)


def _apt(root: Path, packages: tuple[str, ...]) -> None:
    keep_quiet = root / "usr/sbin/policy-rc.d"
    keep_quiet.write_text("#!/bin/sh\nexit 101\n")
    keep_quiet.chmod(0o755)
    in_chroot(root, "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)
    in_chroot(root, "apt-get", "clean")
    keep_quiet.unlink()


def _system_wheels(root: Path, recipe: Recipe) -> None:
    """What has to be compiled is compiled in an overlay that is thrown away."""
    workshop = root.with_suffix(".workshop")
    shutil.rmtree(workshop, ignore_errors=True)
    with overlay(root, workshop) as temporary, inside(temporary):
        _apt(temporary, recipe.tools)
        in_chroot(temporary, "pip", "wheel", "-q", "-w", "/wheels", "--no-deps", *recipe.compiled)
        shutil.copytree(temporary / "wheels", root / "tmp/wheels")
    shutil.rmtree(workshop)
    options = ("--break-system-packages", "--only-binary=:all:", "--find-links", "/tmp/wheels")
    with inside(root):
        in_chroot(root, "pip", "install", "-q", *options, *recipe.wheels)
    shutil.rmtree(root / "tmp/wheels")


def box_wheels(python: str, architecture: str = "x86_64") -> Path:
    """A folder with every wheel of a lock, hashes checked: what a technician has on a stick."""
    lock = REPOSITORY / f"requirements/box-py{python}-{architecture}.lock"
    target = cache_folder() / f"wheels-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if (target / ".complete").exists():
        return target
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
    _run(*command, "--require-hashes", *target_options(python, architecture), "-r", str(lock), "-d", str(target))
    (target / ".complete").touch()
    return target


def target_options(python: str, architecture: str) -> list[str]:
    """pip's words for wheels of another machine (`requirements/lock.py`)."""
    sys.path.insert(0, str(REPOSITORY / "requirements"))
    from lock import target_options as options

    return list(options(python, architecture))


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {ended.stdout[-2000:]}{ended.stderr[-4000:]}")
    return ended.stdout


def _say(text: str) -> None:
    print(f"vouchbox: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(f"vouchbox: {reason}")
    print(base())
