"""What an authority has issued: one row a certificate, its place in the status list, whether it was revoked.

In: certificates, revocations, one-time codes. Out: the rows, and the indices that are revoked. SQLite, one transaction
a step: an authority that is cut off in the middle of issuing has either issued or not, and asked again for the same key
it gives the same certificate.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device.errors import ConfigurationError

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS certificates (
    place INTEGER PRIMARY KEY,
    serial TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    box TEXT NOT NULL,
    kid TEXT NOT NULL,
    purpose TEXT NOT NULL,
    issued INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    der BLOB NOT NULL,
    revoked INTEGER,
    reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS certificates_kid ON certificates (kid);
CREATE INDEX IF NOT EXISTS certificates_name ON certificates (name);
CREATE TABLE IF NOT EXISTS codes (
    sha256 TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    expires INTEGER NOT NULL,
    kid TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS waiting (
    kid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    box TEXT NOT NULL,
    asked INTEGER NOT NULL,
    approved INTEGER
) STRICT;
"""
_COLUMNS: Final = "place, serial, name, box, kid, purpose, issued, expires, der, revoked, reason"


@dataclass(frozen=True)
class Issued:
    """One certificate. `place` is its index in the status list; times are seconds since the epoch."""

    place: int
    serial: str
    name: str
    box: str
    kid: str
    purpose: str
    issued: int
    expires: int
    der: bytes
    revoked: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Code:
    """A one-time code for one box. `kid` is the key that used it, None as long as nobody has."""

    name: str
    expires: int
    kid: str | None


@dataclass(frozen=True)
class Waiting:
    """A box that asked without a credential. Times are seconds since the epoch; `approved` None: nobody has yet."""

    kid: str
    name: str
    box: str
    asked: int
    approved: int | None


MAX_WAITING: Final = 10_000
"""Anybody who reaches the service can ask; nobody can fill the disk."""
WAITING_SECONDS: Final = 86_400


class Registry:
    """The open registry. One process writes at a time; others wait for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._database = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"cannot open the registry {path}: {error}") from error

    def close(self) -> None:
        """Idempotent."""
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block, on disk, or nothing of it."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise ConfigurationError(f"cannot write the registry {self._path}: {error}") from error

    def record(self, make: Callable[[int], Issued]) -> Issued:
        """Gives the next place to `make` and keeps what it made. Call inside `transaction`."""
        row = self._database.execute("SELECT COALESCE(MAX(place) + 1, 0) FROM certificates").fetchone()
        issued = make(int(row[0]))
        values = (
            *(issued.place, issued.serial, issued.name, issued.box, issued.kid, issued.purpose),
            *(issued.issued, issued.expires, issued.der, issued.revoked, issued.reason),
        )
        self._database.execute(f"INSERT INTO certificates VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608
        return issued

    def by_key(self, kid: str) -> list[Issued]:
        """Certificates of one key, newest first."""
        return self._select("WHERE kid = ? ORDER BY place DESC", kid)

    def find(self, words: str) -> list[Issued]:
        """Certificates of a box by name, by UEID, or the one of a serial number (hexadecimal), newest first."""
        return self._select("WHERE name = ?1 OR serial = ?1 OR box = ?1 ORDER BY place DESC", words.strip())

    def all(self) -> list[Issued]:
        """Every certificate, by place."""
        return self._select("ORDER BY place")

    def revoke(self, places: list[int], reason: str, now: int) -> None:
        """Marks them revoked; those that are already keep their date."""
        with self.transaction():
            self._database.executemany(
                "UPDATE certificates SET revoked = ?, reason = ? WHERE place = ? AND revoked IS NULL",
                [(now, reason, place) for place in places],
            )

    def revoked(self) -> list[int]:
        """Revoked places."""
        rows = self._database.execute("SELECT place FROM certificates WHERE revoked IS NOT NULL ORDER BY place")
        return [int(place) for (place,) in rows]

    def size(self) -> int:
        """How many places have been given out."""
        return int(self._database.execute("SELECT COALESCE(MAX(place) + 1, 0) FROM certificates").fetchone()[0])

    def add_code(self, digest: str, name: str, expires: int) -> None:
        """Keeps the SHA-256 of a new code; those that have expired are forgotten."""
        with self.transaction():
            self._database.execute("DELETE FROM codes WHERE expires < ? AND kid IS NULL", (int(time.time()),))
            self._database.execute("INSERT INTO codes VALUES (?, ?, ?, NULL)", (digest, name, expires))

    def code(self, digest: str) -> Code | None:
        """The code with this SHA-256."""
        row = self._database.execute("SELECT name, expires, kid FROM codes WHERE sha256 = ?", (digest,)).fetchone()
        return None if row is None else Code(*row)

    def use_code(self, digest: str, kid: str) -> None:
        """From now on the code belongs to this key. Call inside `transaction`."""
        self._database.execute("UPDATE codes SET kid = ? WHERE sha256 = ? AND kid IS NULL", (kid, digest))

    def wait(self, kid: str, name: str, box: str, now: int) -> Waiting:
        """Notes that a box asks, and tells whether it was approved. One that stopped asking is forgotten after a day.

        Raises:
            ConfigurationError: too many wait already.
        """
        with self.transaction():
            self._database.execute("DELETE FROM waiting WHERE asked < ?", (now - WAITING_SECONDS,))
            self._database.execute("UPDATE waiting SET asked = ? WHERE kid = ?", (now, kid))
            found = self._waiting("WHERE kid = ?", kid)
            if found:
                return found[0]
            if self._database.execute("SELECT COUNT(*) FROM waiting").fetchone()[0] >= MAX_WAITING:
                raise ConfigurationError(f"{MAX_WAITING} boxes wait for approval already")
            self._database.execute("INSERT INTO waiting VALUES (?, ?, ?, ?, NULL)", (kid, name, box, now))
        return Waiting(kid, name, box, now, None)

    def waiting(self) -> list[Waiting]:
        """Boxes that nobody has approved yet, oldest first."""
        return self._waiting("WHERE approved IS NULL ORDER BY asked, name")

    def approve(self, kid: str, now: int) -> None:
        """From now on this key gets its certificate when it asks."""
        with self.transaction():
            self._database.execute("UPDATE waiting SET approved = ? WHERE kid = ?", (now, kid))

    def _waiting(self, clause: str, *values: object) -> list[Waiting]:
        rows = self._database.execute(f"SELECT kid, name, box, asked, approved FROM waiting {clause}", values)  # noqa: S608 - ours
        return [Waiting(*row) for row in rows]

    def _select(self, clause: str, *values: object) -> list[Issued]:
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM certificates {clause}", values)  # noqa: S608 - ours
        return [Issued(*row) for row in rows]
