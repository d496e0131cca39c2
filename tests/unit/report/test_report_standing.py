from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.report.standing import Standing, standing, tally
from pytest_dynperf.session.closing import fails
from pytest_dynperf.verdict.verdict import Outcome, Verdict
from tests.fakes.judged_reports import a_waiver, expired, waived
from tests.fakes.session_reports import a_result

if TYPE_CHECKING:
    from pytest_dynperf.baseline.waiver import Waiver

WAIVED = Standing(Outcome.REGRESSED, waived=True)


def test_symbols_differ() -> None:
    assert len({one.symbol for one in (*map(Standing, Outcome), WAIVED)}) == len(Outcome) + 1


def test_a_waived_regression_keeps_its_outcome_and_is_neither_red_nor_green() -> None:
    one = standing(waived().verdict)
    assert one == WAIVED
    assert (one.outcome, one.colour, one.fails, one.text) == (Outcome.REGRESSED, "yellow", False, "regressed, waived")


def test_a_waiver_of_what_did_not_regress_means_nothing() -> None:
    verdict = waived().verdict
    unchanged = a_result().verdict
    assert standing(type(verdict)(outcome=Outcome.UNCHANGED, cells=unchanged.cells, reasons=(), waiver=verdict.waiver)).waived is False


def test_an_expired_waiver_is_red_whatever_the_outcome() -> None:
    for outcome in (Outcome.UNCHANGED, Outcome.IMPROVED, Outcome.REGRESSED):
        one = standing(expired(outcome).verdict)
        assert (one.fails, one.colour) == (True, "red")
        assert one.text == f"{outcome.text}, waiver expired"


def test_what_fails_comes_first() -> None:
    results = [
        a_result(),
        waived(),
        a_result(4, Outcome.INVALID),
        expired(),
        a_result(4, Outcome.NO_BASELINE),
        a_result(4, Outcome.REGRESSED),
    ]
    assert [one.text for one in tally(results)] == [
        "regressed",
        "unchanged, waiver expired",
        "invalid",
        "regressed, waived",
        "no baseline",
        "unchanged",
    ]


def test_colours_of_plain_outcomes() -> None:
    assert {outcome: Standing(outcome).colour for outcome in Outcome} == {
        Outcome.UNCHANGED: "green",
        Outcome.IMPROVED: "green",
        Outcome.INCONCLUSIVE: "yellow",
        Outcome.INCOMPARABLE: "yellow",
        Outcome.NO_BASELINE: "yellow",
        Outcome.INVALID: "red",
        Outcome.REGRESSED: "red",
    }


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("waiver", [None, a_waiver()])
@pytest.mark.parametrize("over", [(), (a_waiver(expires="2026-01-31"),)])
def test_red_is_what_fails(outcome: Outcome, waiver: Waiver | None, over: tuple[Waiver, ...]) -> None:
    verdict = Verdict(outcome=outcome, cells=(), reasons=(), waiver=waiver, expired=over)
    assert standing(verdict).fails is fails(verdict, strict=False)
    assert (standing(verdict).colour == "red") is fails(verdict, strict=False)
