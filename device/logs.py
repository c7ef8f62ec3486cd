"""Logging of the three services: one line an event on standard error, for the journal or a developer's terminal.

Never a document field, never a score: what is logged about a verification is its id, stage and reason.
"""

from __future__ import annotations

import logging
import os
import sys


def set_up_logging(part: str) -> None:
    """Sends this process's log to standard error, the part's name first; `$VOUCHBOX_LOG` sets the level."""
    level = os.environ.get("VOUCHBOX_LOG", "info").upper()
    logging.basicConfig(
        stream=sys.stderr,
        level=level if level in logging.getLevelNamesMapping() else "INFO",
        format=f"{part} %(levelname)s %(name)s: %(message)s",
    )
