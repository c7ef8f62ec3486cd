"""Measures how the document reader bears what a camera does to a picture that it reads well.

In: a folder with `truth.json` and images (as for `vouchbox evaluate documents`), or nothing: then pages are rendered.
Out: on stdout, for every perturbation, how many zones are exactly right, how many wrong texts were called consistent,
and the median CPU time. No perturbation changes what is printed. For measuring only: nothing is chosen by it.

    python -m models.training.textline_stress [DIR] [--only NAME …] [--list]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from device.evaluation.documents import CALENDAR, load_truth
from device.vision.document.reader import DocumentReader
from device.vision.inference.manifest import load_manifest
from device.vision.stills import load_still
from models.training.textline_scenes import Scenes

Image = np.ndarray
Rng = np.random.Generator


def fitted(image: Image, side: int = 1280) -> Image:
    """Scaled so that its longer side is `side`."""
    scale = side / max(image.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)


def turned(image: Image, degrees: float) -> Image:
    """Turned by any angle on a grey ground, nothing cut off."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    cosine, sine = abs(turn[0, 0]), abs(turn[0, 1])
    size = round(height * sine + width * cosine), round(height * cosine + width * sine)
    turn[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    return cv2.warpAffine(image, turn, size, flags=cv2.INTER_AREA, borderValue=(96, 96, 90))


def perspective(image: Image, rng: Rng, strength: float) -> Image:
    """Seen from aside: corners moved inwards by up to `strength` of the sides."""
    height, width = image.shape[:2]
    source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    inwards = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * rng.uniform(0, strength, (4, 2)) * (width, height)
    warp = cv2.getPerspectiveTransform(source, (source + inwards).astype(np.float32))
    return cv2.warpPerspective(image, warp, (width, height), borderValue=(60, 70, 80))


def jpeg(image: Image, quality: int) -> Image:
    """Saved and loaded again."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def moved(image: Image, length: int, degrees: float) -> Image:
    """Blurred by a straight motion of `length` px."""
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), degrees, 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length))
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def cloth(rng: Rng, size: tuple[int, int]) -> Image:
    """A patterned table cloth: checks, stripes and dots."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    ground, thread = rng.integers(40, 230, (2, 3))
    period = int(rng.integers(14, 60))
    mask = ((x // period) % 2 + (y // period) % 2) / 2
    if rng.random() < 0.5:
        mask = np.maximum(mask, ((x % period - period / 2) ** 2 + (y % period - period / 2) ** 2 < (period / 4) ** 2))
    seen = ground * (1 - mask[..., None]) + thread * mask[..., None]
    return np.clip(seen + rng.normal(0, 6, (height, width, 1)), 0, 255).astype(np.uint8)


def laid(image: Image, ground: Image, share: float, rng: Rng, degrees: float) -> Image:
    """The picture as a thing on the ground, `share` of its width wide, turned."""
    height, width = ground.shape[:2]
    scale = share * min(width / image.shape[1], height / image.shape[0])
    small = cv2.GaussianBlur(image, (0, 0), max(0.2, 0.35 / scale)) if scale < 0.8 else image
    turn = cv2.getRotationMatrix2D((image.shape[1] / 2, image.shape[0] / 2), degrees, scale)
    room = (1 - share) * 0.3
    turn[:, 2] += np.array([width, height]) * (0.5 + rng.uniform(-room, room, 2))
    turn[:, 2] -= image.shape[1] / 2, image.shape[0] / 2
    seen = cv2.warpAffine(small, turn, (width, height))
    mask = cv2.warpAffine(np.full(image.shape[:2], 255, np.uint8), turn, (width, height))
    return np.where(mask[..., None] > 127, seen, ground)


def glare(image: Image, rng: Rng) -> Image:
    """A lamp's reflection, off or on the zone."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    place, radius = rng.uniform(0.1, 0.9, 2) * (width, height), 0.08 * width
    spot = np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / radius**2)
    return np.clip(image + 150 * spot[..., None], 0, 255).astype(np.uint8)


def toned(image: Image, gain: float, offset: float = 0, gamma: float = 1.0) -> Image:
    """Another exposure."""
    return np.clip((image / 255.0) ** gamma * 255 * gain + offset, 0, 255).astype(np.uint8)


def noisy(image: Image, rng: Rng, sigma: float) -> Image:
    """A sensor in the dark."""
    return np.clip(image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)


def text_page(rng: Rng, size: tuple[int, int]) -> Image:
    """A page of office print."""
    width, height = size
    page = np.full((height, width, 3), 248, np.uint8)
    for row in range(40, height - 10, 26):
        words = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz    "), int(rng.integers(30, 90))))
        cv2.putText(page, words, (40, row), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (30, 30, 30), 1, cv2.LINE_AA)
    return page


def wrinkled(image: Image, rng: Rng) -> Image:
    """On paper that does not lie flat: places move by up to a hundredth of the width, smoothly."""
    height, width = image.shape[:2]
    field = rng.normal(0, 0.006 * width, (2, 4, 4)).astype(np.float32)
    x, y = (cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in field)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(image, columns + x, rows + y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def photocopied(image: Image, rng: Rng) -> Image:
    """Black and white, as a copier or a fax leaves it."""
    grey = cv2.GaussianBlur(cv2.cvtColor(fitted(image), cv2.COLOR_RGB2GRAY), (0, 0), 0.8)
    near = cv2.blur(grey, (61, 61)).astype(np.float32)
    copy = np.where(grey > 0.86 * near + rng.normal(0, 3, grey.shape), 245, 12).astype(np.uint8)
    return cv2.cvtColor(copy, cv2.COLOR_GRAY2RGB)


def beside(image: Image, other: Image) -> Image:
    """Two things on one table, the second upside down."""
    left, right = fitted(image, 1000), np.rot90(fitted(other, 700), 2)
    ground = np.full((max(len(left), len(right)) + 40, left.shape[1] + right.shape[1] + 60, 3), (120, 96, 70), np.uint8)
    ground[20 : 20 + len(left), 20 : 20 + left.shape[1]] = left
    ground[-20 - len(right) : -20, -20 - right.shape[1] : -20] = right
    return ground


def thumbed(image: Image, rng: Rng) -> Image:
    """A thumb over one of the upper corners, where no zone is."""
    seen = fitted(image).copy()
    height, width = seen.shape[:2]
    place = (0 if rng.random() < 0.5 else width - 1, round(0.2 * height))
    cv2.ellipse(seen, place, (round(0.16 * width), round(0.1 * height)), 20, 0, 360, (214, 160, 132), -1, cv2.LINE_AA)
    return seen


def scanned(image: Image, rng: Rng) -> Image:
    """A copy of the document on an A4 sheet with a letter's text above and below."""
    page = text_page(rng, (1654, 2339))
    scale = 0.6 * page.shape[1] / image.shape[1]
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    small = small[: page.shape[0] - 400]
    top, left = 200, int(rng.uniform(0.05, 0.35) * page.shape[1])
    page[top - 30 : top + len(small) + 30, left - 30 : left + small.shape[1] + 30] = 250
    page[top : top + len(small), left : left + small.shape[1]] = small
    return page


PERTURBATIONS: dict[str, Callable[[Image, Rng], Image]] = {
    "as it is": lambda image, _: image,
    "rotated 90": lambda image, _: np.rot90(image),
    "rotated 180": lambda image, _: np.rot90(image, 2),
    "rotated 270": lambda image, _: np.rot90(image, 3),
    "tilted 10": lambda image, _: turned(image, 10),
    "tilted -20": lambda image, _: turned(image, -20),
    "tilted 20 on its side": lambda image, _: turned(image, 110),
    "perspective": lambda image, rng: perspective(image, rng, 0.12),
    "half the size": lambda image, _: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "1280 px": lambda image, _: fitted(image),
    "800 px": lambda image, _: fitted(image, 800),
    "600 px": lambda image, _: fitted(image, 600),
    "12 megapixels": lambda image, _: fitted(image, 4000),
    "blur": lambda image, _: cv2.GaussianBlur(fitted(image), (0, 0), 2.0),
    "motion": lambda image, rng: moved(fitted(image), 7, rng.uniform(0, 180)),
    "noise": lambda image, rng: noisy(fitted(image), rng, 14),
    "JPEG 30": lambda image, _: jpeg(fitted(image), 30),
    "JPEG 15": lambda image, _: jpeg(fitted(image), 15),
    "dark": lambda image, rng: noisy(toned(fitted(image), 0.22), rng, 2.5),
    "washed out": lambda image, _: toned(image, 0.35, 150),
    "overexposed": lambda image, _: toned(image, 1.45, 20),
    "gamma 2": lambda image, _: toned(image, 1.0, 0, 2.0),
    "glare": lambda image, rng: glare(fitted(image), rng),
    "on a cloth": lambda image, rng: laid(image, cloth(rng, (1280, 960)), 0.8, rng, rng.uniform(-20, 20)),
    "on a page": lambda image, rng: laid(image, text_page(rng, (1700, 2200)), 0.55, rng, rng.uniform(-3, 3)),
    "on the same white": lambda image, rng: laid(
        image, np.full((1200, 1600, 3), 236, np.uint8), 0.7, rng, rng.uniform(-8, 8)
    ),
    "in 12 megapixels": lambda image, rng: laid(image, cloth(rng, (4000, 3000)), 0.45, rng, rng.uniform(-15, 15)),
    "grey": lambda image, _: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
    "inverted": lambda image, _: 255 - image,
    "400 px": lambda image, _: fitted(image, 400),
    "low contrast": lambda image, rng: noisy(toned(fitted(image, 800), 0.15, 90), rng, 1.5),
    "photocopied": photocopied,
    "a thumb on it": thumbed,
    "another beside it": lambda image, _: beside(image, cv2.GaussianBlur(image, (0, 0), 6)),
    "on a scanned letter": scanned,
    "wrinkled": lambda image, rng: wrinkled(fitted(image, 1000), rng),
    "JPEG 8": lambda image, _: jpeg(fitted(image), 8),
}


def cropped_by(reader: DocumentReader) -> Callable[[Image, Rng], Image]:
    """Cut so close around the zone that its outer characters touch the border."""

    def cropped(image: Image, _: Rng) -> Image:
        lines = reader.read(image).lines
        if not lines:
            return image
        corners = np.concatenate([line.quad for line in lines])
        left, top = np.maximum(corners.min(axis=0).round().astype(int), 0)
        right, bottom = corners.max(axis=0).round().astype(int)
        return image[top:bottom, left:right]

    return cropped


def _pictures(folder: Path | None, count: int, seed: int) -> Iterator[tuple[str, Image, tuple[str, ...]]]:
    if folder is not None:
        for truth in load_truth(folder):
            yield truth.file, load_still(folder / truth.file), truth.lines
        return
    scenes = Scenes(seed, hard=0.4, capital=(14.0, 28.0))
    for index in range(count):
        scene = scenes.sample()
        yield f"scene {index}", scene.image, scene.lines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--only", nargs="*", metavar="NAME")
    parser.add_argument("--count", type=int, default=40, help="rendered pages, without a folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failures", action="store_true", help="name them")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join([*PERTURBATIONS, "cropped to the zone"]))
        return
    cv2.setNumThreads(1)
    reader = DocumentReader(load_manifest())
    pictures = list(_pictures(arguments.folder, arguments.count, arguments.seed))
    changes = {**PERTURBATIONS, "cropped to the zone": cropped_by(reader)}
    for number, (name, change) in enumerate(changes.items()):
        if arguments.only and name not in arguments.only:
            continue
        exact, wrong, times, failures = 0, 0, [], []
        for index, (file, image, lines) in enumerate(pictures):
            rng = np.random.default_rng((arguments.seed, number, index))
            reading = reader.read(np.ascontiguousarray(change(image, rng), np.uint8))
            right = reading.mrz is not None and reading.mrz.lines == lines
            consistent = reading.mrz is not None and reading.mrz.reason in CALENDAR
            exact += right
            wrong += consistent and not right
            times.append(reading.cpu_ms)
            if not right:
                failures.append((file, "called consistent" if consistent else "", reading.mrz and reading.mrz.lines))
        print(
            f"{name:24} {exact} of {len(pictures)} exact ({exact / len(pictures):.1%}), {wrong} wrong but consistent, "
            f"{statistics.median(times):.0f} ms",
            flush=True,
        )
        if arguments.failures:
            for failure in failures:
                print("   ", *failure)


if __name__ == "__main__":
    main()
