"""`vouchbox evaluate faces|documents|attacks`: each measurement is a command of its own subject."""

from __future__ import annotations

import importlib

import click

SUBJECTS = {
    "faces": ("device.commands.faces", "evaluate_faces", "FMR and FNMR over all cross pairs of a face data set."),
    "documents": (
        "device.commands.documents",
        "evaluate_documents",
        "Exact machine readable zones of specimen images.",
    ),
    "attacks": ("device.commands.attacks", "evaluate_attacks", "APCER and BPCER of the passive attack detector."),
}


class _Subjects(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(SUBJECTS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in SUBJECTS:
            return None
        module, attribute, _ = SUBJECTS[name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Subjects"):
            formatter.write_dl([(name, text) for name, (_, _, text) in SUBJECTS.items()])


@click.group(cls=_Subjects)
def evaluate() -> None:
    """Measures on a data set with the field's metrics (ISO/IEC 19795-1, 30107-3)."""
