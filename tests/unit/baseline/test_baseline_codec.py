"""Round trip, and every way in which a file can be no document."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.baseline.codec import decode, encode
from pytest_dynperf.baseline.document import Baseline, BaselineRun
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.measurement.measurement import Distribution
from pytest_dynperf.metrics.catalogue import CATALOGUE, cells
from pytest_dynperf.metrics.definition import Cell
from tests.fakes.observations import ITL, THROUGHPUT, TTFT, document_of

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = Path("baselines/mocker/smoke/case/20261121T070000Z-s000.json")
DOCUMENT = document_of({TTFT: (0.0501234567, 0.05, 0.052), THROUGHPUT: (96.0, 97.0, 98.0)})

numbers = st.floats(min_value=0, max_value=1e9).map(lambda value: float(f"{value:.5g}"))
texts = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=3)
distributions = st.builds(
    Distribution,
    n=st.integers(0, 10**12),
    mean=numbers,
    sd=st.none() | numbers,
    sd_log=st.none() | numbers,
    minimum=numbers,
    maximum=numbers,
    percentiles=st.dictionaries(st.sampled_from(("p1", "p50", "p99.9")), numbers),
)
runs = st.builds(
    BaselineRun,
    values=st.dictionaries(st.sampled_from(cells()), numbers, max_size=6),
    distributions=st.dictionaries(st.sampled_from(sorted(CATALOGUE)), distributions, max_size=2),
    requests=st.integers(0, 10**12),
    errors=st.integers(0, 10**12),
    duration_s=numbers,
    parts=st.dictionaries(st.sampled_from(sorted(CATALOGUE)), st.tuples(st.floats(0, 1e12), st.floats(0, 1e12)), max_size=2),
)
documents = st.builds(
    Baseline,
    suite=st.text(min_size=1, max_size=8),
    case_id=st.text(min_size=1, max_size=8),
    session_id=st.text(min_size=1, max_size=8),
    stamp=st.just("20261121T070501Z"),
    environment_name=st.text(min_size=1, max_size=8),
    key=texts,
    provenance=texts,
    units=st.just({name: definition.unit.value for name, definition in CATALOGUE.items()}),
    runs=st.lists(runs, min_size=3, max_size=4).map(tuple),
    epoch=st.integers(0, 99),
    reason=st.none() | st.text(min_size=1, max_size=8),
)


@settings(max_examples=60, deadline=None)
@given(documents)
def test_round_trip(document: Baseline) -> None:
    text = encode(document)
    assert decode(text, file=FILE) == document
    assert encode(decode(text, file=FILE)) == text


def test_text_is_for_people_and_for_diffs() -> None:
    text = encode(DOCUMENT)
    assert text.endswith("}\n")
    table = json.loads(text)
    assert list(table) == sorted(table)
    assert table["schema"] == 2
    assert table["runs"][0]["values"] == {"output_token_throughput.v1/value": 96.0, "time_to_first_token.v1/p50": 0.050123}
    assert table["metrics"] == {
        "output_token_throughput.v1": {"direction": "higher is better", "kind": "magnitude", "unit": "tokens/s"},
        "time_to_first_token.v1": {"direction": "lower is better", "kind": "magnitude", "unit": "s"},
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_written(value: float) -> None:
    with pytest.raises(BaselineError, match="not finite"):
        encode(document_of({ITL: (0.01, value, 0.01)}))


def test_what_is_below_zero_is_not_written() -> None:
    with pytest.raises(BaselineError, match=r"holds inter_token_latency p50 of -0\.01, and nothing that is measured is below 0"):
        encode(document_of({ITL: (0.01, -0.01, 0.01)}))


def changed(change: Callable[[dict[str, object]], object]) -> str:
    table = json.loads(encode(DOCUMENT))
    change(table)
    return json.dumps(table)


def run_changed(**changes: object) -> str:
    return changed(lambda table: table["runs"][1].update(changes))  # type: ignore[index]


def without(name: str) -> str:
    return changed(lambda table: table.pop(name))


def metric_changed(**changes: object) -> str:
    return changed(lambda table: table["metrics"]["time_to_first_token.v1"].update(changes))  # type: ignore[index]


def parts_changed(parts: object) -> str:
    return run_changed(parts={"time_to_first_token.v1": parts})


DISTRIBUTION: dict[str, object] = {"n": 3, "mean": 1.0, "sd": 0.0, "sd_log": None, "min": 1.0, "max": 1.0, "percentiles": {}}

BAD = {
    "empty": ("", "it is empty"),
    "half": (encode(DOCUMENT)[:200], "it is cut off after 200 characters"),
    "half a text": (encode(DOCUMENT)[:24], "it is cut off after 24 characters"),
    "all but the last brace": (encode(DOCUMENT)[:-2], "it is cut off"),
    "not json": ("schema = 1", "not a baseline document"),
    "list": ("[]", "must be an object"),
    "nan": (encode(DOCUMENT).replace("96.0", "NaN"), "NaN is not a number"),
    "infinity": (encode(DOCUMENT).replace("96.0", "-Infinity"), "-Infinity is not a number"),
    "overflow": (encode(DOCUMENT).replace("96.0", "1e999"), "finite number"),
    "huge whole number": (encode(DOCUMENT).replace("96.0", "1" + "0" * 400), "finite number"),
    "endless digits": (encode(DOCUMENT).replace("96.0", "1" * 5000), "not a baseline document"),
    "deep": ("[" * 100_000, "too deeply"),
    "twice": (encode(DOCUMENT).replace('"epoch": 0', '"epoch": 0, "epoch": 1'), "'epoch' is there twice"),
    "ours and theirs": (encode(DOCUMENT).replace(' "epoch": 0', '<<<<<<< HEAD\n "epoch": 0'), "conflict markers"),
    "marker without label": (encode(DOCUMENT) + "<<<<<<<", "conflict markers"),
    "newer": (changed(lambda table: table.update(schema=3)), "Upgrade pytest-dynperf"),
    "newer and other": ('{"schema": 7, "cells": []}', "Upgrade pytest-dynperf"),
    "schema 0": (changed(lambda table: table.update(schema=0)), "schema 0 does not exist"),
    "schema text": (changed(lambda table: table.update(schema="1")), "'schema'"),
    "schema true": (changed(lambda table: table.update(schema=True)), "'schema'"),
    "extra": (changed(lambda table: table.update(reson="x")), "did you mean 'reason'"),
    "stamp": (changed(lambda table: table.update(stamp="2026-11-21")), "expected UTC"),
    "suite": (changed(lambda table: table.update(suite="")), "'suite'"),
    "case": (changed(lambda table: table.update(case_id=7)), "'case_id'"),
    "key": (changed(lambda table: table.update(key={"gpus": 2})), "'gpus'"),
    "key list": (changed(lambda table: table.update(key=[])), "'key'"),
    "epoch": (changed(lambda table: table.update(epoch=-1)), "'epoch'"),
    "reason": (changed(lambda table: table.update(reason=1)), "'reason'"),
    "runs": (changed(lambda table: table.update(runs={})), "runs must be"),
    "two runs": (changed(lambda table: table.update(runs=table["runs"][:2])), "at least 3"),  # type: ignore[index]
    "unknown unit": (metric_changed(unit="sec"), "the unit 'sec' of time_to_first_token.v1 is unknown"),
    "other unit": (metric_changed(unit="tokens"), "its unit is s"),
    "unknown direction": (metric_changed(direction="lower is beter"), "did you mean 'lower is better'"),
    "other direction": (metric_changed(direction="higher is better"), "its direction is 'lower is better'"),
    "no direction": (metric_changed(direction=None), "its direction is 'lower is better'"),
    "unknown kind": (metric_changed(kind="rat"), "did you mean 'rate'"),
    "metric key": (metric_changed(uint="s"), "did you mean 'unit'"),
    "no metric": (changed(lambda table: table["metrics"].pop("time_to_first_token.v1")), "metrics lacks time_to_first_token.v1"),  # type: ignore[attr-defined]
    "other metric id": (run_changed(values={"time_to_first_token.v2/p50": 0.05}), "metrics lacks time_to_first_token.v2"),
    "metric without version": (changed(lambda table: table["metrics"].update(ttft={})), "metrics has 'ttft', expected an id"),  # type: ignore[attr-defined]
    "parts": (parts_changed(3), "numerator and denominator"),
    "three parts": (parts_changed([1, 2, 3]), "numerator and denominator"),
    "part text": (parts_changed(["1", 2]), "finite number"),
    "value below zero": (
        run_changed(values={"time_to_first_token.v1/p50": -0.05}),
        "'time_to_first_token.v1/p50' of runs[1].values is -0.05, and nothing that is measured there is ever below 0",
    ),
    "minimum below zero": (
        run_changed(distributions={"time_to_first_token.v1": {**DISTRIBUTION, "min": -1}}),
        "'min' of runs[1].distributions.time_to_first_token.v1 is -1, and nothing",
    ),
    "percentile below zero": (
        run_changed(distributions={"time_to_first_token.v1": {**DISTRIBUTION, "percentiles": {"p50": -1.0}}}),
        "'p50' of runs[1].distributions.time_to_first_token.v1.percentiles is -1, and nothing",
    ),
    "duration below zero": (run_changed(duration_s=-1.0), "'duration_s' of runs[1] is -1, and nothing"),
    "part negative": (parts_changed([-1, 2]), "must not be negative"),
    "parts of another metric": (run_changed(parts={"request_latency.v1": [1, 2]}), "metrics lacks request_latency.v1"),
    "cell": (run_changed(values={"time_to_first_token p50": 1.0}), "expected metric.v1/statistic"),
    "value text": (run_changed(values={"time_to_first_token.v1/p50": "0.05"}), "finite number"),
    "value null": (run_changed(values={"time_to_first_token.v1/p50": None}), "finite number"),
    "value true": (run_changed(values={"time_to_first_token.v1/p50": True}), "finite number"),
    "values list": (run_changed(values=[]), "runs[1].values"),
    "requests": (run_changed(requests=1.5), "'requests'"),
    "duration": (run_changed(duration_s="1"), "'duration_s'"),
    "run key": (run_changed(warmth=1), "'warmth'"),
    "distribution": (run_changed(distributions={"time_to_first_token.v1": {**DISTRIBUTION, "n": "3"}}), "'n'"),
    "distribution key": (run_changed(distributions={"time_to_first_token.v1": {"n": 3}}), "lacks 'max'"),
    "distribution unit": (run_changed(distributions={"request_latency.v1": DISTRIBUTION}), "metrics lacks"),
    "percentile": (run_changed(distributions={"time_to_first_token.v1": {**DISTRIBUTION, "percentiles": {"p1": []}}}), "'p1'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_text_is_refused_with_file_and_remedy(name: str) -> None:
    text, expected = BAD[name]
    with pytest.raises(BaselineError) as caught:
        decode(text, file=FILE)
    message = str(caught.value)
    assert expected in message
    assert str(FILE) in message
    assert any(remedy in message for remedy in ("Restore", "Upgrade", "take either side")), message


@pytest.mark.parametrize("name", sorted(json.loads(encode(DOCUMENT))))
def test_every_key_is_needed(name: str) -> None:
    with pytest.raises(BaselineError, match=f"'{name}'"):
        decode(without(name), file=FILE)


@pytest.mark.parametrize("name", ["values", "distributions", "requests", "errors", "duration_s", "parts"])
def test_every_key_of_a_run_is_needed(name: str) -> None:
    with pytest.raises(BaselineError, match=name):
        decode(changed(lambda table: table["runs"][2].pop(name)), file=FILE)  # type: ignore[index]


def test_whole_numbers_are_numbers() -> None:
    assert decode(encode(DOCUMENT).replace("96.0", "96"), file=FILE).runs[0].values[THROUGHPUT] == 96.0


def test_a_retired_metric_stays_readable_with_what_the_file_says_of_it() -> None:
    text = encode(DOCUMENT).replace("time_to_first_token.v1", "time_to_first_token.v0")
    document = decode(text, file=FILE)
    assert document.units["time_to_first_token.v0"] == "s"
    assert document.unknown_metrics == {"time_to_first_token.v0": ("lower is better", "magnitude")}
    assert encode(document) == text


def test_parts_are_not_rounded() -> None:
    run = replace(DOCUMENT.runs[0], parts={TTFT.metric: (999998.0, 1000000.0)})
    document = replace(DOCUMENT, runs=(run, *DOCUMENT.runs[1:]))
    assert decode(encode(document), file=FILE).runs[0].parts == {TTFT.metric: (999998.0, 1000000.0)}


def test_a_count_is_not_rounded() -> None:
    count = Cell("kvbm_matched_tokens.v1", "value")
    document = document_of({count: (1234567.0,) * 3, TTFT: (0.0501234567,) * 3})
    found = decode(encode(document), file=FILE).runs[0].values
    assert found == {count: 1234567.0, TTFT: 0.050123}
