"""`vouchbox-provision health`: are the three processes well? Exit 0 if they are, else 1; a rollout asks it."""

from __future__ import annotations

from pathlib import Path

import click

from device.health import health as ask
from provisioning.box import open_box
from provisioning.commands.common import json_option, say
from provisioning.units import gateway_url


@click.command()
@json_option
@click.pass_obj
def health(config: Path | None, *, as_json: bool) -> None:
    """Asks this box's own /healthz, wherever its gateway listens, with TLS or without."""
    box = open_box(config)
    trouble = ask(gateway_url(box.file, box.config), box.config.gateway.certificate)
    say({"well": not trouble, "reason": trouble}, [trouble or "all three are well"], as_json=as_json)
    raise SystemExit(1 if trouble else 0)
