"""What the commands share: their options, how they print, how they ask."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from device.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

AUTHORITY = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


def json_option(command: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="JSON for machines.")(command)


def yes_option(command: F) -> F:
    """`--yes`."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(command)


def say(facts: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    """One JSON object, or lines for a person."""
    if as_json:
        click.echo(json.dumps(facts))
        return
    for line in lines:
        click.echo(line)


def confirm(question: str, *, yes: bool) -> None:
    """Goes on only if the person (or `--yes`) says so. Raises `InputError` where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(f"{question} Nobody is here to answer: say --yes")
    click.confirm(question, abort=True, err=True)
