"""Which verdicts fail, with a session around them."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from pytest_dynperf.baseline.waiver import Waiver
from pytest_dynperf.session.closing import fails, red
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Verdict
from tests.fakes.session_reports import ITL, a_report, a_result

WAIVER = Waiver(case="*/*", reason="known", link="https://example.org/7", expires=datetime.date(2027, 1, 31))


def verdict(outcome: Outcome, *, waiver: Waiver | None = None, expired: tuple[Waiver, ...] = ()) -> Verdict:
    return Verdict(outcome=outcome, cells=(), reasons=(), waiver=waiver, expired=expired)


def test_which_outcomes_fail() -> None:
    failing = {strict: {outcome for outcome in Outcome if fails(verdict(outcome), strict=strict)} for strict in (False, True)}
    assert failing[False] == {Outcome.INVALID, Outcome.REGRESSED}
    assert failing[True] == failing[False] | {Outcome.NO_BASELINE}


def test_a_waived_regression_does_not_fail_and_a_waiver_covers_nothing_else() -> None:
    failing = {outcome for outcome in Outcome if fails(verdict(outcome, waiver=WAIVER), strict=True)}
    assert failing == {Outcome.INVALID, Outcome.NO_BASELINE}


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("waiver", [None, WAIVER], ids=["alone", "renewed"])
def test_an_expired_waiver_fails_whatever_the_outcome(outcome: Outcome, waiver: Waiver | None) -> None:
    assert fails(verdict(outcome, waiver=waiver, expired=(WAIVER,)), strict=False)


def suspected(outcome: Outcome = Outcome.INCONCLUSIVE, **changes: object) -> Verdict:
    cell = CellVerdict(cell=ITL, outcome=outcome, decisive=True, tolerance=0.03, candidate=0.0148, baseline=0.01, delta=0.39, suspect=True)
    return Verdict(outcome=outcome, cells=(replace(cell, **changes),), reasons=())  # type: ignore[arg-type]


def test_an_open_suspect_fails_where_that_was_asked_for() -> None:
    assert not fails(suspected(), strict=True)
    assert fails(suspected(), strict=False, open_suspect=True)
    small = suspected(delta=0.029)
    assert not fails(small, strict=False, open_suspect=True), "within the tolerance"
    open_night = replace(a_result(4), verdict=suspected())
    assert red(a_report(a_result(1), open_night), strict=False, open_suspect=True)
    assert not red(a_report(a_result(1), open_night), strict=True)


def test_a_session_is_red_where_a_case_fails_or_it_is_incomplete() -> None:
    regressed = a_result(4, Outcome.REGRESSED)
    waived = replace(regressed, verdict=replace(regressed.verdict, waiver=WAIVER))
    assert red(a_report(a_result(1), regressed), strict=False)
    assert not red(a_report(a_result(1), waived), strict=False)
    assert red(a_report(a_result(1), waived, missing=("x",)), strict=False)
