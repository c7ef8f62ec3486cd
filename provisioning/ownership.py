"""Whose files are whose: what the notary must own is written as the notary, though the technician works as root.

In: the name of a service. Out: a block in which this process acts as that service's user. Where there is no such user,
or we are not root (a developer's machine, a test), the block changes nothing.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NOTARY: Final = "vouchbox-notary"
GATEWAY: Final = "vouchbox-gateway"
VISION: Final = "vouchbox-vision"


@contextmanager
def acting_as(user: str) -> Iterator[None]:
    """Files that the block makes belong to `user`, and it can read what `user` can and no more."""
    entry = _entry(user)
    if entry is None or os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    group = os.getegid()
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def give_to(path: Path, user: str) -> None:
    """Makes `user` the owner of a file that root wrote."""
    entry = _entry(user)
    if entry is not None and os.geteuid() == 0:
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def service_users() -> tuple[int, ...]:
    """The user ids of the three services, for `box.users`; empty where they do not exist."""
    entries = [_entry(user) for user in (VISION, NOTARY, GATEWAY)]
    return tuple(entry.pw_uid for entry in entries if entry is not None)


def _entry(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        return None
