from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.report.rows import rows
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.judged_reports import PREEMPTIONS, by_duet, expired, of_rates, waived
from tests.fakes.session_reports import ITL, TTFT_P90, a_result

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.report.rows import Row
    from pytest_dynperf.report.session_report import CaseResult


def row(result: CaseResult, cell: Cell) -> Row:
    return next(found for found in rows([result]) if found.cell.cell == cell)


def test_a_row_of_pairs_says_how_many_and_how_far_the_runs_reach() -> None:
    found = row(by_duet(), ITL)
    assert found.verdict == "regressed, 10 pairs"
    assert found.certainty == ("limit +1.5 %", "tolerance 3 %", "MDE 3.1 %", "10 pairs with a control")
    assert found.runs_short == "6.13 to 8.18 ms"
    assert found.runs.count(",") == 9


def test_a_row_of_sessions_says_how_many_and_lists_its_runs() -> None:
    found = row(a_result(4, Outcome.REGRESSED, factor=1.119), ITL)
    assert found.certainty[-1] == "5 sessions of baseline"
    assert found.runs_short == found.runs == "6.51, 6.53, 6.57 ms"


def test_a_count_has_neither_limit_nor_mde() -> None:
    assert row(of_rates(), PREEMPTIONS).certainty == ("tolerance none, it must be equal", "5 sessions of baseline")


def test_only_what_decides_is_waived() -> None:
    result = waived()
    cells = tuple(replace(cell, outcome=Outcome.REGRESSED) for cell in result.verdict.cells)
    result = replace(result, verdict=replace(result.verdict, cells=cells))
    assert row(result, ITL).verdict == "regressed, waived"
    assert row(result, ITL).standing.colour == "yellow"
    assert row(result, TTFT_P90).verdict == "(regressed)"


def test_cases_that_fail_come_before_those_that_are_waived() -> None:
    found = rows([a_result(1), waived(4), expired(concurrency=16), a_result(64, Outcome.REGRESSED, factor=1.119)])
    order = list(dict.fromkeys(one.result.case.case_id for one in found))
    assert order == ["agg-isl256-osl32-c64", "agg-isl256-osl32-c16", "agg-isl256-osl32-c4", "agg-isl256-osl32-c1"]
