"""`vouchbox-provision status`: what this box is, in ten lines. Exit 0 if nothing is wrong with it, else 1."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from provisioning.box import open_box
from provisioning.commands.common import json_option
from provisioning.state import facts_of, lines_of


@click.command()
@json_option
@click.pass_obj
def status(config: Path | None, *, as_json: bool) -> None:
    """What this box is, in ten lines."""
    facts = facts_of(open_box(config))
    if as_json:
        click.echo(json.dumps(facts))
    else:
        table = Table(box=None, show_header=False)
        for word, text in lines_of(facts):
            table.add_row(f"[bold]{word}[/bold]", text)
        Console().print(table)
        for problem in facts["problems"]:
            Console().print(f"[red]wrong[/red]  {problem}", highlight=False)
    raise SystemExit(1 if facts["problems"] else 0)
