"""`vouchbox-provision relying-party`: who may ask this box."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from device.errors import ConfigurationError
from device.notary.policy import load_policies
from device.notary.requesters import add_requester, remove_requester, requesters_file
from provisioning.box import BoxFolder, open_box
from provisioning.commands.common import confirm, json_option, say, yes_option
from provisioning.ownership import NOTARY, acting_as
from provisioning.relying_parties import PartiesFile, make_party

_TOKEN_FILE = click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Put the token into this file (mode 600) instead of on the screen.",
)


@click.group("relying-party")
def relying_party() -> None:
    """Who may ask this box for verifications, and for which."""


@relying_party.command("add")
@click.argument("id")
@click.option("--name", default="", help="As the kiosk page shows it to the person.")
@click.option("--policy", "policies", multiple=True, required=True, help="A policy that it may ask for. Repeatable.")
@click.option("--audience", "audiences", multiple=True, required=True, help="An audience that it may name. Repeatable.")
@click.option("--monitor", is_flag=True, help="It may read /metrics.")
@click.option(
    "--request-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its public key (PEM, as `vouchbox request --new-key` prints it): it may ask by code, without a network.",
)
@_TOKEN_FILE
@json_option
@click.pass_obj
def add(
    config: Path | None,
    id: str,
    name: str,
    policies: tuple[str, ...],
    audiences: tuple[str, ...],
    request_key: Path | None,
    token_file: Path | None,
    *,
    monitor: bool,
    as_json: bool,
) -> None:
    """Registers a relying party and tells its token, once."""
    box = open_box(config)
    _require_policies(box, policies)
    if request_key is not None:
        key = request_key.read_text(encoding="utf-8", errors="replace")
        with acting_as(NOTARY):
            add_requester(requesters_file(box.config), id, name=name, key=key, policies=policies, audiences=audiences)
    changed, token = PartiesFile(box).add(make_party(id, name, policies, audiences, monitor=monitor), token_file)
    _tell(id, token, token_file, changed=changed, as_json=as_json)


@relying_party.command("list")
@json_option
@click.pass_obj
def list_(config: Path | None, *, as_json: bool) -> None:
    """Everyone registered, without tokens."""
    parties = PartiesFile(open_box(config)).all()
    if as_json:
        for party in parties:
            facts = {"id": party.id, "name": party.name, "policies": party.policies, "audiences": party.audiences}
            click.echo(json.dumps({**facts, "monitor": party.monitor}))
        return
    table = Table("id", "name", "policies", "audiences", "metrics", box=None)
    for party in parties:
        table.add_row(
            party.id, party.name, " ".join(party.policies), " ".join(party.audiences), "yes" if party.monitor else ""
        )
    Console().print(table if parties else "nobody may ask this box yet")


@relying_party.command("rotate")
@click.argument("id")
@_TOKEN_FILE
@yes_option
@json_option
@click.pass_obj
def rotate(config: Path | None, id: str, token_file: Path | None, *, yes: bool, as_json: bool) -> None:
    """A new token for a relying party; the old one ends at once."""
    confirm(f"The present token of {id} ends now. Go on?", yes=yes)
    token = PartiesFile(open_box(config)).rotate(id, token_file)
    _tell(id, token, token_file, changed=True, as_json=as_json)


@relying_party.command("remove")
@click.argument("id")
@yes_option
@json_option
@click.pass_obj
def remove(config: Path | None, id: str, *, yes: bool, as_json: bool) -> None:
    """Takes a relying party off the list; its token ends at once."""
    confirm(f"{id} can then ask this box for nothing. Go on?", yes=yes)
    box = open_box(config)
    with acting_as(NOTARY):
        by_code = remove_requester(requesters_file(box.config), id)
    gone = PartiesFile(box).remove(id) or by_code
    say({"id": id, "changed": gone}, [f"{id}: {'removed' if gone else 'was not registered'}"], as_json=as_json)


def _require_policies(box: BoxFolder, names: tuple[str, ...]) -> None:
    known = load_policies(Path(box.config.notary.policies) if box.config.notary.policies else None)
    missing = [name for name in names if name not in known]
    if missing:
        raise ConfigurationError(f"this box has no policy {', '.join(missing)}; it has {', '.join(sorted(known))}")


def _tell(id: str, token: str, token_file: Path | None, *, changed: bool, as_json: bool) -> None:
    shown = token if token_file is None else ""
    where = f"its token is in {token_file}" if token_file and token else f"token: {token}  (told this once)"
    if not token:
        where = "its token stays; `relying-party rotate` makes a new one"
    facts = {
        "id": id,
        "changed": changed,
        "token": shown or None,
        "token_file": str(token_file) if token_file else None,
    }
    say(facts, [f"{id}: {'registered' if changed else 'was registered already'}", f"  {where}"], as_json=as_json)
