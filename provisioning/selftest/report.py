"""What a self-test found: findings, each with a result, what was measured, and what to do.

In: findings. Out: a `Report` as JSON in the box's notes (what `seal` and `status` read), the exit code's meaning.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from device.errors import ConfigurationError
from device.protocol import Result
from provisioning.files import write_atomic

REPORT_FILE: Final = "selftest.json"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    `text` says what was found, `advice` what to do if it is not well. `advisory` findings weaken a box, and do not keep
    it from being sealed. `figures` are numbers for machines, `series` what the page plots, by name.
    """

    name: str
    result: Result
    text: str
    advice: str = ""
    advisory: bool = False
    figures: dict[str, float] = {}
    series: dict[str, list[float]] = {}

    @property
    def blocks(self) -> bool:
        """Whether a box should not be sealed like this."""
        return self.result is Result.FAIL and not self.advisory

    @property
    def word(self) -> str:
        """The result as a person reads it: what fails and does not keep a box from being sealed is `weaker`."""
        return "weaker" if self.result is Result.FAIL and self.advisory else str(self.result).replace("_", " ")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole self-test; `time` in seconds since the epoch, `camera` as configured."""

    time: int
    box: str
    camera: str
    version: str
    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        """Nothing that keeps the box from being sealed."""
        return not self.failures()

    def failures(self) -> frozenset[str]:
        """Names of the findings that keep the box from being sealed."""
        return frozenset(finding.name for finding in self.findings if finding.blocks)

    def by_urgency(self, *, last: bool = False) -> list[Finding]:
        """What has to be put right first (or `last`), then what is weaker, what was not looked at, and what is well."""
        order = ("fail", "weaker", "not performed", "pass")
        return sorted(self.findings, key=lambda one: order.index(one.word), reverse=last)

    def counts(self) -> Mapping[str, int]:
        """How many findings of each result."""
        return {str(result): sum(f.result is result for f in self.findings) for result in Result}


def finding(
    name: str,
    good: bool | None,
    text: str,
    advice: str = "",
    *,
    advisory: bool = False,
    figures: Mapping[str, float] | None = None,
    series: Mapping[str, list[float]] | None = None,
) -> Finding:
    """A finding; `good` None is `not_performed`."""
    result = Result.NOT_PERFORMED if good is None else Result.PASS if good else Result.FAIL
    return Finding(
        name=name,
        result=result,
        text=text,
        advice="" if good else advice,
        advisory=advisory,
        figures={key: round(value, 4) for key, value in (figures or {}).items()},
        series={key: [round(value, 4) for value in values] for key, values in (series or {}).items()},
    )


def make_report(box: str, camera: str, version: str, findings: list[Finding]) -> Report:
    """A report of now."""
    return Report(time=int(time.time()), box=box, camera=camera, version=version, findings=tuple(findings))


def keep_report(report: Report, notes: Path) -> Path:
    """Writes the report where `seal` looks for it."""
    path = notes / REPORT_FILE
    write_atomic(path, msgspec.json.format(msgspec.json.encode(report), indent=1))
    return path


def load_report(notes: Path) -> Report | None:
    """The last report; None if there was no self-test. Raises `ConfigurationError` if it cannot be read."""
    path = notes / REPORT_FILE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}); run `vouchbox-provision selftest` again") from error
