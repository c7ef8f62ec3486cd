"""Simulated scenes and the simulated camera of the attack detector's training data.

In: a face image, or nothing. Out: float32 H x W x 3 RGB in 0..1: a person in surroundings (`person_scene`), only the
surroundings (`surroundings`), and what a cheap camera makes of any of them (`camera`). Bona fide and attacks go
through the same scenes and the same camera, so that nothing but the presentation tells them apart.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]
Rng = np.random.Generator


def smooth_noise(rng: Rng, height: int, width: int, cells: int, channels: int = 1) -> Pixels:
    """Noise of about `cells` bumps across, in 0..1."""
    small = rng.random((max(2, cells * height // max(width, 1)), max(2, cells), channels), dtype=np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)


def soften(image: Pixels, sigma: float) -> Pixels:
    """A Gaussian blur; a wide one is done on a smaller image, where nobody sees the difference."""
    if sigma < 3.0:
        return cv2.GaussianBlur(image, (0, 0), max(sigma, 0.1)).reshape(image.shape)
    height, width = image.shape[:2]
    factor = 2.0 / sigma
    small = cv2.resize(
        image, (max(2, round(width * factor)), max(2, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), 2.0)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).reshape(image.shape)


def surroundings(rng: Rng, height: int, width: int, others: Pixels | None = None) -> Pixels:
    """A room behind a person: walls, light falling off, shapes with straight edges, clutter.

    Straight edges are part of it on purpose: a door frame or a picture on the wall is no evidence of an attack.
    """
    scene = np.ones((height, width, 3), np.float32) * _colour(rng)
    scene += (smooth_noise(rng, height, width, int(rng.integers(2, 6)), 3) - 0.5) * rng.uniform(0.0, 0.3)
    for _ in range(int(rng.integers(0, 6))):
        x, y = int(rng.integers(-width // 4, width)), int(rng.integers(-height // 4, height))
        box = (x, y), (int(x + rng.integers(width // 16, width)), int(y + rng.integers(height // 16, height)))
        cv2.rectangle(
            scene, *box, _colour(rng).tolist(), -1 if rng.random() < 0.6 else int(rng.integers(1, 9)), cv2.LINE_AA
        )
    for _ in range(int(rng.integers(0, 4))):
        ends = rng.integers(0, [width, height], (2, 2))
        cv2.line(scene, ends[0].tolist(), ends[1].tolist(), _colour(rng).tolist(), int(rng.integers(1, 6)), cv2.LINE_AA)
    if others is not None and rng.random() < 0.3:
        patch = cv2.resize(others[: others.shape[0] // 3], (width, height))
        scene = cv2.addWeighted(scene, 0.5, soften(patch, float(rng.uniform(2, 8))), 0.5, 0)
    if rng.random() < 0.5:
        scene += (smooth_noise(rng, height, width, int(rng.integers(20, 80))) - 0.5) * rng.uniform(0.0, 0.3)
    if rng.random() < 0.7:
        scene = soften(scene, float(rng.uniform(0.5, 4.0)))
    return np.clip(scene, 0.0, 1.0).astype(np.float32)


def _colour(rng: Rng) -> Pixels:
    """A colour of a room: mostly pale or brownish, now and then strong."""
    colour = rng.random(3, dtype=np.float32)
    saturation = rng.uniform(0.0, 0.35) if rng.random() < 0.85 else rng.uniform(0.35, 1.0)
    level = float(rng.uniform(0.05, 0.95))
    return np.clip(level + (colour - colour.mean()) * saturation, 0, 1).astype(np.float32)


def person_scene(rng: Rng, image: Pixels, face: tuple[float, float, float], factor: float, side: int) -> Pixels:
    """`side` x `side` of a person whose face square (x, y, side in `image`) covers 1/`factor` of the width.

    What the image does not show is made up: head and shoulders before a room, or borders that run on, blurred.
    """
    x, y, face_side = face
    scale = side / (face_side * factor)
    centre = side * (0.5 + rng.uniform(-0.04, 0.04)), side * (0.5 + rng.uniform(-0.05, 0.05))
    matrix = np.array([[scale, 0, centre[0] - x * scale], [0, scale, centre[1] - y * scale]], np.float32)
    if scale < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), 0.35 / scale)
    flags = cv2.INTER_CUBIC if scale > 1 and rng.random() < 0.5 else cv2.INTER_LINEAR
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.4 else cv2.BORDER_REPLICATE
    shown = cv2.warpAffine(image, matrix, (side, side), flags=flags, borderMode=border)
    height, width = image.shape[:2]
    corners = matrix @ np.array([[0, width], [0, height], [1, 1]], np.float32)
    if corners[:, 0].max() <= 0 and corners[:, 1].min() >= side:
        return np.clip(shown, 0, 1)
    if rng.random() < 0.65:
        return _head_and_shoulders(rng, shown, centre, side / factor)
    inset = float(rng.uniform(0.04, 0.12)) * width
    mask = np.zeros((height, width), np.float32)
    mask[int(inset) : height - int(inset), int(inset) : width - int(inset)] = 1.0
    mask = cv2.warpAffine(mask, matrix, (side, side), flags=cv2.INTER_LINEAR)
    mask = soften(mask, max(1.0, float(rng.uniform(0.5, 0.9)) * inset * scale))[..., None]
    behind = soften(shown, side * float(rng.uniform(0.008, 0.04)))
    return np.clip(behind + (shown - behind) * mask, 0.0, 1.0).astype(np.float32)


def _head_and_shoulders(rng: Rng, shown: Pixels, centre: tuple[float, float], face: float) -> Pixels:
    """Keeps the head of `shown`, puts a neck and clothes under it and a room behind it; `face`: its side in pixels."""
    side = shown.shape[0]
    mask = np.zeros((side, side), np.float32)
    head = int(face * rng.uniform(0.56, 0.66)), int(face * rng.uniform(0.68, 0.78))
    cv2.ellipse(mask, (int(centre[0]), int(centre[1] - 0.08 * face)), head, 0, 0, 360, 1.0, -1)
    mask = soften(mask, face * float(rng.uniform(0.02, 0.07)))[..., None]
    scene = surroundings(rng, side, side, shown)
    if rng.random() < 0.8:
        chin, reach = centre[1] + 0.45 * face, face * float(rng.uniform(0.9, 1.5))
        body = np.array(
            [
                (centre[0] - 0.3 * face, chin - 0.1 * face),
                (centre[0] + 0.3 * face, chin - 0.1 * face),
                (centre[0] + 0.33 * face, chin + 0.25 * face),
                (centre[0] + reach * 0.9, chin + 0.5 * face),
                (centre[0] + reach, chin + 2.5 * face),
                (centre[0] - reach, chin + 2.5 * face),
                (centre[0] - reach * 0.9, chin + 0.5 * face),
                (centre[0] - 0.33 * face, chin + 0.25 * face),
            ]
        )
        outline = np.zeros((side, side), np.float32)
        cv2.fillPoly(outline, [np.rint(body).astype(np.int32)], 1.0)
        outline = soften(outline, face * float(rng.uniform(0.01, 0.04)))[..., None]
        clothes = np.ones_like(scene) * _colour(rng)
        clothes += (smooth_noise(rng, side, side, int(rng.integers(4, 40))) - 0.5) * rng.uniform(0.05, 0.35)
        skin = shown[int(min(side - 1, max(0, centre[1] + 0.2 * face))), int(min(side - 1, max(0, centre[0])))]
        neck = np.clip((chin + 0.28 * face - np.arange(side, dtype=np.float32)) / (0.06 * face), 0, 1)[:, None, None]
        clothes = clothes + (skin * 0.8 - clothes) * neck
        scene = scene + (clothes - scene) * outline
    return np.clip(scene + (shown - scene) * mask, 0.0, 1.0).astype(np.float32)


def camera(rng: Rng, scene: Pixels, strength: float = 1.0) -> npt.NDArray[np.uint8]:
    """What a webcam, a phone or a CSI module with a cheap lens makes of `scene`; uint8.

    Defocus or motion, vignette, exposure, white balance, shot and read noise, colour filter array, sharpening, tone
    curve, JPEG. `strength` scales how far each goes.
    """
    image = _lens(rng, scene, strength)
    image = image * _exposure(rng, image, strength)
    if rng.random() < 0.5 * strength:
        image = image + rng.uniform(0.0, 0.06)  # stray light
    noise = strength * rng.uniform(0.0, 0.035) * (1.0 if rng.random() < 0.7 else 2.0)
    height, width = image.shape[:2]
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    if rng.random() < 0.5:
        grain = cv2.GaussianBlur(grain, (0, 0), 0.7) * 1.6  # in-camera denoising leaves larger grains
    image = image + grain * (noise * np.sqrt(np.clip(image, 0.03, 1.0)))
    if rng.random() < 0.35:
        image = _colour_filter(image)
    if rng.random() < 0.6:
        soft = soften(image, float(rng.uniform(0.6, 1.6)))
        image = image + (image - soft) * (rng.uniform(0.0, 1.2) * strength)
    image = _tone(rng, image, strength)
    pixels = np.clip(image * 255.0 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.85:
        quality = int(rng.integers(35, 98))
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return pixels


def _exposure(rng: Rng, image: Pixels, strength: float) -> Pixels:
    """Automatic exposure on the middle of the picture, as far as it goes, and white balance: three gains."""
    height, width = image.shape[:2]
    middle = float(image[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4].mean())
    wanted = rng.uniform(0.3, 0.55) * np.exp(rng.normal(0, 0.2 * strength))
    gain = (wanted / max(middle, 0.02)) ** rng.uniform(0.5, 1.0)
    balance = np.exp(rng.normal(0, 0.07 * strength, 3))
    return (np.clip(gain, 0.4, 3.0) * balance).astype(np.float32)


def _lens(rng: Rng, scene: Pixels, strength: float) -> Pixels:
    height, width = scene.shape[:2]
    image = scene
    kind = rng.random()
    if kind < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), 0.3 + strength * float(rng.gamma(1.5, 0.45)))
    elif kind < 0.75:
        length = int(rng.integers(2, 3 + round(6 * strength)))
        kernel = np.zeros((length, length), np.float32)
        angle = rng.uniform(0, np.pi)
        middle = (length - 1) / 2
        reach = np.array([np.cos(angle), np.sin(angle)]) * middle
        cv2.line(
            kernel,
            tuple(np.rint(middle - reach).astype(int).tolist()),
            tuple(np.rint(middle + reach).astype(int).tolist()),
            1.0,
        )
        image = cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1.0))
    if rng.random() < 0.3:  # a sensor of fewer pixels, upscaled by the driver
        factor = float(rng.uniform(0.5, 0.95))
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        image = cv2.resize(
            small, (width, height), interpolation=cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        )
    if rng.random() < 0.4 * strength:
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        image = image * (1.0 - rng.uniform(0.05, 0.4) * ((x * x + y * y) / 2)).astype(np.float32)[..., None]
    if rng.random() < 0.3 * strength:  # side light or a window
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        angle = rng.uniform(0, 2 * np.pi)
        image = (
            image
            * np.exp(rng.uniform(0.1, 0.6) * (x * np.cos(angle) + y * np.sin(angle))).astype(np.float32)[..., None]
        )
    return image


def _colour_filter(image: Pixels) -> Pixels:
    """Sampling through a Bayer mosaic and bilinear demosaicing, which is where coloured moire comes from."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    raw = np.empty((height, width), np.float32)
    raw[0::2, 0::2] = image[0:height:2, 0:width:2, 2]
    raw[0::2, 1::2] = image[0:height:2, 1:width:2, 1]
    raw[1::2, 0::2] = image[1:height:2, 0:width:2, 1]
    raw[1::2, 1::2] = image[1:height:2, 1:width:2, 0]
    mosaic = np.clip(raw * 16383.0, 0, 65535).astype(np.uint16)
    full = cv2.cvtColor(mosaic, cv2.COLOR_BayerRG2RGB).astype(np.float32) / 16383.0
    result = image.copy()
    result[:height, :width] = full
    return result


def _tone(rng: Rng, image: Pixels, strength: float) -> Pixels:
    image = np.clip(image, 0.0, 1.0)
    image = image ** float(np.exp(rng.normal(0, 0.17 * strength)))
    grey = image.mean(axis=2, keepdims=True)
    saturation = float(np.exp(rng.normal(0, 0.3 * strength))) if rng.random() < 0.95 else float(rng.uniform(0, 0.3))
    image = grey + (image - grey) * saturation
    contrast = float(np.exp(rng.normal(0, 0.15 * strength)))
    return np.clip((image - 0.5) * contrast + 0.5 + rng.normal(0, 0.04 * strength), 0.0, 1.0)
