"""`vouchbox-provision ledger verify|export|head`: the ledger, for whoever audits the box."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import click

from device.certificates import b64url
from device.errors import InputError, LedgerError
from device.notary.ledger import verify_ledger
from provisioning.box import open_box
from provisioning.commands.common import json_option, say
from provisioning.heads import head_of_token
from provisioning.ownership import NOTARY, acting_as

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def ledger() -> None:
    """The ledger: one row for each verdict, and nothing about the person."""


@ledger.command("verify")
@click.option(
    "--token", "tokens", multiple=True, type=_FILE, help="A verdict or signed head that must fit. Repeatable."
)
@click.option("--file", type=_FILE, help="Another ledger file than this box's.")
@json_option
@click.pass_obj
def verify(config: Path | None, tokens: tuple[Path, ...], file: Path | None, *, as_json: bool) -> None:
    """Recomputes every hash, and holds the chain against signed statements. Exit 1 if it was rewritten."""
    path = file or open_box(config).config.state / "ledger.sqlite"
    known = [head_of_token(token) for token in tokens]
    with acting_as(NOTARY):
        if not path.exists():
            raise InputError(f"{path} does not exist: this box has given out no verdict yet")
        try:
            head = verify_ledger(path, known=known)
        except LedgerError as error:
            say({"valid": False, "problem": str(error)}, [str(error)], as_json=as_json)
            raise SystemExit(1) from error
    facts = {"valid": True, "rows": head.size, "head": b64url(head.hash), "held_against": len(known)}
    say(facts, [f"whole: {head.size} rows, head {facts['head']}, held against {len(known)} tokens"], as_json=as_json)


@ledger.command("export")
@click.option("--since", default=0, metavar="ROW", help="Only rows after this one.")
@click.pass_obj
def export(config: Path | None, since: int) -> None:
    """Every row as one JSON object a line (after verifying the chain); pipe it where it is to be kept."""
    path = open_box(config).config.state / "ledger.sqlite"
    with acting_as(NOTARY):
        if not path.exists():
            raise InputError(f"{path} does not exist: this box has given out no verdict yet")
        verify_ledger(path)
        rows = _rows(path, since)
    for row in rows:
        click.echo(json.dumps(row))


@ledger.command("head")
@json_option
@click.pass_obj
def head(config: Path | None, *, as_json: bool) -> None:
    """The newest signed statement of the ledger's head, to be kept elsewhere. Exit 1 if there is none yet."""
    path = open_box(config).config.state / "ledger.sqlite"
    with acting_as(NOTARY):
        newest = _newest_head(path) if path.exists() else None
    if newest is None:
        say({"token": None}, ["no head has been signed yet"], as_json=as_json)
        raise SystemExit(1)
    size, digest, token = newest
    say({"size": size, "head": b64url(digest), "token": token}, [token], as_json=as_json)


def _rows(path: Path, since: int) -> list[dict[str, Any]]:
    names = ("sequence", "jti", "time", "relying_party", "policy", "outcome", "reasons")
    database = _open(path)
    try:
        found = database.execute("SELECT * FROM verdicts WHERE sequence > ? ORDER BY sequence", (since,)).fetchall()
    except sqlite3.Error as error:
        raise LedgerError(f"cannot read the ledger {path}: {error}") from error
    finally:
        database.close()
    return [
        dict(zip(names, row, strict=False))
        | {"measurements": row[7].hex(), "token_sha256": row[8].hex(), "hash": row[9].hex()}
        for row in found
    ]


def _newest_head(path: Path) -> tuple[int, bytes, str] | None:
    database = _open(path)
    try:
        row = database.execute("SELECT size, hash, token FROM heads ORDER BY size DESC LIMIT 1").fetchone()
    except sqlite3.Error as error:
        raise LedgerError(f"cannot read the ledger {path}: {error}") from error
    finally:
        database.close()
    return None if row is None else (int(row[0]), bytes(row[1]), str(row[2]))


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)
