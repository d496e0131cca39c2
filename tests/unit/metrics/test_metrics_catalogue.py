"""Formulas against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pytest_dynperf.metrics import accuracy, fault, server, steady
from pytest_dynperf.metrics.catalogue import CATALOGUE, cells, statistics
from pytest_dynperf.metrics.definition import Cell, Kind, RunFacts
from pytest_dynperf.metrics.objectives import Objectives
from pytest_dynperf.quantity import Absent, Direction, Unit
from tests.fakes.observations import MS, failed, record, recording

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import MetricDefinition
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord

# Three successful requests of 3, 3 and 1 tokens, one failure, one warm-up; window 2 s.
A = record(0, sent_ms=0, chunks_ms=(50, 60, 90))
B = replace(record(1, sent_ms=100, chunks_ms=(130, 150, 160)), first_output_ns=160 * MS)
C = replace(record(2, sent_ms=200, chunks_ms=(270,)), scheduled_ns=160 * MS)
SAMPLE = recording((record(9, chunks_ms=(700, 800, 900), measured=False), A, B, failed(3), C), window_ms=2_000)
FACTS = RunFacts(gpu_count=2)


def samples(name: str, seen: Recording = SAMPLE) -> list[float]:
    function = CATALOGUE[f"{name}.v1"].samples
    assert function is not None
    return [round(float(value), 9) for value in function(seen)]


def value(name: str, seen: Recording = SAMPLE, facts: RunFacts = FACTS) -> float | Absent:
    function = CATALOGUE[f"{name}.v1"].value
    assert function is not None
    return function(seen, facts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("time_to_first_token", [0.050, 0.030, 0.070]),
        ("time_to_first_output_token", [0.060]),  # B reasons first; A and C do not say
        ("time_to_second_token", [0.010, 0.020]),
        ("inter_token_latency", [0.020, 0.015]),  # (90 - 50) / 2, (160 - 130) / 2, and no value for an OSL of 1
        ("inter_chunk_latency", [0.010, 0.030, 0.020, 0.010]),
        ("stall", [0.030, 0.020]),
        ("request_latency", [0.090, 0.060, 0.070]),
        ("effective_latency", [0.090, 0.060, 0.110]),  # C was due 40 ms before it was sent
        ("output_token_throughput_per_user", [50.0, 66.666666667]),
        ("output_sequence_length", [3.0, 3.0, 1.0]),
        ("input_sequence_length", [256.0, 256.0, 256.0]),
        ("server_time_to_first_token", []),
    ],
)
def test_samples_by_hand(name: str, expected: list[float]) -> None:
    assert samples(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("output_token_throughput", 3.5),  # 7 tokens in 2 s
        ("request_throughput", 1.5),
        ("output_token_throughput_per_gpu", 1.75),
        ("request_error_rate", 0.25),
    ],
)
def test_values_by_hand(name: str, expected: float) -> None:
    assert value(name) == pytest.approx(expected)


def test_inter_token_latency_counts_tokens_and_not_chunks() -> None:
    two_chunks_of_five_tokens = replace(record(0, chunks_ms=(10, 50)), completion_tokens=5)
    assert samples("inter_token_latency", recording([two_chunks_of_five_tokens])) == [0.010]
    assert samples("inter_chunk_latency", recording([two_chunks_of_five_tokens])) == [0.040]


@pytest.mark.parametrize(("tokens", "expected"), [((3, 2), 0.020), ((0, 5), 0.010), ((5, 0), 0.010), ((), 0.010)])
def test_inter_token_latency_takes_off_the_first_chunks_own_tokens(tokens: tuple[int, ...], expected: float) -> None:
    """3 of 5 tokens came at once: two were waited for. A count that cannot be true counts as 1, as in AIPerf."""
    stated = replace(record(0, chunks_ms=(10, 50)), completion_tokens=5, chunk_tokens=tokens)
    assert samples("inter_token_latency", recording([stated])) == [expected]


def test_what_was_not_seen_gives_no_value() -> None:
    unsent, silent, unused = replace(A, sent_ns=None), replace(A, chunk_ns=()), replace(A, completion_tokens=None)
    assert samples("time_to_first_token", recording([unsent, silent, B])) == [0.030]
    assert samples("request_latency", recording([unsent, silent, B])) == [0.060]
    assert samples("inter_token_latency", recording([silent, unused, B])) == [0.015]
    assert samples("output_sequence_length", recording([unused, B])) == [3.0]
    assert samples("input_sequence_length", recording([replace(A, prompt_tokens=None), B])) == [256.0]


def test_two_tokens_have_one_gap() -> None:
    assert samples("inter_token_latency", recording([record(0, chunks_ms=(50, 54))])) == [0.004]
    assert samples("output_token_throughput_per_user", recording([record(0, chunks_ms=(50, 54))])) == [250.0]


def test_server_time_is_what_the_server_says() -> None:
    assert samples("server_time_to_first_token", recording([replace(A, server_ttft_s=0.042)])) == [0.042]


def test_chunks_that_share_a_stamp_give_no_infinite_throughput() -> None:
    coalesced = record(0, chunks_ms=(50, 50, 50))
    assert samples("inter_token_latency", recording([coalesced])) == [0.0]
    assert samples("output_token_throughput_per_user", recording([coalesced])) == []


@pytest.mark.parametrize("records", [(), (failed(0),), (record(0, measured=False),)], ids=["none", "failed", "warm-up"])
def test_nothing_succeeded_is_absent_and_never_zero(records: tuple[RequestRecord, ...]) -> None:
    seen = recording(records)
    for definition in CATALOGUE.values():
        if definition.samples is not None:
            assert len(definition.samples(seen)) == 0
        elif definition.name != "request_error_rate":
            assert definition.value is not None
            assert isinstance(definition.value(seen, FACTS), Absent), definition.id


def test_error_rate_of_failures_alone_is_one_and_of_nothing_absent() -> None:
    assert value("request_error_rate", recording([failed(0)])) == 1.0
    assert isinstance(value("request_error_rate", recording([])), Absent)


@pytest.mark.parametrize("count", [None, 0])
def test_no_gpu_count_is_absent_and_never_one(count: int | None) -> None:
    assert isinstance(value("output_token_throughput_per_gpu", facts=RunFacts(gpu_count=count)), Absent)


def test_missing_usage_is_not_a_smaller_throughput() -> None:
    found = value("output_token_throughput", recording([A, replace(B, completion_tokens=None)]))
    assert isinstance(found, Absent)
    assert "1 of 2" in found.reason


def test_empty_window_is_absent() -> None:
    assert isinstance(value("request_throughput", recording([A], window_ms=0)), Absent)


def test_values_are_python_floats() -> None:
    for definition in CATALOGUE.values():
        if definition.value is not None and definition.name not in ELSEWHERE:
            assert type(definition.value(SAMPLE, replace(FACTS, objectives=OBJECTIVES))) is float, definition.id


# Worsened by hand: each entry makes the metric worse, and says by which records.
OBJECTIVES = Objectives(time_to_first_token_s=0.055)
SLOWER = tuple(
    replace(
        r,
        chunk_ns=tuple(r.sent_ns + 2 * (at - r.sent_ns) for at in r.chunk_ns),
        first_output_ns=r.sent_ns + 200 * MS,
        server_ttft_s=0.2,
    )
    for r in (A, B)
    if r.sent_ns is not None
)
BEFORE = recording([replace(r, server_ttft_s=0.1, first_output_ns=(r.sent_ns or 0) + 60 * MS) for r in (A, B)])
LATENCIES = (
    *("time_to_first_token", "time_to_first_output_token", "time_to_second_token", "inter_token_latency", "inter_chunk_latency", "stall"),
    *("request_latency", "effective_latency", "output_token_throughput_per_user", "server_time_to_first_token"),
)
THROUGHPUTS = ("output_token_throughput", "request_throughput", "output_token_throughput_per_gpu")
WORSE: dict[str, Recording] = {
    **dict.fromkeys((*LATENCIES, "goodput"), recording(SLOWER)),
    **dict.fromkeys(THROUGHPUTS, recording(SLOWER, window_ms=2_000)),
    "request_error_rate": recording([*SLOWER, failed(7)]),
}
ELSEWHERE = {definition.name for definition in (*steady.DEFINITIONS, *server.DEFINITIONS, *fault.DEFINITIONS, *accuracy.DEFINITIONS)}
"""What needs more than two requests, and has a file of its own."""


@pytest.mark.parametrize(
    "definition", [d for d in CATALOGUE.values() if d.direction is not Direction.NEITHER and d.name not in ELSEWHERE], ids=lambda d: d.name
)
def test_direction_points_to_what_is_worse(definition: MetricDefinition) -> None:
    def middle(seen: Recording) -> float:
        if definition.samples is not None:
            return float(np.median(definition.samples(seen)))
        assert definition.value is not None
        found = definition.value(seen, replace(FACTS, objectives=OBJECTIVES))
        assert not isinstance(found, Absent)
        return found

    assert (middle(WORSE[definition.name]) - middle(BEFORE)) * definition.direction.sign > 0


def test_catalogue_is_complete_and_consistent() -> None:
    names = {"time_to_first_token", "time_to_second_token", "inter_token_latency", "inter_chunk_latency", "request_latency"}
    names |= {"output_sequence_length", "input_sequence_length", "output_token_throughput", "request_throughput"}
    names |= {"output_token_throughput_per_user", "output_token_throughput_per_gpu", "request_error_rate", "server_time_to_first_token"}
    names |= {"time_to_first_output_token", "stall", "effective_latency", "goodput"} | ELSEWHERE
    assert {definition.name for definition in CATALOGUE.values()} == names
    for key, definition in CATALOGUE.items():
        assert key == definition.id == f"{definition.name}.v1"
        assert (definition.samples is None) != (definition.value is None)
        assert definition.formula
        assert definition.source
        noisy = definition.name.startswith(("time_to", "server_time", "stall")) or definition in server.DEFINITIONS
        if definition.name in {"fault_recovery_time", "fault_stall"}:
            assert definition.prior_sd == 0.2
        elif definition.kind is not Kind.RATE:
            assert definition.prior_sd == (0.04 if noisy or definition in fault.DEFINITIONS else 0.02)
        assert (definition.parts is not None) is (definition.kind is Kind.RATE) is (definition.name in RATES)
        assert (definition.kind is Kind.COUNT) is (definition.name in COUNTS)
        assert definition.unit is not Unit.SECONDS or definition.direction is Direction.LOWER_IS_BETTER


COUNTS = {"server_preemptions", "request_migrations", "kvbm_matched_tokens"}
COUNTS |= {f"kvbm_blocks_offloaded_to_{tier}" for tier in ("host", "disk", "store")}
COUNTS |= {f"kvbm_blocks_onboarded_from_{tier}" for tier in ("host", "disk", "store")}
COUNTS |= {"router_events", "external_prompt_tokens", "kv_transfers", "kv_transfer_failures"}

RATES = {
    "request_error_rate": 0.2,
    "fault_error_rate": 0.2,
    "hung_request_rate": 0.2,
    "router_hit_rate": 0.08,
    "prefix_cache_hit_rate": 0.08,
    "external_cache_hit_rate": 0.08,
    "lmcache_hit_rate": 0.08,
    "speculation_acceptance_rate": 0.04,
    "cached_token_rate": 0.08,
    "accuracy": 0.04,
    "unreadable_answer_rate": 0.2,
    "lmcache_l1_hit_rate": 0.08,
    "lmcache_l2_hit_rate": 0.08,
    **{f"speculation_acceptance_rate_at_{position}": 0.04 for position in range(1, 6)},
}
"""With their priors, in log odds."""


@pytest.mark.parametrize("name", RATES)
def test_priors_of_rates_are_a_few_points_around_one_half(name: str) -> None:
    assert CATALOGUE[f"{name}.v1"].prior_sd == RATES[name]
    assert 0.01 <= RATES[name] / 4 <= 0.05


def test_the_parts_of_the_error_rate() -> None:
    parts = CATALOGUE["request_error_rate.v1"].parts
    assert parts is not None
    assert parts(SAMPLE, FACTS) == (1.0, 4.0)
    assert isinstance(parts(recording([]), FACTS), Absent)


def test_cells_have_the_statistics_of_their_metric() -> None:
    assert statistics(CATALOGUE["request_throughput.v1"]) == ("value",)
    assert statistics(CATALOGUE["request_latency.v1"]) == ("mean", "p50", "p90", "p95", "p99")
    assert Cell("request_throughput.v1", "value") in cells()
    assert Cell("request_throughput.v1", "p50") not in cells()
    assert len(cells()) == len(set(cells())) == 12 * 5 + 8 + sum(len(family.DEFINITIONS) for family in (server, fault, accuracy))


def test_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOGUE["x.v1"] = CATALOGUE["request_latency.v1"]  # type: ignore[index]


def test_stamps_keep_nanoseconds() -> None:
    day_ns = 86_400 * 10**9
    late = replace(A, sent_ns=day_ns, chunk_ns=(day_ns + 1, day_ns + 2 * MS))
    assert samples("time_to_first_token", recording([late])) == [1e-9]
