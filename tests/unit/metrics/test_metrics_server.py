"""Every metric of the services against series that are worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.metrics.server import DEFINITIONS
from pytest_dynperf.observation.series import Series, SeriesKind
from pytest_dynperf.quantity import Absent, Direction
from tests.fakes.observations import recording

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording

FACTS = RunFacts(gpu_count=None)
STAMPS = (0, 10**9, 2 * 10**9)


def column(series_id: str, *values: float, source: str = "worker-0", le: str = "") -> Series:
    """Read at 0, 1 and 2 s; the window is 2 s long."""
    labels = (("le", le),) if le else ()
    return Series(id=series_id, source=source, kind=SeriesKind.COUNTER, labels=labels, stamps_ns=STAMPS, values=values)


def rising(series_id: str, by: float, source: str = "worker-0") -> Series:
    return column(series_id, 0, by / 2, by, source=source)


def accepted(position: int, by: float, source: str = "worker-0") -> Series:
    return replace(rising(ids.ENGINE_ACCEPTED_AT_POSITION, by, source), labels=(("position", str(position)),))


def histogram(series_id: str, total: float, count: float, source: str = "frontend") -> tuple[Series, ...]:
    return rising(series_id + ids.SUM, total, source), rising(series_id + ids.COUNT, count, source)


BUCKETS = tuple(
    column(ids.FRONTEND_TIME_TO_FIRST_TOKEN + ids.BUCKET, 0, n / 2, n, source="frontend", le=le)
    for le, n in (("0.1", 80), ("0.2", 100), ("inf", 100))
)
SEEN: tuple[Series, ...] = (
    *histogram(ids.FRONTEND_TIME_TO_FIRST_TOKEN, 5.0, 100),
    *BUCKETS,
    *histogram(ids.FRONTEND_INTER_TOKEN_LATENCY, 9.0, 900),
    *histogram(ids.ROUTER_OVERHEAD, 0.02, 100),
    *histogram(ids.ROUTER_HIT_RATE, 60.0, 100),
    rising(ids.FRONTEND_INPUT_TOKENS, 2_000, "frontend"),
    rising(ids.FRONTEND_OUTPUT_TOKENS, 1_000, "frontend"),
    *(s for n in range(2) for s in histogram(ids.ENGINE_QUEUE_TIME, 1.0 + n, 50, f"worker-{n}")),
    *(column(ids.ENGINE_REQUESTS_RUNNING, 2, 4, 2, source=f"worker-{n}") for n in range(2)),
    column(ids.ENGINE_REQUESTS_WAITING, 0, 6, 0),
    column(ids.ENGINE_REQUESTS_WAITING, 1, 1, 1, source="worker-1"),
    column(ids.ENGINE_KV_CACHE_USAGE, 0.5, 0.9, 0.5),
    column(ids.ENGINE_KV_CACHE_USAGE, 0.1, 0.1, 0.1, source="worker-1"),
    rising(ids.ENGINE_PREEMPTIONS, 3),
    rising(ids.ENGINE_PREEMPTIONS, 1, "worker-1"),
    rising(ids.ENGINE_PROMPT_TOKENS, 4_000),
    rising(ids.ENGINE_GENERATED_TOKENS, 1_010),
    rising(ids.ENGINE_PREFIX_QUERIES, 4_000),
    rising(ids.ENGINE_PREFIX_HITS, 1_000),
    rising(ids.ENGINE_EXTERNAL_QUERIES, 3_000),
    rising(ids.ENGINE_EXTERNAL_HITS, 600),
    rising(ids.LMCACHE_REQUESTED_TOKENS, 3_000),
    rising(ids.LMCACHE_HIT_TOKENS, 900),
    rising(ids.KVBM_MATCHED_TOKENS, 512),
    rising(ids.ENGINE_DRAFTS, 200),
    rising(ids.ENGINE_DRAFT_TOKENS, 800),
    rising(ids.ENGINE_ACCEPTED_TOKENS, 400),
    *(accepted(position, by) for position, by in enumerate((100, 60, 20, 16))),
    accepted(0, 60, "worker-1"),
    accepted(4, 4, "worker-1"),
    *histogram(ids.FRONTEND_CACHED_TOKENS, 500, 100),
    rising(ids.LMCACHE_L1_HIT_TOKENS, 600, "lmcache"),
    rising(ids.LMCACHE_L2_HIT_TOKENS, 300, "lmcache"),
    rising(ids.KVBM_OFFLOADED_BLOCKS, 64),
    rising(ids.KVBM_OFFLOADED_TO_DISK, 20),
    rising(ids.KVBM_OFFLOADED_PAST_HOST, 12),
    rising(ids.KVBM_OFFLOADED_TO_STORE, 5),
    rising(ids.KVBM_ONBOARDED_BLOCKS, 48),
    rising(ids.KVBM_ONBOARDED_FROM_DISK, 7),
    rising(ids.KVBM_ONBOARDED_FROM_STORE, 3),
    rising(ids.ENGINE_REQUESTS, 90),
    rising(ids.ENGINE_REQUESTS, 30, "worker-1"),
    rising(ids.ROUTER_EVENTS, 250, "frontend"),
    rising(ids.ENGINE_EXTERNAL_TOKENS, 6_000),
    rising(ids.KV_TRANSFERS, 12),
    rising(ids.KV_TRANSFERRED_BYTES, 9_400_000),
    rising(ids.KV_TRANSFER_FAILURES, 1),
)
EXPECTED = {
    "frontend_time_to_first_token": 0.05,
    "frontend_time_to_first_token_p90_estimate": 0.15,  # 80 up to 0.1 s, the 90th half way to 0.2 s
    "frontend_inter_token_latency": 0.01,
    "router_overhead": 0.0002,
    "router_hit_rate": 0.6,
    "server_input_token_throughput": 1_000.0,
    "server_output_token_throughput": 500.0,
    "server_queue_time": 0.03,  # 3 s over 100 requests
    "server_requests_running": 6.0,  # 3 in each of two engines
    "server_requests_waiting": 4.0,
    "server_requests_waiting_max": 6.0,
    "kv_cache_usage": 0.4,  # 0.7 and 0.1
    "kv_cache_usage_max": 0.9,
    "server_preemptions": 4.0,
    "prefix_cache_hit_rate": 0.25,
    "external_cache_hit_rate": 0.2,
    "lmcache_hit_rate": 0.3,
    "kvbm_matched_tokens": 512.0,
    "speculation_acceptance_rate": 0.5,
    "speculation_acceptance_length": 3.0,
    "speculation_acceptance_rate_at_1": 0.8,  # 100 and 60 of 200 drafts
    "speculation_acceptance_rate_at_2": 0.3,
    "speculation_acceptance_rate_at_3": 0.1,
    "speculation_acceptance_rate_at_4": 0.08,
    "speculation_acceptance_rate_at_5": 0.02,
    "cached_token_rate": 0.25,
    "lmcache_l1_hit_rate": 0.2,
    "lmcache_l2_hit_rate": 0.1,
    "kvbm_blocks_offloaded_to_host": 64.0,
    "kvbm_blocks_offloaded_to_disk": 32.0,  # 20 by way of the host
    "kvbm_blocks_offloaded_to_store": 5.0,
    "kvbm_blocks_onboarded_from_host": 48.0,
    "kvbm_blocks_onboarded_from_disk": 7.0,
    "kvbm_blocks_onboarded_from_store": 3.0,
    "worker_imbalance": 1.5,  # 90 where 60 would be even
    "router_events": 250.0,
    "external_prompt_tokens": 6_000.0,
    "kv_transfers": 12.0,
    "kv_transferred_bytes": 9_400_000.0,
    "kv_transfer_failures": 1.0,
}


def seen(series: tuple[Series, ...] = SEEN) -> Recording:
    return replace(recording([], window_ms=2_000), series=series)


def value(name: str, recording: Recording) -> float | Absent:
    function = CATALOGUE[f"{name}.v1"].value
    assert function is not None
    return function(recording, FACTS)


def test_every_one_has_an_expected_value() -> None:
    assert {definition.name for definition in DEFINITIONS} == set(EXPECTED)


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items())
def test_by_hand(name: str, expected: float) -> None:
    found = value(name, seen())
    assert type(found) is float
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("name", EXPECTED)
def test_without_readings_all_are_absent(name: str) -> None:
    found = value(name, seen(()))
    assert isinstance(found, Absent)
    assert "no server metrics" in found.reason


@pytest.mark.parametrize("name", EXPECTED)
def test_what_this_server_does_not_state_is_absent(name: str) -> None:
    found = value(name, seen((rising("frontend.requests", 5, "frontend"),)))
    assert isinstance(found, Absent)
    assert "states it" in found.reason


@pytest.mark.parametrize("name", EXPECTED)
def test_an_engine_that_fell_silent_makes_it_absent(name: str) -> None:
    """Its readings end in the middle of the window: what the others say is not the whole."""
    cut = tuple(replace(series, stamps_ns=STAMPS[:2], values=series.values[:2]) for series in SEEN)
    found = value(name, seen(cut))
    if name in {"server_requests_waiting_max", "kv_cache_usage_max"}:
        assert found == pytest.approx(EXPECTED[name]), "a largest reading is what it is"
    else:
        assert isinstance(found, Absent)
        assert any(source in found.reason for source in ("worker-", "frontend", "lmcache"))


def test_without_a_frontend_the_engine_counts() -> None:
    engines = tuple(series for series in SEEN if series.source != "frontend")
    assert value("server_input_token_throughput", seen(engines)) == pytest.approx(2_000.0)
    assert value("server_output_token_throughput", seen(engines)) == pytest.approx(505.0)


def test_no_preemption_is_zero_and_not_absent() -> None:
    assert value("server_preemptions", seen((column(ids.ENGINE_PREEMPTIONS, 0, 0, 0),))) == 0.0


def test_nothing_was_looked_up_is_absent_and_not_zero() -> None:
    still = (column(ids.ENGINE_PREFIX_QUERIES, 5, 5, 5), column(ids.ENGINE_PREFIX_HITS, 1, 1, 1))
    found = value("prefix_cache_hit_rate", seen(still))
    assert isinstance(found, Absent)
    assert "did not rise" in found.reason


PARTS = {
    "prefix_cache_hit_rate": (1_000.0, 4_000.0),
    "external_cache_hit_rate": (600.0, 3_000.0),
    "lmcache_hit_rate": (900.0, 3_000.0),
    "speculation_acceptance_rate": (400.0, 800.0),
    "speculation_acceptance_rate_at_1": (160.0, 200.0),
    "cached_token_rate": (500.0, 2_000.0),
    "lmcache_l1_hit_rate": (600.0, 3_000.0),
    "lmcache_l2_hit_rate": (300.0, 3_000.0),
}


@pytest.mark.parametrize(("name", "expected"), PARTS.items())
def test_parts_of_rates_by_hand(name: str, expected: tuple[float, float]) -> None:
    parts = CATALOGUE[f"{name}.v1"].parts
    assert parts is not None
    assert parts(seen(), FACTS) == pytest.approx(expected)
    assert isinstance(parts(seen(()), FACTS), Absent)


def test_the_parts_of_the_routers_rate_are_shares_over_decisions() -> None:
    parts = CATALOGUE["router_hit_rate.v1"].parts
    assert parts is not None
    found = parts(seen(), FACTS)
    assert not isinstance(found, Absent)
    assert found[0] / found[1] == pytest.approx(0.6)
    assert found[1] > 1


def test_a_position_that_no_engine_drafts_is_absent_and_not_zero() -> None:
    short = tuple(series for series in SEEN if dict(series.labels).get("position") not in {"3", "4"})
    found = value("speculation_acceptance_rate_at_4", seen(short))
    assert isinstance(found, Absent)
    assert "no engine drafts 4 tokens" in found.reason
    assert value("speculation_acceptance_rate_at_3", seen(short)) == pytest.approx(0.1)


def test_a_position_of_which_nothing_was_accepted_is_zero() -> None:
    refused = (rising(ids.ENGINE_DRAFTS, 80), accepted(0, 0))
    assert value("speculation_acceptance_rate_at_1", seen(refused)) == 0.0
    still = value("speculation_acceptance_rate_at_1", seen((rising(ids.ENGINE_DRAFTS, 0), accepted(0, 0))))
    assert isinstance(still, Absent)
    assert "did not rise" in still.reason


def test_a_worker_that_does_not_tell_what_it_had_is_no_empty_cache() -> None:
    """Dynamo's frontend states the histogram in any case; behind the mocker of 1.4.2 nothing is ever put into it."""
    untold = (*histogram(ids.FRONTEND_CACHED_TOKENS, 0, 0), rising(ids.FRONTEND_INPUT_TOKENS, 2_000, "frontend"))
    found = value("cached_token_rate", seen(untold))
    assert isinstance(found, Absent)
    assert "no worker told the frontend" in found.reason
    none_cached = (*histogram(ids.FRONTEND_CACHED_TOKENS, 0, 100), rising(ids.FRONTEND_INPUT_TOKENS, 2_000, "frontend"))
    assert value("cached_token_rate", seen(none_cached)) == 0.0


def requests(**by_worker: float) -> Recording:
    return seen(tuple(rising(ids.ENGINE_REQUESTS, count, name.replace("_", "-")) for name, count in by_worker.items()))


def test_the_imbalance_is_that_of_the_most_uneven_role() -> None:
    """Prefill and decode workers each meet every request: they are never even with each other."""
    assert value("worker_imbalance", requests(prefill_0=50, prefill_1=50, decode_0=40, decode_1=60)) == pytest.approx(1.2)
    assert value("worker_imbalance", requests(prefill_0=100, decode_0=40, decode_1=60)) == pytest.approx(1.2)
    assert value("worker_imbalance", requests(worker_0=80, worker_1=0)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (requests(worker_0=80), "one worker of each role"),
        (requests(prefill_0=80, decode_0=80), "one worker of each role"),
        (requests(worker_0=0, worker_1=0), "no worker of a role took a request"),
        (requests(prefill_0=0, prefill_1=0, decode_0=40, decode_1=60), "no worker of a role took a request"),
    ],
)
def test_nothing_to_spread_has_no_imbalance(found: Recording, reason: str) -> None:
    imbalance = value("worker_imbalance", found)
    assert isinstance(imbalance, Absent)
    assert reason in imbalance.reason


BETTER = {"server_input_token_throughput", "server_output_token_throughput", "router_hit_rate", "lmcache_hit_rate"}
BETTER |= {"prefix_cache_hit_rate", "external_cache_hit_rate", "speculation_acceptance_rate", "speculation_acceptance_length"}
BETTER |= {"cached_token_rate", "lmcache_l1_hit_rate", "lmcache_l2_hit_rate"}
BETTER |= {f"speculation_acceptance_rate_at_{position}" for position in range(1, 6)}
FACTS_ALONE = {"server_requests_running", "kv_cache_usage", "kv_cache_usage_max", "kvbm_matched_tokens", "worker_imbalance"}
FACTS_ALONE |= {"router_events", "external_prompt_tokens", "kv_transfers", "kv_transferred_bytes"}
FACTS_ALONE |= {f"kvbm_blocks_{way}_{tier}" for way in ("offloaded_to", "onboarded_from") for tier in ("host", "disk", "store")}


def test_directions() -> None:
    for definition in DEFINITIONS:
        expected = Direction.LOWER_IS_BETTER
        if definition.name in BETTER:
            expected = Direction.HIGHER_IS_BETTER
        elif definition.name in FACTS_ALONE:
            expected = Direction.NEITHER
        assert definition.direction is expected, definition.id
