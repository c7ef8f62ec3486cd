"""The HTML page about a measurement of the document reader: its figures, and pictures of what went wrong.

In: the cases. Out: one self-contained page of HTML (images inside it), for people who improve the reader. It shows
documents: it is as confidential as the data set.
"""

from __future__ import annotations

import base64
import html
from collections import Counter

import cv2
import numpy as np
from numpy.typing import NDArray

from device.evaluation.documents import DocumentCase, figures
from device.vision.stills import load_still

THUMBNAIL = 560  # px, long side of an image on the page

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; color: #222 }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left }
pre { font: 15px/1.35 ui-monospace, monospace; overflow-x: auto } mark { background: #fbb }
section { border-top: 1px solid #ccc; padding: 1rem 0 } img { max-width: 100% }
"""


def page(cases: list[DocumentCase]) -> str:
    """The whole page."""
    rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in figures(cases).as_json().items())
    kinds = Counter(case.failure for case in cases if not case.exact)
    kind_rows = "".join(f"<tr><th>{html.escape(kind)}</th><td>{count}</td></tr>" for kind, count in kinds.most_common())
    failures = "".join(_section(case) for case in cases if not case.exact)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Document reader</title>"
        f"<style>{STYLE}</style></head><body><h1>Document reader</h1><table>{rows}</table>"
        f"<h2>Failures by kind</h2><table>{kind_rows or '<tr><td>none</td></tr>'}</table>{failures}</body></html>\n"
    )


def _section(case: DocumentCase) -> str:
    reading = case.reading
    reason = reading.mrz.reason if reading.mrz is not None else None
    facts = [
        case.failure,
        reading.mrz.layout if reading.mrz else "no layout",
        str(reason or ""),
        f"{reading.cpu_ms:.0f} ms",
    ]
    lines = [*case.lines, *[""] * len(case.truth.lines)]
    seen = [*(line.text for line in reading.lines), *[""] * len(case.truth.lines)]
    texts = "\n".join(
        f"printed  {html.escape(printed)}\nread     {_marked(said, printed)}\nseen     {_marked(raw, printed)}\n"
        for said, raw, printed in zip(lines, seen, case.truth.lines, strict=False)
    )
    return (
        f"<section><h3>{html.escape(case.truth.file)}</h3><p>{html.escape(', '.join(filter(None, facts)))}</p>"
        f"<img alt='' src='data:image/jpeg;base64,{_picture(case)}'><pre>{texts}</pre></section>"
    )


def _marked(said: str, printed: str) -> str:
    """The text with what differs from the printed one marked, position by position."""
    marked = [
        html.escape(here) if here == there else f"<mark>{html.escape(here)}</mark>"
        for here, there in zip(said, printed.ljust(len(said)), strict=False)
    ]
    return "".join(marked)


def _picture(case: DocumentCase) -> str:
    image = load_still(case.path)
    scale = min(1.0, THUMBNAIL / max(image.shape[:2]))
    small = cv2.cvtColor(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    for line in case.reading.lines:
        _outline(small, line.quad * scale, (0, 0, 220))
    if case.reading.quad is not None:
        _outline(small, case.reading.quad * scale, (0, 160, 0))
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data.tobytes()).decode()


def _outline(image: cv2.typing.MatLike, quad: NDArray[np.float32], colour: tuple[int, int, int]) -> None:
    cv2.polylines(image, [np.rint(quad).astype(np.int32)], True, colour, 1, cv2.LINE_AA)
