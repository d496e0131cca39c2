"""What a waiver covers, until when, and what it never hides."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.waiver import Waiver
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Verdict
from pytest_dynperf.verdict.waive import waive
from tests.fakes.observations import ITL, THROUGHPUT, TTFT

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import Cell

TODAY = datetime.date(2026, 11, 21)
CASE = "smoke/agg-isl256-osl3-c4"


def cell(of: Cell, outcome: Outcome, *, decisive: bool = True) -> CellVerdict:
    return CellVerdict(cell=of, outcome=outcome, decisive=decisive, tolerance=0.03, candidate=1.0)


def verdict(*cells: CellVerdict) -> Verdict:
    return Verdict(outcome=max(one.outcome for one in cells if one.decisive), cells=cells, reasons=())


def waiver(case: str = CASE, metric: str | None = None, *, days: int = 10) -> Waiver:
    return Waiver(case=case, metric=metric, reason="known", link="https://example.org/7", expires=TODAY + datetime.timedelta(days=days))


def waived(judged: Verdict, *waivers: Waiver) -> Verdict:
    return waive(judged, case_name=CASE, waivers=waivers, today=TODAY)


SLOWER = verdict(cell(TTFT, Outcome.REGRESSED), cell(ITL, Outcome.UNCHANGED))


@pytest.mark.parametrize("covering", [waiver(), waiver("smoke/*"), waiver("*/agg-*-c4"), waiver(metric="time_to_first_token")])
def test_a_waiver_covers_the_regression_and_changes_no_outcome(covering: Waiver) -> None:
    found = waived(SLOWER, covering)
    assert (found.waiver, found.expired) == (covering, ())
    assert (found.outcome, found.cells) == (Outcome.REGRESSED, SLOWER.cells)


@pytest.mark.parametrize(
    "other",
    [
        waiver("smoke/other"),
        waiver("smoke"),
        waiver("SMOKE/*"),
        waiver(metric="inter_token_latency"),
        waiver(metric="time_to_first_token.v2"),
    ],
)
def test_another_case_or_metric_covers_nothing(other: Waiver) -> None:
    assert waived(SLOWER, other) == SLOWER


def test_every_decisive_regression_must_be_covered() -> None:
    both = verdict(cell(TTFT, Outcome.REGRESSED), cell(ITL, Outcome.REGRESSED))
    ttft, itl = waiver(metric="time_to_first_token.v1", days=20), waiver(metric="inter_token_latency", days=5)
    assert waived(both, ttft).waiver is None
    assert waived(both, ttft, itl).waiver == itl, "the one that expires first"


def test_a_regression_that_does_not_decide_needs_no_waiver() -> None:
    shown = verdict(cell(TTFT, Outcome.REGRESSED), cell(THROUGHPUT, Outcome.REGRESSED, decisive=False))
    assert waived(shown, waiver(metric="time_to_first_token")).waiver is not None


def test_invalid_is_never_hidden() -> None:
    half = verdict(cell(TTFT, Outcome.REGRESSED), cell(ITL, Outcome.INVALID))
    assert half.outcome is Outcome.REGRESSED
    assert waived(half, waiver()).waiver is None
    unread = replace(SLOWER, parity=Outcome.INVALID)
    assert waived(SLOWER, waiver()).waiver is not None
    assert waived(unread, waiver()).waiver is None
    whole = Verdict(outcome=Outcome.INVALID, cells=SLOWER.cells, reasons=("the worker went away",))
    assert waived(whole, waiver()) == whole


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.REGRESSED])
def test_only_a_regression_is_waived(outcome: Outcome) -> None:
    judged = verdict(cell(TTFT, outcome))
    assert waived(judged, waiver()) == judged


@pytest.mark.parametrize(("days", "holds"), [(1, True), (0, True), (-1, False)])
def test_it_holds_up_to_and_including_its_day(days: int, *, holds: bool) -> None:
    one = waiver(days=days)
    found = waived(SLOWER, one)
    assert (found.waiver is one) == holds
    assert found.expired == (() if holds else (one,))


def test_an_expired_waiver_is_told_whatever_the_outcome_and_only_for_its_case() -> None:
    over = waiver(days=-1)
    assert waived(verdict(cell(TTFT, Outcome.UNCHANGED)), over, waiver("smoke/other", days=-1)).expired == (over,)


def test_a_renewed_waiver_holds_and_the_old_entry_is_still_told() -> None:
    old, new = waiver(days=-1), waiver(days=30)
    found = waived(SLOWER, old, new)
    assert (found.waiver, found.expired) == (new, (old,))
