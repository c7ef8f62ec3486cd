"""Looks into a disk image without mounting it: its partitions, its FAT and its ext4 file system.

In: an `.img` of provisioning/image/build.sh. Out: files and folders as bytes and names.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECTOR = 512


def do(*command: str | Path) -> bytes:
    """A command that must succeed; its standard output."""
    ended = subprocess.run([str(part) for part in command], capture_output=True, check=False)
    assert ended.returncode == 0, f"{command}: {ended.stderr.decode(errors='replace')[-2000:]}"
    return ended.stdout


@dataclass(frozen=True)
class Disk:
    """Partition 1 is the boot partition, 2 the root."""

    image: Path

    def partitions(self) -> list[dict[str, Any]]:
        """As sfdisk tells."""
        found = json.loads(do("sfdisk", "--json", self.image))["partitiontable"]["partitions"]
        assert isinstance(found, list)
        return found

    def _start(self, number: int) -> int:
        return int(self.partitions()[number - 1]["start"]) * SECTOR

    # --- Boot partition ---

    @property
    def _fat(self) -> str:
        return f"{self.image}@@{self._start(1)}"

    def boot_names(self) -> set[str]:
        """What lies at the top of the boot partition."""
        return {
            line.removeprefix("::/").rstrip("/") for line in do("mdir", "-b", "-i", self._fat, "::").decode().split()
        }

    def boot_file(self, name: str) -> bytes:
        """A file of the boot partition."""
        return do("mtype", "-i", self._fat, f"::{name}")

    def put_boot_file(self, source: Path, name: str) -> None:
        """What a technician does at any computer that has a card reader."""
        do("mcopy", "-o", "-i", self._fat, source, f"::{name}")

    # --- Root ---

    def _debugfs(self, request: str) -> bytes:
        return do("debugfs", "-R", request, f"{self.image}?offset={self._start(2)}")

    def read(self, path: str) -> bytes:
        """A file; links are followed by nobody."""
        return self._debugfs(f"cat {path}")

    def names(self, folder: str) -> set[str]:
        """What lies in a folder; empty if there is none."""
        lines = self._debugfs(f"ls -p {folder}").decode().splitlines()
        return {line.split("/")[5] for line in lines if line.count("/") >= 6} - {".", ".."}

    def link(self, path: str) -> str:
        """Where a symbolic link points to."""
        found = re.search(r'Fast link dest: "(.*)"', self._debugfs(f"stat {path}").decode())
        assert found is not None, path
        return found[1]

    def mode(self, path: str) -> tuple[int, int, int]:
        """Permission bits, owner, group."""
        said = self._debugfs(f"stat {path}").decode()
        found = re.search(r"Mode:\s+(\d+).*?User:\s+(\d+)\s+Group:\s+(\d+)", said, re.S)
        assert found is not None, path
        return int(found[1], 8), int(found[2]), int(found[3])
