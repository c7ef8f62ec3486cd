"""`vouchbox read` and `vouchbox evaluate documents`.

In: still images, or a folder with `truth.json`. Out: what the document reader makes of them, for people or, with
`--json`, as DESIGN section 9 says. `read` exits 0 only if a zone or a barcode was read in every image, 1 if not, and 2
for a file that is no usable image.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track

from device.errors import InputError
from device.evaluation.documents import (
    LEGIBLE_PX,
    DocumentFigures,
    figures,
    load_truth,
    read_cases,
    without_portrait,
)
from device.evaluation.documents_report import page
from device.vision.document.barcode import Barcode
from device.vision.document.fusion import DocumentFusion, DocumentResult
from device.vision.document.mrz_fields import DocumentFields, PartialDate
from device.vision.document.reader import DocumentReader, DocumentReading
from device.vision.face.detector import FaceDetector
from device.vision.face.landmarks import FaceLandmarker
from device.vision.face.view import FaceFinder
from device.vision.inference.manifest import load_manifest
from device.vision.stills import load_still


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def read(images: tuple[str, ...], *, as_json: bool) -> None:
    """What the document reader makes of still images."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    reader: DocumentReader | None = None
    status = 0
    for name in images:
        try:
            image = load_still(name)
        except InputError as error:
            click.echo(f"vouchbox read: {error}", err=True)
            status = 2
            continue
        reader = reader or DocumentReader(load_manifest(), today=today)  # not before there is something to read
        reading = reader.read(image)
        fusion = DocumentFusion(today)
        fusion.add(reading)
        said = as_dict(name, reading, fusion.result())
        click.echo(json.dumps(said, ensure_ascii=False) if as_json else as_text(said))
        if not said["lines"] and not said["barcodes"]:
            status = max(status, 1)
    sys.exit(status)


def as_dict(name: str, reading: DocumentReading, result: DocumentResult) -> dict[str, Any]:
    """One image's answer, as DESIGN section 9 has it."""
    answers = {check.value: (report.result, report.reason) for check, report in result.checks.items()}
    answers |= dict(result.details)
    return {
        "file": name,
        "format": result.format,
        "lines": list(result.lines),
        "fields": fields_as_dict(result.fields),
        "checks": {
            check: {"result": found.value, "reason": reason.value if reason is not None else None}
            for check, (found, reason) in answers.items()
        },
        "barcodes": [barcode_as_dict(barcode) for barcode in reading.barcodes],
        "guidance": reading.guidance.value if reading.guidance is not None else None,
        "cpu_ms": round(reading.cpu_ms, 1),
    }


def fields_as_dict(fields: DocumentFields | None) -> dict[str, Any]:
    """The fields that are said, dates as ISO 8601 text."""
    if fields is None:
        return {}
    said: dict[str, Any] = {}
    for field in dataclasses.fields(fields):
        value = getattr(fields, field.name)
        if isinstance(value, PartialDate):
            value = value.text
        if value or field.name == "name_truncated":
            said[field.name] = list(value) if isinstance(value, tuple) else value
    return said


def barcode_as_dict(barcode: Barcode) -> dict[str, str]:
    """Format and content: text where it is UTF-8, else hexadecimal."""
    try:
        return {"format": barcode.format, "text": barcode.data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"format": barcode.format, "hex": barcode.data.hex()}


def as_text(said: dict[str, Any]) -> str:
    """The same for people."""
    rows = [f"{said['file']}: {said['format'] or 'no machine readable zone'} ({said['cpu_ms']:.0f} ms)"]
    rows += [f"    {line}" for line in said["lines"]]
    rows += [f"  {name:16} {value}" for name, value in said["fields"].items() if value]
    for name, answer in said["checks"].items():
        rows.append(f"  {name:22} {answer['result']}{' ' + answer['reason'] if answer['reason'] else ''}")
    rows += [
        f"  {barcode['format']}: {len(next(reversed(barcode.values())))} characters" for barcode in said["barcodes"]
    ]
    if said["guidance"] and not said["lines"]:
        rows.append(f"  a better picture: {said['guidance'].replace('_', ' ')}")
    return "\n".join(rows)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write an HTML page with the failures.")
@click.option("--portraits", is_flag=True, help="Also look for the holder's portrait; names the files without one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def evaluate_documents(folder: Path, report: Path | None, *, portraits: bool, as_json: bool) -> None:
    """Exact machine readable zones, and wrong texts called consistent, over FOLDER with truth.json."""
    total = len(load_truth(folder))
    manifest = load_manifest()
    reader = DocumentReader(manifest)
    console = Console(stderr=True, quiet=as_json)
    cases = list(track(read_cases(folder, reader), total=total, description="reading", console=console))
    found = figures(cases)
    if report is not None:
        try:
            report.write_text(page(cases), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{report}: cannot be written ({error.strerror}); give another path") from error
    missing = None
    if portraits:
        missing = without_portrait(cases, FaceFinder(FaceDetector(manifest), FaceLandmarker(manifest)))
    if as_json:
        click.echo(json.dumps(found.as_json() | ({} if missing is None else {"without_portrait": missing})))
        return
    click.echo(figures_as_text(found))
    if missing is not None:
        click.echo(
            f"portrait found in {len(cases) - len(missing)} of {len(cases)}; none in: {', '.join(missing) or '-'}"
        )


def figures_as_text(found: DocumentFigures) -> str:
    """The figures for people."""
    return (
        f"{found.exact} of {found.total} exact ({found.exact / found.total:.1%}), characters wrong {found.cer:.2%}, "
        f"{found.consistent} hold every rule but the calendar's, {found.wrong_but_consistent} wrong but consistent, "
        f"{found.cpu_ms_median:.0f} ms of CPU (median); "
        f"of characters of {LEGIBLE_PX:.0f} px and more {found.legible_exact} of {found.legible}"
    )
