"""The HTML report of an attack evaluation: tables by species with the worst in bold, DET curves, the worst pictures.

In: `DetectorFigures`. Out: one self-contained HTML text (drawings are inline SVG, pictures inline JPEG). It shows faces
of the data set: keep it as carefully as the data set itself.
"""

from __future__ import annotations

import base64
import html
import math
from statistics import NormalDist
from typing import Final

import cv2

from device.evaluation.attack_metrics import Array, Rate, det_points
from device.evaluation.attacks import DetectorFigures, Scored
from device.vision.stills import load_still

WORST: Final = 12
"""Pictures shown of each kind of error."""
_TICKS: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
_SIZE: Final = 420
_NORMAL: Final = NormalDist()
_COLOURS: Final = ("#0b5fa5", "#b3541e", "#3f7d20", "#7a3e9d", "#a31d3d", "#5c5c5c", "#00787a", "#8a6d00")


def report(found: list[DetectorFigures], title: str) -> str:
    """The whole page."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{html.escape(title)}</title>",
        "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}"
        "td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.3em}"
        "figcaption{font-size:12px}</style>",
        f"<h1>{html.escape(title)}</h1>",
        "<p>Rates are those of ISO/IEC 30107-3, with 95 % Clopper-Pearson intervals. The worst species is in bold: "
        "it is the figure that counts. This is a measurement on one data set and no certificate.</p>",
    ]
    for figures in found:
        parts += [f"<h2>{html.escape(figures.name)}</h2>", _summary(figures), _species_table(figures), _det(figures)]
    parts += ["<h2>Worst pictures</h2>", *_worst(found[0])]
    return "\n".join(parts)


def _summary(figures: DetectorFigures) -> str:
    low, high = figures.eer_interval
    missing = figures.not_scored
    return (
        f"<p>{len(figures.bona_fide)} bona fide and {sum(map(len, figures.attacks.values()))} attack presentations; "
        f"no face found in {missing['bona_fide']} bona fide and {missing['attack']} attacks. "
        f"All species pooled: EER {figures.eer:.2%} ({low:.2%} to {high:.2%}, people drawn), AUC {figures.auc:.4f}.</p>"
    )


def _species_table(figures: DetectorFigures) -> str:
    points = [(f"BPCER {float(text):.0%}", point) for text, point in figures.at_bpcer.items()]
    if figures.shipped:
        points.append(
            (f"threshold {figures.shipped.threshold:.3f}, BPCER {_rate(figures.shipped.bpcer)}", figures.shipped)
        )
    rows = ["<table><tr><th>APCER at<th>" + "<th>".join(title for title, _ in points)]
    for species in figures.attacks:
        cells = []
        for _, point in points:
            text = _rate(point.apcer[species])
            cells.append(f"<b>{text}</b>" if species == point.worst else text)
        rows.append(f"<tr><td>{html.escape(species)}<td>" + "<td>".join(cells))
    return "\n".join([*rows, "</table>"])


def _rate(rate: Rate) -> str:
    low, high = rate.interval
    return f"{rate.value:.1%} ({low:.1%}-{high:.1%})"


def _det(figures: DetectorFigures) -> str:
    """DET curves (normal deviate axes), one for each species; bars at BPCER 5 % are 95 % intervals of APCER."""
    parts = [f'<svg viewBox="0 0 {_SIZE + 190} {_SIZE + 60}" width="{_SIZE + 190}" role="img" aria-label="DET curve">']
    for tick in _TICKS:
        at = _axis(tick)
        parts.append(
            f'<path d="M50 {_SIZE - at:.1f}h{_SIZE}M{50 + at:.1f} 0v{_SIZE}" stroke="#ddd" fill="none"/>'
            f'<text x="46" y="{_SIZE - at + 4:.1f}" font-size="11" text-anchor="end">{tick:.1%}</text>'
            f'<text x="{50 + at:.1f}" y="{_SIZE + 16}" font-size="11" text-anchor="middle">{tick:.1%}</text>'
        )
    parts.append(f'<text x="{50 + _SIZE / 2}" y="{_SIZE + 36}" text-anchor="middle" font-size="13">BPCER</text>')
    parts.append(f'<text x="12" y="{_SIZE / 2}" font-size="13" transform="rotate(-90 12 {_SIZE / 2})">APCER</text>')
    for index, (species, scores) in enumerate(figures.attacks.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        parts.append(
            f'<polyline points="{_curve(figures.bona_fide, scores)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        low, high = figures.at_bpcer["0.05"].apcer[species].interval
        x = 50 + _axis(0.05) + index
        parts.append(f'<path d="M{x:.1f} {_SIZE - _axis(low):.1f}V{_SIZE - _axis(high):.1f}" stroke="{colour}"/>')
        parts.append(
            f'<text x="{_SIZE + 60}" y="{18 + 18 * index}" font-size="13" fill="{colour}">{html.escape(species)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _curve(bona_fide: Array, attacks: Array) -> str:
    apcer, bpcer = det_points(bona_fide, attacks)
    return " ".join(f"{50 + _axis(b):.1f},{_SIZE - _axis(a):.1f}" for a, b in zip(apcer, bpcer, strict=True))


def _axis(rate: float) -> float:
    """Pixels from the origin of a rate on a normal deviate axis from 0.05 % to 60 %."""
    low, high = _NORMAL.inv_cdf(0.0005), _NORMAL.inv_cdf(0.6)
    value = _NORMAL.inv_cdf(min(0.6, max(0.0005, rate)))
    return (value - low) / (high - low) * _SIZE


def _worst(figures: DetectorFigures) -> list[str]:
    scored = [one for one in figures.scored if one.score is not None]
    people = sorted((one for one in scored if not one.presentation.attack), key=lambda one: -(one.score or 0.0))
    parts = ["<h3>Bona fide with the highest scores</h3>", *map(_picture, people[:WORST])]
    for species in figures.attacks:
        attacks = sorted(
            (one for one in scored if one.presentation.species == species), key=lambda one: one.score or 0.0
        )
        parts += [f"<h3>{html.escape(species)} with the lowest scores</h3>", *map(_picture, attacks[:WORST])]
    return parts


def _picture(one: Scored) -> str:
    image = load_still(one.presentation.path)
    factor = 160 / max(image.shape[:2])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    text = base64.b64encode(data.tobytes()).decode()
    score = one.score if one.score is not None else math.nan
    caption = f"{score:.3f} {html.escape(one.presentation.path.name)}"
    return f'<figure><img src="data:image/jpeg;base64,{text}" alt=""><figcaption>{caption}</figcaption></figure>'
