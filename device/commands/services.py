"""`vouchbox vision|notary|gateway`: one service in the foreground, as systemd starts it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_config = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file (default: /etc/vouchbox/config.toml).",
)


def _arguments(config: Path | None) -> list[str]:
    return [f"--config={config}"] if config is not None else []


@click.command()
@_config
def vision(config: Path | None) -> None:
    """The vision service: the camera and the models, no network, no key."""
    from device.vision.service import main

    sys.exit(main(_arguments(config)))


@click.command()
@_config
def notary(config: Path | None) -> None:
    """The notary service: the key and the ledger, no pixels, no network."""
    from device.notary.service import main

    sys.exit(main(_arguments(config)))


@click.command()
@_config
def gateway(config: Path | None) -> None:
    """The gateway service: the API, no pixels, no key."""
    from device.gateway.service import run_command

    sys.exit(run_command(_arguments(config)))
