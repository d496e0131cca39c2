"""Results of ``vllm bench serve``. Made by hand from the keys of its source (no genuine file is at hand), with requests whose statistics
numpy gives here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import UsageError
from pytest_dynperf.measurement.foreign import ForeignRun, to_run, traffic_of
from pytest_dynperf.measurement.foreign_table import parse
from pytest_dynperf.measurement.foreign_vllm import looks_like, read_result
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.traffic import Arrival

if TYPE_CHECKING:
    from pytest_dynperf.measurement.measurement import Run

TTFT, ITL, ICL = (Cell(f"{name}.v1", "p50") for name in ("time_to_first_token", "inter_token_latency", "inter_chunk_latency"))
TOKENS = 5


def result(ttfts: list[float] | None = None, *, detailed: bool = True, slots: int = 4) -> dict[str, Any]:
    """A closed loop of ``slots``, one request after the other in each, every gap 10 ms."""
    ttfts = ttfts or [0.05 + 0.001 * place for place in range(40)]
    itls = [[0.010] * (TOKENS - 1) for _ in ttfts]
    latencies = [ttft + sum(itl) for ttft, itl in zip(ttfts, itls, strict=True)]
    starts = [100.0] * len(ttfts)
    for place in range(slots, len(ttfts)):
        starts[place] = starts[place - slots] + latencies[place - slots]
    duration = max(start + latency for start, latency in zip(starts, latencies, strict=True)) - 100.0
    table: dict[str, Any] = {
        "date": "20261121-101500",
        "backend": "vllm",
        "model_id": "Qwen/Qwen3-0.6B",
        "num_prompts": len(ttfts),
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": slots,
        "duration": duration,
        "completed": len(ttfts),
        "failed": 0,
        "total_input_tokens": 256 * len(ttfts),
        "total_output_tokens": TOKENS * len(ttfts),
        "request_throughput": len(ttfts) / duration,
        "output_throughput": TOKENS * len(ttfts) / duration,
    }
    tpots = [sum(itl) / (TOKENS - 1) for itl in itls]
    for name, samples in (("ttft", ttfts), ("tpot", tpots), ("itl", [gap for itl in itls for gap in itl])):
        table |= {f"mean_{name}_ms": np.mean(samples) * 1e3, f"median_{name}_ms": np.median(samples) * 1e3}
        table |= {f"std_{name}_ms": np.std(samples) * 1e3, f"p99_{name}_ms": np.percentile(samples, 99) * 1e3}
    if detailed:
        table |= {"input_lens": [256] * len(ttfts), "output_lens": [TOKENS] * len(ttfts), "ttfts": ttfts, "itls": itls}
        table |= {"errors": [""] * len(ttfts), "start_times": starts, "generated_texts": ["x"] * len(ttfts)}
    return table


def read(table: dict[str, Any]) -> ForeignRun:
    return read_result(parse(json.dumps(table), file="result.json"))


def run_of(foreign: ForeignRun) -> Run:
    traffic = traffic_of(foreign.asked, file=foreign.file, runs=1)
    return to_run(foreign, name="run-1", traffic=traffic, expectation=Expectation(gates=(), min_in_flight_share=0.8))


@pytest.mark.parametrize("detailed", [False, True])
def test_its_tpot_is_our_itl_and_its_itl_our_gap_between_chunks(detailed: bool) -> None:
    table = result(detailed=detailed) | {"median_tpot_ms": 10.0, "median_itl_ms": 10.04}
    run = run_of(read(table))
    assert run.problems == ()
    assert run.values[TTFT] == pytest.approx(table["median_ttft_ms"] / 1e3, rel=1e-6)
    assert run.values[ITL] == pytest.approx(0.010, rel=1e-6)
    assert run.values[ICL] == pytest.approx(0.010 if detailed else 0.01004, rel=1e-6)
    assert run.values[Cell("output_token_throughput.v1", "value")] == table["output_throughput"]


def test_requests_give_distributions_and_what_vllm_does_not_state() -> None:
    run = run_of(read(result()))
    assert run.distributions[TTFT.metric].n == 40
    assert run.parts == {"request_error_rate.v1": (0.0, 40.0)}
    assert run.values[Cell("request_latency.v1", "p50")] == pytest.approx(0.0695 + 0.04, rel=1e-6)
    alone = run_of(read(result(detailed=False)))
    assert alone.distributions == {}
    assert alone.absent[Cell("request_latency.v1", "p50")].reason == "the file of vllm bench serve does not hold it"


def test_p99_of_forty_is_absent() -> None:
    assert Cell("time_to_first_token.v1", "p99") not in run_of(read(result(detailed=False))).values


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0.001, 5.0), min_size=30, max_size=60))
def test_requests_and_statements_agree_for_any_latencies(ttfts: list[float]) -> None:
    foreign = read(result(ttfts, slots=1))
    assert foreign.problems == ()
    assert foreign.values[TTFT] == pytest.approx(float(np.median(ttfts)), abs=2e-9)
    assert foreign.mean_in_flight == pytest.approx(1.0, rel=1e-6)


def test_what_was_asked() -> None:
    asked = read(result()).asked
    assert (asked.model, asked.isl, asked.osl, asked.concurrency, asked.requests) == ("Qwen/Qwen3-0.6B", 256, TOKENS, 4, 40)
    poisson = read(result() | {"request_rate": 8.0, "max_concurrency": None}).asked
    assert poisson.arrival == Arrival(process="poisson", rate_per_s=8.0)
    gamma = read(result() | {"request_rate": 8.0, "burstiness": 0.5}).asked
    assert gamma.arrival == Arrival(process="gamma", rate_per_s=8.0, burstiness=0.5, max_in_flight=4)
    at_once = read(result(slots=40) | {"max_concurrency": None}).asked
    assert (at_once.arrival.closed, at_once.concurrency) == (True, 40)


def test_a_failed_request_is_no_latency() -> None:
    table = result()
    table["errors"][3], table["ttfts"][3], table["itls"][3], table["output_lens"][3] = "Traceback: TimeoutError", 0.0, [], 0
    table |= {"completed": 39, "failed": 1, "request_throughput": 39 / table["duration"]}
    table |= {"total_output_tokens": 39 * TOKENS, "output_throughput": 39 * TOKENS / table["duration"]}
    foreign = read(table)
    assert foreign.error_kinds == {"timeout": 1}
    assert foreign.distributions[TTFT.metric].n == 39
    assert run_of(foreign).problems[0].startswith("1 of 40 requests failed (2.5%, allowed 0.0%); most often: timeout")


def test_a_run_in_which_every_request_failed_is_not_a_run_of_zero_milliseconds() -> None:
    """vLLM computes ``np.mean([] or 0)``: 0 ms."""
    table = result(detailed=False) | {"completed": 0, "failed": 40, "request_throughput": 0.0, "output_throughput": 0.0}
    table |= {"total_input_tokens": 0, "total_output_tokens": 0, "mean_ttft_ms": 0.0, "median_ttft_ms": 0.0}
    foreign = read(table)
    assert foreign.values.keys() <= {Cell("request_throughput.v1", "value")}
    traffic = traffic_of(read(result()).asked, file="f", runs=1)
    run = to_run(foreign, name="run-1", traffic=traffic, expectation=Expectation(gates=()))
    assert run.problems[0] == "no request of 40 succeeded, so there is no latency"
    assert run.values == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"request_throughput": 3.0}, "request_throughput 3 × duration"),
        ({"output_throughput": 1.0}, "output_throughput 1 × duration"),
        ({"median_ttft_ms": 12.0}, "result.json states 0.012 for time_to_first_token p50, the requests give"),
    ],
)
def test_a_file_that_contradicts_itself_is_found(change: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in run_of(read(result() | change)).problems)


def test_an_older_file_without_start_times_and_failed() -> None:
    table = result()
    del table["start_times"], table["failed"]
    foreign = read(table)
    assert run_of(foreign).problems == ()
    assert foreign.records == ()  # nobody knows when they were sent
    assert foreign.values[TTFT] == read(result()).values[TTFT]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"duration": None}, r"result\.json: key 'duration' holds null"),
        ({"ttfts": [0.1]}, r"as many entries in every list"),
        ({"ttfts": ["x"] * 40}, r"key '\[0\]\.ttfts' holds \"x\""),
        ({"mean_ttft_ms": float("nan")}, r"key 'mean_ttft_ms' holds NaN, expected is a finite number"),
    ],
)
def test_what_is_not_as_it_must_be_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(result() | change)


def test_what_it_looks_like() -> None:
    assert looks_like(parse(json.dumps(result()), file="x"))
    assert not looks_like(
        parse('{"completed": 3, "total_input_sequences": 4, "duration": 1}', file="x")
    )  # vllm bench serve of a pooling model
