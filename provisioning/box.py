"""The box that is being provisioned: where its things lie, and how far it has come.

In: its configuration file. Out: a `BoxFolder` with its paths; a `Stage` that is read from what is there and never kept
beside it, so that a step that was cut off cannot leave the two in contradiction.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from device.config import DEFAULT_FILE, Config, load_config
from device.errors import ConfigurationError
from device.notary.keystore.base import KeyStore
from provisioning.files import write_atomic

GENERATION: Final = re.compile(r"generation-([0-9]{1,6})")
REQUEST_FILE: Final = "request.pem"
TRANSPORT_FILE: Final = "transport.pem"


class Stage(enum.StrEnum):
    """How far a box has come."""

    BARE = "bare"
    INITIALISED = "initialised"
    ENROLLED = "enrolled"
    SEALED = "sealed"


@dataclass(frozen=True)
class BoxFolder:
    """A box by its configuration file; `config` is what that file says now (defaults if it is not there yet)."""

    file: Path
    config: Config

    @property
    def keys(self) -> Path:
        """Notary's."""
        return self.config.state / "keys"

    @property
    def production(self) -> Path:
        """A symbolic link to the generation of the key that signs now."""
        return self.keys / "production"

    @property
    def development(self) -> Path:
        return self.keys / "development"

    @property
    def notes(self) -> Path:
        """What provisioning itself keeps: reports, how the box was enrolled. Nothing secret, nothing personal."""
        return self.config.state / "provisioning"

    def generations(self) -> list[Path]:
        """Folders of keys made so far, oldest first."""
        if not self.keys.is_dir():
            return []
        numbered = [(match, path) for path in self.keys.iterdir() if (match := GENERATION.fullmatch(path.name))]
        return [path for _, path in sorted(numbered, key=lambda pair: int(pair[0][1]))]

    def current(self) -> Path | None:
        """The generation that signs now."""
        # By its name: below a state folder that is a link, `resolve` would lead to none of `generations`.
        return self.keys / self.production.resolve().name if self.production.is_dir() else None

    def waiting(self) -> Path | None:
        """A generation newer than the one that signs, which has asked for a certificate."""
        newest = self.generations()[-1:]
        return newest[0] if newest and newest[0] != self.current() else None

    def store(self) -> KeyStore | None:
        """The production key store, if this box has a production key."""
        from device.notary.keys import open_keys

        return open_keys(self.config).production if self.current() is not None else None

    def stage(self) -> Stage:
        """See `Stage`."""
        if self.config.sealed is not None:
            return Stage.SEALED
        if self.current() is not None:
            return Stage.ENROLLED
        return Stage.INITIALISED if self.generations() else Stage.BARE


def open_box(file: Path | None) -> BoxFolder:
    """The box that `file`, else `$VOUCHBOX_CONFIG`, else `/etc/vouchbox/config.toml` configures.

    Raises:
        ConfigurationError: the file is there and wrong.
    """
    place = file or Path(os.environ.get("VOUCHBOX_CONFIG") or DEFAULT_FILE)
    return BoxFolder(place, load_config(place) if place.exists() else Config())


def change_config(box: BoxFolder, change: Callable[[Config], Config]) -> BoxFolder:
    """Writes the configuration anew if `change` changes it; all at once. The services read it when they start."""
    changed = change(box.config)
    if changed != box.config or not box.file.exists():
        write_atomic(box.file, msgspec.toml.encode(changed))
    return BoxFolder(box.file, changed)


def require_stage(box: BoxFolder, at_least: Stage) -> None:
    """Raises `ConfigurationError` naming the command that comes first."""
    order = list(Stage)
    needed = {Stage.INITIALISED: "init", Stage.ENROLLED: "enrol", Stage.SEALED: "seal"}
    if order.index(box.stage()) < order.index(at_least):
        raise ConfigurationError(f"this box is {box.stage()}: run `vouchbox-provision {needed[at_least]}` first")


def require_unsealed(box: BoxFolder, what: str) -> None:
    """Raises `ConfigurationError` if the box is sealed."""
    if box.config.sealed is not None:
        raise ConfigurationError(
            f"this box is sealed: {what} needs `vouchbox-provision unseal` first, which is recorded"
        )
