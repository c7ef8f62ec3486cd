"""`vouchbox-provision authority`: the organisation's offline authority. See `provisioning.office`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from device.certificates import Purpose
from device.errors import InputError
from provisioning.authority import pem
from provisioning.bundle import encode_bundle
from provisioning.codes import plain, shown_code
from provisioning.commands.common import AUTHORITY, confirm, json_option, say, yes_option
from provisioning.est import read_secret
from provisioning.files import read_limited, write_atomic
from provisioning.office import Office, create_office, make_settings
from provisioning.request import MAX_REQUEST, check_name, parse_request
from provisioning.status_list import sign_status_list

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def authority() -> None:
    """The organisation's offline authority, in FOLDER. Keep it on an encrypted disk that is seldom plugged in."""


@authority.command("create")
@AUTHORITY
@click.option("--name", required=True, help="The organisation.")
@click.option("--issuer", required=True, metavar="URI", help="`iss` of its boxes' verdicts, e.g. https://org.example.")
@click.option("--status-uri", required=True, metavar="URL", help="Where the status list will be served.")
@click.option("--passphrase-file", type=_FILE, help="Encrypts the root key with the first line of this file.")
@click.option("--box-days", default=397, show_default=True, help="Lifetime of boxes' certificates.")
@json_option
def create(
    folder: Path,
    name: str,
    issuer: str,
    status_uri: str,
    passphrase_file: Path | None,
    box_days: int,
    *,
    as_json: bool,
) -> None:
    """Root, issuing and status keys, and the registry: all of it, or nothing."""
    if not status_uri.startswith(("http://", "https://")):
        raise InputError(f"--status-uri {status_uri!r} is no web address")
    settings = make_settings(name=name, issuer=issuer, status_uri=status_uri, box_days=box_days)
    passphrase = read_secret(passphrase_file).encode() if passphrase_file is not None else None
    made = create_office(folder, settings, passphrase)
    facts = {"folder": str(folder), "root": str(made.root), "root_sha256": made.fingerprint, "changed": made.changed}
    lines = [
        f"{name}: {'created' if made.changed else 'was there already'} in {folder}",
        f"  root certificate {made.root}: give it to every relying party, by a way they trust",
        f"  its SHA-256      {made.fingerprint}",
        f"  root key         {folder}/root/key.pem: move it to a safe; it is needed for nothing below",
    ]
    if passphrase is None and made.changed:
        lines.append("  the root key is not encrypted: --passphrase-file would have done that")
    say(facts, lines, as_json=as_json)


@authority.command("issue")
@AUTHORITY
@click.argument("request", type=_FILE)
@click.option("--into", type=_FILE, help="Bundle to write; else REQUEST with the ending .bundle.json.")
@click.option("--development", is_flag=True, help="For development verdicts; never accepted as production.")
@json_option
def issue(folder: Path, request: Path, into: Path | None, *, development: bool, as_json: bool) -> None:
    """Certifies a box's REQUEST. The same key asked for again gets the same certificate."""
    wanted = parse_request(read_limited(request, MAX_REQUEST, "a certificate request"))
    office = Office(folder)
    bundle = office.issue(wanted, purpose=Purpose.DEVELOPMENT if development else Purpose.PRODUCTION)
    office.close()
    target = into or request.with_suffix(".bundle.json")
    write_atomic(target, encode_bundle(bundle))
    expires = bundle.certificates[0].not_valid_after_utc
    facts = {"name": wanted.name, "kid": wanted.kid, "bundle": str(target), "expires": expires.isoformat()}
    say(facts, [f"{wanted.name}: certified until {expires:%Y-%m-%d}, bundle in {target}"], as_json=as_json)


@authority.command("revoke")
@AUTHORITY
@click.argument("box")
@click.option("--reason", default="", help="For the registry, e.g. stolen.")
@yes_option
@json_option
def revoke(folder: Path, box: str, reason: str, *, yes: bool, as_json: bool) -> None:
    """Revokes all certificates of BOX (name or identity), or one by its serial number. Then export the list."""
    office = Office(folder)
    count = len(office.registry.find(box))
    confirm(f"{count} certificates of {box} are revoked for good. Go on?", yes=yes or not count)
    revoked = office.revoke(box, reason)
    office.close()
    facts = {"box": box, "serials": [one.serial for one in revoked]}
    lines = [f"{box}: {len(revoked)} certificates revoked", "next: vouchbox-provision authority export"]
    say(facts, lines, as_json=as_json)


@authority.command("list")
@AUTHORITY
@json_option
def list_(folder: Path, *, as_json: bool) -> None:
    """Everything issued."""
    office = Office(folder)
    rows = office.registry.all()
    office.close()
    table = Table("place", "name", "purpose", "serial", "expires", "", box=None)
    for one in rows:
        state = "revoked" if one.revoked is not None else "expired" if one.expires < time.time() else "valid"
        day = time.strftime("%Y-%m-%d", time.gmtime(one.expires))
        table.add_row(str(one.place), one.name, one.purpose, one.serial, day, state)
        if as_json:
            facts = {"place": one.place, "name": one.name, "purpose": one.purpose, "serial": one.serial}
            click.echo(json.dumps({**facts, "expires": one.expires, "state": state, "reason": one.reason}))
    if not as_json:
        Console().print(table)


@authority.command("export")
@AUTHORITY
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the files.")
@json_option
def export(folder: Path, into: Path, *, as_json: bool) -> None:
    """The root certificate and the signed status list, as files that any web server can serve."""
    office = Office(folder)
    settings, registry = office.settings, office.registry
    revoked, size = registry.revoked(), registry.size()
    token = sign_status_list(office.signer(), settings.status_uri, revoked, size, days=settings.list_days)
    write_atomic(into / "root.pem", pem(office.chain()[-1:]))
    write_atomic(into / "status-list.jwt", token.encode())
    office.close()
    facts = {"root": str(into / "root.pem"), "status_list": str(into / "status-list.jwt"), "revoked": len(revoked)}
    say(
        {**facts, "places": size, "bytes": len(token)},
        [
            f"root.pem and status-list.jwt written to {into}",
            f"  {len(revoked)} of {size} certificates revoked, {len(token)} bytes, valid {settings.list_days} days",
            f"  serve it at {settings.status_uri} as application/statuslist+jwt, and export anew every day",
        ],
        as_json=as_json,
    )


@authority.command("sign-release")
@AUTHORITY
@click.argument("release", type=click.Path(file_okay=False, path_type=Path))
@click.option("--version", required=True, help="The release's version.")
@json_option
def sign_release(folder: Path, release: Path, version: str, *, as_json: bool) -> None:
    """Signs the release in the folder RELEASE: wheel, requirements.lock, wheels/, models."""
    from provisioning.release import sign_release as sign

    office = Office(folder)
    statement = sign(office.release_signer(), release, version)
    office.close()
    say({"version": version, "statement": str(statement)}, [f"{version} signed: {statement}"], as_json=as_json)


@authority.command("code")
@AUTHORITY
@click.argument("box")
@click.option("--hours", default=24, show_default=True, help="How long it can be used.")
@json_option
def code(folder: Path, box: str, hours: int, *, as_json: bool) -> None:
    """A one-time code with which BOX can enrol itself at `authority serve`."""
    from provisioning.service import new_code

    office = Office(folder)
    made = new_code(office, check_name(box), hours)
    office.close()
    say({"name": box, "code": made, "hours": hours}, [f"{box}: {made}  (told once, for {hours} h)"], as_json=as_json)


@authority.command("waiting")
@AUTHORITY
@json_option
def waiting(folder: Path, *, as_json: bool) -> None:
    """Boxes that asked without a code (`serve --by-hand`) and wait for `approve`."""
    office = Office(folder)
    rows = office.registry.waiting()
    office.close()
    table = Table("name", "code on its screen", "asked last", box=None)
    for one in rows:
        last = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.asked))
        table.add_row(one.name, shown_code(one.kid), last)
        if as_json:
            click.echo(json.dumps({"name": one.name, "code": shown_code(one.kid), "kid": one.kid, "asked": one.asked}))
    if not as_json:
        Console().print(table if rows else "no box waits")


@authority.command("approve")
@AUTHORITY
@click.argument("code")
@yes_option
@json_option
def approve(folder: Path, code: str, *, yes: bool, as_json: bool) -> None:
    """Certifies the box whose screen shows CODE, as soon as it asks again. Let it be read from the screen itself."""
    office = Office(folder)
    names = [one.name for one in office.registry.waiting() if plain(shown_code(one.kid)) == plain(code)]
    confirm(f"{''.join(names)} becomes a box of {office.settings.name}. Go on?", yes=yes or not names)
    approved = office.approve(code)
    office.close()
    facts = {"name": approved.name, "kid": approved.kid, "code": shown_code(approved.kid)}
    say(facts, [f"{approved.name}: approved; it is enrolled when it asks again, within a minute"], as_json=as_json)


@authority.command("serve")
@AUTHORITY
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--name", "public", default="", help="Host name that boxes use; else the address.")
@click.option("--port", default=8443, show_default=True)
@click.option("--certificate", type=_FILE, help="TLS certificate (PEM); else a self-signed one is made.")
@click.option("--key", type=_FILE, help="Its key.")
@click.option("--by-hand", is_flag=True, help="Boxes without a code may ask, and wait for `authority approve`.")
@json_option
def serve(
    folder: Path,
    host: str,
    public: str,
    port: int,
    certificate: Path | None,
    key: Path | None,
    *,
    by_hand: bool,
    as_json: bool,
) -> None:
    """The enrolment service: EST (RFC 7030) with one-time codes, and the status list. Until Ctrl-C."""
    from provisioning.service import make_server, service_identity

    if (certificate is None) != (key is None):
        raise InputError("--certificate and --key go together")
    office = Office(folder)
    fingerprint = ""
    if certificate is None or key is None:
        certificate, key, fingerprint = service_identity(folder, public or host)
    server = make_server(office, host, port, certificate, key, by_hand=by_hand)
    server.prepare()
    url = f"https://{public or host}:{server.bind_addr[1]}"
    trust = f"--fingerprint {fingerprint}" if fingerprint else "--ca FILE"
    say(
        {"url": url, "fingerprint": fingerprint or None},
        [
            f"serving at {url} (Ctrl-C ends it)",
            f"on a box: vouchbox-provision enrol --service {url} {trust} {'--wait' if by_hand else '--code CODE'}",
        ],
        as_json=as_json,
    )
    try:
        server.serve()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
        office.close()
