"""Measures `document.presentation`: the scores of genuine documents, black-and-white copies and screens, rendered.

In: nothing, or a folder of portraits (`--portraits`), a seed and a count. Out: on stdout, the limits that let the given
share of genuine documents of one half pass (`--bpcer`), and the error rates of the other half at the limits of
`models/document.toml`. `--bona-fide DIR` adds the error rate on photographs of genuine documents.

Cards are drawn with random pastel papers, guilloches, portraits (some grey, as engraved ones are) and print; seen by a
simulated camera (perspective, lens blur, Bayer mosaic, white balance, noise, JPEG) and rectified as the reader does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from device.vision.document.authenticity import colour_left, grid_peak
from device.vision.document.parameters import parameters

Pixels = NDArray[np.float32]
Rng = np.random.Generator
CARD = (1284, 810)
"""15 px a millimetre of ID-1."""
LIMITS = (5.0, 7.0, 10.0)
"""Limits of the peak that the table shows beside the chosen one."""
RESOLVED = 0.02
"""Contrast of a display's grid on the sensor from which it can be said to be resolved."""


def card(rng: Rng, portraits: list[Path]) -> Pixels:
    """A document's front, (810, 1284, 3) RGB, 0..1."""
    width, height = CARD
    tones = 1 - rng.uniform(0.02, 0.35, (2, 3)) * rng.uniform(0.15, 1.0, (2, 1))
    ramp = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    art = np.ascontiguousarray(np.broadcast_to(tones[0] * (1 - ramp) + tones[1] * ramp, (height, width, 3)), np.float32)
    x = np.arange(width)
    for _ in range(int(rng.integers(8, 40))):
        ink = tuple(float(v) for v in rng.uniform(0.4, 0.95, 3))
        wave = rng.uniform(0, height) + rng.uniform(5, 90) * np.sin(x * rng.uniform(0.003, 0.03) + rng.uniform(0, 6))
        for shift in range(0, int(rng.integers(1, 8)) * 6, 6):
            points = np.stack([x, wave + shift], axis=1).astype(np.int32)
            cv2.polylines(art, [points], False, ink, int(rng.integers(1, 3)), cv2.LINE_AA)
    tall = int(rng.uniform(0.4, 0.62) * height)
    wide, left, top = int(tall * 0.78), int(rng.uniform(0.03, 0.1) * width), int(rng.uniform(0.2, 0.3) * height)
    art[top : top + tall, left : left + wide] = _portrait(rng, portraits, wide, tall)
    ink = (255 * rng.uniform(0.0, 0.25, 3)).tolist()
    printed = (np.clip(art, 0, 1) * 255).astype(np.uint8)
    for row in range(int(rng.integers(5, 9))):
        text = "".join(rng.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789  "), int(rng.integers(6, 22))))
        at = (left + wide + 40, int(0.22 * height) + row * 62)
        cv2.putText(printed, text, at, cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.7, 1.2)), ink, 2, cv2.LINE_AA)
    return printed.astype(np.float32) / 255


def _portrait(rng: Rng, portraits: list[Path], width: int, height: int) -> Pixels:
    if portraits:
        picture = cv2.imread(str(portraits[int(rng.integers(len(portraits)))]))
        face = cv2.resize(picture[:, :, ::-1], (width, height)).astype(np.float32) / 255
    else:
        face = np.full((height, width, 3), rng.uniform(0.6, 0.95, 3), np.float32)
        skin = np.array([0.9, 0.7, 0.6]) * rng.uniform(0.4, 1.0)
        cv2.ellipse(face, (width // 2, height // 2), (width // 4, height // 3), 0, 0, 360, skin.tolist(), -1)
    grey = face.mean(axis=2, keepdims=True)
    keep = 0.0 if rng.random() < 0.2 else float(rng.uniform(0.5, 1.0))
    return np.asarray(grey + (face - grey) * keep, np.float32)


def copied(rng: Rng, art: Pixels) -> Pixels:
    """A black-and-white copy: one ink on one paper, by a halftone or by toner that follows the grey."""
    grey = np.clip((art.mean(axis=2) - 0.5) * rng.uniform(0.8, 1.5) + rng.uniform(0.4, 0.6), 0, 1)
    if rng.random() < 0.5:
        y, x = np.mgrid[0 : grey.shape[0], 0 : grey.shape[1]]
        period, angle = rng.uniform(3, 7), rng.uniform(0, np.pi / 2)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        screen = 0.5 + 0.25 * (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period))
        grey = cv2.GaussianBlur((grey > screen).astype(np.float32), (0, 0), 0.8)
    paper, toner = rng.uniform(0.85, 1.0, 3), rng.uniform(0.03, 0.15) + rng.uniform(-0.01, 0.01, 3)
    return np.asarray(toner + (paper - toner) * grey[:, :, None], np.float32)


def seen(rng: Rng, art: Pixels, screen: bool) -> tuple[NDArray[np.uint8], float]:
    """The art through the camera and rectified, and what contrast a display's grid has in it. With `screen`, the light
    comes through its sub-pixels."""
    across = float(rng.uniform(420, 1250))
    size = (int(across * 1.3), int(across * 0.95))
    middle = np.array(size) / 2
    corners = np.array([[-0.5, -0.315], [0.5, -0.315], [0.5, 0.315], [-0.5, 0.315]]) * across
    turn = np.deg2rad(rng.uniform(-12, 12))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    placed = (corners @ rotation.T + middle + rng.uniform(-0.03, 0.03, (4, 2)) * across).astype(np.float32)
    source = np.array([[0, 0], [CARD[0], 0], [CARD[0], CARD[1]], [0, CARD[1]]], np.float32)
    warp = cv2.getPerspectiveTransform(source, placed)
    shrink = cv2.GaussianBlur(art, (0, 0), max(0.1, 0.45 * CARD[0] / across))
    scene = cv2.warpPerspective(shrink, warp, size, borderMode=cv2.BORDER_CONSTANT, borderValue=(0.3, 0.3, 0.32))
    lens = float(rng.uniform(0.5, 1.3))
    scene = cv2.GaussianBlur(scene, (0, 0), lens)
    contrast = 0.0
    if screen:
        scene, contrast = _through_subpixels(rng, scene, np.linalg.inv(warp), lens)
    data = _sensor(rng, scene)
    straight = cv2.getPerspectiveTransform(
        placed + rng.normal(0, 0.004, (4, 2)).astype(np.float32) * across, source * (across / CARD[0])
    )
    flat = cv2.warpPerspective(data, straight, (int(across), int(across * CARD[1] / CARD[0])))
    return np.asarray(flat, np.uint8), contrast


def _through_subpixels(rng: Rng, scene: Pixels, back: NDArray[np.float64], lens: float) -> tuple[Pixels, float]:
    """Stripes of red, green and blue and dark rows between them, sampled at the camera's pixels; what the lens and a
    pixel's own area leave of them is their contrast."""
    y, x = np.mgrid[0 : scene.shape[0], 0 : scene.shape[1]].astype(np.float64)
    depth = back[2, 0] * x + back[2, 1] * y + back[2, 2]
    u = (back[0, 0] * x + back[0, 1] * y + back[0, 2]) / depth
    v = (back[1, 0] * x + back[1, 1] * y + back[1, 2]) / depth
    scale = float(np.sqrt(abs(np.linalg.det(np.linalg.inv(back)[:2, :2]))))
    pitch = float(np.exp(rng.uniform(np.log(0.6), np.log(3.5))))  # display pixels, in the camera's
    period = pitch / scale
    blur = np.sinc(1 / pitch) * np.exp(-2 * (np.pi * lens / pitch) ** 2)
    out = scene ** float(rng.uniform(0.8, 1.3)) + rng.uniform(0.0, 0.05)
    contrast = 0.9 * abs(blur)
    for channel in range(3):
        out[:, :, channel] *= 1 + contrast * np.cos(2 * np.pi * (u / period + channel / 3))
    out *= (1 + 0.5 * contrast * np.cos(2 * np.pi * v / period))[:, :, None]
    return np.asarray(out, np.float32), float(contrast)


def _sensor(rng: Rng, scene: Pixels) -> NDArray[np.uint8]:
    """Exposure, mosaic and demosaicing, white balance, noise, tone, JPEG."""
    light = np.clip(scene, 0, 2) ** 2.2 * rng.uniform(0.5, 1.1) * rng.uniform(0.75, 1.25, 3)
    mosaic = np.empty(light.shape[:2], np.float32)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = light[row::2, column::2, channel]
    mosaic += rng.normal(0, 1, mosaic.shape) * np.sqrt(mosaic * rng.uniform(1e-5, 4e-4) + rng.uniform(1e-6, 2e-5))
    raw = (np.clip(mosaic, 0, 1) * 65535).astype(np.uint16)
    colour = cv2.cvtColor(raw, cv2.COLOR_BayerRG2RGB_EA).astype(np.float32) / 65535
    gain = colour.reshape(-1, 3).mean(axis=0)
    colour *= (gain.mean() / np.maximum(gain, 1e-3)) ** rng.uniform(0.3, 1.0)
    tone = (np.clip(colour, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
    quality = int(rng.integers(70, 98))
    _, data = cv2.imencode(".jpg", tone[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1], np.uint8)


def _rate(hits: NDArray[np.bool_]) -> str:
    """A share with its 95 % Wilson interval."""
    n, p, z = len(hits), float(hits.mean()), 1.96
    middle, half = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n),
    )
    return f"{p:6.1%} ({max(0.0, middle - half):.1%}-{middle + half:.1%}, n={n})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="documents of each species")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bpcer", type=float, default=0.01, help="share of genuine documents that may be refused")
    parser.add_argument("--portraits", type=Path, help="folder of face images")
    parser.add_argument("--bona-fide", type=Path, help="folder of photographs of genuine documents")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    portraits = sorted(arguments.portraits.rglob("*.jpg"))[:2000] if arguments.portraits else []
    species: dict[str, Callable[[Rng, Pixels], tuple[NDArray[np.uint8], float]]] = {
        "bona fide": lambda rng, art: seen(rng, art, screen=False),
        "copy": lambda rng, art: seen(rng, copied(rng, art), screen=False),
        "screen": lambda rng, art: seen(rng, art, screen=True),
    }
    copy: dict[str, NDArray[np.float64]] = {}
    peak: dict[str, NDArray[np.float64]] = {}
    grid: dict[str, NDArray[np.float64]] = {}
    for number, (name, make) in enumerate(species.items()):
        images = []
        for index in range(arguments.count):
            rng = np.random.default_rng((arguments.seed, number, index))
            image, contrast = make(rng, card(rng, portraits))
            images.append((colour_left(image), grid_peak(image) or 0.0, contrast))
        copy[name], peak[name], grid[name] = (np.array(values) for values in zip(*images, strict=True))
    for name in species:
        shown = "  ".join(
            f"{level:.0%} {np.quantile(copy[name], level):.2f}/{np.quantile(peak[name], level):.2f}"
            for level in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
        )
        print(f"{name:10} colour/peak at {shown}")
    half, limits = arguments.count // 2, parameters("presentation")
    print(f"limits that the first half would set at BPCER {arguments.bpcer:.1%}:")
    print(f"  copy = {np.quantile(copy['bona fide'][:half], arguments.bpcer):.2f}")
    print(f"  recapture = {np.quantile(peak['bona fide'][:half], 1 - arguments.bpcer):.2f}")
    print(f"second half, copy = {limits['copy']} of models/document.toml:")
    print(f"  BPCER {_rate(copy['bona fide'][half:] < limits['copy'])}")
    print(f"  APCER {_rate(copy['copy'][half:] >= limits['copy'])}")
    resolved = grid["screen"][half:] >= RESOLVED
    for limit in sorted({*LIMITS, limits["recapture"]}):
        print(f"second half, recapture = {limit}{' of models/document.toml' if limit == limits['recapture'] else ''}:")
        missed = peak["screen"][half:] <= limit
        print(f"  BPCER {_rate(peak['bona fide'][half:] > limit)}; of copies {_rate(peak['copy'][half:] > limit)}")
        print(f"  APCER {_rate(missed)}; grid of at least {RESOLVED:.0%} contrast {_rate(missed[resolved])}")
    if arguments.bona_fide:
        _photographs(arguments.bona_fide, limits)


def _photographs(folder: Path, limits: Mapping[str, float]) -> None:
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    images = [np.asarray(image[:, :, ::-1]) for path in files if (image := cv2.imread(str(path))) is not None]
    colours = np.array([colour_left(image) for image in images])
    peaks = np.array([score for image in images if (score := grid_peak(image)) is not None])
    print(f"{folder.name}: refused as copies {_rate(colours < limits['copy'])}")
    for limit in sorted({*LIMITS, limits["recapture"]}):
        print(f"{folder.name}: refused as screens at {limit} {_rate(peaks > limit)}")


if __name__ == "__main__":
    main()
