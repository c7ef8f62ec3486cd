"""`vouchbox voices`: records the spoken guidance with espeak-ng, for browsers that have no voice of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from device.config import load_config
from device.errors import VouchboxError
from device.gateway.languages import ORDER
from device.gateway.voices import FOLDER, record


@click.command("voices")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The box's configuration file.")
@click.option(
    "--language", "codes", multiple=True, type=click.Choice(ORDER), help="Only this one. Repeatable; without it all."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def voices(config: Path | None, codes: tuple[str, ...], *, as_json: bool) -> None:
    """Record the spoken guidance with espeak-ng."""
    try:
        folder = load_config(config).state / FOLDER
        made = {code: record(code, folder) for code in codes or ORDER}
    except VouchboxError as error:
        click.echo(f"vouchbox voices: {error}", err=True)
        sys.exit(error.exit_code)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "recordings": made}))
    else:
        click.echo(f"{sum(made.values())} recordings in {folder} ({', '.join(made)})")
