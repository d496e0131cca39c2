from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.report.html_page import render
from pytest_dynperf.report.suite_tables import KINDS, SuiteTable, suite_tables
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.scenario.topology import KvCache, Role, Speculation, Topology
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.session_reports import a_case, a_report, a_result

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import CaseResult


def value(name: str) -> Cell:
    return Cell(f"{name}.v1", "value")


def with_values(result: CaseResult, **values: float) -> CaseResult:
    assert result.measurement is not None
    found = {value(name): number for name, number in values.items()}
    runs = tuple(replace(run, values={**run.values, **found}) for run in result.measurement.runs)
    return replace(result, measurement=replace(result.measurement, runs=runs))


def case_of(name: str, topology: Topology, **fields: object) -> CaseResult:
    return a_result(4, case=replace(a_case(4), case_id=name, topology=topology, **fields))  # type: ignore[arg-type]


PLAIN = Topology(engine="vllm", model="m", worker=Role(count=2))
OFFLOADING = replace(PLAIN, kv_cache=KvCache(connector="lmcache-mp", host_gib=2))
ROUTED = replace(PLAIN, router_mode="kv")
DRAFTING = replace(PLAIN, speculation=Speculation(method="ngram", tokens=5))


def texts(table: SuiteTable) -> list[dict[str, str]]:
    return [dict(zip(table.titles, (entry.text for entry in entries), strict=True)) for _, entries in table.rows]


def test_tiers_stand_beside_the_arm_without_them() -> None:
    off = with_values(case_of("off", PLAIN), prefix_cache_hit_rate=0.1)
    on = with_values(case_of("on", OFFLOADING), prefix_cache_hit_rate=0.1, external_cache_hit_rate=0.97, lmcache_l1_hit_rate=1.0)
    (table,) = suite_tables([off, on])
    assert table.kind.name == "tiers"
    first, second = texts(table)
    assert first["Outer hits"] == "–"
    assert second["Outer hits"] == "97.0 %"
    assert second["Tiers"] == "lmcache-mp, host 2 GB, cache as-is"
    assert "From host" not in table.titles, "a column without values is left out"
    shares = {title: entry.share for title, entry in zip(table.titles, table.rows[1][1], strict=True)}
    assert (shares["Outer hits"], shares["TTFT p50"]) == (0.97, None)


def test_speculation_routing_transfer_and_faults() -> None:
    drafting = with_values(case_of("ngram", DRAFTING), speculation_acceptance_rate=0.62, speculation_acceptance_length=2.4)
    routed = with_values(case_of("kv", ROUTED), router_hit_rate=0.7, worker_imbalance=0.2)
    apart = with_values(case_of("disagg", replace(PLAIN, mode="disagg")), kv_transfers=30.0)
    broken = with_values(case_of("kill", PLAIN, fault=Fault(inject="kill worker")), fault_recovery_time=4.2, hung_request_rate=0.0)
    found = {result.case.case_id: suite_tables([result]) for result in (drafting, routed, apart, broken)}
    assert {name: [table.kind.name for table in tables] for name, tables in found.items()} == {
        "ngram": ["speculation"], "kv": ["routing"], "disagg": ["transfer"], "kill": ["faults"],
    }  # fmt: skip
    assert texts(found["ngram"][0])[0]["Method"] == "ngram, 5 tokens"
    assert texts(found["ngram"][0])[0]["Tokens a step"] == "2.40 tokens"
    assert texts(found["kv"][0])[0]["Router"] == "kv, 2 workers"
    assert texts(found["kill"][0])[0] == {"Fault": "kill worker", "Recovered after": "4,200 ms", "Hung": "0 %"}


def test_an_invalid_case_has_a_row_without_values() -> None:
    broken = with_values(case_of("on", OFFLOADING), external_cache_hit_rate=0.97)
    broken = replace(broken, verdict=replace(broken.verdict, outcome=Outcome.INVALID))
    (table,) = suite_tables([broken, case_of("off", PLAIN)])
    assert set(texts(table)[0].values()) == {"–", "lmcache-mp, host 2 GB, cache as-is"}


def test_a_plain_suite_has_no_such_table() -> None:
    assert suite_tables([a_result()]) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_column_is_a_metric_that_there_is(kind: object) -> None:
    assert {cell.metric for cell in kind.cells} <= set(CATALOGUE)  # type: ignore[attr-defined]


def test_the_page_shows_them_with_links_to_their_cases() -> None:
    page = render(a_report(with_values(case_of("on", OFFLOADING), external_cache_hit_rate=0.97)))
    assert 'id="tiers-1">KV cache tiers: concurrency_sweep' in page
    assert '<svg class="share"' in page
    assert page.count('href="#case-concurrency_sweep_on"') > 1
