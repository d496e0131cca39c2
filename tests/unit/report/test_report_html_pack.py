from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_dynperf.report.drilldown import CaseDrilldown, Drilldown
from pytest_dynperf.report.html_blocks import INLINE
from pytest_dynperf.report.html_pack import courses, drawings, packed
from pytest_dynperf.report.html_page import render
from pytest_dynperf.report.html_views import case_views
from pytest_dynperf.report.session_report import withheld
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.courses import PEAK_S, a_case_drilldown, a_course, a_drilldown
from tests.fakes.session_reports import a_case, a_report, a_result

if TYPE_CHECKING:
    from pytest_dynperf.report.html_pack import Course
    from pytest_dynperf.report.session_report import CaseResult


def unpacked(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(text)))
    return value


def the_courses(result: CaseResult, drilldown: CaseDrilldown | None = None) -> Course:
    own = drilldown or a_case_drilldown()
    (view,) = case_views([withheld(result)], None, Drilldown(cases={result.case.name: own}))
    return courses(view)


def titles(course: Course) -> set[str]:
    return {panel.title for _, _, drawn in course for panel in drawn}


def test_a_peak_survives_and_the_line_says_how_many_values_it_had() -> None:
    drawn = drawings(the_courses(a_result(), a_case_drilldown(requests=2000)), 24)
    panel = drawn[0]["panels"][0]  # type: ignore[index]
    (line,) = panel["lines"]
    assert line["of"] == 1999
    assert len(line["x"]) == len(line["y"]) == 48
    assert max(line["y"]) == PEAK_S * 1e3


def test_lines_with_the_same_times_have_them_once() -> None:
    (panel,) = [panel for panel in drawings(the_courses(a_result()), 300)[0]["panels"] if panel["title"] == "engine: requests running"]  # type: ignore[attr-defined]
    assert ["x" in line for line in panel["lines"]] == [True, False]


def test_an_invalid_case_has_no_drawing_that_a_metric_is_made_of() -> None:
    assert "time to first token of each request" in titles(the_courses(a_result()))
    seen = titles(the_courses(a_result(4, Outcome.INVALID)))
    assert seen == {"requests in flight", "requests that failed", "engine: requests running", "GPU: power"}


def test_nor_has_an_invalid_run() -> None:
    result = a_result()
    assert result.measurement is not None
    first, *others = result.measurement.runs
    measurement = replace(result.measurement, runs=tuple(others), discarded=(replace(first, problems=("held up",)),))
    course = the_courses(replace(result, measurement=measurement))
    by_run = {run: {panel.title for panel in drawn} for run, _, drawn in course}
    assert "output tokens" not in by_run["run-1"]
    assert "output tokens" in by_run["run-2"]


def test_the_times_of_a_fault_come_with_its_run() -> None:
    course = the_courses(a_result(), CaseDrilldown(runs=(a_course(fault=True),)))
    assert drawings(course, 24)[0]["faults"] == [[4.0, 6.0]]


def test_what_is_packed_is_the_same_each_time_and_survives_half_surrogates() -> None:
    contents: list[tuple[str, dict[str, object]]] = [("a", {"html": "<b>\ud800</b>", "raw": 1.5}), ("b", {"html": None})]
    assert packed(contents) == packed(contents)
    assert unpacked(packed(contents)) == {"names": ["a", "b"], "html": ["<b>\ud800</b>", None], "raw": [1.5, None]}
    assert "<" not in packed(contents)


def test_a_large_session_has_those_in_the_markup_that_need_somebody_and_packs_the_others() -> None:
    cases = [replace(a_case(4), case_id=f"c{index}") for index in range(INLINE + 2)]
    results = [a_result(4, Outcome.REGRESSED if index == 7 else Outcome.UNCHANGED, case=case) for index, case in enumerate(cases)]
    report = a_report(*results)
    page = render(report, a_drilldown(report))
    assert page.count('data-packed="yes"') == INLINE + 1
    assert page.count("run by run") == len(results[7].verdict.cells)
    blocks = [part.split("</script>")[0].split(">", 1)[1] for part in page.split('<script type="text/plain" class="packed"')[1:]]
    found: dict[str, str | None] = {}
    for block in map(unpacked, blocks):
        found |= dict(zip(block["names"], block["html"], strict=True))
    assert len(found) == INLINE + 2
    assert [name for name, html in found.items() if html is None] == ["case-concurrency_sweep_c7"]
    assert "--dynperf-seed=7" in (found["case-concurrency_sweep_c9"] or "")


def test_a_page_without_courses_has_no_code_that_draws_them() -> None:
    report = a_report(a_result())
    assert "uPlot (v" not in render(report)
    assert "uPlot (v" in render(report, a_drilldown(report))
