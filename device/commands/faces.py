"""`vouchbox compare` and `vouchbox evaluate faces`.

In: two still images, or a data set. Out: figures for people or, with `--json`, for programs (design, section 9).
`compare` exits 0 only if the two match at the false match rate asked for, 1 if they do not, 2 for a file without a
usable face. These commands work on files that the caller has anyway; what a box tells of a person holds a score only if
its policy asks for one.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from device.errors import InputError
from device.evaluation.calibration import YOUNGEST, calibrate, grouped, held_back, old_enough, write_thresholds
from device.evaluation.face_data import FaceSet, correct_labels, load_face_set
from device.evaluation.faces import (
    GROUP_RATES,
    FaceFigures,
    Matrix,
    WorstPair,
    cross_pairs,
    embed_all,
    figures,
    group_fmr,
    pair_scores,
    spelt,
    worst_pairs,
)
from device.evaluation.report import page
from device.protocol import FmrLevel
from device.vision.camera.base import Image
from device.vision.face.detector import FaceDetector
from device.vision.face.embedder import FaceEmbedder
from device.vision.face.landmarks import FaceLandmarker
from device.vision.face.matcher import FaceMatcher
from device.vision.face.view import FaceFinder, FaceView
from device.vision.inference.manifest import MANIFEST_NAME, load_manifest
from device.vision.stills import load_still


@click.command()
@click.argument("reference")
@click.argument("probe")
@click.option("--embedder", default="", help="Name in the manifest; else the default embedder.")
@click.option("--fmr", type=click.Choice([level.value for level in FmrLevel]), default="1e-4", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def compare(reference: str, probe: str, embedder: str, fmr: str, *, as_json: bool) -> None:
    """Compare the faces of two still images, the largest in each.

    What the box would ask of the person whose face this is, if it saw it through its camera, is told beside the answer:
    a portrait out of a document need not please it, a selfie should.
    """
    manifest = load_manifest()
    finder = FaceFinder(FaceDetector(manifest), FaceLandmarker(manifest))
    network = FaceEmbedder(manifest, embedder)
    matcher = FaceMatcher(network.entry.thresholds)
    started = time.process_time()
    views = {"reference": _view(finder, reference), "probe": _view(finder, probe)}
    first, second = (network.embed(image, view.landmarks) for image, view in views.values())
    match = matcher.match([first], [second], FmrLevel(fmr))
    said = {
        "score": round(match.score, 4),
        "result": "pass" if match.result else "fail",
        "fmr": match.met.value if match.met else None,
        "guidance": {name: view.quality.guidance for name, (_, view) in views.items()},
        "cpu_ms": round((time.process_time() - started) * 1000, 1),
    }
    if as_json:
        click.echo(json.dumps(said))
    else:
        met = f"meets FMR {match.met.value}" if match.met else "meets no calibrated FMR"
        answer = "match" if match.result else "no match"
        click.echo(f"{answer} at FMR {fmr}: cosine {match.score:.4f}, {met}, {said['cpu_ms']} ms")
        for name, (_, view) in views.items():
            if view.quality.guidance is not None:
                click.echo(f"the {name} is a picture of which a box would say: {view.quality.guidance.value}")
    sys.exit(0 if match.result else 1)


def _view(finder: FaceFinder, name: str) -> tuple[Image, FaceView]:
    """A picture and its largest face. Raises `InputError` if there is none."""
    image = load_still(name)
    view = finder.look(image).main
    if view is None:
        raise InputError(f"{name}: no face was found; give a picture in which one is well visible")
    return image, view


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--embedder", default="", help="Name in the manifest; else the default embedder.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write an HTML page with a DET curve.")
@click.option("--scores", type=click.Path(path_type=Path, dir_okay=False), help="CSV: scores of the listed pairs.")
@click.option(
    "--errata",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV file,person: who is really in pictures that are labelled wrongly; nobody else's if it is left empty.",
)
@click.option("--worst", type=click.IntRange(0), default=0, help="Name so many of the worst pairs of either kind.")
@click.option("--calibrate", "calibrating", is_flag=True, help="Set thresholds, on the faces held back from training.")
@click.option(
    "--youngest", type=int, default=YOUNGEST, show_default=True, help="With --calibrate: least age in file names."
)
@click.option("--write", is_flag=True, help="With --calibrate: write the thresholds into the manifest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def evaluate_faces(
    folder: Path,
    embedder: str,
    report: Path | None,
    scores: Path | None,
    errata: Path | None,
    worst: int,
    youngest: int,
    *,
    calibrating: bool,
    write: bool,
    as_json: bool,
) -> None:
    """FMR and FNMR over all cross pairs of FOLDER, which holds images/ (a folder a person) and maybe pairs.csv.

    With --calibrate, FOLDER holds faces of people who are nearly all different, in images/ without folders (with a
    folder a person, only pairs of two people count); the answer is one JSON object. Names that begin with an age and an
    underscore, as UTKFace's do, are used from the age --youngest on: small children look alike to every embedder, and
    do not show identity documents.
    """
    if calibrating and (report or scores or errata or worst):
        raise click.UsageError(
            "--calibrate sets thresholds: --report, --scores, --errata and --worst say nothing there"
        )
    if write and not calibrating:
        raise click.UsageError("--write writes thresholds: give --calibrate too")
    manifest = load_manifest()
    network = FaceEmbedder(manifest, embedder)
    faces = load_face_set(folder, lambda name: not calibrating or (held_back(name) and old_enough(name, youngest)))
    faces = correct_labels(faces, errata) if errata else faces
    embeddings = _embed(faces, FaceDetector(manifest), FaceLandmarker(manifest), network)
    if calibrating:
        source = f"{folder.name}, held back from training, aged {youngest} and over"
        _calibrate(source, faces, embeddings, network, manifest.home(network.entry) / MANIFEST_NAME, write=write)
        return
    cross = cross_pairs(embeddings, faces.persons, alike=worst)
    named = worst_pairs(faces, cross, worst) if worst else {}
    found = figures(faces, embeddings, network.entry.name, cross, network.entry.thresholds)
    if scores:
        _write_scores(scores, faces, embeddings)
    if report:
        _write_report(report, page(found, cross, f"{found.embedder} on {folder.name}", named))
    if as_json:
        pairs = {kind: [asdict(pair) for pair in some] for kind, some in named.items()}
        click.echo(json.dumps(found.as_json() | ({"worst": pairs} if worst else {})))
    else:
        click.echo("\n".join([as_text(found), *_worst_as_text(named)]))


def _embed(faces: FaceSet, detector: FaceDetector, landmarker: FaceLandmarker, network: FaceEmbedder) -> Matrix:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("faces", total=len(faces.files))
        return embed_all(faces, detector, landmarker, network, lambda count: progress.update(task, completed=count))


def _calibrate(
    source: str, faces: FaceSet, embeddings: Matrix, network: FaceEmbedder, manifest: Path, *, write: bool
) -> None:
    seen = np.asarray(embeddings.any(axis=1), dtype=bool)
    found = embeddings[seen]
    cross = cross_pairs(found, faces.persons[seen] if len(faces.persons) else faces.persons)
    thresholds = calibrate(cross.impostors)
    source = f"{source}: {len(found)} faces, {cross.impostors.total} impostor pairs"
    if write:
        write_thresholds(manifest, network.entry.name, thresholds, source)
    groups = grouped([Path(name).name for name, face in zip(faces.files, seen, strict=True) if face])
    within = group_fmr(groups, found, {level: thresholds[level] for level in map(spelt, GROUP_RATES)})
    said: dict[str, Any] = {
        "embedder": network.entry.name,
        "thresholds": thresholds,
        "thresholds_from": source,
        "group_fmr": within,
    }
    click.echo(json.dumps(said))


def _write_scores(path: Path, faces: FaceSet, embeddings: Matrix) -> None:
    if not faces.pairs:
        raise InputError(f"{faces.folder} has no pairs.csv: there are no listed pairs to write scores of")
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["first", "second", "same", "score"])
            for pair, score in zip(faces.pairs, pair_scores(faces, embeddings), strict=True):
                row = (faces.files[pair.first], faces.files[pair.second], int(pair.same), f"{score:.6f}")
                writer.writerow(row)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _write_report(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def as_text(found: FaceFigures) -> str:
    """The figures for people."""
    lines = [
        f"{found.embedder}: {found.images} images ({found.not_found} without a face that was found), "
        f"{found.genuine_pairs} genuine and {found.impostor_pairs} impostor pairs"
    ]
    if found.labels_corrected:
        lines.append(f"{found.labels_corrected} labels corrected; the listed pairs stay as their list says")
    if found.accuracy is not None:
        lines.append(f"accuracy on {found.pairs} listed pairs: {found.accuracy:.2%}")
    lines += [f"TAR at FAR {rate}: {value:.2%}" for rate, value in found.tar_at_far.items()]
    for rate, value in found.fnmr_at_fmr.items():
        low, high = found.fnmr_interval[rate]
        lines.append(f"FNMR at FMR {rate}: {value:.2%} (95 %: {low:.2%} to {high:.2%})")
    for level, rates in found.at_manifest.items():
        lines.append(f"at the manifest's threshold for {level}: FMR {rates['fmr']:.2e}, FNMR {rates['fnmr']:.2%}")
    for group, within in found.group_fmr.items():
        told = ", ".join(f"{value:.1e} where it is {rate} over all" for rate, value in within.items())
        lines.append(f"FMR within {group}: {told}")
    return "\n".join(lines)


def _worst_as_text(worst: Mapping[str, Sequence[WorstPair]]) -> Iterator[str]:
    for kind, pairs in worst.items():
        yield f"worst {kind} pairs:"
        yield from (f"  {pair.score:.3f}  {pair.first}  {pair.second}" for pair in pairs)
