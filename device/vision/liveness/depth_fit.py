"""How well three explanations fit a face's landmark tracks: a plane that is turned, a bent sheet, or a rigid head.

In: landmark positions of a reference and of other frames. Out: residuals per frame, in shares of the reference's
distance between the eyes. Only the frames' 2-D positions are explained. The network that finds the landmarks always
imagines a depth, on a photograph too; the reference's depth is used as the head's shape, the frames' never.

Plane: a homography (8 parameters a frame), normalised direct linear transform (Hartley & Zisserman, Multiple View
Geometry, algorithm 4.2). Sheet: paper bent around an upright or a level axis; its depth depends on one coordinate
alone, so where its points move is a polynomial of that coordinate and linear in the other (11 parameters a frame).
Head: scaled orthography (6 parameters a frame, and one for all frames: how deep the head is), solved by completing the
missing depth and rigid alignment in turn (the orthogonal Procrustes step is Umeyama's, 1991).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

STABLE: Final = np.array(
    [
        *(1, 2, 4, 5, 6, 168, 195, 197, 98, 327, 45, 275),  # nose: ridge, tip, wings
        *(33, 133, 362, 263),  # corners of the eyes
        *(8, 9, 10, 67, 109, 151, 297, 338),  # forehead
        *(46, 63, 105, 107, 276, 293, 334, 336),  # brows
        *(50, 101, 117, 118, 205, 280, 330, 346, 347, 425),  # cheeks
        *(164, 0),  # between nose and lip, upper lip's middle
    ]
)
"""Points that move with the skull: no lids, lower lip or chin (they open), no outline (it slides as the head turns)."""

_ITERATIONS: Final = 25
_DEPTHS: Final = (0.7, 0.85, 1.0, 1.2, 1.4, 1.7)
"""Times the depth that the network imagines in the straight look: faces are flatter and deeper than it thinks. Not
nearer to 0, where a head is a plane."""


def eye_distance(points: Array) -> float:
    """Distance between the outer corners' midpoints of (468, >= 2) points, as `Landmarks.inter_eye` measures it."""
    eyes = points[[33, 133, 362, 263], :2]
    return float(np.linalg.norm(eyes[:2].mean(axis=0) - eyes[2:].mean(axis=0)))


def shape_change(reference: Array, frames: Array) -> Array:
    """RMS distance of each frame from the reference after the best shift, turn and scale.

    Args:
        reference: (P, 2).
        frames: (F, P, 2).

    Returns:
        (F,) in the reference's units: how much the shape changed.
    """
    a = reference - reference.mean(axis=0)
    b = frames - frames.mean(axis=1, keepdims=True)
    first = np.einsum("fpc,pc->f", b, a)
    second = b[:, :, 1] @ a[:, 0] - b[:, :, 0] @ a[:, 1]
    scale = np.hypot(first, second) / (b**2).sum(axis=(1, 2)).clip(1e-12)  # frame to reference
    rest = (a**2).sum() - scale * np.hypot(first, second)
    return np.asarray(np.sqrt(np.maximum(rest, 0.0) / len(a)))


def plane_residual(reference: Array, frame: Array) -> float:
    """RMS distance of `frame` (P, 2) from the best homography of `reference` (P, 2), scaled back to the reference."""
    a, to_a = _normalise(reference)
    b, _ = _normalise(frame)
    rows = np.zeros((2 * len(a), 9))
    homogeneous = np.column_stack([a, np.ones(len(a))])
    rows[0::2, 3:6] = -homogeneous
    rows[0::2, 6:9] = b[:, 1:] * homogeneous
    rows[1::2, 0:3] = homogeneous
    rows[1::2, 6:9] = -b[:, :1] * homogeneous
    matrix = np.linalg.eigh(rows.T @ rows)[1][:, 0].reshape(3, 3)
    mapped = homogeneous @ matrix.T
    error = mapped[:, :2] / mapped[:, 2:] - b
    return float(np.sqrt((error**2).sum(axis=1).mean()) / to_a)


def sheet_residual(reference: Array, frames: Array) -> Array:
    """RMS distance of each frame from the best bent sheet of `reference`, scaled back to the reference's units.

    Args:
        reference: (P, 2).
        frames: (F, P, 2).
    """
    a = reference - reference.mean(axis=0)
    b = frames - frames.mean(axis=1, keepdims=True)
    size = np.sqrt((a**2).sum())
    b = b * (size / np.sqrt((b**2).sum(axis=(1, 2))).clip(1e-12))[:, None, None]
    unit = size / np.sqrt(len(a))
    x, y = (a / unit).T
    upright = _left_over(x, y, b[..., 0], b[..., 1])
    level = _left_over(y, x, b[..., 1], b[..., 0])
    return np.asarray(np.sqrt(np.minimum(upright, level)))


def _left_over(across: Array, along: Array, moved_across: Array, moved_along: Array) -> Array:
    """(F,) mean squared rest of a sheet bent around an axis that runs `along`, (F, P) where its points moved."""
    one = np.ones_like(across)
    terms = np.column_stack([one, across, across**2, across**3, along])
    others = np.column_stack([one, across, across**2, along, across * along, across**2 * along])
    rest = [moved @ _complement(basis) for basis, moved in ((terms, moved_across), (others, moved_along))]
    return np.asarray((rest[0] ** 2 + rest[1] ** 2).mean(axis=1))


def _complement(basis: Array) -> Array:
    """Projects onto what the columns of `basis` cannot explain."""
    return np.asarray(np.eye(len(basis)) - basis @ np.linalg.pinv(basis))


def head_residual(shape: Array, frames: Array) -> Array:
    """RMS distance of each frame from the best view of the rigid head `shape`, as deep as suits all frames best, scaled
    back to the shape's units.

    Args:
        shape: (P, 3).
        frames: (F, P, 2).
    """
    rests = [_rigid_residual(shape * (1.0, 1.0, depth), frames) for depth in _DEPTHS]
    return min(rests, key=lambda rest: float((rest**2).sum()))


def _rigid_residual(shape: Array, frames: Array) -> Array:
    """The same for a head of just this depth.

    Args:
        shape: (P, 3).
        frames: (F, P, 2).
    """
    model = shape - shape.mean(axis=0)
    seen = frames - frames.mean(axis=1, keepdims=True)
    depth = np.repeat(model[None, :, 2], len(frames), axis=0)
    size = (model**2).sum()
    rest = np.zeros(len(frames))
    for _ in range(_ITERATIONS):
        full = np.concatenate([seen, depth[..., None]], axis=2)
        left, singular, right = np.linalg.svd(np.einsum("fpi,pj->fij", full, model))
        sign = np.sign(np.linalg.det(left @ right))
        singular[:, 2] *= sign
        left[:, :, 2] *= sign[:, None]
        scale = singular.sum(axis=1) / size
        posed = np.einsum("f,fij,pj->fpi", scale, left @ right, model)
        depth = posed[..., 2]
        rest = np.sqrt(((posed[..., :2] - seen) ** 2).sum(axis=2).mean(axis=1)) / np.maximum(scale, 1e-9)
    return np.asarray(rest)


def mean_shape(frames: Array) -> Array:
    """The mean of (F, P, 3) shapes after each was shifted, turned and scaled (in the image plane) onto the first."""
    first = frames[0] - frames[0].mean(axis=0)
    total = np.zeros_like(first)
    for frame in frames:
        moved = frame - frame.mean(axis=0)
        cross = complex(
            float((moved[:, :2] * first[:, :2]).sum()),
            float((moved[:, 0] * first[:, 1] - moved[:, 1] * first[:, 0]).sum()),
        ) / max(float((moved[:, :2] ** 2).sum()), 1e-12)
        turned = (moved[:, 0] + 1j * moved[:, 1]) * cross
        total += np.column_stack([turned.real, turned.imag, moved[:, 2] * abs(cross)])
    return np.asarray(total / len(frames))


def _normalise(points: Array) -> tuple[Array, float]:
    """Hartley's normalisation: mean at the origin, mean distance sqrt(2); and the scale that did it."""
    moved = points - points.mean(axis=0)
    scale = float(np.sqrt(2) / max(np.linalg.norm(moved, axis=1).mean(), 1e-12))
    return moved * scale, scale
