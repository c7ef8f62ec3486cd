"""Looking for a picture: the forms in which a known patch or embedding could lie somewhere, and places to look.

In: a patch (side x side x 3 uint8) that every frame carried in its corner; embeddings that were computed. Out: byte
strings (`needles`) that can only be there if pixels or templates are; searches of files, bytes and live memory.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

SIDE = 64
_ROWS = (5, 30, 55)
_PIXELS = slice(8, 28)
"""Twenty pixels of a row: sixty random bytes, which do not come about by chance."""


def make_patch(seed: int = 20_260_101) -> np.ndarray:
    """The pattern: random bytes, the same in every run."""
    return np.frombuffer(random.Random(seed).randbytes(SIDE * SIDE * 3), np.uint8).reshape(SIDE, SIDE, 3)


def _base64(data: bytes) -> Iterator[bytes]:
    """What of the base64 of anything that contains `data` does not depend on what is before and after it."""
    for lead in range(3):
        coded = base64.b64encode(b"\0" * lead + data)
        yield coded[4:-4]


def pixel_needles(patch: np.ndarray) -> dict[str, bytes]:
    """The patch as pixels: channel orders, grey, scaled to floats, made smaller, and each raw form as base64."""
    found: dict[str, bytes] = {}
    small = {
        f"half-{name}": cv2.resize(patch, (SIDE // 2, SIDE // 2), interpolation=how)
        for name, how in (("area", cv2.INTER_AREA), ("linear", cv2.INTER_LINEAR), ("nearest", cv2.INTER_NEAREST))
    }
    for name, picture in {"full": patch, **small}.items():
        for row in _ROWS if name == "full" else (10,):
            piece = picture[row, _PIXELS]
            found[f"{name}-rgb-{row}"] = piece.tobytes()
            found[f"{name}-bgr-{row}"] = piece[:, ::-1].tobytes()
            found[f"{name}-grey-{row}"] = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[row, _PIXELS].tobytes()
            found[f"{name}-plane-{row}"] = picture[row, _PIXELS, 1].tobytes()
    piece = patch[_ROWS[0], _PIXELS]
    for index, coded in enumerate(_base64(piece.tobytes())):
        found[f"base64-{index}"] = coded
    for scale, offset in ((1 / 255, 0.0), (1 / 127.5, -1.0), (1.0, 0.0)):
        scaled = (piece.astype(np.float32) * np.float32(scale) + np.float32(offset))[:8]
        found[f"float32-{scale:.4f}"] = scaled.tobytes()
        divided = (piece.astype(np.float32) / np.float32(round(1 / scale)) + np.float32(offset))[:8]
        found[f"float32-divided-{scale:.4f}"] = divided.tobytes()
        found[f"float16-{scale:.4f}"] = scaled.astype(np.float16).tobytes()
    return found


def compressed_needles(patch: np.ndarray, size: tuple[int, int] = (720, 1280)) -> dict[str, bytes]:
    """The first bytes of a frame's JPEG scan: they code the patch's first blocks, whatever else is in the frame."""
    frame = np.zeros((*size, 3), np.uint8)
    frame[:SIDE, :SIDE] = patch[:, :, ::-1]
    found = {}
    for quality in (75, 80, 85, 90, 95):
        data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        scan = data.index(b"\xff\xda")
        start = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
        found[f"jpeg-{quality}"] = data[start + 8 : start + 72]
    return found


def embedding_needles(vectors: np.ndarray) -> dict[str, bytes]:
    """N x D float32 embeddings: parts of each as float32, float16 and as base64."""
    found = {}
    for index, vector in enumerate(vectors):
        found[f"embedding-{index}"] = vector[8:14].astype("<f4").tobytes()
        found[f"embedding16-{index}"] = vector[8:18].astype("<f2").tobytes()
        for shift, coded in enumerate(_base64(vector[8:20].astype("<f4").tobytes())):
            found[f"embedding64-{index}-{shift}"] = coded
    return found


class Search:
    """All needles at once, in one pass over the data: memory is large, and the needles are many."""

    def __init__(self, needles: dict[str, bytes]) -> None:
        self._by_start: dict[bytes, list[tuple[str, bytes]]] = {}
        for name, whole in needles.items():
            needle = whole
            while not (needle[0] and needle[1]):  # memory is mostly zeros: nothing may begin like them
                needle = needle[1:]
            self._by_start.setdefault(needle[:4], []).append((name, needle))
        self._begins = np.zeros(1 << 16, bool)
        for start in self._by_start:
            self._begins[int.from_bytes(start[:2], "little")] = True

    def __call__(self, data: bytes) -> set[str]:
        """The names of those that are in `data`."""
        found: set[str] = set()
        for shift in (0, 1):
            if len(data) < 4:
                break
            words = np.frombuffer(data, "<u2", (len(data) - shift) // 2, shift)
            for at in (np.flatnonzero(self._begins[words]) * 2 + shift).tolist():
                for name, needle in self._by_start.get(data[at : at + 4], ()):
                    if data.startswith(needle, at):
                        found.add(name)
        return found


def found_in(data: bytes, needles: dict[str, bytes]) -> set[str]:
    """Which needles are there; and `picture`, if there is a JPEG or PNG that shows the patch's size of picture."""
    hits = Search(needles)(data)
    return hits | ({"picture"} if any(True for _ in pictures_in(data)) else set())


def pictures_in(data: bytes) -> Iterator[np.ndarray]:
    """Whole JPEG and PNG files in `data` that decode, and are large enough to show a person."""
    for mark in (b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xdb", b"\x89PNG\r\n\x1a\n"):
        at = data.find(mark)
        while at >= 0:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8, min(len(data) - at, 4_000_000), at), cv2.IMREAD_COLOR)
            if picture is not None and min(picture.shape[:2]) >= SIDE:
                yield picture
            at = data.find(mark, at + 1)


def memory_of(pid: int) -> Iterator[bytes]:
    """The writable memory of a live process, region by region: heap, stacks, anonymous and shared maps."""
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            addresses, rights = line.split()[:2]
            start, end = (int(part, 16) for part in addresses.split("-"))
            if rights.startswith("rw"):
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(start)
                    yield memory.read(end - start)


def in_memory(pids: Iterable[int], needles: dict[str, bytes]) -> dict[int, set[str]]:
    """What is found in each process; empty where nothing is."""
    found: dict[int, set[str]] = {}
    search = Search(needles)
    for pid in pids:
        hits = {name for region in memory_of(pid) for name in search(region)}
        if hits:
            found[pid] = hits
    return found


def glimpsed(pids: Iterable[int], patch: np.ndarray) -> bool:
    """Whether the plain pattern is in the memory of one of these processes now: quick, for looking often."""
    rows = [patch[row, _PIXELS].tobytes() for row in _ROWS]
    for pid in pids:
        with contextlib.suppress(OSError):  # it may end while it is read
            if any(row in region for region in memory_of(pid) for row in rows):
                return True
    return False


def noted_embeddings(pids: Iterable[int], values: int = 256) -> dict[bytes, np.ndarray]:
    """The embeddings that the spy has noted in the memory of these processes, by their bytes: float32 of length one."""
    mark = hashlib.sha256(b"canary embedding").digest()
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):  # it may end while it is read
            for region in memory_of(pid):
                at = region.find(mark)
                while at >= 0:
                    data = region[at + len(mark) : at + len(mark) + 4 * values]
                    vector = np.frombuffer(data, "<f4") if len(data) == 4 * values else np.zeros(values)
                    with np.errstate(all="ignore"):
                        if abs(float(np.linalg.norm(vector)) - 1) < 1e-3:
                            found[data] = vector
                    at = region.find(mark, at + 1)
    return found


def in_files(folders: Iterable[Path], needles: dict[str, bytes]) -> dict[str, set[str]]:
    """What is found in plain files below `folders`."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and (hits := found_in(path.read_bytes(), needles)):
                found[str(path)] = hits
    return found
