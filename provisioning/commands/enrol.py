"""`vouchbox-provision enrol` and `renew`: certificates by file, by EST, or by one-time code."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from device.errors import InputError
from device.notary.box import load_box
from provisioning.box import REQUEST_FILE, BoxFolder, Stage, open_box, require_stage
from provisioning.bundle import MAX_BUNDLE, Bundle, parse_bundle
from provisioning.commands.common import json_option, say
from provisioning.enrol import Enrolled, install_bundle
from provisioning.enrolment import Way, ask_service, ask_until_answered, keep_way, load_way
from provisioning.est import basic, read_secret
from provisioning.files import read_limited, write_atomic
from provisioning.initialise import box_name
from provisioning.keymaking import new_generation
from provisioning.ownership import NOTARY, acting_as
from provisioning.renewal import is_due, retire_old_keys, sign_renewal
from provisioning.units import restart_notary

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--bundle", type=_FILE, help="By file: what `authority issue` made of this box's request (or a PEM chain)."
)
@click.option("--service", metavar="URL", default="", help="By network: https://… of the enrolment or EST service.")
@click.option("--code", metavar="CODE", default="", help="The one-time code for this box.")
@click.option("--username", default="", help="EST: HTTP Basic user; else the box's name.")
@click.option("--password-file", type=_FILE, help="EST: file with the HTTP Basic password.")
@click.option("--client", default="", metavar="FILE", help="EST: PEM of a TLS client certificate and its key.")
@click.option("--wait", is_flag=True, help="Ask again until the organisation has approved this box.")
@click.option("--ca", default="", metavar="FILE", help="PEM of the CA that the service's TLS certificate leads to.")
@click.option("--fingerprint", default="", metavar="SHA256", help="Or the SHA-256 of that certificate itself.")
@json_option
@click.pass_obj
def enrol(
    config: Path | None,
    bundle: Path | None,
    service: str,
    code: str,
    username: str,
    password_file: Path | None,
    ca: str,
    fingerprint: str,
    client: str,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Certificates from the organisation, checked and put into use.

    By file (--bundle), or by network: with the one-time code that the organisation gave (--code), with a credential of
    its EST service, or with neither: the organisation then approves the code that this box shows.
    """
    box = open_box(config)
    require_stage(box, Stage.INITIALISED)
    if (bundle is None) == (not service):
        raise InputError("name one way: --bundle FILE, or --service URL (with --code, --password-file, or neither)")
    if bundle is not None:
        way = Way(kind="file")
        given = parse_bundle(read_limited(bundle, MAX_BUNDLE, "an enrolment bundle"))
    else:
        if code and password_file is not None:
            raise InputError("either --code or --password-file")
        name = username or box_name(box)
        kind = "est" if password_file is not None or client else "code"
        ca, client = _absolute(ca), _absolute(client)
        way = Way(kind=kind, url=service, ca=ca, fingerprint=fingerprint, username=name, client=client)
        secret = code or (read_secret(password_file) if password_file is not None else "")
        given = _ask(box, way, basic(name, secret) if secret else "", wait=wait)
    enrolled = install_bundle(box, given)
    keep_way(box, way)
    if len(box.generations()) > 1:
        retire_old_keys(box)
    restarted = enrolled.changed and restart_notary()
    _tell(
        enrolled,
        restarted=restarted,
        as_json=as_json,
        next_step="vouchbox-provision relying-party add …, then selftest",
    )


@click.command()
@click.option("--if-due", is_flag=True, help="Only if less than a third of the certificate's lifetime is left.")
@click.option("--request", type=_FILE, help="By file: put the new request here, then `enrol --bundle` the answer.")
@click.option("--password-file", type=_FILE, help="EST: file with the HTTP Basic password.")
@json_option
@click.pass_obj
def renew(
    config: Path | None, *, if_due: bool, request: Path | None, password_file: Path | None, as_json: bool
) -> None:
    """A new key and certificate, the way the box was enrolled. The old key signs until the new one can."""
    box = open_box(config)
    require_stage(box, Stage.ENROLLED)
    with acting_as(NOTARY):
        store = box.store()
        assert store is not None
        leaf = store.certificate_chain()[0]
        store.close()  # a token is logged into once in a process; the store opens it again to sign
        if if_due and box.waiting() is None and not is_due(leaf, datetime.datetime.now(datetime.UTC)):
            words = f"not due: valid until {leaf.not_valid_after_utc:%Y-%m-%d}"
            say({"changed": False, "expires": leaf.not_valid_after_utc.isoformat()}, [words], as_json=as_json)
            return
        name = box_name(box)
        ueid = load_box(box.config).ueid
        folder = new_generation(box, name, ueid)
        proof = sign_renewal(store, (folder / REQUEST_FILE).read_bytes())
        store.close()
    way = load_way(box)
    if way.kind == "file":
        place = request or folder / REQUEST_FILE
        if request is not None:
            write_atomic(request, (folder / REQUEST_FILE).read_bytes())
        lines = [f"{name}: a new key waits; take {place} to the authority, and `enrol --bundle` its answer"]
        say({"changed": True, "request": str(place), "waiting": True}, lines, as_json=as_json)
        return
    if way.kind == "est":
        if password_file is None and not way.client:
            raise InputError(f"{way.url} wants the password again: --password-file FILE")
        authorization = basic(way.username, read_secret(password_file)) if password_file is not None else ""
    else:
        authorization = f"Bearer {proof}"
    enrolled = install_bundle(box, ask_service(way, folder, authorization, again=True))
    retire_old_keys(box)
    _tell(enrolled, restarted=restart_notary(), as_json=as_json, next_step="")


def _absolute(file: str) -> str:
    """A renewal by the timer begins in another folder."""
    return str(Path(file).absolute()) if file else ""


def _ask(box: BoxFolder, way: Way, authorization: str, *, wait: bool) -> Bundle:
    def ask() -> Bundle:
        return ask_service(way, _folder(box), authorization)

    if not wait:
        return ask()
    return ask_until_answered(ask, lambda words: click.echo(words, err=True))


def _folder(box: BoxFolder) -> Path:
    """The generation that asks: the one that waits, else the one that has its certificate already (asked again)."""
    folder = box.waiting() or box.current()
    assert folder is not None
    return folder


def _tell(enrolled: Enrolled, *, restarted: bool, as_json: bool, next_step: str) -> None:
    say(
        {
            "name": enrolled.name,
            "kid": enrolled.kid,
            "issuer": enrolled.issuer,
            "expires": enrolled.expires.isoformat(),
            "changed": enrolled.changed,
            "restarted": restarted,
        },
        [
            f"{enrolled.name}: {'enrolled' if enrolled.changed else 'was enrolled already'}",
            f"  issuer   {enrolled.issuer}",
            f"  key      {enrolled.kid}",
            f"  expires  {enrolled.expires:%Y-%m-%d}",
            *(["  the notary was started again"] if restarted else []),
            *([f"next: {next_step}"] if next_step else []),
        ],
        as_json=as_json,
    )
