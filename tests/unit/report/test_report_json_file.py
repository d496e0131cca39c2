from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.baseline.waiver import Waiver
from pytest_dynperf.environment import Environment
from pytest_dynperf.errors import UsageError
from pytest_dynperf.measurement.measurement import Distribution, Duet, Measurement, Pair, Run
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.metrics.definition import Cell, Kind, Meaning
from pytest_dynperf.observation.recording import Certificate, ProcessUsage
from pytest_dynperf.quantity import Absent, Direction, Unit
from pytest_dynperf.report.json_file import decode_result, decode_session, encode_result, encode_session, to_text
from pytest_dynperf.report.session_report import CaseResult, SessionReport, withheld
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation, Gate, Parity
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.scenario.topology import Images, KvCache, Role, Router, Speculation, Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.verdict.annotations import Annotations
from pytest_dynperf.verdict.arm_parity import ArmParity, Discordant, SubjectCounts
from pytest_dynperf.verdict.parity import FixedLimitsVerdict, Nondeterminism, ParityVerdict
from pytest_dynperf.verdict.suspicion import Suspicion
from pytest_dynperf.verdict.texts import TextVerdict
from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Scale, Verdict
from tests.fakes.full_report import full_report
from tests.fakes.session_reports import (
    ITL,
    a_case,
    a_duet,
    a_measurement,
    a_pair,
    a_regressed_sweep,
    a_report,
    a_result,
    a_run,
    decided_by_duet,
    every_outcome,
    the_values,
)

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
        parts=draw(st.dictionaries(TEXT, st.tuples(NUMBER, NUMBER), max_size=2)),
    )


MEASUREMENTS = st.builds(
    Measurement, runs=st.lists(runs(), max_size=3).map(tuple), discarded=st.lists(runs(), max_size=1).map(tuple), problems=tuples(TEXT)
)
PAIRS = st.lists(st.builds(Pair, candidate=runs(), control=runs(), candidate_first=st.booleans()), max_size=2).map(tuple)
DUETS = st.builds(
    Duet,
    pairs=PAIRS,
    control=TEXT,
    layout=st.sampled_from(["side by side", "blocks"]),
    control_provenance=st.dictionaries(TEXT, TEXT, max_size=2),
    discarded=PAIRS,
    problems=tuples(TEXT),
)
WAIVERS = st.builds(Waiver, case=TEXT, reason=TEXT, link=TEXT, expires=st.dates(), metric=st.none() | TEXT)
SUSPICIONS = st.builds(
    Suspicion,
    what=TEXT,
    sentence=TEXT,
    cell=st.none() | CELLS,
    before=PERHAPS,
    now=PERHAPS,
    delta=PERHAPS,
    name=st.none() | TEXT,
    text_before=st.none() | TEXT,
    text_now=st.none() | TEXT,
)
NAMED_CELLS = st.lists(st.tuples(TEXT, CELLS), max_size=2).map(tuple)
ANNOTATIONS = st.builds(Annotations, judged=COUNT, shift=PERHAPS, beyond_shift=NAMED_CELLS, survivors=NAMED_CELLS)
UNKNOWN = Meaning(
    id="metric_of_next_year.v3",
    unit=Unit.SECONDS,
    direction=Direction.LOWER_IS_BETTER,
    kind=Kind.MAGNITUDE,
    prior_sd=0.07,
    formula="last byte minus last token",
    source="an extension",
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
    scale=st.sampled_from(Scale),
    pairs=COUNT,
    control_values=st.lists(NUMBER, max_size=3).map(tuple),
)
TOLERANCE = st.floats(min_value=0, max_value=1, exclude_min=True)
GATES_DRAWN = st.builds(Gate, cell=CELLS, tolerance=TOLERANCE, decisive=st.booleans(), required=st.booleans(), exact=st.booleans())
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
        gates=st.lists(GATES_DRAWN, max_size=3, unique_by=lambda gate: gate.cell).map(tuple),
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
        waiver=st.none() | WAIVERS,
        expired=st.lists(WAIVERS, max_size=2).map(tuple),
        circumstances=tuples(TEXT),
        compared_with=st.none() | tuples(TEXT),
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
    meanings=st.sampled_from([{}, {UNKNOWN.id: UNKNOWN}]),
    duet=st.none() | DUETS,
    suspicions=st.lists(SUSPICIONS, max_size=2).map(tuple),
    prior_sd=st.dictionaries(TEXT, NUMBER, max_size=2),
    duet_possible=st.booleans(),
)


def through_the_file(result: CaseResult) -> CaseResult:
    return decode_result(json.loads(to_text(encode_result(result))))


@settings(max_examples=60, deadline=None)
@given(RESULTS)
def test_a_case_is_read_as_it_was_written(result: CaseResult) -> None:
    read = through_the_file(result)
    assert replace(read, meanings={}) == replace(withheld(result), meanings={})
    assert dict(read.meanings).items() <= {**MEANINGS, UNKNOWN.id: UNKNOWN}.items()
    assert UNKNOWN.id not in read.meanings or UNKNOWN.id in result.meanings
    said = {gate.cell.metric for gate in result.case.expectation.gates}
    assert said & {*MEANINGS, *result.meanings} <= set(read.meanings)


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
        a_report(decided_by_duet()),
        replace(a_report(a_result()), accepted=("baselines/x.json",), refused=("suite/case: dirty tree",)),
    ],
)
def test_a_session_is_read_as_it_was_written(report: SessionReport) -> None:
    expected = replace(report, results=tuple(withheld(result) for result in report.results))
    read = decode_session(json.loads(to_text(encode_session(report))))
    assert replace(read, results=tuple(replace(result, meanings={}) for result in read.results)) == expected
    assert all(result.meanings[ITL.metric] == MEANINGS[ITL.metric] for result in read.results)


@settings(max_examples=30, deadline=None)
@given(st.none() | ANNOTATIONS)
def test_annotations_are_read_as_they_were_written(annotations: Annotations | None) -> None:
    encoded = json.loads(to_text(encode_session(replace(a_report(), annotations=annotations))))
    assert decode_session(encoded).annotations == annotations


def test_a_session_defines_each_metric_once() -> None:
    encoded = json.loads(to_text(encode_session(replace(every_outcome()))))
    ids = [entry["id"] for entry in encoded["definitions"]]
    assert len(ids) == len(set(ids)) > 3
    assert not any("definitions" in case for case in encoded["cases"])
    assert {metric["id"] for case in encoded["cases"] for metric in case["metrics"]} <= set(ids)


def test_every_field_reaches_the_file() -> None:
    """A field that is added to a value and forgotten here would be lost between xdist worker and controller."""
    known = set(_keys(encode_session(full_report())))
    asked = (Case, Topology, Role, Images, Router, KvCache, Speculation, Traffic, Expectation, Gate, Fault)
    measured = (Run, Certificate, Distribution, Duet, Pair, Meaning)
    judged = (Verdict, CellVerdict, Waiver, Suspicion, Annotations)
    arms = (ArmParity, ParityVerdict, FixedLimitsVerdict, Nondeterminism, TextVerdict, SubjectCounts, Discordant, Parity)
    for kind in (SessionReport, CaseResult, *asked, *measured, *judged, *arms):
        names = {field.name for field in fields(kind)}
        assert names - known <= {"results", "case", "measurement", "meanings", "cells", "cell", "directory", "skip"}, kind


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
    assert replace(decode_result(encoded), meanings={}) == result


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


def test_invalid_pairs_have_no_values() -> None:
    kept, flawed = a_pair(1, 1.119), a_pair(12, 7.0, problems=("1 of 30 requests failed",))
    assert kept.candidate.parts
    duet = a_duet(1.119)
    result = replace(decided_by_duet(), duet=replace(duet, pairs=(*duet.pairs, flawed), discarded=(a_pair(13, 9.0),)))
    encoded = json.loads(to_text(encode_result(result)))["duet"]
    leaves = set(_leaves(encoded))
    assert set(kept.candidate.values.values()) <= leaves
    assert flawed.candidate.values[ITL] not in leaves, "the arm with the problem"
    assert not set(a_pair(13, 9.0).candidate.values.values()) & leaves, "discarded"
    assert encoded["pairs"][-1]["candidate"]["parts"] == {}
    (metric,) = (entry for entry in encoded["metrics"] if (entry["id"], entry["statistic"]) == ITL)
    assert [value is None for value in metric["candidate"]] == [False] * len(duet.pairs) + [True]


@pytest.mark.parametrize("whole", ["the case", "the duet"])
def test_where_all_is_invalid_no_pair_has_a_value(whole: str) -> None:
    result = decided_by_duet()
    if whole == "the case":
        result = replace(result, verdict=replace(result.verdict, outcome=Outcome.INVALID), measurement=None)
    else:
        result = replace(result, duet=replace(a_duet(1.119), problems=("the control went away",)))
    encoded = json.loads(to_text(encode_result(result)))
    assert all(metric["candidate"] is None and metric["control"] is None for metric in encoded["duet"]["metrics"])
    assert all(pair[arm]["distributions"] == {} for pair in encoded["duet"]["pairs"] for arm in ("candidate", "control"))


def test_the_metric_of_an_extension_keeps_what_the_file_says() -> None:
    gate = Gate(cell=Cell(UNKNOWN.id, "p50"), tolerance=0.05)
    case = replace(a_case(), expectation=Expectation(gates=(gate,)))
    result = replace(a_result(case=case), meanings={UNKNOWN.id: UNKNOWN})
    encoded = json.loads(to_text(encode_result(result)))
    (stated,) = (entry for entry in encoded["definitions"] if entry["id"] == UNKNOWN.id)
    assert (stated["unit"], stated["kind"], stated["prior_sd"]) == ("s", "magnitude", 0.07)
    assert decode_result(encoded).meanings[UNKNOWN.id] == UNKNOWN
    encoded_session = json.loads(to_text(encode_session(a_report(result, a_result(16)))))
    assert decode_session(encoded_session).results[1].meanings[UNKNOWN.id] == UNKNOWN


def test_what_the_file_says_comes_before_the_catalogue() -> None:
    encoded = json.loads(to_text(encode_result(a_result())))
    for entry in encoded["definitions"]:
        if entry["id"] == ITL.metric:
            entry["prior_sd"] = 0.123
    read = decode_result(encoded)
    assert read.meanings[ITL.metric].prior_sd == 0.123
    again = json.loads(to_text(encode_result(read)))
    assert again["definitions"] == encoded["definitions"]


def test_a_unit_of_a_newer_version_is_refused_by_name() -> None:
    encoded = encode_result(a_result())
    definitions = encoded["definitions"]
    assert isinstance(definitions, list)
    definitions[0]["unit"] = "furlongs"
    with pytest.raises(UsageError, match=r"key 'unit' should be one of s, tokens.*found 'furlongs'"):
        decode_result(encoded)


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
        ({"schema": 3}, "schema 3 is not known here (this version reads up to 2)"),
        ({"schema": "2"}, "key 'schema' should be int"),
        ({"duration_s": "long"}, "case 'agg-isl256-osl32-c4': key 'duration_s' should be float, found 'long'"),
        ({"duration_s": True}, "should be float"),
        ({"runs": "three"}, "key 'runs' should be list"),
        ({"verdict": {"outcome": "meh"}}, "outcome 'meh' is not one of unchanged"),
        ({"duet_possible": 1}, "key 'duet_possible' should be bool"),
        ({"runs": []}, "should hold one entry for each of 0 runs, found 3"),
    ],
)
def test_a_damaged_file_is_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        decode_result(encode_result(a_result()) | change)


def of_schema_1(encoded: Any) -> Any:
    """The session as it was written before there were pairs and definitions."""
    encoded = json.loads(to_text(encoded))
    del encoded["definitions"], encoded["annotations"]
    for table in (encoded, *encoded["cases"]):
        table["schema"] = 1
    for case in encoded["cases"]:
        for key in ("prior_sd", "duet_possible", "duet", "suspicions"):
            del case[key]
        case["verdict"] = {
            "outcome": case["verdict"]["outcome"],
            "reasons": case["verdict"]["reasons"],
            "confirmed": case["verdict"]["means"] is not None,
            "confirmed_by": case["verdict"]["confirmed_by"],
        }
        for gate in case["expectation"]["gates"]:
            del gate["required"], gate["exact"]
        for metric in case["metrics"]:
            for key in ("scale", "pairs", "control_values") if metric["verdict"] else ():
                del metric["verdict"][key]
        for measured in (case, *([case["confirmation"]] if case["confirmation"] else [])):
            for run in [*measured["runs"], *measured["discarded"]]:
                del run["parts"]
    return encoded


def test_a_file_of_schema_1_is_read() -> None:
    report = a_regressed_sweep()
    read = decode_session(of_schema_1(encode_session(report)))
    without_parts = [
        replace(result, measurement=bare(result.measurement), confirmation=bare(result.confirmation)) for result in report.results
    ]
    assert read == replace(report, results=tuple(without_parts))
    assert read.results[1].verdict.means is Means.FRESH_SESSION


def bare(measurement: Measurement | None) -> Measurement | None:
    return None if measurement is None else replace(measurement, runs=tuple(replace(run, parts={}) for run in measurement.runs))


def test_a_missing_key_is_named() -> None:
    encoded = encode_result(a_result())
    del encoded["reproduce"]
    with pytest.raises(UsageError, match="key 'reproduce' is missing"):
        decode_result(encoded)


def test_every_key_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "session-json.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+)`", text))
    free = frozenset({"axes", "counts", "versions", "key", "provenance", "baseline_provenance", "witness", "error_kinds", "percentiles"})
    free |= {"parts", "prior_sd", "control_provenance", "records"}
    undocumented = set(_keys(encode_session(full_report()), opaque=free)) - named
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
