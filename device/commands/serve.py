"""`vouchbox serve`: the three services in the foreground, started again when one dies, until Ctrl-C."""

from __future__ import annotations

import signal
import tempfile
import threading
from pathlib import Path

import click
import msgspec

from device.config import BoxConfig, Config, load_config
from device.launch import Services, private_folders


@click.command()
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file; its box.runtime and box.state are used.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where sockets, keys and ledger go; without it a temporary folder.",
)
@click.option("--camera", help="Camera, as in the configuration, e.g. v4l2:/dev/video0 or emulated:standard.")
@click.option(
    "--relying-party",
    "party",
    metavar="ID",
    help="Register this relying party for the demo policy, and print its token.",
)
@click.option(
    "--audience", default="https://relying-party.example", show_default=True, help="The audience that it may ask with."
)
def serve(config: Path | None, folder: Path | None, camera: str | None, party: str | None, audience: str) -> None:
    """The three processes in the foreground, for development."""
    settings = load_config(config)
    if camera is not None:
        settings = msgspec.structs.replace(settings, vision=msgspec.structs.replace(settings.vision, camera=camera))
    with tempfile.TemporaryDirectory(prefix="vouchbox-") as temporary:
        if config is None:
            settings = _in_folder(settings, folder or Path(temporary))
        _serve(settings, party, audience)


def _in_folder(settings: Config, parent: Path) -> Config:
    runtime, state = private_folders(parent)
    return msgspec.structs.replace(settings, box=BoxConfig(runtime=str(runtime), state=str(state)))


def _serve(settings: Config, party: str | None, audience: str) -> None:
    from device.gateway.auth import add_relying_party, relying_parties_file
    from provisioning.authority import ensure_development_identity

    ensure_development_identity(settings.state)
    if party is not None:
        token = add_relying_party(relying_parties_file(settings), party, policies=("demo",), audiences=(audience,))
        click.echo(f"token of {party}: {token}", err=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    with Services(settings) as services:
        click.echo(f"vouchbox serves at {services.wait_ready()} (Ctrl-C ends it)", err=True)
        stop.wait()
