"""`vouchbox evaluate faces|documents|attacks|scenarios`: each measurement is a command of its own subject."""

from __future__ import annotations

import click

from device.commands.lazy import LazyGroup

SUBJECTS = {
    "faces": ("device.commands.faces", "evaluate_faces", "FMR and FNMR over all cross pairs of a face data set."),
    "documents": (
        "device.commands.documents",
        "evaluate_documents",
        "Exact machine readable zones of specimen images.",
    ),
    "attacks": ("device.commands.attacks", "evaluate_attacks", "APCER and BPCER of the passive attack detector."),
    "scenarios": (
        "device.commands.scenarios",
        "evaluate_scenarios",
        "Attack species and the honest person before the emulated camera, many seeds.",
    ),
}


@click.group(cls=LazyGroup, entries=SUBJECTS, heading="Subjects")
def evaluate() -> None:
    """Measures on a data set with the field's metrics (ISO/IEC 19795-1, 30107-3)."""
