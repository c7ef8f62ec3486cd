"""Reads a presentation-attack data set: a folder with `manifest.csv` (file, label, species, subject, group).

In: the folder. Out: `Presentation`s. `label` is `bona_fide` or `attack`; files are relative to the folder.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device.errors import InputError

COLUMNS: Final = ("file", "label", "species", "subject", "group")
LABELS: Final = ("bona_fide", "attack")
MANIFEST: Final = "manifest.csv"


@dataclass(frozen=True)
class Presentation:
    """One picture of a presentation; `species` is empty for a bona fide one."""

    path: Path
    attack: bool
    species: str
    subject: str
    group: str


def read_presentations(folder: Path) -> list[Presentation]:
    """All rows of the folder's manifest.

    Raises:
        InputError: no manifest, a column or value that is missing or unknown, or only one of the two labels.
    """
    manifest = folder / MANIFEST
    try:
        text = manifest.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{manifest}: cannot be read ({error}); give a folder with a {MANIFEST}") from error
    rows = csv.DictReader(text.splitlines())
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise InputError(f"{manifest}: has no column {', '.join(missing)}; the columns are {', '.join(COLUMNS)}")
    found = []
    for number, row in enumerate(rows, start=2):
        label, species = row["label"], row["species"] or ""
        if label not in LABELS:
            raise InputError(f"{manifest}, line {number}: label {label!r}; it is bona_fide or attack")
        if not row["file"] or (label == "attack" and not species):
            raise InputError(f"{manifest}, line {number}: an attack needs a file and a species")
        found.append(
            Presentation(folder / row["file"], label == "attack", species, row["subject"] or "", row["group"] or "")
        )
    if {presentation.attack for presentation in found} != {True, False}:
        raise InputError(f"{manifest}: needs bona fide presentations and attacks, it has {len(found)} rows of one kind")
    return found
