"""A click group that imports a command only when it is called: what a command needs, only that command loads."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """Knows the names and help lines of its commands without importing them.

    `entries`: name to (module, attribute, help line). `heading`: what the help calls them.
    """

    def __init__(
        self, *args: Any, entries: Mapping[str, tuple[str, str, str]], heading: str = "Commands", **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._entries = entries
        self._heading = heading

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._entries)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in self._entries:
            return None
        module, attribute, _ = self._entries[name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section(self._heading):
            formatter.write_dl([(name, text) for name, (_, _, text) in self._entries.items()])
