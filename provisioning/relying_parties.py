"""The box's relying parties, as the technician keeps them; `device.gateway.auth` reads what is written here.

In: an id and what it may do. Out: the file, owned by the gateway, and a token that is told once. Adding the same again
changes nothing; adding it with other rights changes those and leaves the token as it is.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from device.errors import ConfigurationError
from device.gateway.auth import (
    TOKEN_BYTES,
    TOKEN_PREFIX,
    RelyingParty,
    load_relying_parties,
    relying_parties_file,
    token_digest,
)
from provisioning.box import BoxFolder
from provisioning.files import write_atomic, write_once
from provisioning.ownership import GATEWAY, give_to

_NO_TOKEN = "0" * 64


class PartiesFile:
    """The file of one box."""

    def __init__(self, box: BoxFolder) -> None:
        self.path = relying_parties_file(box.config)

    def all(self) -> tuple[RelyingParty, ...]:
        """Everyone registered. Raises `ConfigurationError` if the file is broken."""
        return load_relying_parties(self.path) if self.path.exists() else ()

    def add(self, wanted: RelyingParty, token_file: Path | None = None) -> tuple[bool, str]:
        """Registers `wanted` (its own `token_sha256` is ignored).

        Returns:
            Whether anything changed, and the new token; empty if it was registered already, for it is kept nowhere.

        Raises:
            ConfigurationError: the token file holds another relying party's token, or none.
        """
        before = self._one(wanted.id)
        if before is not None:
            after = msgspec.structs.replace(wanted, token_sha256=before.token_sha256)
            if after != before:
                self._write(tuple(after if party.id == after.id else party for party in self.all()))
            return after != before, ""
        token = _token(token_file)
        self._require_not_anothers(token, wanted.id)
        self._write((*self.all(), msgspec.structs.replace(wanted, token_sha256=token_digest(token))))
        return True, token

    def rotate(self, id: str, token_file: Path | None = None) -> str:
        """A new token; the old one ends at once.

        Raises:
            ConfigurationError: nobody has this id, or the token file holds another relying party's token.
        """
        before = self._one(id)
        if before is None:
            raise ConfigurationError(f"no relying party is called {id!r}; `relying-party list` names them")
        if token_file is not None and token_file.exists():
            self._require_not_anothers(token_file.read_text(encoding="ascii", errors="replace").strip(), id)
            token_file.unlink()
        token = _token(token_file)
        after = msgspec.structs.replace(before, token_sha256=token_digest(token))
        self._write(tuple(after if party.id == id else party for party in self.all()))
        return token

    def remove(self, id: str) -> bool:
        """False if nobody had this id."""
        kept = tuple(party for party in self.all() if party.id != id)
        if len(kept) == len(self.all()):
            return False
        self._write(kept)
        return True

    def _require_not_anothers(self, token: str, id: str) -> None:
        """It is told once: two who had the same could not be told apart, and a file that goes takes it along."""
        owner = next((party.id for party in self.all() if party.token_sha256 == token_digest(token)), id)
        if owner != id:
            raise ConfigurationError(f"the token file holds the token of {owner!r}: name another file for {id!r}")

    def _one(self, id: str) -> RelyingParty | None:
        return next((party for party in self.all() if party.id == id), None)

    def _write(self, parties: tuple[RelyingParty, ...]) -> None:
        data = msgspec.toml.encode({"relying_party": [msgspec.to_builtins(party) for party in parties]})
        write_atomic(self.path, data, mode=0o600, finish=lambda part: give_to(part, GATEWAY))


def make_party(
    id: str, name: str, policies: tuple[str, ...], audiences: tuple[str, ...], *, monitor: bool
) -> RelyingParty:
    """Checked values. Raises `ConfigurationError` that names the one that is out of its bounds."""
    values = {
        "id": id,
        "name": name or id,
        "token_sha256": _NO_TOKEN,
        "policies": policies,
        "audiences": audiences,
        "monitor": monitor,
    }
    try:
        return msgspec.convert(values, RelyingParty)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"relying party {id!r}: {error}") from error


def _token(file: Path | None) -> str:
    """A new token; if it is to be in a file it is there before it counts, so that no interruption can lose it."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    if file is None or write_once(file, token.encode() + b"\n"):
        return token
    kept = file.read_text(encoding="ascii").strip()
    if not kept.startswith(TOKEN_PREFIX):
        raise ConfigurationError(f"{file} is there and holds no token; name another file")
    return kept
