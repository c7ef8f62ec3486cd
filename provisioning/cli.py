"""The `vouchbox-provision` command: what a technician does at one box, and what an organisation does for all of them.

Every command can be repeated without harm. `--json` prints one JSON object (or one a line); exit 0: it holds or is
done, 1: what was asked does not hold, 2: something has to be put right first (one line says what), 3: ask again later.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from device import __version__
from device.commands.lazy import LazyGroup
from device.errors import VouchboxError

_BOX = "provisioning.commands."
COMMANDS = {
    "init": (_BOX + "init", "init", "A bare box: identity, key, certificate request."),
    "enrol": (_BOX + "enrol", "enrol", "Certificates from the organisation: by file, EST or one-time code."),
    "renew": (_BOX + "enrol", "renew", "A new key and certificate before the old one expires."),
    "relying-party": (_BOX + "relying_party", "relying_party", "Who may ask this box: add, list, rotate, remove."),
    "policy": (_BOX + "policy", "policy", "Check policy files."),
    "selftest": (_BOX + "selftest", "selftest", "Look at everything, and say what to do."),
    "seal": (_BOX + "seal", "seal", "Put the box into production."),
    "unseal": (_BOX + "seal", "unseal", "Open a sealed box; the ledger keeps a mark."),
    "status": (_BOX + "status", "status", "What this box is, in ten lines."),
    "health": (_BOX + "health", "health", "Are the three processes well? Exit 0 if they are."),
    "ledger": (_BOX + "ledger", "ledger", "Verify or export the ledger."),
    "wipe": (_BOX + "wipe", "wipe", "Make the box nobody's again."),
    "release": (_BOX + "release", "release", "Signed releases: verify, install beside, activate, roll back."),
    "support-bundle": (_BOX + "support", "support_bundle", "What support needs to know; nothing personal."),
    "authority": (_BOX + "authority", "authority", "The organisation's offline authority."),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The box's configuration (else $VOUCHBOX_CONFIG, else /etc/vouchbox/config.toml).",
)
@click.version_option(__version__, prog_name="vouchbox-provision")
@click.pass_context
def provision(context: click.Context, config: Path | None) -> None:
    """Turns a bare board into a sealed verification point, and runs the organisation's authority."""
    context.obj = config


def main() -> None:
    """Runs a command; an error that the operator can act on is a line on standard error."""
    try:
        provision(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped; run it again to go on", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VouchboxError as error:
        click.echo(f"vouchbox-provision: {error}", err=True)
        sys.exit(error.exit_code)
    except PermissionError as error:
        advice = "look at its owner and mode" if os.geteuid() == 0 else "run this as root (sudo)"
        click.echo(f"vouchbox-provision: {error.filename or 'this'}: {error.strerror}; {advice}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
