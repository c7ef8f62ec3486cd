"""The ledger: one row for each verdict given out, in an order that nobody can change without being seen.

In: a `Row` about a verdict, nothing about the person. Out: the `Head` (number of rows, running hash).
Each row's hash covers the row and the hash before it. The head of the moment sits in every verdict (`log`), so anyone
who kept a verdict can show that a box rewrote its past. SQLite, WAL, synchronous=FULL: `append` returns when
the row is on disk. Triggers refuse UPDATE and DELETE, which stops mistakes; the hashes show what gets around them.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device.errors import LedgerError

GENESIS: Final = hashlib.sha256(b"vouchbox ledger 1").digest()
_MIN_FREE_BYTES: Final = 4 * 1024 * 1024  # a row is under 2 KiB; SQLite needs room for the WAL beside the table

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS verdicts (
    sequence INTEGER PRIMARY KEY CHECK (sequence > 0),
    jti TEXT NOT NULL UNIQUE,
    time INTEGER NOT NULL,
    relying_party TEXT NOT NULL,
    policy TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reasons TEXT NOT NULL,
    measurements BLOB NOT NULL,
    token_sha256 BLOB NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TABLE IF NOT EXISTS heads (size INTEGER NOT NULL, hash BLOB NOT NULL, token TEXT NOT NULL) STRICT;
CREATE TRIGGER IF NOT EXISTS verdicts_no_update BEFORE UPDATE ON verdicts
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS verdicts_no_delete BEFORE DELETE ON verdicts
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS heads_no_update BEFORE UPDATE ON heads
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS heads_no_delete BEFORE DELETE ON heads
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


@dataclass(frozen=True)
class Row:
    """One verdict. `measurements` is the SHA-256 over the verdict's measurements; `reasons` are reason codes."""

    jti: str
    time: int
    relying_party: str
    policy: str
    outcome: str
    reasons: tuple[str, ...]
    measurements: bytes
    token_sha256: bytes


@dataclass(frozen=True)
class Head:
    """How many rows there are, and the running hash over all of them (32 bytes)."""

    size: int
    hash: bytes


def chain(previous: bytes, sequence: int, row: Row) -> bytes:
    """The running hash after `row`: SHA-256 over the hash before and each field behind its length."""
    return _chain(previous, sequence, _values(row))


Values = tuple[str, int, str, str, str, str, bytes, bytes]
"""A row as its columns hold it, from `jti` to `token_sha256`."""


def _values(row: Row) -> Values:
    return (
        row.jti,
        row.time,
        row.relying_party,
        row.policy,
        row.outcome,
        " ".join(row.reasons),
        row.measurements,
        row.token_sha256,
    )


def _chain(previous: bytes, sequence: int, values: Values) -> bytes:
    jti, time, relying_party, policy, outcome, reasons, measurements, token = values
    fields = (
        sequence.to_bytes(8, "big"),
        jti.encode(),
        time.to_bytes(8, "big"),
        relying_party.encode(),
        policy.encode(),
        outcome.encode(),
        reasons.encode(),
        measurements,
        token,
    )
    return hashlib.sha256(previous + b"".join([len(field).to_bytes(4, "big") + field for field in fields])).digest()


class Ledger:
    """The open ledger of a running notary. Its methods may be called from any thread.

    Raises:
        LedgerError: on opening, if the file cannot be opened or its chain does not verify: no verdict is then given.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=1.0, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(f"cannot open the ledger {path}: {error}") from error
        self._head = verify_rows(self._database, path)

    @property
    def head(self) -> Head:
        """As of the last row on disk."""
        return self._head

    def check_writable(self) -> None:
        """Raises `LedgerError` if a row could not be written now: gone, read-only, locked, or the disk is full."""
        if not self._path.exists():
            raise LedgerError(f"the ledger {self._path} is gone; restore it, or provision the box anew")
        free = os.statvfs(self._path.parent)
        if free.f_bavail * free.f_frsize < _MIN_FREE_BYTES:
            raise LedgerError(f"the disk of the ledger {self._path} is full; no verdict can be recorded")
        with self._transaction():
            pass

    def append(self, row: Row) -> Head:
        """Writes `row`; returns when it is on disk. Raises `LedgerError`, and then nothing was written."""
        with self._lock:
            new = Head(self._head.size + 1, chain(self._head.hash, self._head.size + 1, row))
            values = (new.size, *_values(row), new.hash)
            with self._transaction() as database:
                database.execute(f"INSERT INTO verdicts VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608 - question marks
            self._head = new
            return new

    def record_head(self, head: Head, token: str) -> None:
        """Keeps a signed statement of a head. Raises `LedgerError`."""
        with self._transaction() as database:
            database.execute("INSERT INTO heads VALUES (?, ?, ?)", (head.size, head.hash, token))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    yield self._database
                    self._database.execute("COMMIT")
                except BaseException:
                    if self._database.in_transaction:
                        self._database.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise LedgerError(f"cannot write the ledger {self._path}: {error}") from error

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._database.close()


def verify_ledger(path: Path, *, known: Iterable[Head] = ()) -> Head:
    """Recomputes the whole chain of the ledger file at `path`, without changing it.

    Args:
        path: the SQLite file; a notary may have it open.
        known: heads from verdicts (`log`) or signed statements that must be in this chain.

    Returns:
        The head.

    Raises:
        LedgerError: names the first row that was changed, added, removed or moved, or the head that is not in it.
    """
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise LedgerError(f"cannot open the ledger {path}: {error}") from error
    try:
        return verify_rows(database, path, known)
    finally:
        database.close()


def verify_rows(database: sqlite3.Connection, path: Path, known: Iterable[Head] = ()) -> Head:
    """As `verify_ledger`, on an open database."""
    try:
        recorded = [Head(int(size), bytes(digest)) for size, digest in database.execute("SELECT size, hash FROM heads")]
        expected: dict[int, set[bytes]] = {}
        for head in (*known, *recorded):
            expected.setdefault(head.size, set()).add(head.hash)
        head = Head(0, GENESIS)
        _require(path, head, expected.pop(0, set()))
        for sequence, *values, stored in database.execute("SELECT * FROM verdicts ORDER BY sequence"):
            head = _next(path, head, tuple(values), sequence, stored)
            if head.size in expected:
                _require(path, head, expected.pop(head.size))
    except sqlite3.Error as error:
        raise LedgerError(f"{path} is not a readable ledger: {error}") from error
    if expected:
        raise LedgerError(
            f"{path} has {head.size} rows, but a head over {max(expected)} was given out: rows are missing"
        )
    return head


def _next(path: Path, head: Head, values: Values, sequence: int, stored: bytes) -> Head:
    if sequence != head.size + 1:
        raise LedgerError(f"{path}: row {head.size + 1} is missing")
    try:
        digest = _chain(head.hash, sequence, values)
    except (AttributeError, TypeError, ValueError, OverflowError):
        digest = b""  # a column holds what was never written there
    if digest != stored:
        raise LedgerError(f"{path}: row {sequence} was changed (its hash does not match)")
    return Head(sequence, digest)


def _require(path: Path, head: Head, expected: set[bytes]) -> None:
    if expected - {head.hash}:
        raise LedgerError(f"{path}: the head over {head.size} rows is not the one that was given out: rewritten")
