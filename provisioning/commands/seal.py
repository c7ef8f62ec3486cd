"""`vouchbox-provision seal` and `unseal`: see `provisioning.sealing`."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from provisioning.box import open_box
from provisioning.commands.common import confirm, json_option, say, yes_option
from provisioning.sealing import USES
from provisioning.sealing import seal as seal_box
from provisioning.sealing import unseal as unseal_box


@click.command()
@click.option("--use", type=click.Choice(USES), required=True, help="What the organisation does with this box.")
@click.option("--accept", "accepted", multiple=True, metavar="NAME", help="A finding that you answer for. Repeatable.")
@yes_option
@json_option
@click.pass_obj
def seal(config: Path | None, use: str, accepted: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Production: no emulated camera, no development key, licences checked, policies frozen."""
    box = open_box(config)
    if box.config.sealed is None:
        confirm("Development keys are destroyed, and opening the box again is recorded. Seal it?", yes=yes)
    box, changed = seal_box(box, use, accepted)
    sealed = box.config.sealed
    assert sealed is not None
    when = datetime.datetime.fromtimestamp(sealed.time, datetime.UTC)
    say(
        {"sealed": True, "changed": changed, "time": sealed.time, "use": use, "accepted": list(sealed.accepted)},
        [
            f"{'sealed' if changed else 'was sealed already'}, {when:%Y-%m-%d %H:%M} UTC, for {use} use",
            f"  policies frozen: {', '.join(sealed.policies)}",
            f"  accepted: {', '.join(sealed.accepted) or 'nothing'}",
        ],
        as_json=as_json,
    )


@click.command()
@click.option("--reason", required=True, metavar="WORD", help="One word for the ledger, e.g. camera-replaced.")
@yes_option
@json_option
@click.pass_obj
def unseal(config: Path | None, reason: str, *, yes: bool, as_json: bool) -> None:
    """Opens a sealed box. The ledger keeps that and when, for ever."""
    confirm("This leaves a mark in the ledger that cannot be taken back. Open the box?", yes=yes)
    _, changed = unseal_box(open_box(config), reason)
    say({"sealed": False, "changed": changed}, ["opened" if changed else "was open already"], as_json=as_json)
