"""Decision thresholds of a face embedder for false match rates from 1e-2 to 1e-6, from impostor pairs.

In: the impostor scores of faces that no training has seen. Out: thresholds, and the manifest with them written in.
Impostor pairs need no identities as long as nearly all pairs are of two people. In a collection from the web a few are
not (the same person twice, duplicates), and those crowd the far tail. So:
- 1e-2 and 1e-3 are counted;
- 1e-4, 1e-5 and 1e-6 are extrapolated from the body of the distribution: the logarithm of the rate between 1e-2
  and 3e-4 as a parabola of the threshold (exact for a Gaussian's tail to first order), which the few false impostors
  hardly move. An extrapolated threshold is always above those of laxer levels.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from device.errors import ConfigurationError, InputError
from device.evaluation.metrics import ScoreHistogram
from device.protocol import FmrLevel

COUNTED: Final = (FmrLevel.E2, FmrLevel.E3)
BODY: Final = (1e-2, 3e-4)
HELD_BACK_OF: Final = 6
FEWEST_PAIRS: Final = 1_000_000


def held_back(name: str) -> bool:
    """Whether the face in the file `name` is kept out of all training; by a hash, so that it stays so for ever."""
    return hashlib.sha256(name.encode()).digest()[0] % HELD_BACK_OF == 0


YOUNGEST: Final = 16
"""Years from which on faces count: small children look alike, and none stands before a box."""


def old_enough(name: str, youngest: int = YOUNGEST) -> bool:
    """Whether a file name that begins with an age and an underscore (as UTKFace's do) gives at least `youngest`; one
    that does not begin so is."""
    age, separator, _ = name.partition("_")
    return not (separator and age.isascii() and age.isdigit()) or int(age) >= youngest


SEXES: Final = ("male", "female")
ORIGINS: Final = ("white", "black", "asian", "indian", "other")
AGES: Final = (30, 50)


def groups_of(name: str) -> tuple[str, ...]:
    """The groups that a file name of UTKFace's kind (`age_sex_origin_...`, its labels' own words) puts a face in."""
    fields = name.split("_")[:3]
    if len(fields) < 3 or not all(field.isascii() and field.isdigit() for field in fields):
        return ()
    age, sex, origin = map(int, fields)
    older = f"over {AGES[1]}" if age > AGES[1] else f"{AGES[0] + 1} to {AGES[1]}"
    found = [f"up to {AGES[0]}" if age <= AGES[0] else older]
    found += [kinds[value] for kinds, value in ((SEXES, sex), (ORIGINS, origin)) if value < len(kinds)]
    return tuple(found)


def grouped(names: Sequence[str]) -> dict[str, npt.NDArray[np.bool_]]:
    """Which of the files are in each group, for `device.evaluation.faces.group_fmr`."""
    groups: dict[str, npt.NDArray[np.bool_]] = {}
    for number, name in enumerate(names):
        for group in groups_of(name):
            groups.setdefault(group, np.zeros(len(names), dtype=bool))[number] = True
    return groups


def calibrate(impostors: ScoreHistogram) -> dict[str, float]:
    """Threshold (rounded up to four places) of each `FmrLevel`.

    Raises:
        InputError: there are too few pairs to know the body's shape.
    """
    if impostors.total < FEWEST_PAIRS:
        raise InputError(
            f"{impostors.total} impostor pairs are too few to set thresholds: at least {FEWEST_PAIRS} are needed, "
            f"which 1500 faces of different people give; one in {HELD_BACK_OF} of a folder's is used, so give it 9000"
        )
    rates = np.logspace(np.log10(BODY[0]), np.log10(BODY[1]), 40)
    reached = np.array([impostors.threshold_at(float(rate)) for rate in rates])
    # The threshold as a function of the log rate has a square-root shape; its inverse is the parabola.
    parabola = np.polyfit(reached, np.log10(rates), 2)
    found: dict[str, float] = {}
    lowest = -1.0
    for level in FmrLevel:
        rate = float(level.value)
        value = impostors.threshold_at(rate) if level in COUNTED else _reach(parabola, reached[-1], np.log10(rate))
        lowest = max(lowest + 1e-4, value)
        found[level.value] = float(np.ceil(lowest * 1e4) / 1e4)
    if lowest >= 1.0:
        raise InputError(
            "these faces do not separate: the strictest threshold would be above a cosine of 1. Either the embedder "
            "does not work (wrong template, colour or scale in the manifest?) or the folder shows few people many times"
        )
    return found


def _reach(parabola: np.ndarray[tuple[int], np.dtype[np.float64]], start: float, log_rate: float) -> float:
    """The threshold beyond `start` at which the parabola falls to `log_rate`; follows its tangent past its vertex."""
    square, slope = float(parabola[0]), float(parabola[1])
    level = float(np.polyval(parabola, start))
    steepness = 2 * square * start + slope
    if square < 0:
        root = np.sqrt(steepness**2 - 4 * square * (level - log_rate))
        return start + float((-steepness - root) / (2 * square))
    return start + (log_rate - level) / steepness  # a tail heavier than a Gaussian's: the straight, longer way


def write_thresholds(manifest: Path, name: str, thresholds: dict[str, float], source: str) -> None:
    """Puts the thresholds of model `name` into a manifest file; comments and everything else stay as they are.

    Raises:
        ConfigurationError: the manifest does not describe that model, or cannot be written.
    """
    text = manifest.read_text(encoding="utf-8")
    head = re.search(rf'^name = "{re.escape(name)}"$', text, re.MULTILINE)
    if head is None:
        raise ConfigurationError(f"{manifest} does not describe a model {name!r}")
    following = re.search(r"^\[", text[head.end() :], re.MULTILINE)
    end = head.end() + following.start() if following else len(text)
    block = text[head.end() : end]
    values = ", ".join(f'"{level}" = {value:.4f}' for level, value in thresholds.items())
    for key, value in (("thresholds", f"{{ {values} }}"), ("thresholds_from", json.dumps(source, ensure_ascii=False))):
        present = re.search(rf"^{key} = .*$", block, re.MULTILINE)
        if present:
            block = block[: present.start()] + f"{key} = {value}" + block[present.end() :]
        else:
            block = block.rstrip("\n") + f"\n{key} = {value}\n" + ("\n" if following else "")
    changed = text[: head.end()] + block + text[end:]
    try:
        tomllib.loads(changed)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"{manifest}: thresholds of {name!r} cannot be put there ({error}); write its entry with the keys "
            "`thresholds = {}` and `thresholds_from` and no tables of these names"
        ) from error
    beside = manifest.with_name(f".{manifest.name}.new")
    try:
        beside.write_text(changed, encoding="utf-8")
        beside.replace(manifest)
    except OSError as error:
        raise ConfigurationError(f"cannot write {manifest}: {error.strerror}; the thresholds are printed") from error
