"""New files that are whole or not there: a key of which half was written would keep a box from ever starting again.

In: a path and bytes. Out: the file, on disk, under its name in one step, after a temporary file beside it.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Final

PART_MARK: Final = ".part-"
"""In the names of temporary files and folders; what an interrupted run left behind is known by it."""
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""What file systems without hard links answer (FAT, as on most sticks)."""


def put_new(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Writes a file that was not there, on disk before this returns. Raises `FileExistsError`, or another `OSError`."""
    part = part_of(path)
    try:
        write_part(part, data, mode)
        _take(part, path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """A name beside `path` that nobody else has."""
    return path.with_name(f".{path.name}{PART_MARK}{secrets.token_hex(4)}")


def write_part(path: Path, data: bytes, mode: int) -> None:
    """Writes a file under a name of its own, all of it on disk; whatever the mask, its mode is `mode`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def sync(path: Path) -> None:
    """What is in this folder (or file) is on disk when this returns."""
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take(part: Path, path: Path) -> None:
    """Gives `part` its name. Raises `FileExistsError` if somebody else has it."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # The name is taken first and filled then: cut off in between, the file is empty, and not half of one.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        part.replace(path)
