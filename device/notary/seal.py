"""What a sealed box's notary holds itself to, and the marks that sealing leaves in the ledger.

In: the configuration, the policies, the ledger. Out: nothing, or an error that keeps the notary from starting. A mark
is a row like any other, chained by its hash, whose outcome (`sealed`, `unsealed`, `wiped`) is no verdict's: whoever
opened a box, or deleted its seal by hand, can be seen to have done so.
"""

from __future__ import annotations

import enum
import hashlib
import secrets
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from device.config import Config, SealConfig
from device.errors import ConfigurationError, LedgerError
from device.notary.ledger import Head, Ledger, Row
from device.notary.policy import Policy

AUTHOR: Final = "vouchbox-provision"
"""Stands where a verdict's relying party would."""


class Mark(enum.StrEnum):
    """Acts of provisioning that the ledger keeps."""

    SEALED = "sealed"
    UNSEALED = "unsealed"
    WIPED = "wiped"


def seal_digest(seal: SealConfig) -> bytes:
    """SHA-256 of a seal, as the mark in the ledger names it."""
    return hashlib.sha256(msgspec.json.encode(seal, order="deterministic")).digest()


def append_mark(ledger: Ledger, mark: Mark, digest: bytes, reason: str) -> Head:
    """Writes a mark; returns when it is on disk. `reason` is a word for the record. Raises `LedgerError`."""
    return ledger.append(
        Row(
            jti=f"{mark}-{secrets.token_urlsafe(12)}",
            time=int(time.time()),
            relying_party=AUTHOR,
            policy="",
            outcome=str(mark),
            reasons=(reason,) if reason else (),
            measurements=digest,
            token_sha256=b"",
        )
    )


def last_mark(path: Path) -> tuple[Mark, bytes] | None:
    """The newest mark in the ledger file at `path` and the digest it names; None if there is none (or no ledger).

    Raises:
        LedgerError: the file is no ledger.
    """
    if not path.exists():
        return None
    names = [str(mark) for mark in Mark]
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)
        try:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'verdicts'").fetchone():
                return None  # the file was made, and whoever made it was cut off
            row = database.execute(
                "SELECT outcome, measurements FROM verdicts WHERE relying_party = ? AND outcome IN (?, ?, ?) "
                "ORDER BY sequence DESC LIMIT 1",
                (AUTHOR, *names),
            ).fetchone()
        finally:
            database.close()
    except sqlite3.Error as error:
        raise LedgerError(f"cannot read the ledger {path}: {error}") from error
    return None if row is None else (Mark(row[0]), bytes(row[1]))


def require_seal(config: Config, policies: Mapping[str, Policy], ledger: Path) -> None:
    """Raises `ConfigurationError` unless seal, ledger and policies agree; says what to do."""
    seal, mark = config.sealed, last_mark(ledger)
    if seal is None:
        if mark is not None and mark[0] is Mark.SEALED:
            raise ConfigurationError(
                "this box was sealed, and its configuration has lost the seal: put it back, or open the box with "
                "`vouchbox-provision unseal`, which leaves a mark in the ledger"
            )
        return
    if mark != (Mark.SEALED, seal_digest(seal)):
        raise ConfigurationError(
            "the ledger does not know this box's seal: run `vouchbox-provision seal` again, and ask who changed it"
        )
    frozen = {name: policy.digest.hex() for name, policy in policies.items()}
    changed = sorted(name for name in {*frozen, *seal.policies} if frozen.get(name) != seal.policies.get(name))
    if changed:
        raise ConfigurationError(
            f"policies were changed, added or removed after this box was sealed: {', '.join(changed)}; put them back, "
            "or `vouchbox-provision unseal`, check them, and seal again"
        )
