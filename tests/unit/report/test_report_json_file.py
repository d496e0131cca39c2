from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.environment import Environment
from pytest_dynperf.errors import UsageError
from pytest_dynperf.measurement.measurement import Distribution, Measurement, Run
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.observation.recording import Certificate, ProcessUsage
from pytest_dynperf.quantity import Absent
from pytest_dynperf.report.json_file import decode_result, decode_session, encode_result, encode_session, to_text
from pytest_dynperf.report.session_report import CaseResult, SessionReport, withheld
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Verdict
from tests.fakes.session_reports import a_case, a_measurement, a_regressed_sweep, a_report, a_result, a_run, every_outcome, the_values

TEXT = st.text(max_size=12)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(0, 10**6)
CELLS = st.sampled_from(
    [
        Cell("inter_token_latency.v1", "p50"),
        Cell("time_to_first_token.v1", "p99"),
        Cell("output_token_throughput.v1", "value"),
        Cell("metric_of_next_year.v3", "p50"),
    ]
)


def tuples(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(strategy, max_size=2).map(tuple)


PERHAPS = st.none() | NUMBER
CERTIFICATES = st.builds(
    Certificate,
    clock_step_s=NUMBER,
    processes=st.lists(st.builds(ProcessUsage, cpu_s=PERHAPS, run_delay_s=PERHAPS), max_size=3).map(tuple),
    late_sends=COUNT,
    dropped_sends=COUNT,
    **{field.name: PERHAPS for field in dataclasses.fields(Certificate) if field.type == "float | None"},
)
DISTRIBUTIONS = st.builds(
    Distribution,
    n=COUNT,
    mean=NUMBER,
    sd=st.none() | NUMBER,
    sd_log=st.none() | NUMBER,
    minimum=NUMBER,
    maximum=NUMBER,
    percentiles=st.dictionaries(st.sampled_from(["p1", "p50", "p99.9"]), NUMBER),
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    found = draw(st.dictionaries(CELLS, NUMBER | TEXT.map(Absent)))
    problems = draw(tuples(TEXT))
    return Run(
        name=draw(TEXT),
        values={cell: value for cell, value in found.items() if not isinstance(value, Absent)},
        absent={cell: value for cell, value in found.items() if isinstance(value, Absent)},
        distributions=draw(st.dictionaries(TEXT, DISTRIBUTIONS, max_size=2)),
        requests=draw(COUNT),
        errors=draw(COUNT),
        error_kinds=draw(st.dictionaries(TEXT, COUNT, max_size=2)),
        duration_s=draw(NUMBER),
        certificate=draw(CERTIFICATES),
        witness=draw(st.dictionaries(TEXT, NUMBER, max_size=2)),
        problems=problems,
        notes=draw(tuples(TEXT)),
    )


MEASUREMENTS = st.builds(
    Measurement, runs=st.lists(runs(), max_size=3).map(tuple), discarded=st.lists(runs(), max_size=1).map(tuple), problems=tuples(TEXT)
)
CELL_VERDICTS = st.builds(
    CellVerdict,
    cell=CELLS,
    outcome=st.sampled_from(Outcome),
    decisive=st.booleans(),
    tolerance=NUMBER,
    candidate=st.none() | NUMBER,
    values=st.lists(NUMBER, max_size=3).map(tuple),
    baseline=st.none() | NUMBER,
    delta=st.none() | NUMBER,
    interval=st.none() | st.tuples(NUMBER, NUMBER),
    limit=st.none() | NUMBER,
    mde=st.none() | NUMBER,
    p_value=st.none() | NUMBER,
    run_cv=st.none() | NUMBER,
    sessions=COUNT,
    underpowered=st.booleans(),
    suspect=st.booleans(),
    history=st.lists(NUMBER, max_size=3).map(tuple),
    reasons=tuples(TEXT),
)
ROLES = st.builds(Role, count=COUNT, gpus=COUNT, args=tuples(TEXT))
CASES = st.builds(
    Case,
    suite=TEXT,
    case_id=TEXT,
    question=TEXT,
    platform=TEXT,
    topology=st.builds(
        Topology,
        engine=TEXT,
        model=TEXT,
        mode=st.sampled_from(["agg", "disagg"]),
        worker=ROLES,
        prefill=ROLES,
        decode=ROLES,
        router_args=tuples(TEXT),
        block_size=st.none() | COUNT,
        image=st.none() | TEXT,
    ),
    traffic=st.builds(
        Traffic, isl=COUNT, osl=COUNT, concurrency=COUNT, requests=st.none() | COUNT, ignore_eos=st.booleans(), request_timeout_s=NUMBER
    ),
    expectation=st.builds(
        Expectation,
        gates=st.lists(st.builds(Gate, cell=CELLS, tolerance=NUMBER, decisive=st.booleans()), max_size=3).map(tuple),
        max_error_share=NUMBER,
    ),
    axes=st.dictionaries(TEXT, TEXT, max_size=2).map(lambda axes: tuple(axes.items())),
    overrides=tuples(TEXT),
)
RESULTS = st.builds(
    CaseResult,
    case=CASES,
    node_id=TEXT,
    verdict=st.builds(
        Verdict,
        outcome=st.sampled_from(Outcome),
        cells=st.lists(CELL_VERDICTS, max_size=4, unique_by=lambda cell: cell.cell).map(tuple),
        reasons=tuples(TEXT),
        means=st.sampled_from([None, *Means]),
    ),
    measurement=st.none() | MEASUREMENTS,
    confirmation=st.none() | MEASUREMENTS,
    environment=st.none()
    | st.builds(
        Environment,
        platform=TEXT,
        key=st.dictionaries(TEXT, TEXT, max_size=2),
        provenance=st.dictionaries(TEXT, TEXT, max_size=2),
        may_be_baseline=st.booleans(),
    ),
    baseline_provenance=st.dictionaries(TEXT, TEXT, max_size=2),
    duration_s=NUMBER,
    reproduce=TEXT,
    accept=TEXT,
    records=tuples(TEXT),
    logs=tuples(TEXT),
    confirmed_by=TEXT,
    unknown_metrics=st.just({}),
)


def through_the_file(result: CaseResult) -> CaseResult:
    return decode_result(json.loads(to_text(encode_result(result))))


@settings(max_examples=60, deadline=None)
@given(RESULTS)
def test_a_case_is_read_as_it_was_written(result: CaseResult) -> None:
    read = through_the_file(result)
    assert replace(read, unknown_metrics={}) == withheld(result)
    assert set(read.unknown_metrics) <= {"metric_of_next_year.v3"}


@settings(max_examples=20, deadline=None)
@given(RESULTS)
def test_writing_what_was_read_gives_the_same_text(result: CaseResult) -> None:
    text = to_text(encode_result(result))
    assert to_text(encode_result(decode_result(json.loads(text)))) == text


@pytest.mark.parametrize(
    "report",
    [
        a_regressed_sweep(),
        every_outcome(),
        a_report(),
        a_report(missing=("suite/case",), interrupted="SIGINT"),
        replace(a_report(a_result()), accepted=("baselines/x.json",), refused=("suite/case: dirty tree",)),
    ],
)
def test_a_session_is_read_as_it_was_written(report: SessionReport) -> None:
    expected = replace(report, results=tuple(withheld(result) for result in report.results))
    assert decode_session(json.loads(to_text(encode_session(report)))) == expected


def test_every_field_reaches_the_file() -> None:
    """A field that is added to a value and forgotten here would be lost between xdist worker and controller."""
    encoded = encode_session(a_regressed_sweep())
    known = set(_keys(encoded))
    for kind in (SessionReport, CaseResult, Case, Topology, Role, Traffic, Expectation, Run, Certificate, Distribution, CellVerdict):
        names = {field.name for field in fields(kind)}
        assert names - known <= {"results", "case", "measurement", "unknown_metrics", "cells", "cell", "directory"}, kind


def test_the_session_states_counts_and_the_worst_outcome() -> None:
    encoded = encode_session(a_regressed_sweep())
    assert encoded["outcome"] == "regressed"
    assert encoded["counts"] == {"regressed": 1, "unchanged": 3}
    assert encode_session(a_report())["outcome"] is None


def test_metrics_carry_unit_direction_values_and_verdict() -> None:
    encoded = json.loads(to_text(encode_result(a_result(4, Outcome.REGRESSED, factor=1.119))))
    metrics = {(metric["id"], metric["statistic"]): metric for metric in encoded["metrics"]}
    throughput = metrics["output_token_throughput.v1", "value"]
    assert (throughput["unit"], throughput["direction"]) == ("tokens/s", "higher is better")
    assert throughput["values"] == [run.values[Cell("output_token_throughput.v1", "value")] for run in a_measurement(4, 1.119).runs]
    assert throughput["verdict"]["outcome"] == "regressed"
    assert metrics["output_token_throughput_per_user.v1", "p50"]["verdict"] is None
    absent = metrics["output_token_throughput_per_gpu.v1", "value"]
    assert (absent["values"], absent["absent"]) == (None, "the topology uses no GPU")


def test_a_run_without_a_value_is_null_and_not_zero() -> None:
    measurement = a_measurement()
    cell = Cell("inter_token_latency.v1", "p50")
    values = {key: value for key, value in measurement.runs[1].values.items() if key != cell}
    lame = replace(measurement.runs[1], values=values, absent={cell: Absent("no gap")})
    result = replace(a_result(), measurement=replace(measurement, runs=(measurement.runs[0], lame, measurement.runs[2])))
    encoded = json.loads(to_text(encode_result(result)))
    (metric,) = (metric for metric in encoded["metrics"] if metric["id"] == cell.metric)
    assert [value is None for value in metric["values"]] == [False, True, False]
    assert decode_result(encoded) == result


def test_an_invalid_case_has_no_values_anywhere() -> None:
    result = a_result(4, Outcome.INVALID, factor=1.119)
    result = replace(result, confirmation=a_measurement(4))
    encoded = json.loads(to_text(encode_result(result)))
    numbers = {value for run in a_measurement(4, 1.119).runs for value in run.values.values()} | set(the_values(4, 1.0).values())
    assert not numbers & set(_leaves(encoded))
    assert all(metric["values"] is None for metric in encoded["metrics"] + encoded["confirmation"]["metrics"])
    assert all(run["distributions"] == {} for run in encoded["runs"])
    assert [run["requests"] for run in encoded["runs"]] == [30, 30, 30], "what shows why it is invalid stays"


def test_an_invalid_run_has_no_values_in_a_valid_case() -> None:
    broken = a_run("run-1", the_values(4, 7.0, 1.37), problems=("1 of 30 requests failed",))
    result = a_result()
    assert result.measurement is not None
    encoded = encode_result(replace(result, measurement=replace(result.measurement, discarded=(broken,))))
    assert not set(broken.values.values()) & set(_leaves(encoded))


def test_an_unknown_metric_keeps_what_the_file_says() -> None:
    encoded = json.loads(to_text(encode_result(a_result())))
    for metric in encoded["metrics"]:
        if metric["id"] == "inter_token_latency.v1":
            metric.update(id="stall.v9", unit="furlongs", direction="lower is better")
    read = decode_result(encoded)
    assert read.unknown_metrics == {"stall.v9": ("furlongs", "lower is better")}
    again = json.loads(to_text(encode_result(read)))
    assert [m for m in again["metrics"] if m["id"] == "stall.v9"] == [m for m in encoded["metrics"] if m["id"] == "stall.v9"]


def test_numpy_values_are_refused_with_their_place() -> None:
    result = a_result()
    planted = replace(result, duration_s=np.float64(31.4))
    with pytest.raises(TypeError, match=r"duration_s is numpy\.float64"):
        encode_result(planted)
    cell = replace(result.verdict.cells[1], values=(0.1, np.float64(0.2)))
    with pytest.raises(TypeError, match=r"metrics\[0\]\.verdict\.values\[1\]"):
        encode_result(replace(result, verdict=replace(result.verdict, cells=(cell,))))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"duration_s is (nan|inf)"):
        encode_result(replace(a_result(), duration_s=value))


def test_half_a_surrogate_from_a_server_reaches_the_file_as_text() -> None:
    result = a_result(4, Outcome.INVALID)
    result = replace(result, verdict=replace(result.verdict, reasons=("server said \ud800",)))
    assert through_the_file(result).verdict.reasons == ("server said \\ud800",)
    to_text(encode_result(result)).encode()


def test_the_keys_stand_in_a_stable_order() -> None:
    result = a_result()
    assert result.environment is not None
    turned = replace(result.environment, key=dict(reversed(list(result.environment.key.items()))))
    assert to_text(encode_result(result)) == to_text(encode_result(replace(result, environment=turned)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2 is not known here"),
        ({"duration_s": "long"}, "case 'agg-isl256-osl32-c4': key 'duration_s' should be float, found 'long'"),
        ({"duration_s": True}, "should be float"),
        ({"runs": "three"}, "key 'runs' should be list"),
        ({"verdict": {"outcome": "meh"}}, "outcome 'meh' is not one of unchanged"),
    ],
)
def test_a_damaged_file_is_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        decode_result(encode_result(a_result()) | change)


def test_a_missing_key_is_named() -> None:
    encoded = encode_result(a_result())
    del encoded["reproduce"]
    with pytest.raises(UsageError, match="key 'reproduce' is missing"):
        decode_result(encoded)


def test_every_key_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "session-json.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+)`", text))
    free = frozenset({"axes", "counts", "versions", "key", "provenance", "baseline_provenance", "witness", "error_kinds", "percentiles"})
    undocumented = set(_keys(encode_session(a_regressed_sweep()), opaque=free)) - named
    assert not undocumented
    assert "values" in named, "the pattern finds names"


def _keys(value: object, opaque: frozenset[str] = frozenset()) -> list[str]:
    """Every key of every table; below ``opaque`` ones, and per metric id, keys are data."""
    if isinstance(value, list):
        return [key for entry in value for key in _keys(entry, opaque)]
    if not isinstance(value, dict):
        return []
    found = []
    for key, entry in value.items():
        found.append(key)
        if key == "distributions":
            found += _keys(list(entry.values()), opaque)
        elif key not in opaque:
            found += _keys(entry, opaque)
    return found


def _leaves(value: object) -> list[object]:
    if isinstance(value, list):
        return [leaf for entry in value for leaf in _leaves(entry)]
    if isinstance(value, dict):
        return [leaf for entry in value.values() for leaf in _leaves(entry)]
    return [value]


def test_the_sample_covers_axes_and_arguments() -> None:
    case = a_case()
    assert case.axes
    assert case.topology.worker.args
