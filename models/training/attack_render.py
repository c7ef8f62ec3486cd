"""Simulated presentation attacks: a face scene printed or shown on a screen, and held in front of the camera.

In: a person's scene (float32 RGB in 0..1) with the face in its middle. Out: what the lens sees of the presented
instrument, in its surroundings, before `attack_scene.camera`. Species: `print` (flat, bent, creased), `print_eyes`
(eye holes with somebody behind), `mask_paper` (cut out along the face and worn), `screen` (phone, tablet, laptop).

The sub-pixel grid, the halftone and the scan lines are functions of the instrument's plane that are sampled where the
camera's pixels fall, so that moire comes about as it does in a camera: by sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.training.attack_scene import Pixels, Rng, smooth_noise, soften, surroundings

SPECIES = ("print", "print_eyes", "mask_paper", "screen")


@dataclass(frozen=True)
class Held:
    """How the instrument lies in the picture: for every output pixel its place (u, v) on the instrument in pixels of
    the content, `outside` (how far beyond the content's border, negative inside), content pixels per output pixel."""

    u: Pixels
    v: Pixels
    outside: Pixels
    pitch: float


def hold(rng: Rng, content: Pixels, content_factor: float, factor: float, side: int, bend: float) -> Held:
    """Puts the content before the camera so that its face covers 1/`factor` of the picture, tilted a little.

    `bend` curves the plane around an axis: content pixels of displacement at its border, as a fraction of its side.
    """
    size = content.shape[0]
    pitch = (size / content_factor) / (side / factor)
    angle = rng.normal(0, 0.06)
    cos, sin = np.cos(angle) * pitch, np.sin(angle) * pitch
    axis = np.arange(side, dtype=np.float32) - side * (0.5 + rng.uniform(-0.05, 0.05))
    x, y = axis[None, :], axis[:, None]
    depth = 1.0 + (rng.normal(0, 0.12) * x + rng.normal(0, 0.12) * y) / side
    u = (cos * x - sin * y) / depth + size / 2
    v = (sin * x + cos * y) / depth + size / 2
    if bend:
        along = u if rng.random() < 0.6 else v
        offset = (along - size * rng.uniform(0.3, 0.7)) / size
        shift = (bend * size * offset * offset).astype(np.float32)
        u, v = (
            (u + shift * rng.uniform(-0.3, 0.3), v + shift)
            if along is u
            else (u + shift, v + shift * rng.uniform(-0.3, 0.3))
        )
    u, v = u.astype(np.float32), v.astype(np.float32)
    outside = np.maximum(np.maximum(-u, u - size), np.maximum(-v, v - size))
    return Held(u, v, outside, pitch)


def sample(content: Pixels, held: Held) -> Pixels:
    """The content as the picture's pixels see it."""
    source = cv2.GaussianBlur(content, (0, 0), 0.4 * held.pitch) if held.pitch > 1.3 else content
    return cv2.remap(source, held.u, held.v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def present(
    rng: Rng, species: str, content: Pixels, content_factor: float, factor: float, side: int, behind: Pixels
) -> Pixels:
    """The scene of one attack. `behind` is `side` x `side`: another person, in place, for holes and masks."""
    if species == "screen":
        return _screen(rng, content, content_factor, factor, side)
    bend = float(rng.normal(0, 0.25)) if rng.random() < (0.9 if species == "mask_paper" else 0.45) else 0.0
    held = hold(rng, content, content_factor, factor, side, bend)
    paper = _paper(rng, _ink(rng, sample(content, held), held), held, bend)
    if species == "mask_paper":
        cut = _ellipse(rng, held, content, content_factor, (rng.uniform(0.5, 0.62), rng.uniform(0.56, 0.72)))
        return _onto(rng, behind, paper, cut)
    margin = float(rng.uniform(0.0, 0.06)) * content.shape[0] if rng.random() < 0.6 else 0.0
    if margin:  # the white border that printers leave
        white = np.float32(paper.max() if rng.random() < 0.5 else rng.uniform(0.75, 1.0))
        paper = np.where((held.outside > 0)[..., None], white, paper)
    room = behind if species == "print_eyes" and rng.random() < 0.5 else surroundings(rng, side, side, behind)
    scene = _onto(rng, room, paper, _edge(held, margin))
    if species == "print_eyes":
        for way in (-1, 1):
            hole = _ellipse(rng, held, content, content_factor, (rng.uniform(0.08, 0.13), rng.uniform(0.04, 0.08)), way)
            scene = _onto(rng, scene, behind, hole)
    return scene


# --- print ---


def _ink(rng: Rng, image: Pixels, held: Held) -> Pixels:
    """Gamut, black and paper white, halftone or stochastic dots, printer banding."""
    grey = image.mean(axis=2, keepdims=True)
    saturation = rng.uniform(0.45, 1.15) if rng.random() < 0.93 else 0.0
    image = np.clip(grey + (image - grey) * saturation, 0, 1) ** float(np.exp(rng.normal(0, 0.25)))
    mix = np.eye(3) + rng.normal(0, 0.05, (3, 3))
    image = np.clip(image @ mix.astype(np.float32), 0, 1)
    kind = rng.random()
    size = max(float(held.u.max() - held.u.min()), 1.0)
    if kind < 0.45:  # rotated screens; period in output pixels from below Nyquist to clearly visible
        period = held.pitch * float(np.exp(rng.uniform(np.log(0.8), np.log(4.0))))
        depth = float(np.exp(rng.uniform(np.log(0.03), np.log(0.8)))) * min(1.0, period / held.pitch / 2.0)
        for channel, degrees in enumerate((15.0, 75.0, 45.0)):
            angle = np.deg2rad(degrees + rng.uniform(-3, 3))
            a = (held.u * np.cos(angle) + held.v * np.sin(angle)) * (2 * np.pi / period)
            b = (held.v * np.cos(angle) - held.u * np.sin(angle)) * (2 * np.pi / period)
            dots = 0.25 * (np.cos(a) + np.cos(b)) + 0.5
            ink = image[..., channel]
            printed = np.clip((ink - dots) * rng.uniform(1.5, 4.0) + 0.5, 0, 1)
            image[..., channel] = ink + (printed - ink) * depth
    elif kind < 0.75:  # error diffusion of an inkjet: blue noise of dots
        dots = rng.standard_normal(image.shape, dtype=np.float32)
        dots = dots - cv2.GaussianBlur(dots, (0, 0), 1.0)
        image = np.clip(image + dots * rng.uniform(0.02, 0.14) * np.sqrt(np.clip(image * (1 - image), 0.02, 1)), 0, 1)
    if rng.random() < 0.4:  # the print head's passes
        along = held.v if rng.random() < 0.7 else held.u
        lines = np.sin(along * (2 * np.pi / (size / rng.uniform(20, 160))) + rng.uniform(0, 6)) + 0.5 * np.sin(
            along * (2 * np.pi / (size / rng.uniform(5, 60)))
        )
        image = image * (1.0 + lines * rng.uniform(0.01, 0.06))[..., None]
    white = rng.uniform(0.72, 1.0) * (1.0 - np.abs(rng.normal(0, 0.04, 3)))
    black = rng.uniform(0.02, 0.24) + np.abs(rng.normal(0, 0.02, 3))
    return (black + image * (white - black)).astype(np.float32)


def _paper(rng: Rng, image: Pixels, held: Held, bend: float) -> Pixels:
    """Grain, creases, the shading of a bend, gloss, uneven light."""
    height, width = image.shape[:2]
    if rng.random() < 0.6:
        grain = cv2.GaussianBlur(
            rng.standard_normal((height, width), dtype=np.float32), (0, 0), float(rng.uniform(0.5, 2.0))
        )
        image = image * (1.0 + grain * rng.uniform(0.01, 0.06))[..., None]
    size = max(float(held.outside.max() - held.outside.min()), 1.0)
    for _ in range(int(rng.choice([0, 0, 0, 1, 1, 2, 3]))):
        angle = rng.uniform(0, np.pi)
        line = held.u * np.cos(angle) + held.v * np.sin(angle)
        at = line - rng.uniform(float(line.min()), float(line.max()))
        fold = np.exp(-np.abs(at) / (size * rng.uniform(0.004, 0.03))) * np.sign(at) * rng.uniform(0.05, 0.35)
        slope = np.tanh(at / (size * rng.uniform(0.1, 0.6))) * rng.uniform(-0.12, 0.12)
        image = image * (1.0 + fold + slope)[..., None]
    if bend:
        across = (held.u - held.u.mean()) / size
        image = image * (1.0 + np.clip(across * bend * rng.uniform(-3, 3), -0.5, 0.5))[..., None]
    if rng.random() < 0.5:
        image = image * (1.0 + (smooth_noise(rng, height, width, 3) - 0.5) * rng.uniform(0.05, 0.4))
    if rng.random() < 0.35:
        image = image + _blob(rng, height, width) * rng.uniform(0.1, 0.6)
    return image.astype(np.float32)


# --- screen ---


def _screen(rng: Rng, content: Pixels, content_factor: float, factor: float, side: int) -> Pixels:
    """Content on a display: its own tone and white, sub-pixels, scan lines, black that glows, glass, bezel."""
    held = hold(rng, content, content_factor, factor, side, 0.0)
    image = content
    if rng.random() < 0.5:  # the replayed file was compressed
        quality = int(rng.integers(20, 90))
        _, data = cv2.imencode(
            ".jpg", np.clip(image * 255, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        image = cv2.imdecode(data, cv2.IMREAD_COLOR).astype(np.float32) / 255
    if rng.random() < 0.3:
        levels = float(rng.integers(16, 64))
        image = np.rint(image * levels) / levels
    image = sample(image, held)
    tint = np.array([rng.uniform(0.75, 1.02), rng.uniform(0.88, 1.02), rng.uniform(0.92, 1.25)], np.float32)
    image = image ** float(np.exp(rng.normal(0.12, 0.3))) * tint * rng.uniform(0.6, 1.5)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * rng.uniform(0.7, 1.6)
    image = np.clip(image, 0, None) + rng.uniform(0.0, 0.1) * np.array([0.8, 0.9, 1.2], np.float32)
    image = _subpixels(rng, image, held)
    image = _refresh(rng, image)
    image = _glass(rng, image)
    size = content.shape[0]
    bezel = float(rng.uniform(0.02, 0.25)) * size
    colour = np.full(3, rng.uniform(0.0, 0.12) if rng.random() < 0.75 else rng.uniform(0.5, 0.95)) + rng.normal(
        0, 0.02, 3
    )
    frame = np.where((held.outside > 0)[..., None], colour.astype(np.float32), image.astype(np.float32))
    return _onto(rng, surroundings(rng, side, side), frame, _edge(held, bezel))


def _subpixels(rng: Rng, image: Pixels, held: Held) -> Pixels:
    """Red, green and blue stripes and the rows between them, sampled where the camera's pixels fall."""
    if rng.random() < 0.25:
        return image  # far away, out of focus, or finer than anything that a camera resolves
    period = held.pitch * float(np.exp(rng.uniform(np.log(0.45), np.log(3.2))))
    fine = 2 * np.pi / period
    contrast = float(np.exp(rng.uniform(np.log(0.01), np.log(0.4))))
    phase = rng.uniform(0, 2 * np.pi, 2)
    diagonal = rng.random() < 0.2  # pentile layouts
    across = held.u + held.v if diagonal else held.u
    for channel in range(3):
        stripe = np.cos(across * fine + phase[0] + channel * 2 * np.pi / 3)
        image[..., channel] *= 1.0 + contrast * stripe
    rows = np.cos((held.v - held.u if diagonal else held.v) * fine + phase[1])
    return image * (1.0 + contrast * rng.uniform(0.2, 0.8) * rows)[..., None]


def _refresh(rng: Rng, image: Pixels) -> Pixels:
    if rng.random() < 0.3:
        rows = np.arange(image.shape[0], dtype=np.float32)
        wave = np.sin(rows * (2 * np.pi * rng.uniform(0.5, 6) / len(rows)) + rng.uniform(0, 6))
        image = image * (1.0 + np.tanh(wave * rng.uniform(0.5, 4)) * rng.uniform(0.02, 0.25))[:, None, None]
    if rng.random() < 0.15:  # interlaced or scan lines of the replayed video
        image[:: int(rng.integers(2, 4))] *= rng.uniform(0.75, 0.97)
    return image


def _glass(rng: Rng, image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    if rng.random() < 0.45:
        image = image + _blob(rng, height, width) * rng.uniform(0.05, 0.6)
    if rng.random() < 0.4:
        image = image + surroundings(rng, height, width) * rng.uniform(0.03, 0.22)
    if rng.random() < 0.3:
        image = image + smooth_noise(rng, height, width, 2) * rng.uniform(0.03, 0.2)  # veiling glare
    if rng.random() < 0.3:  # viewed off its axis, or an uneven backlight
        ramp = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * rng.uniform(-1, 1)
        ramp = ramp + np.linspace(-1, 1, height, dtype=np.float32)[:, None] * rng.uniform(-1, 1)
        image = image * (1.0 + 0.3 * ramp)[..., None]
    return image


# --- shared ---


def _blob(rng: Rng, height: int, width: int) -> Pixels:
    """A lamp or a window, mirrored: a soft or hard-edged patch of light."""
    light: Pixels = np.zeros((height, width), np.float32)
    centre = int(rng.integers(0, width)), int(rng.integers(0, height))
    axes = int(rng.integers(2, max(3, width // 4))), int(rng.integers(2, max(3, height // 4)))
    if rng.random() < 0.5:
        cv2.ellipse(light, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    else:
        box = cv2.boxPoints((centre, (axes[0] * 2.0, axes[1] * 2.0), float(rng.uniform(-30, 30)))).astype(np.int32)
        cv2.fillConvexPoly(light, box, 1.0)
    return soften(light, float(rng.uniform(1, width * 0.08)))[..., None]


def _edge(held: Held, margin: float) -> Pixels:
    """1 on the instrument with its border of `margin` content pixels, 0 beyond, antialiased."""
    return np.clip((margin - held.outside) / max(held.pitch, 1e-3) + 0.5, 0, 1)


def _ellipse(
    rng: Rng, held: Held, content: Pixels, content_factor: float, axes: tuple[float, float], eye: int = 0
) -> Pixels:
    """1 inside an uneven ellipse cut by hand around the face (`eye` 0) or around an eye (-1 left, 1 right)."""
    size = content.shape[0]
    face = size / content_factor
    u = (held.u - size / 2 - eye * 0.21 * face) / (axes[0] * face)
    v = (held.v - size / 2 + abs(eye) * 0.13 * face) / (axes[1] * face)
    angle = np.arctan2(v, u)
    uneven = 1.0 + rng.uniform(0, 0.08) * np.sin(angle * int(rng.integers(2, 7)) + rng.uniform(0, 6))
    return np.clip((uneven - np.sqrt(u * u + v * v)) * axes[0] * face / max(held.pitch, 1e-3) + 0.5, 0, 1)


def _onto(rng: Rng, behind: Pixels, front: Pixels, alpha: Pixels) -> Pixels:
    """`front` over `behind`, with the shadow that it throws."""
    if rng.random() < 0.5:
        shift = rng.integers(-6, 7, 2)
        shadow = soften(np.roll(alpha, shift, (0, 1)).astype(np.float32), float(rng.uniform(1.5, 7)))
        behind = behind * (1.0 - rng.uniform(0.1, 0.6) * shadow)[..., None]
    mixed: npt.NDArray[np.float32] = (behind + (front - behind) * alpha[..., None]).astype(np.float32)
    return np.clip(mixed, 0.0, 1.5)
