"""`vouchbox-provision release`: signed releases, installed beside the one that runs. See `provisioning.release`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from cryptography import x509

from device.errors import ConfigurationError
from provisioning.box import open_box
from provisioning.commands.common import json_option, say
from provisioning.files import read_limited
from provisioning.release import BASE, activate, current, roll_back, unpack, verify_release

_FOLDER = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
_ROOT = click.option("--root", type=click.Path(dir_okay=False, path_type=Path), help="Root (PEM); else this box's own.")
_BASE = click.option("--base", type=click.Path(file_okay=False, path_type=Path), default=BASE, show_default=True)


@click.group()
def release() -> None:
    """Signed releases: verified, unpacked beside the one that runs, switched to, switched back."""


@release.command("verify")
@_FOLDER
@_ROOT
@json_option
@click.pass_obj
def verify(config: Path | None, folder: Path, root: Path | None, *, as_json: bool) -> None:
    """Is the release in FOLDER the organisation's, and whole?"""
    found = verify_release(folder, _trust(config, root))
    facts = {"version": found.version, "name": found.name, "files": len(found.files)}
    say(facts, [f"{found.version}: signed by the organisation, {len(found.files)} files right"], as_json=as_json)


@release.command("install")
@_FOLDER
@_ROOT
@_BASE
@click.option("--python", default=sys.executable, help="Interpreter of the new environment.")
@json_option
@click.pass_obj
def install(config: Path | None, folder: Path, root: Path | None, base: Path, python: str, *, as_json: bool) -> None:
    """Verifies the release in FOLDER and makes its environment. What runs goes on as it is."""
    found = verify_release(folder, _trust(config, root))
    there = (base / "releases" / found.name / ".complete").exists()
    target = unpack(found, base, python)
    facts = {"version": found.version, "name": found.name, "environment": str(target), "changed": not there}
    say({**facts, "current": current(base)}, [f"{found.version} is in {target}"], as_json=as_json)


@release.command("activate")
@click.argument("name")
@_BASE
@json_option
def activate_(name: str, base: Path, *, as_json: bool) -> None:
    """From the next start on, NAME runs. Restart the services, and look at /healthz."""
    before, changed = activate(base, name)
    say(
        {"current": name, "previous": before, "changed": changed}, [f"{name} runs from the next start"], as_json=as_json
    )


@release.command("rollback")
@_BASE
@json_option
def rollback(base: Path, *, as_json: bool) -> None:
    """Back to the environment that ran before."""
    name = roll_back(base)
    say({"current": name}, [f"{name} runs from the next start"], as_json=as_json)


@release.command("current")
@_BASE
@json_option
def current_(base: Path, *, as_json: bool) -> None:
    """What runs. Exit 1 if nothing is installed."""
    name = current(base)
    say({"current": name or None}, [name or "nothing is installed"], as_json=as_json)
    raise SystemExit(0 if name else 1)


def _trust(config: Path | None, root: Path | None) -> list[x509.Certificate]:
    place = root or open_box(config).production / "root.pem"
    if root is None and not place.exists():
        raise ConfigurationError("this box is not enrolled and knows no organisation: name its root with --root")
    try:
        return x509.load_pem_x509_certificates(read_limited(place, 65_536, "a root certificate"))
    except ValueError as error:
        raise ConfigurationError(f"{place} holds no PEM certificate") from error
