"""Reads a data set of faces.

In: a folder with `images/` (one folder a person, or flat if nobody knows who is who), optionally `pairs.csv`
(`fold,first,second,same`) and `groups.csv` (`file,group`), and elsewhere perhaps a list of its labels that are known to
be wrong (`file,person`). Out: a `FaceSet`. Files are relative to `images/`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from device.errors import InputError

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ListedPair:
    """One line of pairs.csv; `first` and `second` are indices into `FaceSet.files`."""

    fold: int
    first: int
    second: int
    same: bool


@dataclass(frozen=True)
class FaceSet:
    """A data set. `files` are relative to `images/`; `persons` number the people, or are empty if they are unknown."""

    folder: Path
    files: tuple[str, ...]
    persons: Labels
    pairs: tuple[ListedPair, ...] = ()
    groups: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    corrected: int = 0
    """How many labels `correct_labels` has changed."""


def load_face_set(folder: Path, wanted: Callable[[str], bool] = lambda _name: True) -> FaceSet:
    """Reads a data set's lists; only files that are `wanted` (by file name) are in it.

    Raises:
        InputError: the folder, its images or a list in it is missing or is not what it should be.
    """
    images = folder / "images"
    if not images.is_dir():
        raise InputError(f"{folder} has no folder images/: give a data set as `vouchbox evaluate faces --help` says")
    found = (path for path in sorted(images.rglob("*")) if path.suffix.lower() in SUFFIXES)
    files = tuple(str(path.relative_to(images)) for path in found if wanted(path.name))
    if len(files) < 2:
        raise InputError(f"{images} has fewer than two images of the kinds {', '.join(sorted(SUFFIXES))}")
    index = {name: number for number, name in enumerate(files)}
    owners = [str(Path(name).parent) for name in files]
    known = "." not in owners
    if not known and set(owners) != {"."}:
        stray = files[owners.index(".")]
        raise InputError(f"{images}: {stray} lies in no person's folder, others do: take it away or give it a folder")
    persons = np.unique(owners, return_inverse=True)[1].astype(np.int64) if known else np.empty(0, dtype=np.int64)
    pairs = tuple(_pairs(folder / "pairs.csv", index)) if (folder / "pairs.csv").is_file() else ()
    groups = _groups(folder / "groups.csv", index) if (folder / "groups.csv").is_file() else {}
    return FaceSet(folder, files, persons, pairs, groups)


def correct_labels(faces: FaceSet, errata: Path) -> FaceSet:
    """Says of some pictures who is really in them.

    Args:
        faces: a data set with a folder a person.
        errata: a list `file,person`; the person is a folder's name, or empty for somebody whom no other picture shows.

    Returns:
        The set with other `persons`. The listed pairs stay what their list says: they are somebody's protocol.

    Raises:
        InputError: the list is not what it should be, or the set does not say who is who.
    """
    if not len(faces.persons):
        raise InputError(f"{faces.folder} does not say who is who: there are no labels that {errata} could correct")
    index = {name: number for number, name in enumerate(faces.files)}
    numbers = {str(Path(name).parent): int(number) for name, number in zip(faces.files, faces.persons, strict=True)}
    persons, nobody = faces.persons.copy(), int(faces.persons.max()) + 1
    rows = list(_rows(errata, ("file", "person")))
    for line, row in enumerate(rows, start=2):
        if row["file"] not in index or (row["person"] and row["person"] not in numbers):
            raise InputError(f"{errata}, line {line}: {row} does not name an image and a person of {faces.folder}")
        persons[index[row["file"]]] = numbers[row["person"]] if row["person"] else nobody + line
    return replace(faces, persons=persons, corrected=len(rows))


def _pairs(path: Path, index: dict[str, int]) -> Iterator[ListedPair]:
    for number, row in enumerate(_rows(path, ("fold", "first", "second", "same")), start=2):
        missing = [row[key] for key in ("first", "second") if row[key] not in index]
        if missing or row["same"] not in {"0", "1"} or not row["fold"].isdigit():
            raise InputError(f"{path}, line {number}: {row} does not name two images, a fold, and same as 0 or 1")
        yield ListedPair(int(row["fold"]), index[row["first"]], index[row["second"]], row["same"] == "1")


def _groups(path: Path, index: dict[str, int]) -> dict[str, npt.NDArray[np.bool_]]:
    groups: dict[str, npt.NDArray[np.bool_]] = {}
    for row in _rows(path, ("file", "group")):
        if row["file"] in index:
            members = groups.setdefault(row["group"], np.zeros(len(index), dtype=bool))
            members[index[row["file"]]] = True
    return groups


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != columns:
                raise InputError(f"{path}: its first line has to be {','.join(columns)}")
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(f"{path}, line {reader.line_num}: there have to be {len(columns)} columns")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
