"""`vouchbox-provision policy check`: are policy files right, and are they those that the box was sealed with."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from device.errors import VouchboxError
from device.notary.policy import Policy, load_policies, load_policy
from provisioning.box import change_config, open_box, require_unsealed
from provisioning.commands.common import json_option, say


@click.group()
def policy() -> None:
    """Policies: what may be asked of this box."""


@policy.command("check")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def check(config: Path | None, paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Checks policy files or folders; without PATHS the box's own, also against its seal. Exit 1 if one is wrong."""
    box = open_box(config)
    frozen = box.config.sealed.policies if box.config.sealed is not None and not paths else None
    rows: list[tuple[str, Policy | None, str]] = []
    sources = paths or (Path(box.config.notary.policies) if box.config.notary.policies else None,)
    for source in sources:
        rows += _checked(source)
    if frozen is not None:
        rows = [(name, found, trouble or _changed(name, found, frozen)) for name, found, trouble in rows]
        rows += [(name, None, "was there when the box was sealed") for name in frozen.keys() - {row[0] for row in rows}]
    _show(rows, as_json=as_json)
    raise SystemExit(1 if any(trouble for _, _, trouble in rows) else 0)


@policy.command("use")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@json_option
@click.pass_obj
def use(config: Path | None, folder: Path | None, *, as_json: bool) -> None:
    """Checks the policies in FOLDER; from its next start the notary offers these. Without FOLDER: Vouchbox's own."""
    box = open_box(config)
    place = str(folder.absolute()) if folder is not None else ""
    if box.config.notary.policies != place:
        require_unsealed(box, "another policy folder")
    names = sorted(load_policies(folder))
    replace = msgspec.structs.replace
    after = change_config(box, lambda c: replace(c, notary=replace(c.notary, policies=place)))
    changed = after.config != box.config
    say(
        {"folder": place or None, "policies": names, "changed": changed},
        [f"policies of {place or 'Vouchbox itself'}: {', '.join(names)}"],
        as_json=as_json,
    )


def _checked(source: Path | None) -> list[tuple[str, Policy | None, str]]:
    files = [source] if source is not None and source.is_file() else []
    if not files and source is not None:
        files = sorted(source.glob("*.toml"))
    if not files:
        try:
            return [(name, found, "") for name, found in load_policies(source).items()]
        except VouchboxError as error:
            return [(str(source), None, str(error))]
    rows: list[tuple[str, Policy | None, str]] = []
    for file in files:
        try:
            rows.append((file.stem, load_policy(file), ""))
        except VouchboxError as error:
            rows.append((file.stem, None, str(error)))
    return rows


def _changed(name: str, found: Policy | None, frozen: dict[str, str]) -> str:
    if name not in frozen:
        return "was added after the box was sealed"
    assert found is not None
    return "" if found.digest.hex() == frozen[name] else "was changed after the box was sealed"


def _show(rows: list[tuple[str, Policy | None, str]], *, as_json: bool) -> None:
    if as_json:
        for name, found, trouble in rows:
            digest = found.digest.hex() if found else None
            click.echo(json.dumps({"name": name, "valid": not trouble, "problem": trouble, "sha256": digest}))
        return
    table = Table("policy", "sha256", "required", "consent", "", box=None)
    for name, found, trouble in rows:
        rules = found.rules if found else None
        table.add_row(
            name,
            found.digest.hex()[:16] if found else "",
            " ".join(rules.required) if rules else "",
            " ".join(rules.consent) if rules else "",
            f"[red]{trouble}[/red]" if trouble else "right",
        )
    Console().print(table)
