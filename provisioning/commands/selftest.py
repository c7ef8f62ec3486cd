"""`vouchbox-provision selftest`: see `provisioning.selftest.runner`. Exit 0 if the box could be sealed."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from provisioning.box import Stage, open_box, require_stage
from provisioning.commands.common import json_option
from provisioning.files import write_atomic
from provisioning.selftest.page import render_page
from provisioning.selftest.report import Report, keep_report
from provisioning.selftest.runner import record_camera, run_selftest
from provisioning.selftest.target import render_target

_FILE = click.Path(dir_okay=False, path_type=Path)
_COLOURS = {"pass": "green", "fail": "bold red", "weaker": "yellow", "not performed": "dim"}


@click.command()
@click.option("--report", type=_FILE, help="Also one page of HTML, for the file.")
@click.option("--quick", is_flag=True, help="Without the whole (emulated) verification.")
@click.option("--record-camera", "again", is_flag=True, help="The camera was changed on purpose: record this one.")
@click.option("--accept", "accepted", multiple=True, metavar="NAME", help="Exit 0 although this fails. Repeatable.")
@click.option("--print-target", type=_FILE, help="Write the printable target (SVG, A4) and end.")
@json_option
@click.pass_obj
def selftest(
    config: Path | None,
    report: Path | None,
    accepted: tuple[str, ...],
    *,
    quick: bool,
    again: bool,
    print_target: Path | None,
    as_json: bool,
) -> None:
    """Looks at camera, light, models, clock, disk, memory, power, key and services; each with what to do.

    What a box was sealed with in spite of is accepted from then on.
    """
    if print_target is not None:
        write_atomic(print_target, render_target().encode())
        click.echo(f"print {print_target} on A4 without scaling, and hold it so that it fills the picture")
        return
    box = open_box(config)
    require_stage(box, Stage.INITIALISED)
    console = Console(stderr=True, quiet=as_json)
    with console.status("looking") as status:
        found = run_selftest(box, quick=quick, say=lambda words: status.update(words))
    record_camera(box, found, again=again)
    keep_report(found, box.notes)
    if report is not None:
        write_atomic(report, render_page(found).encode())
    known = {*accepted, *(box.config.sealed.accepted if box.config.sealed is not None else ())}
    left = sorted(found.failures() - known)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        Console().print(render_table(found))
        words = "put what fails right, and type it again"
        click.echo(f"\nnot ready to be sealed: {', '.join(left)}\n{words}" if left else "\nready to be sealed")
    raise SystemExit(1 if left else 0)


def render_table(report: Report) -> Table:
    """For the terminal: what to put right comes last, where the eye is, with what to do below what was found."""
    table = Table("looked at", "result", "found", box=None)
    for one in report.by_urgency(last=True):
        colour = _COLOURS[one.word]
        text = Text(one.text)
        if one.advice:
            text.append(f"\n→ {one.advice}", style="bold" if one.blocks else "dim")
        table.add_row(one.name, Text(one.word, style=colour), text)
    return table
