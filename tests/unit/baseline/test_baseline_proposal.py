"""What becomes a document, what is refused, and what binds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.codec import decode, encode
from pytest_dynperf.baseline.proposal import binding_key, propose
from pytest_dynperf.environment import Environment
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.measurement.measurement import Measurement
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.topology import Role, Topology
from tests.fakes.observations import EXPECTATION, THROUGHPUT, TRAFFIC, TTFT, measurement_of

if TYPE_CHECKING:
    from pytest_dynperf.baseline.document import Baseline

CASE = Case(
    suite="smoke",
    case_id="agg-isl256-osl3-c4",
    question="?",
    platform="mocker",
    topology=Topology(engine="mocker", model="tiny"),
    traffic=TRAFFIC,
    expectation=EXPECTATION,
)
ENVIRONMENT = Environment(platform="mocker", key={"cpu.model": "Xeon"}, provenance={"dynamo.version": "1.4.2"})
MEASUREMENT = measurement_of({TTFT: (0.05, 0.051, 0.052), THROUGHPUT: (96.0, 97.0, 98.0)})


def proposal(measurement: Measurement = MEASUREMENT, environment: Environment = ENVIRONMENT) -> Baseline:
    return propose(
        measurement,
        case=CASE,
        environment=environment,
        key=binding_key(CASE, environment),
        session_id="s1",
        stamp="20261121T070501Z",
        epoch=2,
        reason="new kernel",
    )


def test_a_proposal_is_what_was_measured() -> None:
    document = proposal()
    assert [run.values for run in document.runs] == [run.values for run in MEASUREMENT.runs]
    assert document.units == {"time_to_first_token.v1": "s", "output_token_throughput.v1": "tokens/s"}
    assert (document.suite, document.case_id, document.environment_name) == ("smoke", CASE.case_id, ENVIRONMENT.name)
    assert (document.epoch, document.reason, document.provenance) == (2, "new kernel", {"dynamo.version": "1.4.2"})
    assert decode(encode(document), file=Path("x.json")) == document


@pytest.mark.parametrize(
    ("measurement", "expected"),
    [
        (replace(MEASUREMENT, problems=("the worker went away",)), "the worker went away"),
        (Measurement(runs=MEASUREMENT.runs[:2]), "2 runs"),
        (Measurement(runs=()), "0 runs"),
        (Measurement(runs=(*MEASUREMENT.runs, replace(MEASUREMENT.runs[0], problems=("late",)))), "late"),
    ],
)
def test_what_must_not_be_judged_is_no_baseline(measurement: Measurement, expected: str) -> None:
    with pytest.raises(BaselineError, match=expected):
        proposal(measurement)


def test_an_unknown_environment_is_no_baseline() -> None:
    with pytest.raises(BaselineError, match="--dynperf-environment"):
        proposal(environment=replace(ENVIRONMENT, may_be_baseline=False))


def test_fake_gpus_are_no_baseline() -> None:
    with pytest.raises(BaselineError, match="gpu_source: fake"):
        proposal(environment=replace(ENVIRONMENT, provenance={"gpu_source": "fake"}))


def test_parts_of_rates_are_kept() -> None:
    rate = Cell("request_error_rate.v1", "value")
    measured = measurement_of({rate: (0.1, 0.2, 0.1)})
    runs = tuple(replace(run, parts={rate.metric: (3.0, 30.0)}) for run in measured.runs)
    assert [run.parts for run in proposal(replace(measured, runs=runs)).runs] == [{rate.metric: (3.0, 30.0)}] * 3


def test_a_metric_of_an_extension_brings_its_meaning_or_is_refused() -> None:
    mine = Cell("cost.v1", "value")
    meaning = replace(MEANINGS[THROUGHPUT.metric], id=mine.metric)
    measured = measurement_of({mine: (1.0, 2.0, 3.0)})
    key = binding_key(CASE, ENVIRONMENT)
    common = {"case": CASE, "environment": ENVIRONMENT, "key": key, "session_id": "s1", "stamp": "20261121T070501Z"}
    document = propose(measured, **common, meanings={mine.metric: meaning})  # type: ignore[arg-type]
    assert (document.units, document.unknown_metrics) == ({"cost.v1": "tokens/s"}, {"cost.v1": ("higher is better", "magnitude")})
    assert decode(encode(document), file=Path("x.json")) == document
    with pytest.raises(BaselineError, match=r"in which unit cost\.v1 is"):
        propose(measured, **common)  # type: ignore[arg-type]


BINDING = {
    "platform's cpu": (CASE, replace(ENVIRONMENT, key={"cpu.model": "EPYC"})),
    "mode": (replace(CASE, topology=replace(CASE.topology, mode="disagg")), ENVIRONMENT),
    "replicas": (replace(CASE, topology=replace(CASE.topology, worker=Role(count=2))), ENVIRONMENT),
    "router": (replace(CASE, topology=replace(CASE.topology, router_mode="kv")), ENVIRONMENT),
    "engine": (replace(CASE, topology=replace(CASE.topology, engine="vllm")), ENVIRONMENT),
    "model": (replace(CASE, topology=replace(CASE.topology, model="other")), ENVIRONMENT),
    "isl": (replace(CASE, traffic=replace(TRAFFIC, isl=512)), ENVIRONMENT),
    "concurrency": (replace(CASE, traffic=replace(TRAFFIC, concurrency=8)), ENVIRONMENT),
}
FREE = {
    "version": (CASE, replace(ENVIRONMENT, provenance={"dynamo.version": "1.5.0"})),
    "arguments": (replace(CASE, topology=replace(CASE.topology, worker=Role(args=("--speedup-ratio", "1.1")))), ENVIRONMENT),
    "router arguments": (replace(CASE, topology=replace(CASE.topology, router_args=("--x",))), ENVIRONMENT),
    "image": (replace(CASE, topology=replace(CASE.topology, image="x@sha256:1")), ENVIRONMENT),
    "overrides": (replace(CASE, overrides=("worker.args=--x",)), ENVIRONMENT),
    "runs": (replace(CASE, traffic=replace(TRAFFIC, runs=7)), ENVIRONMENT),
}


@pytest.mark.parametrize("name", BINDING)
def test_what_binds(name: str) -> None:
    assert binding_key(*BINDING[name]) != binding_key(CASE, ENVIRONMENT)


@pytest.mark.parametrize("name", FREE)
def test_what_may_be_under_test_does_not_bind(name: str) -> None:
    assert binding_key(*FREE[name]) == binding_key(CASE, ENVIRONMENT)
