"""Files that are whole or not there: every file that provisioning writes is written by one of these.

In: a path and bytes. Out: the file, on disk, in one step (a temporary file beside it, fsync, rename, fsync of the
folder), so that a technician who pulls the plug finds the old state or the new one, and never half of one.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device.errors import ConfigurationError, InputError

_MARK: Final = ".part-"
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""What file systems without hard links answer (FAT, as on most sticks)."""


def write_atomic(
    path: Path, data: bytes, *, mode: int = 0o644, finish: Callable[[Path], object] = lambda _part: None
) -> None:
    """Puts `data` at `path`, replacing what was there; `finish` sees the new file before anybody else does.

    Raises:
        ConfigurationError: it cannot be written.
    """
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(part, data, mode)
        finish(part)
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def write_once(path: Path, data: bytes, *, mode: int = 0o600) -> bool:
    """Puts `data` at `path` unless something is there; True if it was written. Raises `ConfigurationError`."""
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            return False
        _write(part, data, mode)
        _take(part, path)
        sync_folder(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return True


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A private folder to fill, which becomes `path` at the end of the block, all at once.

    What an interrupted run left half-filled is removed first. Raises `ConfigurationError` if `path` exists.
    """
    clear_parts(path.parent)
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.mkdir(mode=0o700)
        yield part
        for file in part.rglob("*"):
            sync_folder(file)
        sync_folder(part)
        if path.exists():
            raise ConfigurationError(f"{path} is there already")
        part.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def point(link: Path, target: str) -> None:
    """Makes `link` a symbolic link to `target` in one step, replacing the one that was there."""
    part = _part(link)
    part.symlink_to(target)
    part.replace(link)
    sync_folder(link.parent)


def clear_parts(folder: Path) -> None:
    """Removes what interrupted runs left behind in `folder`."""
    for left in folder.glob(f".*{_MARK}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """What is in this folder (or file) is on disk when this returns."""
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_limited(path: Path, limit: int, what: str) -> bytes:
    """The bytes of a file that a person named. Raises `InputError` that names it and says what was wanted."""
    try:
        if path.stat().st_size > limit:
            raise InputError(f"{path} is too large to be {what}")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; it should be {what}") from error
    if not data.strip():
        raise InputError(f"{path} is empty; it should be {what}")
    return data


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


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}{_MARK}{secrets.token_hex(4)}")


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
