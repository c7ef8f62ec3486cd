"""Measures the document reader on photographs with known machine readable zones.

In: a folder with `truth.json`, a list of `{"file", "lines"}` (other keys are left alone), and the images that it names.
Out: `DocumentFigures`: how many zones are exactly right, the character error rate, how many wrong texts the reader
would have called consistent, its CPU time, and the same for those with characters of at least `LEGIBLE_PX`.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from device.errors import InputError
from device.protocol import Reason
from device.vision.document.reader import DocumentReader, DocumentReading
from device.vision.face.view import FaceFinder
from device.vision.stills import load_still

CALENDAR = (None, Reason.DOCUMENT_EXPIRED)
"""What may speak against a text that is called consistent here: specimens are expired."""


LEGIBLE_PX = 12.0
"""Distance of neighbouring characters, which is about their height (Doc 9303-3 section 4.4), from which print counts as
large enough. An image in which nothing was found counts too."""


class Truth(msgspec.Struct, frozen=True):
    """One image of the data set: its path inside the folder, and the zone as it is printed."""

    file: Annotated[str, Meta(min_length=1)]
    lines: tuple[str, ...]


def said(reading: DocumentReading) -> tuple[tuple[str, ...], bool]:
    """The lines of a zone, or a resident card's number, as read; and whether every rule but the calendar's holds."""
    if reading.card is not None:
        return (reading.card.number.text,), reading.card.consistent
    if reading.mrz is not None:
        return reading.mrz.lines, reading.mrz.reason in CALENDAR
    return (), False


@dataclass(frozen=True, eq=False)
class DocumentCase:
    """One image, what is printed on it, and what the reader made of it."""

    truth: Truth
    path: Path
    reading: DocumentReading

    @property
    def lines(self) -> tuple[str, ...]:
        return said(self.reading)[0]

    @property
    def exact(self) -> bool:
        return self.lines == self.truth.lines

    @property
    def consistent(self) -> bool:
        """Whether every rule but the calendar's holds."""
        return said(self.reading)[1]

    @property
    def pitch(self) -> float:
        """Distance of neighbouring characters, px, as it was seen; infinite if nothing was found."""
        lines = self.reading.lines
        pitches = [float(np.linalg.norm(line.quad[1] - line.quad[0])) / len(line) for line in lines if len(line)]
        return min(pitches, default=float("inf"))

    @property
    def errors(self) -> int:
        """Edit distance of the text; every character counts if nothing was read."""
        lines = [*self.lines, *[""] * len(self.truth.lines)]
        return sum(edit_distance(said, printed) for said, printed in zip(lines, self.truth.lines, strict=False))

    @property
    def failure(self) -> str:
        """Which kind of failure this is; empty for an exact reading."""
        if self.exact:
            return ""
        if not self.reading.lines:
            return "not located"
        if tuple(map(len, self.lines)) != tuple(map(len, self.truth.lines)):
            return "wrong layout"
        return "wrong but consistent" if self.consistent else "misread, and said so"


@dataclass(frozen=True)
class DocumentFigures:
    """The figures of DESIGN section 9; rates are fractions, times milliseconds of CPU."""

    total: int
    exact: int
    cer: float
    wrong_but_consistent: int
    cpu_ms_median: float
    legible: int = 0
    legible_exact: int = 0
    consistent: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "exact": self.exact,
            "cer": round(self.cer, 5),
            "wrong_but_consistent": self.wrong_but_consistent,
            "cpu_ms_median": round(self.cpu_ms_median, 1),
        }


def load_truth(folder: Path) -> list[Truth]:
    """The data set's list. Raises `InputError` that says what is wrong with it."""
    path = folder / "truth.json"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a folder with truth.json") from error
    try:
        return msgspec.json.decode(data, type=list[Truth])
    except msgspec.DecodeError as error:
        raise InputError(f'{path}: must be a list of {{"file", "lines"}}: {error}') from error


def read_cases(folder: Path, reader: DocumentReader) -> Iterator[DocumentCase]:
    """Reads the data set, image by image. Raises `InputError` for an image that is missing or no image."""
    for truth in load_truth(folder):
        path = folder / truth.file
        yield DocumentCase(truth, path, reader.read(load_still(path)))


def without_portrait(cases: list[DocumentCase], faces: FaceFinder) -> list[str]:
    """The files in which no face is found, neither on the document nor (where two sides are in one picture) anywhere.
    Whether one is shown there, no `truth.json` says: somebody has to look."""
    missing: list[str] = []
    for case in cases:
        places = (case.reading.document_image, load_still(case.path))
        if not any(image is not None and (faces.look(image).main or faces.search(image)) for image in places):
            missing.append(case.truth.file)
    return missing


def figures(cases: list[DocumentCase]) -> DocumentFigures:
    """What the cases come to. Raises `InputError` if there are none."""
    if not cases:
        raise InputError("truth.json names no image: there is nothing to measure")
    legible = [case for case in cases if case.pitch >= LEGIBLE_PX]
    return DocumentFigures(
        total=len(cases),
        exact=sum(case.exact for case in cases),
        cer=sum(case.errors for case in cases) / max(1, sum(len(line) for case in cases for line in case.truth.lines)),
        wrong_but_consistent=sum(case.consistent and not case.exact for case in cases),
        cpu_ms_median=statistics.median(case.reading.cpu_ms for case in cases),
        legible=len(legible),
        legible_exact=sum(case.exact for case in legible),
        consistent=sum(case.consistent for case in cases),
    )


def edit_distance(said: str, printed: str) -> int:
    """Levenshtein distance."""
    row: NDArray[np.int64] = np.arange(len(printed) + 1)
    for index, character in enumerate(said, 1):
        previous = row
        row = np.empty_like(previous)
        row[0] = index
        change = previous[:-1] + np.array([character != other for other in printed], np.int64)
        row[1:] = np.minimum(change, previous[1:] + 1)
        for column in range(1, len(row)):
            row[column] = min(row[column], row[column - 1] + 1)
    return int(row[-1])
