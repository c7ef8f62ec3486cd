"""A self-test on one page: HTML with the findings as a table and the figures that are curves as SVG. No script, no
image from elsewhere, nothing of a person: it can be filed.

In: a `Report`. Out: HTML text.
"""

from __future__ import annotations

import datetime
from html import escape
from typing import Final

from provisioning.selftest.limits import load_limits
from provisioning.selftest.report import Finding, Report

_WIDTH: Final = 300
_HEIGHT: Final = 90
_COLOURS: Final = {"pass": "#1a7f37", "fail": "#cf222e", "weaker": "#9a6700", "not performed": "#57606a"}
_TITLES: Final = {
    "histogram": "grey levels, 0 to 255",
    "blur": "blur, frame by frame",
    "brightness": "brightness, frame by frame",
    "milliseconds": "milliseconds between frames",
}
_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #1f2328; }
h1 { margin-bottom: .2em; } .verdict { font-size: 1.3em; padding: .6em .8em; border-left: .4em solid; }
.good { border-color: #1a7f37; background: #dafbe1; } .bad { border-color: #cf222e; background: #ffebe9; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .35em .6em; vertical-align: top; }
tr { border-bottom: 1px solid #d0d7de; } .advice { font-weight: 600; } td:nth-child(2) { white-space: nowrap; }
figure { display: inline-block; margin: .8em 1em .8em 0; } figcaption { font-size: 12px; }
@media print { body { margin: 0; font-size: 11px; } }
"""


def render_page(report: Report) -> str:
    """The whole document: first whether the box can be sealed, then what to put right, then the rest."""
    when = datetime.datetime.fromtimestamp(report.time, datetime.UTC)
    findings = report.by_urgency()
    rows = "".join(_row(finding) for finding in findings)
    plots = "".join(
        _plot(f"{finding.name}: {_TITLES.get(name, name)}", values, _range(name, values), _limit(name))
        for finding in findings
        for name, values in finding.series.items()
        if len(values) > 1
    )
    counts = ", ".join(f"{number} {result.replace('_', ' ')}" for result, number in report.counts().items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Self-test of {escape(report.box)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Self-test of {escape(report.box)}</h1>"
        f"<p>{when:%Y-%m-%d %H:%M} UTC, vouchbox {escape(report.version)}, camera {escape(report.camera)}:"
        f" {counts}.</p>{_verdict(report)}"
        "<table><thead><tr><th>looked at</th><th>result</th><th>found, and what to do</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{plots}</body></html>\n"
    )


def _verdict(report: Report) -> str:
    number = len(report.failures())
    if not number:
        return '<p class="verdict good">Ready to be sealed.</p>'
    words = "one thing has" if number == 1 else f"{number} things have"
    return f'<p class="verdict bad">Not ready to be sealed: {words} to be put right.</p>'


def _row(finding: Finding) -> str:
    advice = f'<br><span class="advice">→ {escape(finding.advice)}</span>' if finding.advice else ""
    return (
        f"<tr><td>{escape(finding.name)}</td>"
        f'<td style="color:{_COLOURS[finding.word]}"><strong>{finding.word}</strong></td>'
        f"<td>{escape(finding.text)}{advice}</td></tr>"
    )


def _range(name: str, values: list[float]) -> tuple[float, float]:
    """What the plot's height stands for; not what the values happen to span, which would make a storm of any ripple."""
    middle = sorted(values)[len(values) // 2]
    if name == "brightness":
        return middle * 0.9, middle * 1.1
    if name == "blur":
        return 0.0, 1.0
    return 0.0, 2 * middle if name == "milliseconds" else max(values) or 1.0


def _limit(name: str) -> float | None:
    return load_limits().focus.blur if name == "blur" else None


def _plot(title: str, values: list[float], span: tuple[float, float], limit: float | None) -> str:
    low, high = span

    def height(value: float) -> float:
        share = (value - low) / ((high - low) or 1.0)
        return _HEIGHT - min(max(share, 0.0), 1.0) * _HEIGHT

    points = " ".join(f"{_WIDTH * i / (len(values) - 1):.1f},{height(value):.1f}" for i, value in enumerate(values))
    line, words = "", f"{low:.4g} to {high:.4g} from bottom to top"
    if limit is not None:
        y = height(limit)
        line = f'<line x1="0" y1="{y:.1f}" x2="{_WIDTH}" y2="{y:.1f}" stroke="#cf222e" stroke-dasharray="4"/>'
        words += f"; the limit is {limit:g}"
    return (
        f'<figure><svg width="{_WIDTH}" height="{_HEIGHT + 4}" viewBox="0 -2 {_WIDTH} {_HEIGHT + 4}" role="img" '
        f'aria-label="{escape(title)}"><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#f6f8fa"/>{line}'
        f'<polyline points="{points}" fill="none" stroke="#0969da" stroke-width="1.5"/></svg>'
        f"<figcaption>{escape(title)}<br>{words}</figcaption></figure>"
    )
