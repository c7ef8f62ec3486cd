"""`vouchbox models list|install|verify`: what models there are, and getting them.

In: the manifest, and for `install` the network or a mirror. Out: a table, or with `--json` one JSON object a line.
`verify` exits 0 only if every model that is needed is here and right.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from device.commands.fetch import NetworkFetcher
from device.errors import ModelError
from device.vision.inference.install import ModelStatus, State, install, listing, verify
from device.vision.inference.manifest import install_folder, load_manifest

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def _build_openvino(parts: list[Path], target: Path) -> None:
    """Imported late: it needs the flatbuffer schema, which ai-edge-litert brings and tflite-runtime does not."""
    try:
        from device.vision.inference.openvino import build
    except ImportError as error:
        raise ModelError(f"building {target.name} needs ai-edge-litert: {error}") from error
    build(parts, target)


BUILDERS = {"openvino": _build_openvino}


@click.group()
def models() -> None:
    """What models there are, where from, under which licence, whether the bytes are right."""


@models.command("list")
@_JSON
def list_(as_json: bool) -> None:
    """Every model in the manifest and in the installed bundles."""
    _show(listing(load_manifest()), as_json)


@models.command("verify")
@click.argument("names", nargs=-1)
@_JSON
def verify_(names: tuple[str, ...], as_json: bool) -> None:
    """Checks SHA-256 and tensor shapes of the models NAMED, else of all.

    Without NAMES, an optional model may be missing.
    """
    found = verify(load_manifest(), names)
    _show(found, as_json)
    bad = [status for status in found if status.state is State.WRONG or _lacking(status, names)]
    raise SystemExit(1 if bad else 0)


@models.command("install")
@click.argument("names", nargs=-1)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder; else $VOUCHBOX_MODELS, a checkout's models/installed, or models/ in the state folder.",
)
@_JSON
def install_(names: tuple[str, ...], into: Path | None, as_json: bool) -> None:
    """Fetches the models NAMED, else all that a box needs and does not have, and checks their SHA-256.

    Models that are built from others' files (omz-face-0095, minifasnet-v2) are fetched only if they are named. With
    VOUCHBOX_MODEL_MIRROR, a folder or an address, files come from there by their names.
    """
    console = Console(stderr=True)
    destination = into or install_folder()
    done = install(
        load_manifest(),
        names,
        destination,
        NetworkFetcher(),
        lambda line: console.print(line, highlight=False),
        BUILDERS,
    )
    for one in done:
        if as_json:
            click.echo(json.dumps({"name": one.entry.name, "path": str(one.path), "changed": one.changed}))
    if not as_json:
        changed = sum(one.changed for one in done)
        click.echo(f"{changed} installed, {len(done) - changed} already here")


def _lacking(status: ModelStatus, names: tuple[str, ...]) -> bool:
    return status.state is State.MISSING and (status.entry.name in names or not status.entry.optional)


def _as_dict(status: ModelStatus) -> dict[str, Any]:
    entry = status.entry
    return {
        "name": entry.name,
        "task": entry.task,
        "default": entry.default,
        "optional": entry.optional,
        "file": entry.file,
        "sha256": entry.sha256,
        "licence": entry.licence,
        "licence_use": entry.licence_use,
        "training_data": entry.training_data,
        "source": type(entry.source).__struct_config__.tag,
        "state": status.state,
        "path": str(status.path) if status.path else None,
        "size": status.size,
        "problem": status.problem,
    }


def _show(found: list[ModelStatus], as_json: bool) -> None:
    if as_json:
        for status in found:
            click.echo(json.dumps(_as_dict(status)))
        return
    table = Table("model", "task", "licence", "from", "state")
    for status in found:
        entry = status.entry
        row = _as_dict(status)
        licence = entry.licence if entry.licence_use == "any" else f"{entry.licence} (research only)"
        table.add_row(entry.name + (" *" if entry.default else ""), entry.task, licence, row["source"], status.state)
    Console().print(table)
    for status in found:
        if status.problem:
            click.echo(f"{status.entry.name}: {status.problem}")
