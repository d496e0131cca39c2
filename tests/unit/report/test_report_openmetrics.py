"""The metrics file, read by the parsers of those who would read it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families

from pytest_dynperf.report.openmetrics import openmetrics
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.full_report import full_report
from tests.fakes.judged_reports import of_everything, of_rates
from tests.fakes.session_reports import a_case, a_regressed_sweep, a_report, a_result, every_outcome

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import SessionReport

HOSTILE = 'c"4\\\n# EOF\nup 1'


def samples(report: SessionReport) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in openmetrics_families(openmetrics(report)):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            assert sample.timestamp is None
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.mark.parametrize(
    "report", [a_regressed_sweep(), every_outcome(), of_everything(), full_report(), a_report(), a_report(of_rates())], ids=range(6)
)
def test_both_parsers_read_it_and_see_the_same(report: SessionReport) -> None:
    text = openmetrics(report)
    ours, older = ({family.name for family in parse(text)} for parse in (openmetrics_families, prometheus_families))
    assert ours == older
    assert len(ours) >= 4


def test_values_units_and_baselines() -> None:
    found = samples(a_regressed_sweep())
    itl = {labels["case"]: value for labels, value in found["dynperf_inter_token_latency_v1_seconds"]}
    assert itl["agg-isl256-osl32-c4"] == pytest.approx(0.00653, abs=1e-5)
    before = {labels["case"]: value for labels, value in found["dynperf_inter_token_latency_v1_baseline_seconds"]}
    assert before["agg-isl256-osl32-c4"] == pytest.approx(0.00584)
    assert "dynperf_output_token_throughput_v1_tokens_per_second" in found
    fails = {labels["case"]: value for labels, value in found["dynperf_case_fails"]}
    assert fails == {"agg-isl256-osl32-c1": 0, "agg-isl256-osl32-c4": 1, "agg-isl256-osl32-c16": 0, "agg-isl256-osl32-c64": 0}
    outcomes = {labels["outcome"]: value for labels, value in found["dynperf_cases"]}
    assert outcomes == {outcome.text: {Outcome.REGRESSED: 1.0, Outcome.UNCHANGED: 3.0}.get(outcome, 0.0) for outcome in Outcome}


def test_figures_of_an_invalid_case_and_what_is_absent_are_not_there() -> None:
    found = samples(a_report(a_result(4, Outcome.INVALID), a_result(1, Outcome.NO_BASELINE), interrupted="SIGINT"))
    cases = {labels["case"] for name in found if "latency" in name for labels, _ in found[name]}
    assert cases == {"agg-isl256-osl32-c1"}
    assert not any("baseline" in name or "change" in name for name in found)
    assert found["dynperf_session_complete"] == [({}, 0.0)]


def test_hostile_names_stay_labels() -> None:
    report = a_report(a_result(4, case=replace(a_case(), case_id=HOSTILE)))
    found = samples(replace(report, versions={"a b": '"x"', "session": "taken"}))
    assert "up" not in found
    assert found["dynperf_case_fails"][0][0]["case"] == HOSTILE
    ((about, _),) = found["dynperf_session_about"]
    assert (about["a_b"], about["session"]) == ('"x"', report.session_id)


def test_a_file_that_is_cut_off_is_noticed() -> None:
    text = openmetrics(a_regressed_sweep()).removesuffix("# EOF\n")
    with pytest.raises(ValueError, match="EOF"):
        list(openmetrics_families(text))  # type: ignore[no-untyped-call]
