"""Logging of the three services: to the journal with fields of their own, else one line an event on standard error.

Never a document field, never a score: what is logged about a verification is its id, stage and reason, and `about`
takes nothing else. On a box: `journalctl VOUCHBOX_VERIFICATION=<id>`.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from collections.abc import Callable
from typing import Any, Final

from device.protocol import Outcome, Reason, Stage

FIELDS: Final = {
    "verification": "VOUCHBOX_VERIFICATION",
    "stage": "VOUCHBOX_STAGE",
    "reason": "VOUCHBOX_REASON",
    "outcome": "VOUCHBOX_OUTCOME",
}
"""Attribute of a log record to journal field."""
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def about(
    *, verification: str = "", stage: Stage | None = None, reason: Reason | None = None, outcome: Outcome | None = None
) -> dict[str, str]:
    """The `extra` of a log call that belongs to a verification. Raises `ValueError` for an id that is none."""
    if verification and not _IDENTIFIER.fullmatch(verification):
        raise ValueError("that is no id of a verification")
    fields = {"verification": verification, "stage": stage, "reason": reason, "outcome": outcome}
    return {name: str(value) for name, value in fields.items() if value}


class JournalHandler(logging.Handler):
    """Sends records to the journal. `send` is systemd.journal.send."""

    def __init__(self, part: str, send: Callable[..., Any]) -> None:
        super().__init__()
        self._part = part
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = {name: getattr(record, key) for key, name in FIELDS.items() if hasattr(record, key)}
            self._send(
                self.format(record),
                PRIORITY=next((number for level, number in _PRIORITIES if record.levelno >= level), 7),
                SYSLOG_IDENTIFIER=f"vouchbox-{self._part}",
                LOGGER=record.name,
                **fields,
            )
        except Exception:  # noqa: BLE001 - logging must not end what it tells of
            self.handleError(record)


def set_up_logging(part: str) -> None:
    """Sends this process's log to where it belongs, under the part's name; `$VOUCHBOX_LOG` sets the level."""
    named = os.environ.get("VOUCHBOX_LOG", "info").upper()
    level = named if named in logging.getLevelNamesMapping() else "INFO"
    send = _journal()
    if send is not None:
        handler = JournalHandler(part, send)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logging.basicConfig(level=level, handlers=[handler])
        return
    logging.basicConfig(stream=sys.stderr, level=level, format=f"{part} %(levelname)s %(name)s: %(message)s")


def _journal() -> Callable[..., Any] | None:
    """systemd.journal.send, where standard error is the journal (systemd.exec(5), `JOURNAL_STREAM`)."""
    try:
        here = os.fstat(2)
        if os.environ.get("JOURNAL_STREAM") != f"{here.st_dev}:{here.st_ino}":
            return None
        send: Callable[..., Any] = importlib.import_module("systemd.journal").send
    except (OSError, ImportError):
        return None
    return send
