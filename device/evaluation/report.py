"""The HTML page about a measurement of a face embedder: its figures, its DET curve, its error rates by group.

In: figures and cross pairs. Out: one self-contained page (the drawing is inline SVG). It shows no face.
matplotlib is needed only here: the extra [evaluate].
"""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from device.errors import InputError
from device.evaluation.faces import CrossPairs, FaceFigures, WorstPair
from device.evaluation.metrics import det_curve

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; color: #222 }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left }
svg { max-width: 100%; height: auto }
"""


def page(
    figures: FaceFigures,
    cross: CrossPairs,
    title: str,
    worst: Mapping[str, Sequence[WorstPair]] = MappingProxyType({}),
) -> str:
    """The whole page. Raises `InputError` if matplotlib is not installed."""
    rows = [
        ("embedder", figures.embedder),
        ("images", f"{figures.images}, no face found in {figures.not_found}"),
        ("genuine pairs", str(figures.genuine_pairs)),
        ("impostor pairs", str(figures.impostor_pairs)),
    ]
    if figures.labels_corrected:
        rows.append(("labels corrected", str(figures.labels_corrected)))
    if figures.accuracy is not None:
        rows.append((f"accuracy on {figures.pairs} listed pairs, by folds", f"{figures.accuracy:.2%}"))
    rows += [(f"true accept rate at FAR {rate}, listed pairs", f"{v:.2%}") for rate, v in figures.tar_at_far.items()]
    for rate, value in figures.fnmr_at_fmr.items():
        low, high = figures.fnmr_interval[rate]
        rows.append((f"FNMR at FMR {rate}, all cross pairs", f"{value:.2%} (95 %: {low:.2%} to {high:.2%})"))
    for level, at in figures.at_manifest.items():
        name = f"at the threshold that the manifest has for {level}"
        rows.append((name, f"FMR {at['fmr']:.2e}, FNMR {at['fnmr']:.2%}"))
    table = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    curve = f"<h2>Detection error trade-off</h2>{_det(figures, cross)}" if len(cross.genuine) else ""
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1><table>{table}</table>{curve}"
        f"{_groups(figures)}{_worst(worst)}<p>Intervals: bootstrap over people, the threshold taken as given. One "
        "measurement on one data set, no certificate.</p></body></html>\n"
    )


def _groups(figures: FaceFigures) -> str:
    if not figures.group_fmr:
        return ""
    rates = sorted({rate for found in figures.group_fmr.values() for rate in found}, key=float, reverse=True)
    head = "".join(f"<th>at FMR {rate} over all</th>" for rate in rates)

    def row(name: str, found: Mapping[str, float]) -> str:
        cells = "".join(f"<td>{found[rate]:.2e}</td>" if rate in found else "<td>-</td>" for rate in rates)
        return f"<tr><th>{html.escape(name)}</th>{cells}</tr>"

    body = "".join(row(name, found) for name, found in figures.group_fmr.items())
    return f"<h2>False match rate within groups</h2><table><tr><th>group</th>{head}</tr>{body}</table>"


def _worst(worst: Mapping[str, Sequence[WorstPair]]) -> str:
    """Which pairs were decided worst, by their files' names."""
    titles = {"genuine": "Least alike of one person", "impostor": "Most alike of two persons"}
    tables = []
    for kind, pairs in worst.items():
        cells = "".join(
            f"<tr><td>{pair.score:.3f}</td><td>{html.escape(pair.first)}</td><td>{html.escape(pair.second)}</td></tr>"
            for pair in pairs
        )
        tables.append(
            f"<h2>{titles[kind]}</h2><table><tr><th>cosine</th><th colspan='2'>files</th></tr>{cells}</table>"
        )
    return "".join(tables)


def _det(figures: FaceFigures, cross: CrossPairs) -> str:
    """The curve as SVG, both axes logarithmic, with the interval at each measured rate."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("--report draws with matplotlib: pip install 'vouchbox[evaluate]'") from error
    curve = det_curve(cross.genuine, cross.impostors)
    shown = curve[curve[:, 1] > 0]
    if not len(shown):
        return (
            f"<p>None of the {len(cross.genuine)} genuine pairs is missed at any rate: there is no curve to draw.</p>"
        )
    drawing = Figure(figsize=(7, 5))
    axes = drawing.subplots()
    axes.plot(shown[:, 0], shown[:, 1], color="tab:blue")
    for rate, value in figures.fnmr_at_fmr.items():
        low, high = figures.fnmr_interval[rate]
        reach = np.array([[max(value - low, 0)], [max(high - value, 0)]])
        axes.errorbar([float(rate)], [value], yerr=reach, fmt="o", color="tab:blue", capsize=3)
    axes.set(xscale="log", yscale="log", xlabel="false match rate", ylabel="false non-match rate", xlim=(None, 1))
    axes.grid(visible=True, which="both", alpha=0.3)
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]
