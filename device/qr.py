"""QR codes (ISO/IEC 18004) drawn from a text: as SVG for a page, as blocks for a terminal, as rows for a picture.

In: a text. Out: modules, or a drawing of them. zxing-cpp makes the symbol; it needs neither numpy nor a picture
library, so that the gateway can draw a verdict without being able to touch pixels.
"""

from __future__ import annotations

from typing import Any, Final

import zxingcpp

from device.errors import InputError

QUIET: Final = 4
"""Modules of margin on each side (ISO/IEC 18004 section 9.1)."""
_SPARE: Final = ((1000, "M"), (4296, "L"))
"""Error correction by length: a small symbol can afford more of it, a large one needs coarse modules more."""


def modules(text: str) -> list[list[bool]]:
    """Rows of modules, True where dark, without margin. Raises `InputError`: it does not fit a symbol."""
    level = next((level for longest, level in _SPARE if len(text) <= longest), "L")
    try:
        symbol = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level=level)
        picture: Any = memoryview(symbol.to_image(scale=1, add_quiet_zones=False))  # type: ignore[arg-type]
    except (ValueError, RuntimeError) as error:
        raise InputError(f"a text of {len(text)} characters does not fit a QR code: {error}") from error
    rows, columns = picture.shape
    return [[picture[row, column] == 0 for column in range(columns)] for row in range(rows)]


def svg(text: str, title: str) -> str:
    """An SVG drawing with its margin: dark on light whatever the page's colours, as readers expect."""
    rows = modules(text)
    side = len(rows) + 2 * QUIET
    path = "".join(_stroke(row, _runs(line)) for row, line in enumerate(rows))
    safe = title.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" shape-rendering="crispEdges">'
        f'<title>{safe}</title><path fill="#fff" d="M0 0h{side}v{side}H0z"/><path stroke="#000" d="{path}"/></svg>'
    )


def blocks(text: str) -> str:
    """For a terminal: two rows of modules to a line of half blocks, dark modules dark on a light ground."""
    rows = modules(text)
    width = len(rows[0]) + 2 * QUIET
    light = [False] * width
    padded = [*[light] * QUIET, *([False] * QUIET + line + [False] * QUIET for line in rows), *[light] * (QUIET + 1)]
    glyphs = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
    pairs = zip(padded[::2], padded[1::2], strict=False)
    return "\n".join("".join(glyphs[upper, lower] for upper, lower in zip(*pair, strict=True)) for pair in pairs)


def _stroke(row: int, runs: list[tuple[int, int]]) -> str:
    """One row's runs as strokes a module wide: the first from the edge, each other one from where the last ended."""
    strokes: list[str] = []
    at = 0
    for start, length in runs:
        strokes.append(f"m{start - at} 0h{length}" if strokes else f"M{start + QUIET} {row + QUIET}.5h{length}")
        at = start + length
    return "".join(strokes)


def _runs(line: list[bool]) -> list[tuple[int, int]]:
    """Start and length of each run of dark modules."""
    runs, start = [], None
    for column, dark in enumerate([*line, False]):
        if dark and start is None:
            start = column
        elif not dark and start is not None:
            runs.append((start, column - start))
            start = None
    return runs
