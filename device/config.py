"""Configuration of a box: one TOML file, read by all three processes, each using its own table.

In: a path. Out: a frozen `Config`, or `ConfigurationError` naming the key. An unknown key is an error, since a
misspelt limit that is silently ignored is worse than a box that does not start.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from device.errors import ConfigurationError

T = TypeVar("T")

DEFAULT_FILE = Path("/etc/vouchbox/config.toml")


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class BoxConfig(_Table, frozen=True):
    """Where things are. `runtime` holds the sockets, `state` the ledger, keys and installed models."""

    runtime: str = "/run/vouchbox"
    state: str = "/var/lib/vouchbox"
    users: tuple[Annotated[int, Meta(ge=0)], ...] = ()
    """User ids that may connect to this box's sockets, and root; empty: only the process's own user."""


class VisionConfig(_Table, frozen=True):
    """The camera and the models.

    `camera`: `picamera2[:INDEX]`, `v4l2:/dev/video0`, `gstreamer:PIPELINE`, or
    `emulated:PATH` (a folder of images, a video file, or a scenario in TOML; a bare name is a built-in scenario).
    """

    camera: str = "picamera2"
    camera_id: str = ""
    """What provisioning recorded of the camera; another one is reported as `camera_unexpected`. Empty: not recorded."""
    width: Annotated[int, Meta(ge=320, le=4608)] = 1280
    height: Annotated[int, Meta(ge=240, le=2592)] = 720
    fps: Annotated[int, Meta(ge=1, le=60)] = 15
    threads: Annotated[int, Meta(ge=1, le=8)] = 1
    pace: str = "realtime"
    """Emulated cameras only: `realtime`, or `fast` (frames as quickly as they are consumed, time stamps as if live)."""


class NotaryConfig(_Table, frozen=True):
    """The key and the ledger."""

    policies: str = ""
    """A folder of `*.toml`; empty: the policies that come with the package."""
    keystore: str = "file"
    issuer: str = "urn:vouchbox:unprovisioned"
    seal_anchors: str = ""
    """A folder of certificates that documents' digital seals are verified with; empty: `seal-anchors` in the state
    folder. Without any, `document.seal` is not performed."""
    consent_seconds: Annotated[int, Meta(ge=10, le=600)] = 120
    verdict_lifetime: Annotated[int, Meta(ge=60, le=86_400)] = 600


class GatewayConfig(_Table, frozen=True):
    """The API. Off loopback it refuses to start without TLS."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8470
    certificate: str = ""
    private_key: str = ""
    operators: str = ""
    """PEM of the authority whose client certificates may see the operator's page from another machine (needs TLS)."""
    relying_parties: str = ""
    """TOML file of relying parties; empty: `relying-parties.toml` in the state folder."""


class SealConfig(_Table, frozen=True):
    """A box in production, as `vouchbox-provision seal` left it; each process holds itself to its part of it.

    Vision opens no emulated camera; the notary has no development key and takes only the policies whose SHA-256 is
    named here. The ledger knows when it was sealed: a seal that was only deleted from this file stops the notary.
    """

    time: Annotated[int, Meta(ge=0)]
    use: str
    """What the organisation does with the box, `commercial` or `research`: what the licences were held against."""
    camera: str
    policies: dict[str, Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]]
    models: dict[str, Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]]
    accepted: tuple[str, ...] = ()
    """Self-test findings that failed and were accepted by name."""


class Config(_Table, frozen=True):
    """A whole box."""

    box: BoxConfig = BoxConfig()
    vision: VisionConfig = VisionConfig()
    notary: NotaryConfig = NotaryConfig()
    gateway: GatewayConfig = GatewayConfig()
    seal: SealConfig | msgspec.UnsetType = msgspec.UNSET

    @property
    def runtime(self) -> Path:
        return Path(self.box.runtime)

    @property
    def state(self) -> Path:
        return Path(self.box.state)

    @property
    def vision_socket(self) -> Path:
        return self.runtime / "vision.sock"

    @property
    def notary_socket(self) -> Path:
        return self.runtime / "notary.sock"

    @property
    def sealed(self) -> SealConfig | None:
        """The seal of a box in production."""
        return None if isinstance(self.seal, msgspec.UnsetType) else self.seal

    @property
    def allowed_users(self) -> frozenset[int]:
        # Root: systemd, which holds a socket before its service does, and the technician's self-test.
        return frozenset((0, *self.box.users)) if self.box.users else frozenset({os.geteuid()})


def load_config(path: Path | None = None) -> Config:
    """Reads `path`, else `$VOUCHBOX_CONFIG`, else `/etc/vouchbox/config.toml`, else the defaults.

    Raises:
        ConfigurationError: a file that was named is missing, is not TOML, or has an unknown or ill-typed key.
    """
    named = path or (Path(os.environ["VOUCHBOX_CONFIG"]) if os.environ.get("VOUCHBOX_CONFIG") else None)
    source = named or DEFAULT_FILE
    if named is None and not source.exists():
        return Config()
    return read_toml(source, Config)


def read_toml(source: Path, kind: type[T]) -> T:
    """A TOML file as a checked struct. Raises `ConfigurationError` with the file and the key."""
    try:
        return msgspec.toml.decode(source.read_bytes(), type=kind)
    except OSError as error:
        raise ConfigurationError(f"cannot read {source}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{source}: {error}") from error


def write_config(config: Config, path: Path) -> None:
    """Writes `config` so that `load_config(path)` gives it back (needs tomli-w, a runtime dependency)."""
    path.write_bytes(msgspec.toml.encode(config))
