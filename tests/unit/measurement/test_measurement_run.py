"""A recording as a run: every cell is there or says why not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pytest_dynperf.measurement.cell_values import values
from pytest_dynperf.measurement.measurement import Measurement, Run
from pytest_dynperf.measurement.run import distribution, summarise
from pytest_dynperf.metrics.catalogue import CATALOGUE, cells
from pytest_dynperf.metrics.definition import Cell, RunFacts
from pytest_dynperf.metrics.objectives import Objectives
from pytest_dynperf.quantity import Absent
from tests.fakes.observations import EXPECTATION, ITL, THROUGHPUT, TRAFFIC, TTFT, failed, measurement_of, record, recording

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording

GOOD = recording([record(index, sent_ms=index, chunks_ms=(index + 50, index + 60, index + 70)) for index in range(32)])


def run(seen: Recording = GOOD) -> Run:
    return summarise(seen, traffic=TRAFFIC, expectation=EXPECTATION, facts=RunFacts(gpu_count=None))


def test_every_cell_is_a_value_or_absent() -> None:
    summary = run()
    assert set(summary.values) | set(summary.absent) == set(cells())
    assert not set(summary.values) & set(summary.absent)
    assert all(type(value) is float and math.isfinite(value) for value in summary.values.values())


def test_values_by_hand() -> None:
    summary = run()
    assert summary.values[THROUGHPUT] == 96.0  # 32 requests of 3 tokens in 1 s
    assert summary.values[TTFT] == pytest.approx(0.050)
    assert summary.values[ITL] == pytest.approx(0.010)
    assert (summary.requests, summary.errors, summary.duration_s, summary.problems) == (32, 0, 1.0, ())
    assert "100 samples" in summary.absent[Cell("time_to_first_token.v1", "p95")].reason
    assert "GPUs is unknown" in summary.absent[Cell("output_token_throughput_per_gpu.v1", "value")].reason
    assert "nvext" in summary.absent[Cell("server_time_to_first_token.v1", "p50")].reason
    assert summary.distributions["time_to_first_token.v1"].n == 32
    assert "server_time_to_first_token.v1" not in summary.distributions


def test_parts_of_every_rate_that_has_a_value() -> None:
    summary = run()
    assert summary.parts == {"request_error_rate.v1": (0.0, 32.0)}
    assert {cell.metric for cell in summary.values if CATALOGUE[cell.metric].parts is not None} == set(summary.parts)
    assert all(type(number) is float for pair in summary.parts.values() for number in pair)


def test_a_rate_without_its_parts_would_be_noticed() -> None:
    broken = replace(CATALOGUE["request_error_rate.v1"], parts=lambda _recording, _facts: Absent("lost"))
    summary = summarise(GOOD, traffic=TRAFFIC, expectation=EXPECTATION, facts=RunFacts(gpu_count=None), metrics={broken.id: broken})
    assert summary.parts == {}


@pytest.mark.parametrize("computed", ["value", "samples"])
def test_what_an_extension_fails_to_compute_is_absent_with_the_reason(computed: str) -> None:
    def failing(*_given: object) -> float:
        msg = "no such thing"
        raise LookupError(msg)

    ours = CATALOGUE["output_token_throughput.v1"]
    added = replace(ours, **{"id": "added.v1", "value": None, computed: failing})  # type: ignore[arg-type]
    summary = summarise(GOOD, traffic=TRAFFIC, expectation=EXPECTATION, facts=RunFacts(gpu_count=None), metrics={added.id: added})
    assert not summary.values
    assert {found.reason for found in summary.absent.values()} == {"added.v1 could not be computed: LookupError: no such thing"}
    broken = replace(ours, **{"value": None, computed: failing})  # type: ignore[arg-type]
    with pytest.raises(LookupError):
        summarise(GOOD, traffic=TRAFFIC, expectation=EXPECTATION, facts=RunFacts(gpu_count=None), metrics={broken.id: broken})


def test_goodput_counts_by_the_objectives_of_the_case() -> None:
    assert "no objective" in run().absent[Cell("goodput.v1", "value")].reason
    late = record(99, sent_ms=0, chunks_ms=(81, 90, 100))
    expected = replace(EXPECTATION, objectives=Objectives(time_to_first_token_s=0.080))
    seen = replace(GOOD, records=(*GOOD.records, late))
    summary = summarise(seen, traffic=TRAFFIC, expectation=expected, facts=RunFacts(gpu_count=None))
    assert summary.values[Cell("goodput.v1", "value")] == 32.0  # of 33 requests in 1 s


def test_an_invalid_run_has_no_values_and_says_why() -> None:
    summary = run(replace(GOOD, records=(*GOOD.records, failed(50))))
    assert summary.problems
    assert not summary.values
    assert not summary.distributions
    assert not summary.parts
    assert set(summary.absent) == set(cells())
    assert summary.problems[0] in summary.absent[TTFT].reason
    assert (summary.requests, summary.errors, summary.error_kinds) == (33, 1, {"overloaded": 1})


def test_distribution_by_hand() -> None:
    found = distribution(np.array([1.0, math.e, math.e**2]))
    assert found.n == 3
    assert found.sd_log == pytest.approx(1.0)  # logarithms 0, 1, 2; ddof 1
    assert found.sd == pytest.approx(math.sqrt(sum((math.e**n - found.mean) ** 2 for n in range(3)) / 3))  # ddof 0
    assert found.minimum == 1.0
    assert found.maximum == pytest.approx(math.e**2)
    assert found.percentiles["p50"] == pytest.approx(math.e)
    assert "p90" not in found.percentiles
    assert "p95" not in found.percentiles


def test_distribution_of_zeros_has_no_logarithms() -> None:
    assert distribution(np.array([0.0, 0.0, 1.0])).sd_log is None
    with pytest.raises(ValueError, match="at least one"):
        distribution(np.empty(0))


def test_values_are_all_or_none() -> None:
    assert values(measurement_of({TTFT: (1.0, 2.0, 3.0)}), TTFT) == (1.0, 2.0, 3.0)
    partly = values(measurement_of({TTFT: (1.0, 2.0), ITL: (1.0, 1.0, 1.0)}), TTFT)
    assert isinstance(partly, Absent)
    assert "run-3" in partly.reason


def test_values_repeat_the_reason_of_the_run() -> None:
    found = values(Measurement(runs=(run(),)), Cell("time_to_first_token.v1", "p99"))
    assert isinstance(found, Absent)
    assert "1000 samples, found 32" in found.reason


@pytest.mark.parametrize("measurement", [Measurement(runs=()), replace(measurement_of({TTFT: (1.0, 1.0, 1.0)}), problems=("broken",))])
def test_no_values_of_nothing(measurement: Measurement) -> None:
    assert isinstance(values(measurement, TTFT), Absent)
