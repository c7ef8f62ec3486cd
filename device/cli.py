"""The `vouchbox` command: every subcommand lives in `device.commands`, and is imported only when it is called,
so that `vouchbox verify` on a server needs neither a camera nor a model."""

from __future__ import annotations

import sys

import click

from device import __version__
from device.commands.lazy import LazyGroup
from device.errors import VouchboxError

COMMANDS = {
    "demo": ("device.commands.demo", "demo", "One whole verification before an emulated (or a real) camera."),
    "serve": ("device.commands.serve", "serve", "The three processes in the foreground, for development."),
    "vision": ("device.commands.services", "vision", "The vision service, as systemd starts it."),
    "notary": ("device.commands.services", "notary", "The notary service, as systemd starts it."),
    "gateway": ("device.commands.services", "gateway", "The gateway service, as systemd starts it."),
    "request": ("device.commands.request", "request", "A signed request as a code, for a box without a network."),
    "verify": ("device.commands.verify", "verify", "Verify a verdict offline."),
    "voices": ("device.commands.voices", "voices", "Record the spoken guidance with espeak-ng."),
    "read": ("device.commands.documents", "read", "What the document reader makes of still images."),
    "compare": ("device.commands.faces", "compare", "Compare the faces of two still images."),
    "attack-score": ("device.commands.attacks", "attack_score", "Passive presentation-attack score of still images."),
    "evaluate": ("device.commands.evaluate", "evaluate", "Measure on a data set with the field's metrics."),
    "models": ("device.commands.models", "models", "Which models there are, and whether their bytes are right."),
    "bench": ("device.commands.bench", "bench", "Time and memory of each step on this machine."),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
@click.version_option(__version__, prog_name="vouchbox")
def vouchbox() -> None:
    """Vouchbox checks a person against their identity document and gives out one signed verdict, and no image."""


def main() -> None:
    """Runs a command; an error that the operator can act on is one line on standard error and exit code 2."""
    try:
        vouchbox(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VouchboxError as error:
        click.echo(f"vouchbox: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
