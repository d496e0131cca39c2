"""Exports in AIPerf's files: our importer reads the same values back, and so does AIPerf where there is one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_dynperf.measurement.foreign import ForeignRun, to_run, traffic_of
from pytest_dynperf.measurement.foreign_aiperf import read_summary, with_records
from pytest_dynperf.measurement.foreign_aiperf_records import read_records
from pytest_dynperf.measurement.foreign_blocks import TAGS
from pytest_dynperf.measurement.foreign_table import parse
from pytest_dynperf.measurement.run import cells_of
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.metrics.objectives import Objectives
from pytest_dynperf.observation.request_record import Failure, FailureKind, RequestRecord
from pytest_dynperf.report.aiperf_files import RECORDS, SUMMARY, Origin, export, summary
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.traffic import Arrival, Traffic
from tests.fakes.foreign_aiperf import read_by_aiperf
from tests.fakes.observations import MS, failed, record, recording

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.observation.recording import Recording

FACTS = RunFacts(gpu_count=None, objectives=Objectives(time_to_first_token_s=0.2, inter_token_latency_s=0.03))
ORIGIN = Origin(model="m", url="http://h:1", generator="pytest-dynperf", generator_version="1.0", epoch_ns=1_795_233_785_000_000_000)
TRAFFIC = Traffic(isl=256, osl=4, concurrency=4, ignore_eos=False, warmup_requests=0)


def read_back(home: Path) -> ForeignRun:
    foreign = read_summary(parse((home / SUMMARY).read_text(), file=SUMMARY))
    traffic = traffic_of(foreign.asked, file=SUMMARY, runs=1)
    records, unfounded = read_records((home / RECORDS).read_text().splitlines(), file=RECORDS, run="run-1", traffic=traffic)
    assert unfounded == frozenset()
    return with_records(foreign, records, records_file=RECORDS, unfounded=unfounded)


@st.composite
def requests(draw: st.DrawFn, index: int) -> RequestRecord:
    """A request with stamps of its own; every tenth or so fails."""
    sent = draw(st.integers(0, 2_000 * MS))
    gaps = draw(st.lists(st.integers(0, 50 * MS), min_size=1, max_size=6))
    stamps = [sent + draw(st.integers(1, 500 * MS))]
    for gap in gaps:
        stamps.append(stamps[-1] + gap)
    tokens = draw(st.integers(2, 9))
    whole = replace(
        record(index),
        scheduled_ns=sent - draw(st.integers(0, 3 * MS)),
        sent_ns=sent,
        chunk_ns=tuple(stamps),
        first_output_ns=stamps[0],
        end_ns=stamps[-1] + 1000,
        completion_tokens=tokens,
        prompt_tokens=draw(st.integers(1, 999)),
    )
    if draw(st.integers(0, 9)):
        return whole
    return replace(whole, error=Failure(kind=FailureKind.OVERLOADED, detail="busy"), http_status=503)


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    records = tuple(draw(requests(index)) for index in range(draw(st.integers(1, 12))))
    return recording(records, window_ms=4_000)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recordings())
def test_what_is_exported_is_read_back_equal(tmp_path: Path, seen: Recording) -> None:
    [home] = export([seen], traffic=TRAFFIC, facts=FACTS, origin=ORIGIN, directory=tmp_path)
    back = read_back(home)
    ours = cells_of(seen, FACTS)
    exported = {cell: value for cell, value in ours.values.items() if CATALOGUE[cell.metric].name in TAGS}
    if all(one.error is not None for one in seen.records):
        assert {cell.metric for cell in back.values} == {"request_error_rate.v1"}
        assert back.errors == len(seen.records)
        return
    shared = {cell: value for cell, value in back.values.items() if CATALOGUE[cell.metric].name in TAGS}
    assert shared == pytest.approx(exported, rel=1e-9, abs=1e-12)
    assert len(shared) > 20
    assert back.problems == ()
    assert (back.requests, back.errors) == (len(seen.records), sum(one.error is not None for one in seen.records))
    assert back.duration_s == pytest.approx(seen.duration_s)
    for ours_, theirs in zip(sorted(seen.records, key=lambda one: one.sent_ns or 0), back.records, strict=True):
        if ours_.error is None:
            assert [stamp - (ours_.sent_ns or 0) for stamp in ours_.chunk_ns] == [
                stamp - (theirs.sent_ns or 0) for stamp in theirs.chunk_ns
            ]
            assert (ours_.completion_tokens, ours_.prompt_tokens) == (theirs.completion_tokens, theirs.prompt_tokens)


GOOD = recording([record(index, sent_ms=index * 10, chunks_ms=[index * 10 + at for at in (50, 60, 70, 80)]) for index in range(32)])


def content(seen: Recording = GOOD, traffic: Traffic = TRAFFIC, problems: tuple[str, ...] = ()) -> dict[str, Any]:
    return json.loads(json.dumps(summary(seen, traffic, FACTS, ORIGIN, problems)))  # type: ignore[no-any-return]


def test_units_are_aiperfs() -> None:
    table = content(recording([*GOOD.records, failed(32)]))
    assert table["time_to_first_token"]["unit"] == "ms"
    assert table["time_to_first_token"]["p50"] == 50.0
    assert table["request_error_rate"] == {"unit": "%", "avg": pytest.approx(100 / 33)}
    assert table["error_request_count"]["avg"] == 1.0
    assert table["error_summary"] == [{"error_details": {"type": "overloaded", "message": "HTTP 529 busy"}, "count": 1}]
    assert table["input_config"]["slos"] == {"time_to_first_token": 200.0, "inter_token_latency": 30.0}
    assert (table["start_time"], table["end_time"]) == ("2026-11-21T04:03:05+00:00", "2026-11-21T04:03:06+00:00")


def test_a_run_that_must_not_be_judged_says_so() -> None:
    table = content(problems=("the clock was stepped",))
    assert (table["is_complete"], table["incomplete_reason"]) == (False, "the clock was stepped")
    foreign = read_summary(parse(json.dumps(table), file="f"))
    run = to_run(foreign, name="r", traffic=replace(TRAFFIC, requests=32), expectation=Expectation(gates=()))
    assert run.problems[0] == "f: is_complete is false: the clock was stepped"


def test_ours_is_not_called_aiperfs() -> None:
    assert read_summary(parse(json.dumps(content()), file="f")).generator == "pytest-dynperf 1.0"
    assert "aiperf_version" not in content()


def test_warm_up_is_a_phase_and_what_came_after_is_left_out(tmp_path: Path) -> None:
    warm, late = replace(record(90, measured=False), sent_ns=-30 * MS), replace(record(91, measured=False), sent_ns=990 * MS)
    [home] = export([recording([warm, *GOOD.records, late])], traffic=TRAFFIC, facts=FACTS, origin=ORIGIN, directory=tmp_path)
    lines = [json.loads(line) for line in (home / RECORDS).read_text().splitlines()]
    assert [line["metadata"]["benchmark_phase"] for line in lines] == ["warmup"] + ["profiling"] * 32
    assert lines[0]["metadata"]["x_request_id"] == "r90"
    assert len(read_back(home).records) == 33


def test_a_request_that_was_never_sent_is_an_error_at_its_time(tmp_path: Path) -> None:
    dropped = replace(
        record(32), sent_ns=None, end_ns=None, chunk_ns=(), http_status=None, error=Failure(kind=FailureKind.DROPPED, detail="full")
    )
    [home] = export([recording([*GOOD.records, dropped])], traffic=TRAFFIC, facts=FACTS, origin=ORIGIN, directory=tmp_path)
    back = read_back(home)
    assert (back.errors, back.requests) == (1, 33)


@pytest.mark.parametrize(
    ("traffic", "phase"),
    [
        (TRAFFIC, {"type": "concurrency", "concurrency": 4, "requests": 30}),
        (
            Traffic(
                isl=9,
                osl=4,
                arrival=Arrival(process="gamma", rate_per_s=9.0, burstiness=0.5, max_in_flight=7),
                requests=30,
                warmup_requests=0,
            ),
            {"type": "gamma", "rate": 9.0, "smoothness": 0.5, "concurrency": 7, "requests": 30},
        ),
        (
            Traffic(
                isl=9,
                osl=4,
                arrival=Arrival(process="sinusoidal", min_rate_per_s=2, max_rate_per_s=6, period_s=9),
                requests=30,
                warmup_requests=0,
            ),
            {"type": "poisson", "rate": 4.0, "requests": 30},
        ),
    ],
)
def test_what_was_asked_is_stated(traffic: Traffic, phase: dict[str, Any]) -> None:
    assert content(traffic=traffic)["input_config"]["phases"] == [{"name": "profiling", "kind": "profiling", **phase}]


def test_every_run_has_a_directory_of_its_own(tmp_path: Path) -> None:
    homes = export(
        [replace(GOOD, run="run-1"), replace(GOOD, run="../run-2")], traffic=TRAFFIC, facts=FACTS, origin=ORIGIN, directory=tmp_path
    )
    assert [home.name for home in homes] == ["run-1", "__run-2"]
    assert all(home.parent == tmp_path for home in homes)


def test_aiperf_reads_it(tmp_path: Path) -> None:
    warm = replace(TRAFFIC, warmup_requests=4)
    [home] = export(
        [recording([*GOOD.records, failed(32)])], traffic=warm, facts=FACTS, origin=ORIGIN, directory=tmp_path, problems=[("one failed",)]
    )
    found = read_by_aiperf(home)
    assert found["version"] == "0.13.0"
    assert found["known_schema"] == json.loads((home / SUMMARY).read_text())["schema_version"]
    assert found["ttft_p50"] == 50.0
    assert (found["records"], found["rows"], found["errors"]) == (33, 33, 1)
    assert (found["model"], found["concurrency"], found["is_complete"]) == ("m", 4, False)
    assert [phase["kind"] for phase in found["phases"]] == ["warmup", "profiling"]
