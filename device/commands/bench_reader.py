"""The document reader's part of `vouchbox bench`: its memory, and its figures beside PassportEye's on the same images.

In: a folder with `truth.json` as for `vouchbox evaluate documents`, and the interpreter of the peer's environment
(`make peers`). Out: `ReaderFigures` of each reader. Every image is brought into 1280 by 960 pixels first and written
where both read it, so that both get the same bytes; times are CPU time in one thread and only their ratio says
something beyond this machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from device.errors import ConfigurationError
from device.evaluation.documents import CALENDAR, load_truth
from device.vision.camera.base import Image
from device.vision.document.reader import DocumentReader
from device.vision.inference.manifest import load_manifest
from device.vision.stills import load_still

FRAME = (1280, 960)  # px, the size at which the reader's time is stated
PEER = Path(".venvs/peers/bin/python")
MEMORY_IMAGES = 10

Case = tuple[Path, tuple[str, ...]]


@dataclass(frozen=True)
class ReaderFigures:
    """One reader on the images: exact zones, wrong ones that it calls valid, median CPU time in milliseconds."""

    reader: str
    images: int
    exact: int
    wrong_but_valid: int
    cpu_ms_median: float


def compare(folder: Path, work: Path, peer: Path) -> list[ReaderFigures]:
    """Both readers on the folder's images; only our own where the peer is not installed.

    Raises:
        InputError: the folder has no readable truth or images.
        ConfigurationError: the peer is installed and does not run.
    """
    cases = list(_prepared(folder, work))
    found = [_ours(cases)]
    if peer.exists():
        found.append(_peer(cases, peer))
    return found


def memory(images: list[Path]) -> dict[str, float]:
    """MB over the interpreter's own, settled and at most, after the images were read."""
    command = [sys.executable, "-m", "device.evaluation.reader_memory", *map(str, images[:MEMORY_IMAGES])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own interpreter
    sizes: dict[str, float] = json.loads(done.stdout)
    return sizes


def fitted(image: Image) -> Image:
    """The image as large as fits into `FRAME`, upright or on its side."""
    long, short = max(image.shape[:2]), min(image.shape[:2])
    scale = min(FRAME[0] / long, FRAME[1] / short)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def _prepared(folder: Path, work: Path) -> Iterator[Case]:
    for index, truth in enumerate(load_truth(folder)):
        path = work / f"{index}.png"
        cv2.imwrite(str(path), fitted(load_still(folder / truth.file))[:, :, ::-1])
        yield path, truth.lines


def _ours(cases: list[Case]) -> ReaderFigures:
    reader = DocumentReader(load_manifest())
    exact, wrong, times = 0, 0, []
    for path, printed in cases:
        reading = reader.read(load_still(path))
        right = reading.mrz is not None and reading.mrz.lines == printed
        exact += right
        wrong += reading.mrz is not None and reading.mrz.reason in CALENDAR and not right
        times.append(reading.cpu_ms)
    return ReaderFigures("vouchbox", len(cases), exact, wrong, round(statistics.median(times), 1))


def _peer(cases: list[Case], python: Path) -> ReaderFigures:
    program = Path(__file__).parent.parent / "evaluation" / "passport_eye.py"
    models = _models()
    command = [str(python), str(program), *_options(models)]
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    names = "\n".join(str(path) for path, _ in cases)
    done = subprocess.run(command, input=names, capture_output=True, text=True, env=environment)  # noqa: S603
    said: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    if len(said) != len(cases):
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise ConfigurationError(f"the peer at {python} does not run ({last[0]}): run `make peers` again")
    right = [_starts(each["lines"], printed) for each, (_, printed) in zip(said, cases, strict=True)]
    wrong = sum(each["valid"] and not exact for each, exact in zip(said, right, strict=True))
    times = [float(each["cpu_ms"]) for each in said]
    name = "PassportEye, MRZ model" if models else "PassportEye as installed"
    return ReaderFigures(name, len(cases), sum(right), wrong, round(statistics.median(times), 1))


def _starts(lines: list[str], printed: tuple[str, ...]) -> bool:
    """Whether the lines are the printed ones: what the peer has read beyond their ends, it ignores itself."""
    return len(lines) == len(printed) and all(line.startswith(row) for line, row in zip(lines, printed, strict=True))


def _models() -> Path | None:
    """A Tesseract model for machine readable zones, if `VOUCHBOX_PEERS` names a folder that has one."""
    folder = os.environ.get("VOUCHBOX_PEERS")
    found = sorted(Path(folder).rglob("*.traineddata")) if folder else []
    return next((path for path in found if "mrz" in path.name.lower()), found[0] if found else None)


def _options(model: Path | None) -> list[str]:
    return [] if model is None else ["--tessdata-dir", str(model.parent), "-l", model.stem]
