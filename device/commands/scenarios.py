"""`vouchbox evaluate scenarios`: every attack species and the honest person, many times, before the emulated camera."""

from __future__ import annotations

import json
import sys

import click

from device.errors import ConfigurationError
from device.evaluation.scenarios import LIVENESS, Course, Tally, species_scenarios, tally
from device.notary.policy import load_policies
from device.protocol import Outcome
from device.vision.inference.manifest import load_manifest
from device.vision.instruments import load_instruments


@click.command("scenarios")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--runs", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Seeds of each scenario.")
@click.option("--first", default=1, show_default=True, type=click.IntRange(0), help="The first seed.")
@click.option("--policy", "named", default="demo", show_default=True, help="The policy that decides.")
@click.option("--whole", is_flag=True, help="From the document on, instead of the selfie stage and its liveness alone.")
@click.option("--size", default="640x480", show_default=True, help="Of the emulated camera's frames.")
@click.option(
    "--fps",
    default=Course.fps,
    show_default=True,
    type=click.IntRange(1, 60),
    help="Frames a second: fewer on a slow board.",
)
@click.option("--json", "as_object", is_flag=True, help="The counts as one JSON object.")
def evaluate_scenarios(
    names: tuple[str, ...], runs: int, first: int, named: str, whole: bool, size: str, fps: int, as_object: bool
) -> None:
    """Plays scenarios with many seeds: all attack species and the honest person, unless NAMEs are given.

    Exit 0 only if every run of every attack was rejected and the honest person accepted in 96 of 100.
    """
    policies = load_policies()
    if named not in policies:
        raise ConfigurationError(f"no policy is called {named!r}; there are {', '.join(sorted(policies))}")
    course = Course(policies[named], whole, _size(size), fps)
    instruments = load_instruments(load_manifest(), 1)
    found: list[Tally] = []
    for name in names or species_scenarios():
        found.append(tally(name, range(first, first + runs), instruments, course))
        if not as_object:
            _print(found[-1])
    if as_object:
        scenarios = {each.scenario: each.as_json() for each in found}
        decided = [str(check) for check in course.rules.rules.required]
        click.echo(json.dumps({"policy": named, "decided_by": decided, "first": first, "scenarios": scenarios}))
    sys.exit(0 if all(each.as_wanted for each in found) else 1)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 320 <= int(width) <= 4608 and 240 <= int(height) <= 2592):
        raise click.BadParameter(f"{text!r}: say width x height in pixels, such as 640x480", param_hint="--size")
    return int(width), int(height)


def _print(found: Tally) -> None:
    """One scenario: how it ended, and what each liveness check said."""
    counts = [f"{found.count(outcome)} {outcome.value}" for outcome in (Outcome.REJECTED, Outcome.INCONCLUSIVE)]
    line = f"{found.scenario:32} {len(found.runs)} runs: {', '.join(counts)}, {found.accepted} accepted"
    click.echo(line if found.as_wanted else click.style(line, bold=True))
    for check in LIVENESS:
        answers = found.answers.get(check)
        if answers:
            click.echo(f"    {check:20} " + ", ".join(f"{count} {answer}" for answer, count in answers.most_common()))
