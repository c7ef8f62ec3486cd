"""Which models there are: what each is for, where its bytes lie, and what the code around it must know of it.

In: `models/manifest.toml` of the package, and the `manifest.toml` of every bundle (a folder that holds a model and its
description) found in the search folders. Out: a frozen `Manifest`. A model is added to a box by adding a bundle; no
code changes. An unknown key is an error, since a misspelt threshold that is silently ignored is worse than a box that
stops.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from device.config import load_config, read_toml
from device.errors import ConfigurationError, ModelError

MANIFEST_NAME: Final = "manifest.toml"
FOLDER_VARIABLE: Final = "VOUCHBOX_MODELS"

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
PositiveInt = Annotated[int, Meta(ge=1)]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)]
"""A bare file name: a manifest can never point outside its folder."""


class Task(enum.StrEnum):
    """What a model is for. Several models may have the same task; one of them is its default."""

    FACE_DETECTION = "face_detection"
    FACE_LANDMARKS = "face_landmarks"
    FACE_EMBEDDING = "face_embedding"
    PRESENTATION_ATTACK = "presentation_attack"
    PRESENTATION_OPINION = "presentation_opinion"
    TEXT_LINE = "text_line"
    IRIS = "iris"


class LicenceUse(enum.StrEnum):
    """Who may use the model: anyone, or only research (because of the licence itself or of the training data)."""

    ANY = "any"
    RESEARCH = "research"


class Colour(enum.StrEnum):
    """Order of the input's channels. Images inside vision are RGB; whoever prepares the input reorders."""

    RGB = "rgb"
    BGR = "bgr"
    GREY = "grey"


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Input(_Table, frozen=True):
    """The one input tensor, N x `height` x `width` x channels. Value fed = pixel (0..255) x `scale` + `offset`."""

    width: PositiveInt
    height: PositiveInt
    colour: Colour = Colour.RGB
    scale: float = 1.0
    offset: float = 0.0

    @property
    def channels(self) -> int:
        return 1 if self.colour is Colour.GREY else 3

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (1, self.height, self.width, self.channels)


class PackageSource(_Table, frozen=True, tag_field="kind", tag="package"):
    """The file comes with Vouchbox, or with the bundle that describes it."""


class WheelSource(_Table, frozen=True, tag_field="kind", tag="wheel"):
    """The file is `member` of the wheel that the manifest's table `wheels.<wheel>` describes."""

    wheel: str
    member: str


class UrlSource(_Table, frozen=True, tag_field="kind", tag="url"):
    """The file is fetched as it is; `size` is what it weighs exactly, in bytes."""

    url: Annotated[str, Meta(pattern=r"^https?://")]
    size: Annotated[int, Meta(ge=1, le=512 * 1024 * 1024)]


class Download(_Table, frozen=True):
    """A file on the way to a model: what a builder makes one from."""

    url: Annotated[str, Meta(pattern=r"^https?://")]
    sha256: Sha256
    size: Annotated[int, Meta(ge=1, le=512 * 1024 * 1024)]


class BuildSource(_Table, frozen=True, tag_field="kind", tag="build"):
    """The file is made by `builder` (one that Vouchbox knows; never code out of a manifest) from fetched `files`."""

    builder: str
    files: Annotated[tuple[Download, ...], Meta(min_length=1)]


Source = PackageSource | WheelSource | UrlSource | BuildSource


class Wheel(_Table, frozen=True):
    """A wheel on the Python package index: pinned version, the platform that it was built for, and its hash."""

    requirement: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")]
    python_version: str
    platforms: Annotated[tuple[str, ...], Meta(min_length=1)]
    sha256: Sha256


class ModelEntry(_Table, frozen=True):
    """One model.

    `outputs` are the shapes of the output tensors in the model's order. `thresholds` are decision thresholds (of a
    matcher by false match rate: "1e-4"), computed on `thresholds_from`; `parameters` are the other numbers that belong
    to the model and not to the code (templates, gates, anchor layout). `default` marks the one of its task
    that is used when nobody chose; a box can do without an `optional` one, fetched only when named, unless
    it comes in a wheel that is fetched anyway.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
    task: Task
    file: FileName
    sha256: Sha256
    licence: Annotated[str, Meta(min_length=1)]
    licence_use: LicenceUse
    training_data: Annotated[str, Meta(min_length=1)]
    input: Input
    outputs: Annotated[tuple[tuple[PositiveInt, ...], ...], Meta(min_length=1)]
    source: Source = PackageSource()
    default: bool = False
    optional: bool = False
    card: str = ""
    thresholds: dict[str, float] = {}
    thresholds_from: str = ""
    parameters: dict[str, Any] = {}

    def number(self, name: str) -> float:
        """The parameter `name`, which has to be a number. Raises `ConfigurationError` if it is not there."""
        value = self.parameters.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigurationError(f"model {self.name}: the manifest has no number parameters.{name}")
        return float(value)

    def threshold(self, name: str) -> float:
        """The threshold `name`. Raises `ConfigurationError` if the manifest has none of that name."""
        if name not in self.thresholds:
            raise ConfigurationError(f"model {self.name}: the manifest has no thresholds.{name}")
        return self.thresholds[name]


class _File(_Table, frozen=True):
    """A manifest file as it is written."""

    model: tuple[ModelEntry, ...] = ()
    wheels: dict[str, Wheel] = {}


class Manifest:
    """All models that this box knows of, whether their files are there yet or not."""

    def __init__(
        self, entries: dict[str, tuple[ModelEntry, Path]], wheels: dict[str, Wheel], folders: tuple[Path, ...]
    ) -> None:
        self._entries = entries
        self.wheels = wheels
        self.folders = folders
        """Where files are searched for, in this order."""

    def __iter__(self) -> Iterator[ModelEntry]:
        return (entry for entry, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, name: str) -> ModelEntry:
        """The model called `name`. Raises `ConfigurationError` naming those that there are."""
        if name not in self._entries:
            raise ConfigurationError(f"no model is called {name!r}; there are: {', '.join(sorted(self._entries))}")
        return self._entries[name][0]

    def of_task(self, task: str) -> list[ModelEntry]:
        """Every model for `task`, the default first."""
        return sorted((entry for entry in self if entry.task == task), key=lambda entry: not entry.default)

    def default(self, task: str) -> ModelEntry:
        """The model that is used for `task` when nobody chose: the one marked so, else the first described."""
        found = self.of_task(task)
        if not found:
            raise ConfigurationError(f"the manifest has no model for {str(task)!r}")
        return found[0]

    def home(self, entry: ModelEntry) -> Path:
        """The folder whose manifest describes `entry`."""
        return self._entries[entry.name][1]

    def find(self, entry: ModelEntry) -> Path | None:
        """Where the file of `entry` lies, or None: beside its description, else in the search folders."""
        candidates = (folder / entry.file for folder in (self.home(entry), *self.folders))
        return next((path for path in candidates if path.is_file()), None)

    def path(self, entry: ModelEntry) -> Path:
        """Where the file of `entry` lies. Raises `ModelError` that says how to get it."""
        path = self.find(entry)
        if path is None:
            searched = ", ".join(str(folder) for folder in self.folders)
            raise ModelError(
                f"{entry.file} (model {entry.name}) is not installed: run `vouchbox models install {entry.name}` "
                f"(searched {searched})"
            )
        return path


def package_folder() -> Path:
    """The folder of the installed package `models`: manifest, own models, cards."""
    return Path(str(resources.files("models")))


def search_folders(state: Path | None = None) -> tuple[Path, ...]:
    """The package's `models/`, each of `$VOUCHBOX_MODELS`, `<state>/models`, and a checkout's `models/installed`.

    `state` is the box's state folder; without it, that of the configuration.
    """
    package = package_folder()
    named = [Path(folder) for folder in os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep) if folder]
    folders = [package, *named, (state or load_config().state) / "models", package / "installed"]
    return tuple(dict.fromkeys(folder.absolute() for folder in folders))


def install_folder(state: Path | None = None) -> Path:
    """Where models are installed: the first folder of `$VOUCHBOX_MODELS`; in a checkout its `models/installed`, which
    needs no rights; else `<state>/models`."""
    named = os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep)[0]
    if named:
        return Path(named)
    package = package_folder()
    if state is None and (package.parent / "setup.py").is_file():
        return package / "installed"
    return (state or load_config().state) / "models"


def load_manifest(state: Path | None = None, folders: tuple[Path, ...] | None = None) -> Manifest:
    """The package's manifest with every bundle merged in.

    Raises:
        ConfigurationError: a manifest is missing, is not TOML, has an unknown or ill-typed key, describes a model whose
            name is taken, or names a wheel that it does not describe.
    """
    folders = folders or search_folders(state)
    package = package_folder()
    entries: dict[str, tuple[ModelEntry, Path]] = {}
    wheels: dict[str, Wheel] = {}
    for source in (package / MANIFEST_NAME, *_bundles(folders, package / MANIFEST_NAME)):
        described = read_toml(source, _File)
        wheels |= described.wheels
        for entry in described.model:
            if entry.name in entries:
                taken = entries[entry.name][1] / MANIFEST_NAME
                raise ConfigurationError(f"{source}: model {entry.name!r} is already described in {taken}")
            if isinstance(entry.source, WheelSource) and entry.source.wheel not in wheels:
                raise ConfigurationError(f"{source}: model {entry.name!r} needs a table wheels.{entry.source.wheel}")
            entries[entry.name] = (entry, source.parent)
    return Manifest(entries, wheels, folders)


def _bundles(folders: tuple[Path, ...], package: Path) -> Iterator[Path]:
    seen = {package.resolve()}
    for folder in folders:
        for found in (folder / MANIFEST_NAME, *sorted(folder.glob(f"*/{MANIFEST_NAME}"))):
            if found.is_file() and found.resolve() not in seen:
                seen.add(found.resolve())
                yield found
