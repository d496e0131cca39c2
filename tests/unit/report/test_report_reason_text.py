from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.report import reason_text
from pytest_dynperf.report.html_page import render
from pytest_dynperf.report.terminal import summary
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Verdict
from tests.fakes.session_reports import a_report, a_result

ITL = Cell("inter_token_latency.v1", "p50")
THROUGHPUT = Cell("output_token_throughput.v1", "value")
NOISE = "worse by more than the screen allows"
SPENT = "the budget of 0 min is spent"


def a_verdict(outcome: Outcome, *reasons: str) -> Verdict:
    cells = tuple(CellVerdict(cell=cell, outcome=outcome, decisive=True, tolerance=0.03, candidate=None) for cell in (THROUGHPUT, ITL))
    return Verdict(outcome=outcome, cells=cells, reasons=reasons)


def test_what_is_true_of_several_metrics_is_said_once_by_the_names_of_the_table() -> None:
    verdict = a_verdict(Outcome.REGRESSED, f"{THROUGHPUT}: {NOISE}", f"{ITL}: {NOISE}", f"{ITL}: other")
    assert reason_text.reasons(verdict) == (f"throughput, ITL p50: {NOISE}", "ITL p50: other")


def test_cells_that_are_told_elsewhere_are_left_out() -> None:
    verdict = a_verdict(Outcome.REGRESSED, f"{THROUGHPUT}: {NOISE}", f"{ITL}: {NOISE}", SPENT)
    assert reason_text.reasons(verdict, but=verdict.cells[:1]) == (f"ITL p50: {NOISE}", SPENT)


def test_a_sentence_about_the_case_stays_as_it_is() -> None:
    verdict = a_verdict(Outcome.INVALID, "etcd: ended", "etcd: ended", f"{Cell('request_latency.v1', 'p50')}: of no cell here")
    assert reason_text.reasons(verdict) == ("etcd: ended", "request_latency p50: of no cell here")


def test_of_an_open_case_the_summary_says_what_kept_a_second_measurement_away() -> None:
    verdict = a_verdict(Outcome.INCONCLUSIVE, f"{THROUGHPUT}: {NOISE}", f"{ITL}: other", SPENT)
    assert reason_text.explanation(verdict) == (f"throughput: {NOISE}", SPENT)


@pytest.mark.parametrize("outcome", [Outcome.UNCHANGED, Outcome.IMPROVED, Outcome.REGRESSED, Outcome.NO_BASELINE])
def test_an_outcome_that_speaks_for_itself_is_not_explained(outcome: Outcome) -> None:
    assert reason_text.explanation(a_verdict(outcome, "a reason")) == ()


def test_of_an_invalid_case_the_first_reason_is_enough() -> None:
    assert reason_text.explanation(a_verdict(Outcome.INVALID, "first", "second")) == ("first",)
    assert reason_text.explanation(a_verdict(Outcome.INVALID)) == ()


def test_terminal_and_page_say_that_the_budget_is_spent() -> None:
    open_case = a_result(4, Outcome.INCONCLUSIVE)
    result = replace(open_case, verdict=replace(open_case.verdict, reasons=(*open_case.verdict.reasons, SPENT)))
    report = a_report(result)
    assert SPENT in "\n".join(line.text for line in summary(report, width=100, verbose=False))
    assert SPENT in render(report).partition("Next step")[2].partition("</section>")[0]
