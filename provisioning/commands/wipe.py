"""`vouchbox-provision wipe`: see `provisioning.wiping`."""

from __future__ import annotations

from pathlib import Path

import click

from provisioning.box import open_box
from provisioning.commands.common import confirm, json_option, say, yes_option
from provisioning.wiping import wipe as wipe_box


@click.command()
@click.option("--ledger", is_flag=True, help="The ledger too; else it stays, with a mark.")
@click.option("--models", is_flag=True, help="Installed models too.")
@yes_option
@json_option
@click.pass_obj
def wipe(config: Path | None, *, ledger: bool, models: bool, yes: bool, as_json: bool) -> None:
    """Destroys keys, identity and relying parties: the box is nobody's again. Tell the authority to revoke it."""
    kept = "" if ledger else " The ledger stays."
    confirm(f"Keys are destroyed; verdicts of this box end.{kept} Wipe it?", yes=yes)
    done = wipe_box(open_box(config), ledger=ledger, models=models)
    words = ", ".join(done)
    say(
        {"destroyed": done, "changed": bool(done)},
        [f"destroyed: {words}" if done else "was bare already"],
        as_json=as_json,
    )
