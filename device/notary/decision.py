"""The decision: from what vision reports of each check to one word.

In: a policy and check reports. Out: a frozen `Decision`. Pure functions, no IO.
Vision is not trusted to have said everything, or only what it was asked: every check that the policy names is in the
decision exactly once, whatever was reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from device.notary.policy import Policy, Rules
from device.protocol import Check, CheckReport, FmrLevel, Outcome, Reason, Result

_WORST: Final = {Result.PASS: 0, Result.NOT_PERFORMED: 1, Result.FAIL: 2}
_STRICTNESS: Final = {level: rank for rank, level in enumerate(FmrLevel)}  # 1e-2 first: declared from lax to strict


@dataclass(frozen=True)
class Decision:
    """The outcome, the reasons of whatever stood in the way, and one report for each check of the policy."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    reports: tuple[CheckReport, ...]


def decide(policy: Policy, reports: Iterable[CheckReport], *, missing: Reason = Reason.NOT_REACHED) -> Decision:
    """Verified if all required checks passed, rejected if one failed, else inconclusive.

    Args:
        policy: what was asked.
        reports: what vision reported, in any order. Checks that were not asked for are ignored; of two reports on
            one check the worse counts.
        missing: why a check that nothing was reported about was not performed.
    """
    complete = complete_reports(policy, reports, missing=missing)
    required = [report for report in complete if report.check in policy.rules.required]
    if all(report.result is Result.PASS for report in required):
        return Decision(Outcome.VERIFIED, (), complete)
    failed = [report for report in required if report.result is Result.FAIL]
    if failed:
        return Decision(Outcome.REJECTED, _reasons(failed), complete)
    return Decision(Outcome.INCONCLUSIVE, _reasons(required), complete)


def complete_reports(policy: Policy, reports: Iterable[CheckReport], *, missing: Reason) -> tuple[CheckReport, ...]:
    """One report for each check of the policy, in the protocol's order, with nothing that the policy did not ask."""
    worst: dict[Check, CheckReport] = {}
    for report in reports:
        known = worst.get(report.check)
        if known is None or _WORST[report.result] > _WORST[known.result]:
            worst[report.check] = report
    return tuple(
        _restricted(worst[check], policy.rules) if check in worst else CheckReport(check, Result.NOT_PERFORMED, missing)
        for check in policy.checks
    )


def _restricted(report: CheckReport, rules: Rules) -> CheckReport:
    score = report.score if rules.scores else None
    result, reason, fmr = report.result, report.reason, report.fmr
    if report.check is Check.FACE_MATCH and result is Result.PASS:
        # A match is only as good as the level that it met: one that names no level, or a laxer one, is no pass.
        if fmr is None:
            result, reason = Result.NOT_PERFORMED, Reason.EVIDENCE_WEAK
        elif _STRICTNESS[fmr] < _STRICTNESS[rules.fmr]:
            result, reason = Result.FAIL, Reason.FACE_MISMATCH
    if result is Result.PASS:
        reason = None
    return CheckReport(report.check, result, reason, report.method, fmr, score)


def _reasons(reports: Iterable[CheckReport]) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(report.reason for report in reports if report.reason is not None))
