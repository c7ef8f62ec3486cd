"""A whole provisioning in one process that is killed at a moment of our choice.

Moments are counted by the interpreter's audit events: every file that is opened for writing, renamed, linked or
removed, every folder made, every database opened. At the chosen one the process gets SIGKILL: nothing is cleaned up,
no handler runs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

EVENTS = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "sqlite3.connect"}
)


def in_child(work: Callable[[], None], kill_at: int | None, count_to: int | None = None) -> int:
    """Runs `work` in a forked child, killed at its `kill_at`th moment. Returns the wait status; `count_to` is a
    descriptor that hears how many moments there were."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            seen = _watch(kill_at)
            work()
            if count_to is not None:
                os.write(count_to, str(seen[0]).encode())
            code = 0
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent has to see it and not pytest
            print(f"child: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def _watch(kill_at: int | None) -> list[int]:
    seen = [0]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in EVENTS:
            seen[0] += 1
            if seen[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def leftovers(folder: Path) -> list[str]:
    """Half-written things that a killed run left and a later one should have removed."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if ".part-" in path.name]
