"""Who may ask this box for a verification: relying parties, their bearer tokens and what each is allowed.

In: the TOML file of relying parties and the token of a request. Out: a `RelyingParty`, or None.
Tokens are 256 random bits made here, shown once and stored only as their SHA-256. A slow password hash would
protect a secret that a person chose and that can be guessed; 256 random bits cannot be guessed at any speed, so a fast
hash keeps the file just as useless to a thief, and a slow one would only help someone who wants to keep the box busy.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import tempfile
import threading
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from device.config import Config, read_toml
from device.errors import ConfigurationError
from device.protocol import Audience, Name

log = logging.getLogger(__name__)

TOKEN_BYTES: Final = 32
TOKEN_PREFIX: Final = "vbx_"  # noqa: S105 - so that secret scanners and people recognise a leaked token

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class RelyingParty(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One organisation that asks for verdicts. Nothing is allowed that is not listed."""

    id: Name
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    """As the kiosk page shows it to the person."""
    token_sha256: Sha256
    policies: tuple[Name, ...] = ()
    audiences: tuple[Audience, ...] = ()
    monitor: bool = False
    """May read `/metrics` from another machine."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    relying_party: tuple[RelyingParty, ...] = ()


def relying_parties_file(config: Config) -> Path:
    """Where this box keeps its relying parties."""
    named = config.gateway.relying_parties
    return Path(named) if named else config.state / "relying-parties.toml"


def token_digest(token: str) -> str:
    """What is stored instead of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def load_relying_parties(path: Path) -> tuple[RelyingParty, ...]:
    """Raises `ConfigurationError`: unreadable, an unknown key, or an id or token that appears twice."""
    parties = read_toml(path, _File).relying_party
    for what, values in (("id", [p.id for p in parties]), ("token_sha256", [p.token_sha256 for p in parties])):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ConfigurationError(f"{path}: the {what} {twice} appears more than once")
    return parties


def add_relying_party(
    path: Path,
    id: str,
    *,
    name: str = "",
    policies: tuple[str, ...],
    audiences: tuple[str, ...],
    monitor: bool = False,
) -> str:
    """Registers a relying party, or gives a registered one a new token (the old one ends), and returns the token.

    The token is not kept anywhere: whoever calls this shows it once. The file is replaced atomically, readable by its
    owner alone; a running gateway notices.

    Raises:
        ConfigurationError: the existing file is broken, or a value is out of its bounds.
    """
    parties = load_relying_parties(path) if path.exists() else ()
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    try:
        party = msgspec.convert(
            {
                "id": id,
                "name": name or id,
                "token_sha256": token_digest(token),
                "policies": policies,
                "audiences": audiences,
                "monitor": monitor,
            },
            RelyingParty,
        )
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"relying party {id!r}: {error}") from error
    write_relying_parties(path, (*(p for p in parties if p.id != id), party))
    return token


def remove_relying_party(path: Path, id: str) -> bool:
    """Takes a relying party off the list; False if it was not on it. Its token ends at once."""
    parties = load_relying_parties(path)
    kept = tuple(p for p in parties if p.id != id)
    write_relying_parties(path, kept)
    return len(kept) < len(parties)


def write_relying_parties(path: Path, parties: tuple[RelyingParty, ...]) -> None:
    """Replaces the file atomically, mode 0600."""
    data = msgspec.toml.encode({"relying_party": [msgspec.to_builtins(party) for party in parties]})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


class RelyingParties:
    """The registered relying parties, read again whenever the file changes.

    A file that is gone means that nobody is registered. A file that is broken keeps the last good list, and `problem`
    says so, which makes the box unwell: neither a typing mistake nor its repair should stop who is registered rightly.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._parties: tuple[RelyingParty, ...] = ()
        self.problem = ""
        self._refresh()

    def authenticate(self, token: str) -> RelyingParty | None:
        """The owner of `token`. Every entry is compared, each in constant time, so that time tells nothing."""
        self._refresh()
        digest = token_digest(token)
        found = None
        for party in self._parties:
            if hmac.compare_digest(party.token_sha256, digest):
                found = party
        return found

    def _refresh(self) -> None:
        with self._lock:
            try:
                status = self._path.stat()
                seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            except OSError:
                seen = (0, 0, 0)
            if seen == self._seen:
                return
            self._seen = seen
            if seen == (0, 0, 0):
                log.warning(
                    "nobody is registered: there is no %s (vouchbox-provision adds a relying party)", self._path
                )
                self._parties, self.problem = (), ""
                return
            try:
                self._parties, self.problem = load_relying_parties(self._path), ""
            except ConfigurationError as error:
                log.error("the list of relying parties stays as it was: %s", error)
                self.problem = f"{self._path.name} is broken"
