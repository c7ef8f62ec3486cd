"""Files that are whole or not there: every file that provisioning writes is written by one of these.

In: a path and bytes. Out: the file, on disk, in one step (a temporary file beside it, fsync, rename, fsync of the
folder), so that a technician who pulls the plug finds the old state or the new one, and never half of one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from device.errors import ConfigurationError, InputError
from device.files import PART_MARK, part_of, put_new, sync, write_part


def write_atomic(
    path: Path, data: bytes, *, mode: int = 0o644, finish: Callable[[Path], object] = lambda _part: None
) -> None:
    """Puts `data` at `path`, replacing what was there; `finish` sees the new file before anybody else does.

    Raises:
        ConfigurationError: it cannot be written.
    """
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_part(part, data, mode)
        finish(part)
        part.replace(path)
        sync(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def write_once(path: Path, data: bytes, *, mode: int = 0o600) -> bool:
    """Puts `data` at `path` unless something is there; True if it was written. Raises `ConfigurationError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            return False
        put_new(path, data, mode=mode)
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    return True


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A private folder to fill, which becomes `path` at the end of the block, all at once.

    What an interrupted run left half-filled is removed first. Raises `ConfigurationError` if `path` exists.
    """
    clear_parts(path.parent)
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.mkdir(mode=0o700)
        yield part
        for file in part.rglob("*"):
            sync(file)
        sync(part)
        if path.exists():
            raise ConfigurationError(f"{path} is there already")
        part.rename(path)
        sync(path.parent)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def point(link: Path, target: str) -> None:
    """Makes `link` a symbolic link to `target` in one step, replacing the one that was there."""
    part = part_of(link)
    part.symlink_to(target)
    part.replace(link)
    sync(link.parent)


def clear_parts(folder: Path) -> None:
    """Removes what interrupted runs left behind in `folder`."""
    for left in folder.glob(f".*{PART_MARK}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


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
