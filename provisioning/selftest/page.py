"""A self-test on one page: HTML with the findings as a table and the figures that are curves as SVG. No script, no
image from elsewhere, nothing of a person: it can be filed.

In: a `Report`. Out: HTML text.
"""

from __future__ import annotations

import datetime
from html import escape
from typing import Final

from device.protocol import Result
from provisioning.selftest.report import Finding, Report

_WIDTH: Final = 260
_HEIGHT: Final = 80
_COLOURS: Final = {Result.PASS: "#1a7f37", Result.FAIL: "#cf222e", Result.NOT_PERFORMED: "#6e7781"}
_TITLES: Final = {
    "histogram": "grey levels, 0 to 255",
    "blur": "blur, frame by frame",
    "brightness": "brightness, frame by frame",
    "milliseconds": "milliseconds between frames",
}
_STYLE: Final = """
body { font: 14px/1.4 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3em .6em; vertical-align: top; }
tr { border-bottom: 1px solid #d0d7de; } figure { display: inline-block; margin: .5em; } figcaption { font-size: 12px; }
@media print { body { margin: 0; font-size: 11px; } }
"""


def render_page(report: Report) -> str:
    """The whole document."""
    when = datetime.datetime.fromtimestamp(report.time, datetime.UTC)
    rows = "".join(_row(finding) for finding in report.findings)
    plots = "".join(
        _plot(f"{finding.name}: {_TITLES.get(name, name)}", values)
        for finding in report.findings
        for name, values in finding.series.items()
        if len(values) > 1
    )
    counts = ", ".join(f"{number} {result.replace('_', ' ')}" for result, number in report.counts().items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Self-test of {escape(report.box)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Self-test of {escape(report.box)}</h1>"
        f"<p>{when:%Y-%m-%d %H:%M} UTC, vouchbox {escape(report.version)}, camera {escape(report.camera)}:"
        f" {counts}.</p>"
        "<table><thead><tr><th>looked at</th><th>result</th><th>found</th><th>what to do</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{plots}</body></html>\n"
    )


def _row(finding: Finding) -> str:
    words = str(finding.result).replace("_", " ")
    advice = escape(finding.advice)
    return (
        f"<tr><td>{escape(finding.name)}</td>"
        f'<td style="color:{_COLOURS[finding.result]}"><strong>{words}</strong></td>'
        f"<td>{escape(finding.text)}</td><td>{advice}</td></tr>"
    )


def _plot(title: str, values: list[float]) -> str:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{_WIDTH * i / (len(values) - 1):.1f},{_HEIGHT - (value - low) / span * _HEIGHT:.1f}"
        for i, value in enumerate(values)
    )
    return (
        f'<figure><svg width="{_WIDTH}" height="{_HEIGHT + 4}" viewBox="0 -2 {_WIDTH} {_HEIGHT + 4}" role="img" '
        f'aria-label="{escape(title)}"><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#f6f8fa"/>'
        f'<polyline points="{points}" fill="none" stroke="#0969da" stroke-width="1.5"/></svg>'
        f"<figcaption>{escape(title)} ({low:.4g} to {high:.4g})</figcaption></figure>"
    )
