"""Hostile pictures and payloads, seeded: none crashes, hangs (two seconds of CPU) or makes memory grow.

Ten thousand payloads are a matter of seconds; ten thousand pictures take half an hour and are run where
VOUCHBOX_HOSTILE is set (`make reader-proof`), a thousand after the other (`-k "pictures and from_4000"` runs one of
them), eighty of them always.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from device.evaluation.memory import resident
from device.protocol import Result
from device.vision.camera.base import Image
from device.vision.document import aamva, national, seal
from device.vision.document.barcode import Barcode
from device.vision.document.fusion import DocumentFusion
from device.vision.document.reader import DocumentReader, DocumentReading
from device.vision.inference.manifest import load_manifest
from tests.slowness import SLOWNESS
from tests.vision.document import scenes
from tests.vision.document.synthetic import TODAY
from tests.vision.document.test_aamva import payload
from tests.vision.document.test_seal import vds

HANG_S = 2.0
GROWTH_KB = 8_000
PICTURES_GROWTH_KB = 20_000


def resident_kb() -> int:
    """What the process holds now, without what the allocator only keeps for later (30 to 90 MB after pictures of many
    sizes, up and down)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return round(resident() * 1024)


def endure(step: Callable[[np.random.Generator], None], count: int, seed: int, growth_kb: int) -> float:
    """Runs the step `count` times; returns the slowest. Memory is compared after a fifth, when caches are full."""
    rng = np.random.default_rng(seed)
    slowest, settled = 0.0, 0
    for number in range(count):
        began = time.process_time()
        step(rng)
        slowest = max(slowest, time.process_time() - began)
        assert slowest < HANG_S * SLOWNESS, f"number {number} of seed {seed}"
        if number == count // 5:
            settled = resident_kb()
    assert resident_kb() - settled < growth_kb
    return slowest


# --- Payloads --------------------------------------------------------------------------------------------------------

SOUND = (
    payload(extra={"ZVA": "01"}),
    payload(version=1),
    payload(subfile="ID", issuer="604432"),
    vds(),
    vds(version=2),
    json.dumps({"data": {"hdr": {"t": "icao.test", "v": 1, "is": "UTO"}, "msg": {}}, "sig": {"sigvl": "AA"}}).encode(),
    b"RDB1BNK6ADRJTANKRIRLAKQQLYAA",
)


def mutated_payload(rng: np.random.Generator) -> bytes:
    """A sound payload with bytes changed, cut out, doubled, moved, or grown out of all measure."""
    data = bytearray(SOUND[rng.integers(len(SOUND))])
    for _ in range(int(rng.integers(1, 6))):
        at, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 40))
        kind = rng.integers(6)
        if kind == 0:
            data[at : at + length] = bytes(rng.integers(0, 256, length, np.uint8))
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length] * int(rng.integers(1, 30))
        elif kind == 3:
            other = SOUND[rng.integers(len(SOUND))]
            data[at:] = other[int(rng.integers(len(other))) :]
        elif kind == 4:
            data[at:at] = rng.choice([b"\n", b"\r", b"\x1e", b"DAQ", b"DBB", b"\x00", b"DL", b"9" * 9, b"\xff\xfe"])
        else:
            del data[at:]
        if not data:
            data = bytearray(b"@")
    return bytes(data[:4096])


def take(data: bytes) -> None:
    """Everything that is done with a symbol's bytes."""
    licence = aamva.parse(data, TODAY)
    assert licence is None or all(result in Result for result, _ in licence.checks.values())
    seal.parse(data)
    national.judge("cn_ric", data.decode("latin-1"), TODAY)
    fusion = DocumentFusion(TODAY)
    symbol = Barcode("PDF417", data, np.zeros((4, 2), np.float32))
    fusion.add(DocumentReading(None, None, (), None, (symbol,), None, 0.0))
    assert fusion.result().checks


def test_ten_thousand_mutated_payloads() -> None:
    endure(lambda rng: take(mutated_payload(rng)), 10_000, seed=41, growth_kb=GROWTH_KB)


# --- Pictures --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reader() -> DocumentReader:
    return DocumentReader(load_manifest(), today=TODAY, thorough=False)


def mutated_picture(picture: Image, rng: np.random.Generator) -> Image:
    """Cut, stretched, torn, inverted or overwritten."""
    height, width = picture.shape[:2]
    top, left = int(rng.integers(height - 20)), int(rng.integers(width - 20))
    part = picture[top : top + int(rng.integers(17, height)), left : left + int(rng.integers(17, width))]
    size = (int(rng.integers(16, 900)), int(rng.integers(16, 900)))
    kind = rng.integers(5)
    out = np.asarray(cv2.resize(part, size), np.uint8).copy()
    if kind == 1:
        out = 255 - out
    elif kind == 2:
        rows = rng.integers(0, out.shape[0], out.shape[0])
        out = out[rows]
    elif kind == 3:
        out[rng.random(out.shape[:2]) < 0.3] = rng.integers(0, 256, 3)
    elif kind == 4:
        out = np.ascontiguousarray(out[:, ::-1].transpose(1, 0, 2))
    return out


def survive(reader: DocumentReader, count: int, seed: int) -> None:
    pictures = [scene.image for scene in scenes.good(6, seed)]

    def step(rng: np.random.Generator) -> None:
        reading = reader.read(mutated_picture(pictures[rng.integers(len(pictures))], rng))
        assert all(np.isfinite(line.probabilities).all() for line in reading.lines)

    slowest = endure(step, count, seed, PICTURES_GROWTH_KB)
    print(f"{count} mutated pictures, the slowest {slowest:.2f} s of CPU")


def test_mutated_pictures_neither_crash_nor_hang(reader: DocumentReader) -> None:
    survive(reader, 80, seed=1)


@pytest.fixture(scope="module")
def grown() -> list[int]:
    """What the process held after each thousand, kB."""
    return []


@pytest.mark.slow
@pytest.mark.timeout(14_400)
@pytest.mark.skipif("VOUCHBOX_HOSTILE" not in os.environ, reason="half an hour: set VOUCHBOX_HOSTILE=1 to run it")
@pytest.mark.parametrize("first", range(0, 10_000, 1000), ids=lambda first: f"from_{first}")
def test_ten_thousand_mutated_pictures(reader: DocumentReader, grown: list[int], first: int) -> None:
    survive(reader, 1000, seed=100 + first)
    grown.append(resident_kb())
    print(f"{grown[-1] / 1000:.0f} MB held")
    assert grown[-1] - grown[0] < PICTURES_GROWTH_KB  # over all thousands that one process has run
