"""Measures the document reader on rendered photographs (`textline_scenes.py`, `resident_scenes.py`).

In: a seed and a count. Out: on stdout, how many zones are exactly right by the height of their characters and by
layout, how many were called consistent, and every wrong text that was. With `--altered` every zone has one character
changed after its check digits were computed: it has to be read as printed. `--log FILE` keeps one JSON line a scene;
the same command goes on where it was stopped.

    python -m models.training.textline_measure --count 5000 --altered --frame 800 600 --log runs/altered.jsonl
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2

from device.evaluation.documents import said
from device.vision.document.reader import DocumentReader
from device.vision.inference.manifest import load_manifest
from models.training import resident_scenes
from models.training.resident_scenes import ResidentCards
from models.training.textline_scenes import SIZES, STANDARD, TODAY, Scene, Scenes

BINS = (0, 7, 9, 12, 16, 24, 99)
Row = dict[str, Any]


def measured(reader: DocumentReader, scene: Scene, index: int) -> Row:
    """What came of one scene."""
    reading = reader.read(scene.image)
    lines, consistent = said(reading)
    return {
        "index": index,
        "layout": scene.layout,
        "capital": round(scene.capital, 2),
        "exact": lines == scene.lines,
        "consistent": consistent,
        "cpu_ms": round(reading.cpu_ms, 1),
        "printed": scene.lines,
        "read": lines,
    }


def kept(log: Path | None, settings: Row) -> list[Row]:
    """What an earlier run with the same settings has measured."""
    if log is None or not log.exists():
        return []
    first, *rest = (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines())
    if first != settings:
        raise SystemExit(f"{log} is of other settings, {first}: give another file")
    return rest


def rows(settings: Row, count: int, log: Path | None) -> Iterator[Row]:
    """Every scene's row, of earlier runs and of this one."""
    before = kept(log, settings)[:count]
    yield from before
    scenes = _scenes(settings)
    reader = DocumentReader(load_manifest(), today=TODAY, thorough=False)
    if log is not None and not log.exists():
        log.write_text(json.dumps(settings) + "\n", encoding="utf-8")
    for index in range(len(before), count):
        row = measured(reader, scenes.at(index), index)
        if log is not None:
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        yield row


def _scenes(settings: Row) -> Scenes:
    layouts = tuple(settings["layouts"])
    if resident_scenes.LAYOUT in layouts and len(layouts) > 1:
        raise SystemExit(f"{resident_scenes.LAYOUT} has no zone: it is measured by itself")
    kind = ResidentCards if resident_scenes.LAYOUT in layouts else Scenes
    return kind(
        settings["seed"],
        altered=settings["altered"],
        hard=settings["hard"],
        capital=(settings["low"], settings["high"]),
        layouts=layouts,
        frame=tuple(settings["frame"]) if settings["frame"] else None,
    )


def show(found: list[Row]) -> None:
    """The figures."""

    def share(name: str, chosen: Callable[[Row], bool]) -> None:
        part = [row["exact"] for row in found if chosen(row)]
        if part:
            print(f"{name}: {sum(part)} of {len(part)} exact ({sum(part) / len(part):.1%})")

    for low, high in pairwise(BINS):
        share(f"characters {low}-{high} px", lambda row, low=low, high=high: low <= row["capital"] < high)
    for layout in (*SIZES, resident_scenes.LAYOUT):
        share(layout, lambda row, layout=layout: row["layout"] == layout)
    wrong = [row for row in found if row["consistent"] and not row["exact"]]
    for row in wrong:
        print(f"wrong but consistent, scene {row['index']}: {row['printed']} read as {row['read']}")
    exact, consistent = (sum(row[name] for row in found) for name in ("exact", "consistent"))
    print(f"{exact} of {len(found)} exact, {consistent} consistent, {len(wrong)} wrong but consistent")
    print(f"CPU {statistics.median(row['cpu_ms'] for row in found):.0f} ms (median)")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hard", type=float, default=0.5)
    parser.add_argument("--altered", action="store_true")
    parser.add_argument("--low", type=float, default=9.0, help="smallest height of characters, px")
    parser.add_argument("--high", type=float, default=28.0, help="largest height of characters, px")
    parser.add_argument("--layouts", nargs="+", choices=[*SIZES, resident_scenes.LAYOUT], default=list(STANDARD))
    parser.add_argument("--frame", nargs=2, type=int, metavar="PX", help="width and height; small ones are cheap")
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    settings = {name: value for name, value in vars(arguments).items() if name not in ("count", "log")}
    show(list(rows(settings, arguments.count, arguments.log)))


if __name__ == "__main__":
    main()
