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
@click.option("--party-name", default="", help="What the person is told that it is called; without it the id.")
@click.option(
    "--request-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its public key (PEM), for requests that are shown as codes (`vouchbox request`).",
)
@click.option(
    "--audience", default="https://relying-party.example", show_default=True, help="The audience that it may ask with."
)
def serve(
    config: Path | None,
    folder: Path | None,
    camera: str | None,
    party: str | None,
    party_name: str,
    request_key: Path | None,
    audience: str,
) -> None:
    """The three processes in the foreground, for development."""
    settings = load_config(config)
    if camera is not None:
        settings = msgspec.structs.replace(settings, vision=msgspec.structs.replace(settings.vision, camera=camera))
    with tempfile.TemporaryDirectory(prefix="vouchbox-") as temporary:
        if config is None:
            settings = _in_folder(settings, folder or Path(temporary))
        if party is not None:
            _register(settings, party, party_name, audience, request_key)
        _serve(settings)


def _in_folder(settings: Config, parent: Path) -> Config:
    runtime, state = private_folders(parent)
    return msgspec.structs.replace(settings, box=BoxConfig(runtime=str(runtime), state=str(state)))


def _register(settings: Config, party: str, name: str, audience: str, request_key: Path | None) -> None:
    from device.gateway.auth import add_relying_party, relying_parties_file
    from device.notary.box import load_box
    from device.notary.requesters import add_requester, requesters_file

    file = relying_parties_file(settings)
    token = add_relying_party(file, party, name=name, policies=("demo",), audiences=(audience,))
    click.echo(f"token of {party}: {token}", err=True)
    if request_key is not None:
        key = request_key.read_text(encoding="utf-8", errors="replace")
        file = requesters_file(settings)
        add_requester(file, party, name=name, key=key, policies=("demo",), audiences=(audience,))
        click.echo(f"requests by code: vouchbox request --box {load_box(settings).id} --party {party} …", err=True)


def _serve(settings: Config) -> None:
    from provisioning.authority import ensure_development_identity

    if settings.sealed is None:  # a box in production has no development key, and gets none
        ensure_development_identity(settings.state)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    with Services(settings) as services:
        click.echo(f"vouchbox serves at {services.wait_ready()} (Ctrl-C ends it)", err=True)
        stop.wait()
