"""The decision, by every combination of results and by what a lying vision could report."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.notary.decision import decide
from device.notary.policy import Policy, Rules
from device.protocol import Check, CheckReport, ConsentMethod, DocumentType, FmrLevel, Outcome, Reason, Result


def policy(required: tuple[Check, ...], optional: tuple[Check, ...] = (), *, scores: bool = False) -> Policy:
    rules = Rules(
        documents=(DocumentType.PASSPORT,),
        required=required,
        optional=optional,
        consent=(ConsentMethod.KIOSK,),
        scores=scores,
    )
    return Policy("test", rules, bytes(32))


TWO = policy((Check.DOCUMENT_READ, Check.LIVENESS_CHALLENGE), (Check.LIVENESS_PASSIVE,))


@pytest.mark.parametrize("results", list(itertools.product(Result, repeat=2)), ids=str)
def test_every_combination(results: tuple[Result, Result]) -> None:
    reports = [CheckReport(check, result) for check, result in zip(TWO.rules.required, results, strict=True)]
    outcome = decide(TWO, reports).outcome
    if Result.FAIL in results:
        assert outcome is Outcome.REJECTED
    elif Result.NOT_PERFORMED in results:
        assert outcome is Outcome.INCONCLUSIVE
    else:
        assert outcome is Outcome.VERIFIED


@given(
    st.lists(
        st.builds(
            CheckReport,
            st.sampled_from(Check),
            st.sampled_from(Result),
            st.none() | st.sampled_from(Reason),
            st.just("m"),
            st.none() | st.sampled_from(FmrLevel),
            st.none() | st.integers(0, 100),
        ),
        max_size=16,
    )
)
def test_verified_only_if_every_required_check_was_reported_passed_and_never_otherwise(
    reports: list[CheckReport],
) -> None:
    decision = decide(TWO, reports)
    for check in TWO.rules.required:
        said = {report.result for report in reports if report.check is check}
        if said != {Result.PASS}:
            assert decision.outcome is not Outcome.VERIFIED
    assert [report.check for report in decision.reports] == list(TWO.checks)
    assert all(report.score is None for report in decision.reports)


def test_optional_checks_are_told_and_do_not_decide() -> None:
    reports = [CheckReport(check, Result.PASS) for check in TWO.rules.required]
    attack = CheckReport(Check.LIVENESS_PASSIVE, Result.FAIL, Reason.PRESENTATION_ATTACK)
    decision = decide(TWO, [*reports, attack])
    assert decision.outcome is Outcome.VERIFIED
    assert attack in decision.reports


def test_of_two_reports_the_worse_counts() -> None:
    reports = [CheckReport(check, Result.PASS) for check in TWO.rules.required]
    again = CheckReport(Check.DOCUMENT_READ, Result.FAIL, Reason.DOCUMENT_UNREADABLE)
    assert decide(TWO, [again, *reports]).outcome is Outcome.REJECTED
    assert decide(TWO, [*reports, again]).outcome is Outcome.REJECTED


def test_nothing_reported_is_inconclusive_with_the_reason_given() -> None:
    decision = decide(TWO, [], missing=Reason.VISION_LOST)
    assert decision.outcome is Outcome.INCONCLUSIVE
    assert decision.reasons == (Reason.VISION_LOST,)
    assert {report.result for report in decision.reports} == {Result.NOT_PERFORMED}


MATCH = policy((Check.FACE_MATCH,))


def test_a_match_at_a_laxer_level_than_asked_is_no_match() -> None:
    decision = decide(MATCH, [CheckReport(Check.FACE_MATCH, Result.PASS, fmr=FmrLevel.E3)])
    assert decision.outcome is Outcome.REJECTED
    assert decision.reasons == (Reason.FACE_MISMATCH,)


def test_a_match_that_names_no_level_is_none() -> None:
    decision = decide(MATCH, [CheckReport(Check.FACE_MATCH, Result.PASS)])
    assert decision.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("level", [FmrLevel.E4, FmrLevel.E5, FmrLevel.E6])
def test_a_match_at_the_level_asked_or_a_stricter_one_passes(level: FmrLevel) -> None:
    assert decide(MATCH, [CheckReport(Check.FACE_MATCH, Result.PASS, fmr=level)]).outcome is Outcome.VERIFIED


def test_scores_only_where_the_policy_asks() -> None:
    report = CheckReport(Check.FACE_MATCH, Result.PASS, fmr=FmrLevel.E4, score=87)
    assert decide(MATCH, [report]).reports[0].score is None
    assert decide(policy((Check.FACE_MATCH,), scores=True), [report]).reports[0].score == 87
