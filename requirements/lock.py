"""Locks what a box installs: exact versions with SHA-256, for each Python and processor that a box may have.

    python requirements/lock.py lock [--python 3.13] [--arch aarch64]    writes requirements/box-py*-*.lock
    python requirements/lock.py check [...]                              every wheel of the locks still resolves
    python requirements/lock.py fetch --into FOLDER [...]                those wheels, their hashes checked

In: the project's own wheel, whose metadata says what it needs. Out: lock files for `pip install --require-hashes`; for
`check` exit 0 only if all hold. Only wheels are taken, so that nothing is ever compiled on a box, and neither an
emulator nor a board is needed to know that they exist for one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PYTHONS = ("3.11", "3.12", "3.13")  # Raspberry Pi OS bookworm; Ubuntu 24.04, which is JetPack 7; Raspberry Pi OS trixie
ARCHITECTURES = ("aarch64", "x86_64")
GLIBC = {"3.11": 36, "3.12": 39, "3.13": 41}
"""The C library (2.x) of the system that has this Python; wheels for older ones fit too."""
OLDEST_GLIBC = 17


def lock_file(python: str, architecture: str) -> Path:
    """Where the lock of one kind of box lies."""
    return HERE / f"box-py{python}-{architecture}.lock"


def target_options(python: str, architecture: str) -> list[str]:
    """pip's words for a machine that is not this one."""
    platforms = [f"manylinux_2_{minor}_{architecture}" for minor in range(GLIBC[python], OLDEST_GLIBC - 1, -1)]
    platforms.append(f"manylinux2014_{architecture}")
    options = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    return options + [word for platform in platforms for word in ("--platform", platform)]


def resolve(python: str, architecture: str, wanted: list[str]) -> list[dict[str, Any]]:
    """What pip would install there, by the index's metadata where it can. Exits with pip's words if it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--target", folder, "--report", str(report)]
        command += [*target_options(python, architecture), *wanted]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if ended.returncode != 0:
            errors = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")]
            sys.exit(f"Python {python} on {architecture}: " + (" ".join(errors) or ended.stderr))
        found: list[dict[str, Any]] = json.loads(report.read_text())["install"]
        return found


def fetch(python: str, architecture: str, folder: Path) -> int:
    """Puts the wheels of a lock into `folder`; how many. Exits with pip's words if one is not to be had."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--require-hashes", *target_options(python, architecture), "-d", str(folder)]
    ended = subprocess.run(  # noqa: S603
        [*command, "-r", str(lock_file(python, architecture))], capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        sys.exit(f"Python {python} on {architecture}: {ended.stderr}")
    return len(list(folder.glob("*.whl")))


def build_wheel(folder: Path) -> Path:
    """The project's wheel, for its metadata."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    ended = subprocess.run([*command, "-w", str(folder), str(HERE.parent)], capture_output=True, text=True)  # noqa: S603
    if ended.returncode != 0:
        sys.exit(f"the project's wheel cannot be built: {ended.stderr}")
    return next(folder.glob("vouchbox-*.whl"))


def lock_text(found: list[dict[str, Any]], python: str, architecture: str) -> str:
    """The lock: one line a requirement, sorted by name."""
    lines = []
    for item in found:
        name, version = item["metadata"]["name"].lower(), item["metadata"]["version"]
        if name != "vouchbox":
            lines.append(
                f"{name}=={version} --hash=sha256:{item['download_info']['archive_info']['hashes']['sha256']}\n"
            )
    head = f"# What a box with Python {python} on {architecture} installs; written by `make lock`.\n"
    return head + "".join(sorted(lines))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("lock", "check", "fetch"))
    parser.add_argument("--python", choices=PYTHONS, action="append")
    parser.add_argument("--arch", choices=ARCHITECTURES, action="append")
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    if options.action == "fetch" and options.into is None:
        parser.error("fetch needs --into FOLDER")
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder)) if options.action == "lock" else None
        for python in options.python or PYTHONS:
            for architecture in options.arch or ARCHITECTURES:
                path = lock_file(python, architecture)
                if wheel is not None:
                    # A box may have its key in a token. The library of a TPM comes from its Debian.
                    found = resolve(python, architecture, [f"{wheel}[pkcs11]"])
                    path.write_text(lock_text(found, python, architecture), encoding="utf-8")
                    print(f"{path.name}: {len(found) - 1} wheels locked")
                elif options.action == "fetch":
                    print(f"{path.name}: {fetch(python, architecture, options.into)} wheels fetched")
                else:
                    found = resolve(python, architecture, ["--require-hashes", "--no-deps", "-r", str(path)])
                    print(f"{path.name}: all {len(found)} wheels resolve for Python {python} on {architecture}")


if __name__ == "__main__":
    main()
