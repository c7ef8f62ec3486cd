"""Plane geometry of text lines: where one lies in an image, and how it is cut out straight.

In: a grey image and a `TextBox`. Out: a strip of fixed height with the line along its middle, and the map back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Points = NDArray[np.float32]

MAX_SHRINK: Final = 1.5  # more than this in one interpolation would alias: a smaller level of the pyramid is used


@dataclass(frozen=True)
class TextBox:
    """One text line in an image.

    centre: (x, y) of its middle, px. angle: direction of reading, radians, clockwise from the x axis (y points down).
    length: px along the line, from its first character's left edge to its last one's right edge.
    height: px, height of a capital letter.
    """

    centre: tuple[float, float]
    angle: float
    length: float
    height: float

    @property
    def along(self) -> NDArray[np.float64]:
        """Unit vector in the direction of reading."""
        return np.array([np.cos(self.angle), np.sin(self.angle)])

    @property
    def down(self) -> NDArray[np.float64]:
        """Unit vector from a character's top to its foot."""
        return np.array([-np.sin(self.angle), np.cos(self.angle)])

    def turned(self) -> TextBox:
        """The same place read from the other end, upside down."""
        return replace(self, angle=self.angle + np.pi)

    def moved(self, along: float, down: float) -> TextBox:
        """Shifted by so many px in its own directions."""
        x, y = np.array(self.centre) + along * self.along + down * self.down
        return replace(self, centre=(float(x), float(y)))

    def quad(self, rise: float = 0.5) -> Points:
        """(4, 2) float32 corners: top left, top right, bottom right, bottom left, `rise` heights above and below."""
        middle, half, up = np.array(self.centre), self.along * self.length / 2, self.down * self.height * rise
        return np.array([middle - half - up, middle + half - up, middle + half + up, middle - half + up], np.float32)


class Pyramid:
    """A grey image and its halvings, made when first asked for."""

    def __init__(self, image: Grey) -> None:
        self._levels = [image]

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self._levels[0].shape
        return height, width

    def level(self, shrink: float) -> tuple[Grey, float]:
        """The level on which a cut that shrinks the original by `shrink` shrinks by `MAX_SHRINK` at most; its scale."""
        index = 0
        while shrink / 2**index > MAX_SHRINK and min(self._levels[index].shape) >= 64:
            index += 1
            if index == len(self._levels):
                half = self._levels[-1]
                size = (max(1, half.shape[1] // 2), max(1, half.shape[0] // 2))
                self._levels.append(cv2.resize(half, size, interpolation=cv2.INTER_AREA))  # type: ignore[arg-type]
        return self._levels[index], 0.5**index

    def cut(self, at: Points, shrink: float) -> Grey:
        """Samples the image at (H, W, 2) places (px of the original), linearly; outside it repeats its border."""
        image, scale = self.level(shrink)
        moved = (at + 0.5) * scale - 0.5 if scale != 1.0 else at
        x, y = np.ascontiguousarray(moved[..., 0], np.float32), np.ascontiguousarray(moved[..., 1], np.float32)
        interpolation = cv2.INTER_LINEAR if shrink > 0.8 else cv2.INTER_CUBIC
        cut: Grey = cv2.remap(image, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        return cut


@dataclass(frozen=True, eq=False)
class StripMap:
    """The map from a strip's pixels to the image: at column u, the line's middle is at `middle[u]` (px of the image),
    and one strip pixel down is `step[u]` image pixels.

    middle: (W, 2) float64. step: (W, 2) float64.
    """

    middle: NDArray[np.float64]
    step: NDArray[np.float64]

    @staticmethod
    def of_box(box: TextBox, width: int, capital: float, pitch_scale: float = 1.0) -> StripMap:
        """A straight strip, `width` px wide, in which capitals are `capital` px high and `box` is in the middle."""
        scale = box.height / capital
        offsets = (np.arange(width) - (width - 1) / 2) * scale * pitch_scale
        middle = np.array(box.centre)[None] + offsets[:, None] * box.along[None]
        return StripMap(middle, np.repeat(box.down[None] * scale, width, axis=0))

    def moved(self, by: NDArray[np.float64]) -> StripMap:
        """The same strip elsewhere; `by` is (x, y) px of the image."""
        return StripMap(self.middle + by, self.step)

    def to_image(self, u: NDArray[np.floating], v: NDArray[np.floating], height: int) -> NDArray[np.float64]:
        """(N, 2) image places of strip places (u, v); v counts from the top of a strip of `height` rows."""
        columns = np.arange(len(self.middle))
        low = np.clip(u, 0, len(columns) - 1)
        middle = np.stack([np.interp(low, columns, self.middle[:, axis]) for axis in range(2)], axis=1)
        edge = self.middle[1] - self.middle[0], self.middle[-1] - self.middle[-2]
        middle += np.minimum(u, 0)[:, None] * edge[0] + np.maximum(u - (len(columns) - 1), 0)[:, None] * edge[1]
        step = np.stack([np.interp(low, columns, self.step[:, axis]) for axis in range(2)], axis=1)
        middle += (v - (height - 1) / 2)[:, None] * step
        return middle

    def cut(self, pyramid: Pyramid, height: int) -> Grey:
        """The strip: (height, W) uint8."""
        rows = np.arange(height) - (height - 1) / 2
        at = self.middle[None] + rows[:, None, None] * self.step[None]
        shrink = float(np.median(np.linalg.norm(np.diff(self.middle, axis=0), axis=1)))
        shrink = min(shrink, float(np.median(np.linalg.norm(self.step, axis=1))) * 1.5)
        return pyramid.cut(at.astype(np.float32), max(shrink, 1e-3))
