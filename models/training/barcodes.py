"""Measures barcode reading: by zxing-cpp alone, by the box, and by pyzbar where it is installed (docs/decisions/0041).

In: a folder of images with same-named .txt or .bin files of what they hold (`python -m models.training.barcodes DIR`);
or `--tilt`, for PDF417 symbols of synthetic licences rendered at 0 to 20 degrees of tilt with perspective, blur and
noise; or `--payloads DIR`, for the payloads of its .txt files printed as PDF417 on the back of a card, which a hand
holds before the emulated camera at 0 to 20 degrees. Out: a table on stdout.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

from device.vision.camera.emulation.document_art import DocumentArt
from device.vision.camera.emulation.held_document import HeldDocument
from device.vision.camera.emulation.person import Held
from device.vision.document.barcode import FORMATS, read_barcodes

Image = NDArray[np.uint8]
Reader = Callable[[Image], list[bytes]]


def _readers() -> dict[str, Reader]:
    readers: dict[str, Reader] = {
        "zxing-cpp": lambda image: [bytes(code.bytes) for code in zxingcpp.read_barcodes(image, formats=FORMATS)],
        "vouchbox": lambda image: [code.data for code in read_barcodes(image)],
    }
    try:
        from pyzbar import pyzbar
    except ImportError as error:
        print(f"pyzbar is not measured: {error}")
    else:

        def peer(image: Image) -> list[bytes]:
            try:
                return [code.data for code in pyzbar.decode(image, [pyzbar.ZBarSymbol.QRCODE])]
            except ValueError:  # it knows no name for the orientation that its library gives some symbols
                return []

        readers["pyzbar"] = peer
    return readers


def _truth(path: Path) -> bytes | None:
    for suffix in (".bin", ".txt"):
        if (file := path.with_suffix(suffix)).exists():
            return file.read_bytes().strip()
    return None


def _same(read: bytes, truth: bytes) -> bool:
    """Whether the bytes are the truth, or its text in one of the character sets that codes use."""
    if read.strip() == truth:
        return True
    texts = (truth.decode("utf-8", "ignore").encode(charset, "ignore") for charset in ("latin-1", "shift_jis", "gbk"))
    return any(read.strip() == text.strip() for text in texts)


def _images(folder: Path) -> Iterator[tuple[str, Image, bytes | None]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".png", ".jpg", ".webp"):
            image = cv2.imread(str(path))
            if image is not None:
                rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
                yield path.parent.name.rpartition("-")[0], rgb, _truth(path)


def _tilted(seed: int, count: int) -> Iterator[tuple[str, Image, bytes | None]]:
    generator = np.random.default_rng(seed)
    letters = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", np.uint8)
    for index in range(count):
        angle = 20.0 * index / max(1, count - 1)
        low = min(15, int(angle // 5) * 5)
        lines = b"\n".join(b"D" + bytes(generator.choice(letters, 14)) for _ in range(22))
        payload = b"@\n\x1e\rANSI 636000100001DL00310350DL" + lines
        symbol = np.asarray(zxingcpp.create_barcode(payload, zxingcpp.BarcodeFormat.PDF417).to_image(scale=3), np.uint8)
        yield (
            f"{low:02d}-{low + 5:02d} degrees",
            _scene(symbol, angle, generator),
            payload,
        )


def _scene(symbol: Image, angle: float, generator: np.random.Generator) -> Image:
    """The symbol on a grey card, turned, seen a little from the side, blurred and noisy; H×W×3 RGB."""
    height, width = symbol.shape[:2]
    size = int(1.35 * np.hypot(width, height))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    turn = np.deg2rad(angle * generator.choice((-1, 1)))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    placed = (corners - (width / 2, height / 2)) @ rotation.T + size / 2
    placed += generator.uniform(-0.02, 0.02, (4, 2)) * width
    warp = cv2.getPerspectiveTransform(corners, placed.astype(np.float32))
    card = np.full((size, size), generator.integers(190, 240), np.uint8)
    scene = cv2.warpPerspective(symbol, warp, (size, size), dst=card, borderMode=cv2.BORDER_TRANSPARENT)
    scene = cv2.GaussianBlur(scene, (0, 0), float(generator.uniform(0.4, 1.2)))
    noisy = np.clip(scene + generator.normal(0, 5, scene.shape), 0, 255).astype(np.uint8)
    return np.repeat(noisy[:, :, None], 3, axis=2)


CARD_MM = (85.6, 53.98)  # ISO/IEC 7810 ID-1
CARD_DOTS = 24  # px a millimetre, so that a module of 0.17 mm is 4 px
SYMBOL_MM = (76.0, 26.0)  # the most that a symbol takes of it
FRAME = (1280, 960)
ANGLES = (0, 5, 10, 15, 20)


def _held(folder: Path, seed: int) -> Iterator[tuple[str, Image, bytes | None]]:
    """Each payload on a card, at each angle to either side, with some tilt out of the plane, blur, glare and noise."""
    generator = np.random.default_rng(seed)
    for path in sorted(path for path in folder.glob("*.txt") if path.stem != "SOURCE"):
        payload = path.read_bytes()
        back = np.full((round(CARD_MM[1] * CARD_DOTS), round(CARD_MM[0] * CARD_DOTS), 3), 232, np.uint8)
        symbol = np.asarray(zxingcpp.create_barcode(payload, zxingcpp.BarcodeFormat.PDF417).to_image(scale=8), np.uint8)
        scale = min(SYMBOL_MM[0] * CARD_DOTS / symbol.shape[1], SYMBOL_MM[1] * CARD_DOTS / symbol.shape[0])
        symbol = np.asarray(cv2.resize(symbol, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        top, left = 5 * CARD_DOTS, (back.shape[1] - symbol.shape[1]) // 2
        back[top : top + symbol.shape[0], left : left + symbol.shape[1]] = symbol[:, :, None]
        card = HeldDocument(DocumentArt(back, None, CARD_MM, (), (), (0, 0, 1, 1)))
        for angle in ANGLES:
            frame = np.full((FRAME[1], FRAME[0], 3), generator.integers(60, 180), np.uint8)
            tilts = generator.uniform(-8, 8, 2)
            turn = float(angle * generator.choice((-1, 1)))
            card.draw(frame, Held(False, 0.7, 0.5, 0.5, float(tilts[0]), float(tilts[1]), turn, 0.3, 0.7))
            noisy = np.clip(frame + generator.normal(0, 4, frame.shape), 0, 255).astype(np.uint8)
            yield f"held at {angle:2d} degrees", noisy, payload.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--tilt", type=int, metavar="N", help="render N tilted PDF417 symbols instead")
    parser.add_argument(
        "--payloads", type=Path, metavar="DIR", help="hold the payloads of DIR before the camera instead"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.payloads:
        source = _held(arguments.payloads, arguments.seed)
    else:
        source = _tilted(arguments.seed, arguments.tilt) if arguments.tilt else _images(arguments.folder)
    readers = _readers()
    right: dict[tuple[str, str], int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    total: dict[str, int] = defaultdict(int)
    only_peer = 0
    for kind, image, truth in source:
        total[kind] += 1
        hits = {}
        for name, reader in readers.items():
            start = time.process_time()
            read = reader(image)
            seconds[name] += time.process_time() - start
            hits[name] = any(truth is None or _same(data, truth) for data in read)
            right[kind, name] += hits[name]
        only_peer += hits.get("pyzbar", False) and not hits["vouchbox"]
    for kind, count in total.items():
        print(f"{kind:20} n={count:4d}  " + "  ".join(f"{name} {right[kind, name] / count:6.1%}" for name in readers))
    images = sum(total.values())
    whole = "  ".join(f"{name} {sum(right[kind, name] for kind in total) / images:6.1%}" for name in readers)
    print(f"{'all':20} n={images:4d}  {whole}")
    print("CPU ms an image  " + "  ".join(f"{name} {1000 * seconds[name] / images:.1f}" for name in readers))
    if "pyzbar" in readers:
        print(f"read by pyzbar and not by the box: {only_peer}")


if __name__ == "__main__":
    main()
