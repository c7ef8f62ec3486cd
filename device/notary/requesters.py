"""Relying parties whose signed requests this box takes from a code: their public keys and what each may ask for.

In: `<state>/request-keys.toml`. Out: `Requester`s. The file is the notary's own: the gateway, which has the network,
can neither add a key nor see which there are. A bearer token proves a relying party over the network, a key on paper.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from msgspec import Meta

from device.certificates import VerdictKey, algorithm_of, key_id
from device.config import Config, read_toml
from device.errors import ConfigurationError
from device.protocol import Audience, Name

FILE: Final = "request-keys.toml"


class Requester(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One relying party. Nothing is allowed that is not listed."""

    id: Name
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    """As the person is told."""
    key: Annotated[str, Meta(max_length=1000)]
    """The public key, PEM: P-256 or Ed25519."""
    policies: tuple[Name, ...] = ()
    audiences: tuple[Audience, ...] = ()

    @property
    def public_key(self) -> VerdictKey:
        """Raises `ConfigurationError`."""
        return read_public_key(self.key, f"the key of {self.id}")


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    requester: tuple[Requester, ...] = ()


def requesters_file(config: Config) -> Path:
    """Where this box keeps them."""
    return config.state / FILE


def load_requesters(path: Path) -> tuple[Requester, ...]:
    """Everyone who is registered; nobody if there is no such file.

    Raises:
        ConfigurationError: unreadable, an unknown key, a key that is none, or an id or key that appears twice.
    """
    if not path.exists():
        return ()
    requesters = read_toml(path, _File).requester
    for what, values in (
        ("id", [it.id for it in requesters]),
        ("key", [key_id(it.public_key) for it in requesters]),
    ):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ConfigurationError(f"{path}: the {what} {twice} appears more than once")
    return requesters


def add_requester(
    path: Path, id: str, *, name: str = "", key: str, policies: tuple[str, ...], audiences: tuple[str, ...]
) -> Requester:
    """Registers a relying party's key, in place of what was registered under that id. The notary notices at the next
    request.

    Raises:
        ConfigurationError: the file is broken, a value is out of its bounds, or the key cannot be used.
    """
    fields = {"id": id, "name": name or id, "key": key, "policies": policies, "audiences": audiences}
    try:
        requester = msgspec.convert(fields, Requester)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"relying party {id!r}: {error}") from error
    read_public_key(key, f"the key of {id}")
    _write(path, (*(it for it in load_requesters(path) if it.id != id), requester))
    return requester


def remove_requester(path: Path, id: str) -> bool:
    """Takes one off the list; False if it was not on it."""
    before = load_requesters(path)
    kept = tuple(it for it in before if it.id != id)
    if len(kept) == len(before):
        return False
    if kept:
        _write(path, kept)
    else:
        path.unlink()  # while it is there the page offers to show a request
    return True


def read_public_key(pem: str, what: str) -> VerdictKey:
    """P-256 or Ed25519 from PEM. Raises `ConfigurationError`."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{what} is no public key in PEM; `vouchbox request --new-key` makes one") from error
    if algorithm_of(key) is None:
        raise ConfigurationError(f"{what} is neither P-256 nor Ed25519")
    assert isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
    return key


def public_pem(key: VerdictKey) -> str:
    """The PEM text of a public key."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _write(path: Path, requesters: tuple[Requester, ...]) -> None:
    data = msgspec.toml.encode({"requester": [msgspec.to_builtins(it) for it in requesters]})
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:  # public keys: whoever may read the folder may read them
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
