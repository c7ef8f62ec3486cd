"""The printable target: a chessboard as SVG, A4, for focus and distortion. In: nothing. Out: SVG text."""

from __future__ import annotations

from typing import Final

from provisioning.selftest.optics import BOARD

_SQUARE: Final = 27
"""Millimetres."""


def render_target() -> str:
    """Landscape A4 with one more square each way than inner corners."""
    columns, rows = BOARD[0] + 1, BOARD[1] + 1
    left, top = (297 - columns * _SQUARE) / 2, (210 - rows * _SQUARE) / 2
    squares = "".join(
        f'<rect x="{left + x * _SQUARE:g}" y="{top + y * _SQUARE:g}" width="{_SQUARE}" height="{_SQUARE}"/>'
        for y in range(rows)
        for x in range(columns)
        if (x + y) % 2 == 0
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="297mm" height="210mm" viewBox="0 0 297 210">'
        f'<rect width="297" height="210" fill="white"/>{squares}</svg>\n'
    )
