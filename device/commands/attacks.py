"""`vouchbox attack-score` and `vouchbox evaluate attacks`: the passive attack detector on stills and on data sets."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from device.errors import InputError
from device.evaluation.attack_metrics import Rate
from device.evaluation.attack_report import report
from device.evaluation.attacks import DetectorFigures, as_json, evaluate
from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker
from device.vision.inference.manifest import load_manifest
from device.vision.liveness.passive import PassiveDetector
from device.vision.stills import load_still


@click.command("attack-score")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--model", default=None, help="Another model for presentation_attack than the default.")
@click.option("--json", "as_lines", is_flag=True, help="One JSON object a line.")
def attack_score(images: tuple[str, ...], model: str | None, as_lines: bool) -> None:
    """Passive presentation-attack score of stills, 0 bona fide to 1 attack. Exit 0 only if every image passes."""
    all_pass = True
    looks: tuple[FaceDetector, FaceLandmarker, PassiveDetector] | None = None
    for name in images:
        image = load_still(name)
        if looks is None:  # only now, so that a bad file is named even on a box without models
            manifest = load_manifest()
            looks = FaceDetector(manifest), FaceLandmarker(manifest), PassiveDetector(manifest, name=model)
        detector, landmarker, passive = looks
        began = time.process_time()
        detections = detector.detect(image)
        landmarks = landmarker.find(image, detections[0]) if detections else None
        score = passive.score(image, landmarks) if landmarks is not None else None
        cpu_ms = round(1000 * (time.process_time() - began), 2)
        result = "not_performed" if score is None else "fail" if score > passive.threshold else "pass"
        all_pass = all_pass and result == "pass"
        if as_lines:
            shown = None if score is None else round(score, 6)
            click.echo(json.dumps({"file": name, "score": shown, "result": result, "cpu_ms": cpu_ms}))
        else:
            why = "no face found" if score is None else f"{score:.4f} (attack above {passive.threshold:.4f})"
            click.echo(f"{name}: {result}, {why}")
    sys.exit(0 if all_pass else 1)


@click.command("attacks")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--model", default=None, help="Another model for presentation_attack than the default.")
@click.option(
    "--peer", type=click.Path(path_type=Path), help="Folder with the MiniFASNet pair, measured in the same run."
)
@click.option("--report", "page", type=click.Path(path_type=Path), help="Write an HTML report; it shows faces of DIR.")
@click.option("--json", "as_object", is_flag=True, help="The figures as one JSON object.")
def evaluate_attacks(folder: Path, model: str | None, peer: Path | None, page: Path | None, as_object: bool) -> None:
    """APCER of each species and BPCER (ISO/IEC 30107-3) on DIR/manifest.csv (file,label,species,subject,group)."""
    with click.progressbar(length=1, label="scoring", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        found = evaluate(folder, load_manifest(), model, peer, progress)
    if page:
        try:
            page.write_text(report(found, f"Presentation attack detection on {folder.name}"), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{page}: cannot be written ({error.strerror}); give another place") from error
    if as_object:
        click.echo(json.dumps(as_json(found)))
        return
    for figures in found:
        _print(figures)


def _print(figures: DetectorFigures) -> None:
    """One detector's figures for a terminal, the worst species marked in bold."""
    low, high = figures.eer_interval
    click.echo(f"{figures.name}: {len(figures.scored)} presentations, no face in {sum(figures.not_scored.values())}")
    click.echo(f"  EER {figures.eer:.2%} ({low:.2%} to {high:.2%}), AUC {figures.auc:.4f}, all species pooled")
    points = [(f"BPCER {float(text):.0%}", point) for text, point in figures.at_bpcer.items()]
    if figures.shipped:
        points.append(
            (f"threshold {figures.shipped.threshold:.4f} (BPCER {_rate(figures.shipped.bpcer)})", figures.shipped)
        )
    for title, point in points:
        click.echo(f"  at {title}: APCER")
        for species, rate in point.apcer.items():
            line = f"    {species:24} {_rate(rate)}"
            click.echo(click.style(line + "  worst", bold=True) if species == point.worst else line)


def _rate(rate: Rate) -> str:
    low, high = rate.interval
    return f"{rate.value:.1%} ({low:.1%} to {high:.1%})"
