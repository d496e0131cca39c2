"""Annotations: at most nine, the worst first, and no text leaves its place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.report.github import MOST, annotations_of
from pytest_dynperf.report.standing import standing
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.judged_reports import waived
from tests.fakes.session_reports import a_case, a_report, a_result

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import CaseResult


def red(result: CaseResult) -> bool:
    return standing(result.verdict).fails


def test_a_red_case_is_an_error_at_its_test_and_an_open_one_a_warning() -> None:
    report = a_report(a_result(1), a_result(2, Outcome.INCONCLUSIVE), waived(8), a_result(4, Outcome.REGRESSED, factor=1.1))
    found = annotations_of(report, fails=red, prefix="perf")
    assert [one.level for one in found] == ["error", "warning", "warning"]
    assert found[0].title == "regressed: concurrency_sweep/agg-isl256-osl32-c4"
    assert found[0].file == "perf/suites/concurrency_sweep/test_concurrency_sweep.py"
    assert "ITL p50: 5.84 ms → 6.42 ms" in found[0].message
    assert found[1].title.startswith("regressed, waived")
    assert "the budget for a fresh session is spent" in found[2].message


def test_nothing_is_said_of_a_green_session_and_everything_of_an_incomplete_one() -> None:
    assert annotations_of(a_report(a_result(1)), fails=red) == []
    (one,) = annotations_of(a_report(a_result(1), missing=("s/c",), interrupted="SIGTERM"), fails=red)
    assert (one.level, one.message) == ("error", "Session incomplete (SIGTERM, 1 case not reported). 1 of 1 case is unchanged.")


def test_of_many_the_ninth_counts_the_others() -> None:
    results = [a_result(c, Outcome.REGRESSED, factor=1.1, case=replace(a_case(c), case_id=f"c{c}")) for c in range(1, 21)]
    results.append(a_result(64, Outcome.INCONCLUSIVE))
    found = annotations_of(a_report(*results), fails=red)
    assert len(found) == MOST == 9
    assert found[-1].title == "13 more"
    assert found[-1].message.startswith("12 more errors and 1 more warning")
    assert len(annotations_of(a_report(*results[:9]), fails=red)) == 9


def test_a_case_without_a_baseline_is_an_error_where_the_session_says_so() -> None:
    report = a_report(a_result(1, Outcome.NO_BASELINE))
    assert [one.level for one in annotations_of(report, fails=red)] == ["warning"]
    assert [one.level for one in annotations_of(report, fails=lambda _: True)] == ["error"]


@pytest.mark.parametrize("name", ["a,file=/etc/passwd::x", "a%0A::error::b", "a\n::error::b", "50 %"])
def test_names_cannot_leave_their_place(name: str) -> None:
    result = a_result(4, Outcome.REGRESSED, factor=1.1, case=replace(a_case(), case_id=name))
    result = replace(result, node_id=f"suites/t.py::test[{name}]", verdict=replace(result.verdict, reasons=("first\n::error::second\r",)))
    (one,) = annotations_of(a_report(result), fails=red)
    line = one.command
    assert "\n" not in line
    assert "\r" not in line
    properties, _, message = line.removeprefix("::error ").partition("::")
    assert set(dict(part.split("=", 1) for part in properties.split(","))) == {"file", "title"}
    assert properties.startswith("file=suites/t.py,title=regressed%3A concurrency_sweep/")
    assert "%0A" in message
    assert "50 %25" in line or "50 %" not in line


@pytest.mark.parametrize("node_id", ["imported from a.json", "../outside.py::test", "/abs/test.py::test"])
def test_what_is_no_file_of_the_repository_is_not_named(node_id: str) -> None:
    result = replace(a_result(4, Outcome.REGRESSED, factor=1.1), node_id=node_id)
    (one,) = annotations_of(a_report(result), fails=red)
    assert one.file == ""
    assert one.command.startswith("::error title=")


def test_a_message_has_an_end() -> None:
    result = a_result(4, Outcome.INVALID)
    result = replace(result, verdict=replace(result.verdict, reasons=("x" * 10_000,)))
    (one,) = annotations_of(a_report(result), fails=red)
    assert len(one.message) < 3100
