"""Pages of real services, and some from documentation, from their text to what they prove and to the metrics made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.measurement.activation import inactive
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.quantity import Absent
from pytest_dynperf.scenario.topology import KvCache, Role, Router, Speculation, Topology
from pytest_dynperf.scenario.traffic import Traffic, Workload
from pytest_dynperf.telemetry.names import BY_SAMPLE
from pytest_dynperf.telemetry.prometheus import parse
from pytest_dynperf.telemetry.translate import series_of
from tests.fakes.observations import MS, record, recording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.series import Series

DATA = Path(__file__).parents[2] / "data" / "services"
MOCKER, VLLM, DOCUMENTED = DATA / "mocker-1.4.2", DATA / "vllm-0.31", DATA / "documentation"
FRESH = Traffic(isl=2_100, osl=8, concurrency=4)
AGAIN = replace(FRESH, workload=Workload(kind="shared-prefix", prefix_ratio=0.9, prefix_count=6))
DISK = replace(FRESH, cache="disk")

KV = Topology(engine="mocker", model="m", planes="nats", router_mode="kv", worker=Role(count=2))
DISAGG = Topology(engine="mocker", model="m", planes="nats", mode="disagg", router_mode="kv", prefill=Role(count=2))
TRTLLM = Topology(engine="trtllm", model="m", kv_cache=KvCache(connector="kvbm", host_gib=1, disk_gib=8))
VLLM_KV = Topology(engine="vllm", model="m", router_mode="kv", worker=Role(count=2))
VLLM_DISAGG = Topology(engine="vllm", model="m", mode="disagg", kv_cache=KvCache(connector="nixl"))
CACHED = Topology(engine="vllm", model="m", kv_cache=KvCache(connector="lmcache-mp", host_gib=1, disk_gib=1))
NGRAM = Topology(engine="vllm", model="m", speculation=Speculation(method="ngram", tokens=3))
LMCACHE = Topology(engine="vllm", model="m", kv_cache=KvCache(connector="lmcache", host_gib=4))


def as_it_was(text: str) -> str:
    return text


def read(
    directory: Path, names: Mapping[str, str] | None = None, change: Callable[[str], str] = as_it_was, *, still: tuple[str, ...] = ()
) -> Recording:
    """What the services said before and after 24 requests, which fill the window. ``names`` maps files to services, without it each file is
    one. ``change`` is made to every page, and those in ``still`` say afterwards what they said before.
    """
    known = names or {
        path.name.removesuffix(".before.txt"): path.name.removesuffix(".before.txt") for path in directory.glob("*.before.txt")
    }
    assert known
    series: list[Series] = []
    for file, service in known.items():
        texts = [(directory / f"{file}.{when}.txt").read_text() for when in ("before", "before" if service in still else "after")]
        pages = [parse(change(text), wanted=BY_SAMPLE) for text in texts]
        assert not any(page.malformed for page in pages)
        series += series_of(service, (0, 1_000 * MS), pages)
    return replace(recording([record(n) for n in range(24)]), series=tuple(series))


def value(name: str, seen: Recording) -> float | Absent:
    function = CATALOGUE[f"{name}.v1"].value
    assert function is not None
    return function(seen, RunFacts(gpu_count=None))


@pytest.mark.parametrize(
    ("name", "topology"),
    [
        ("kv-nats", KV),
        ("kv-default", replace(KV, planes="default")),
        ("kv-noevents", replace(KV, router=Router(kv_events=False))),
        ("disagg-kv", DISAGG),
    ],
)
def test_the_mocker_as_it_was_claimed(name: str, topology: Topology) -> None:
    seen = read(MOCKER / name)
    assert inactive(topology, AGAIN, seen) == ()
    assert inactive(topology, FRESH, seen) == ()


def test_no_event_came_by_either_plane() -> None:
    """The page of a router that waits for events, as it stood before the first request."""
    for name, counter in (("kv-nats", "kv_cache_events_applied"), ("kv-default", "kv_zmq_ingress_batches")):
        events, expected = inactive(KV, AGAIN, read(MOCKER / name, still=("frontend",)))
        assert counter in events
        assert "router_kv_hit_rate" in expected


def test_prefix_caching_that_was_off() -> None:
    """By a flag that the topology does not know; with the key, the topology alone says it."""
    off = read(MOCKER / "kv-nocache")
    events, expected = inactive(KV, AGAIN, off)
    assert "2 workers sent the router no KV events" in events
    assert "expected a part in a cache were counted 0 times" in expected
    (said,) = inactive(replace(KV, kv_cache=KvCache(prefix_caching=False)), AGAIN, off)
    assert "prefix_caching = false" in said


def test_a_router_that_guesses_applies_events_of_its_own() -> None:
    """Why the counter alone is no proof, and what comes over ZMQ or the gauge of silent workers decides where it is stated."""
    seen = read(MOCKER / "kv-noevents")
    assert value("router_events", seen) == 24.0, "one for each request"
    assert {"router.event_batches", "router.silent_workers"}.isdisjoint({series.id for series in seen.series})
    assert {"router.silent_workers"} <= {series.id for series in read(MOCKER / "kv-nats").series}


def test_prefill_workers_that_took_nothing() -> None:
    (reason,) = inactive(DISAGG, FRESH, read(MOCKER / "disagg-kv", still=("prefill-0", "prefill-1")))
    assert "requests that prefill workers took were counted 0 times" in reason
    assert inactive(DISAGG, FRESH, read(MOCKER / "disagg-kv", still=("prefill-0",))) == ()


def test_a_later_version_that_renames_a_counter() -> None:
    renamed = read(MOCKER / "kv-nats", change=lambda text: text.replace("kv_cache_events_applied", "kv_cache_events_seen"))
    (reason,) = inactive(KV, AGAIN, renamed)
    assert "cannot be shown" in reason
    assert "dynamo_component_kv_cache_events_applied" in reason


@pytest.mark.parametrize(
    ("metric", "name", "expected"),
    [
        ("worker_imbalance", "kv-nats", 1.0),
        ("worker_imbalance", "kv-noevents", 1.0),
        ("worker_imbalance", "disagg-kv", 14 / 12),
        ("router_events", "kv-nats", 30.0),
        ("router_events", "kv-nocache", 0.0),
        ("router_hit_rate", "kv-nocache", 0.0),
        ("router_hit_rate", "kv-nats", 0.727),
    ],
)
def test_metrics_of_the_mocker(metric: str, name: str, expected: float) -> None:
    assert value(metric, read(MOCKER / name)) == pytest.approx(expected, abs=5e-4)


def test_what_the_mockers_workers_had_is_not_told() -> None:
    for name in ("kv-nats", "kv-nocache"):
        found = value("cached_token_rate", read(MOCKER / name))
        assert isinstance(found, Absent)
        assert "no worker told the frontend" in found.reason


@pytest.mark.parametrize(("name", "topology"), [("kv", VLLM_KV), ("disagg", VLLM_DISAGG), ("ngram", NGRAM), ("cached", CACHED)])
def test_vllm_as_it_was_claimed(name: str, topology: Topology) -> None:
    assert inactive(topology, AGAIN, read(VLLM / name)) == ()


@pytest.mark.parametrize(
    ("claimed", "name", "needle"),
    [
        (NGRAM, "disagg", "vllm:spec_decode_num_drafts"),
        (VLLM_DISAGG, "ngram", "vllm:nixl_bytes_transferred_count"),
        (VLLM_KV, "ngram", "kv_cache_events_applied"),
        (CACHED, "ngram", "`lmcache server`"),
    ],
)
def test_a_stack_of_vllm_without_what_was_claimed(claimed: Topology, name: str, needle: str) -> None:
    """The pages of one stack under the claim of another: whatever was not configured is not stated."""
    reason = inactive(claimed, FRESH, read(VLLM / name))[0]
    assert "cannot be shown" in reason
    assert needle in reason


def test_workers_of_vllm_that_did_nothing_of_it() -> None:
    assert "drafts were counted 0 times" in inactive(NGRAM, FRESH, read(VLLM / "ngram", still=("worker-0",)))[0]
    assert "KV transfers from prefill to decode" in inactive(VLLM_DISAGG, FRESH, read(VLLM / "disagg", still=("decode-0",)))[0]
    assert inactive(VLLM_DISAGG, FRESH, read(VLLM / "disagg", still=("prefill-0",))) == (), "decode workers count what they fetch"


def test_a_cache_server_that_was_not_needed_on_disk_or_not_at_all() -> None:
    """The host held everything; the same with a server that heard nothing, and with an engine that took nothing."""
    cached = VLLM / "cached"
    (reason,) = inactive(CACHED, DISK, read(cached))
    assert "all hits were of the host tier" in reason
    (reason,) = inactive(CACHED, AGAIN, read(cached, still=("lmcache",)))
    assert "it is not connected" in reason
    (reason,) = inactive(CACHED, AGAIN, read(cached, still=("worker-0",)))
    assert "vllm:external_prefix_cache_hits of worker-0" in reason


def test_with_nixl_alone_vllm_counts_questions_to_no_tier() -> None:
    """Why queries are no proof of a tier in a disaggregated topology, and hits of the prefill workers are."""
    tiered = replace(VLLM_DISAGG, kv_cache=KvCache(connector="lmcache", host_gib=1))
    seen = read(VLLM / "disagg")
    assert inactive(tiered, FRESH, seen) == ()
    (reason,) = inactive(tiered, AGAIN, seen)
    assert "hits of the tier were counted 0 times" in reason
    assert "of prefill-0)" in reason


@pytest.mark.parametrize(
    ("metric", "name", "expected"),
    [
        ("worker_imbalance", "kv", 10 / 6),
        ("router_events", "kv", 6.0),
        ("cached_token_rate", "kv", 6_912 / 14_710),
        ("speculation_acceptance_rate", "ngram", 0.0),
        ("speculation_acceptance_rate_at_1", "ngram", 0.0),
        ("speculation_acceptance_rate_at_3", "ngram", 0.0),
        ("external_cache_hit_rate", "cached", 6_912 / 14_710),
        ("lmcache_hit_rate", "cached", 0.5),
        ("lmcache_l1_hit_rate", "cached", 0.5),
        ("lmcache_l2_hit_rate", "cached", 0.0),
        ("kv_transfers", "disagg", 12.0),
        ("kv_transferred_bytes", "disagg", 69_206_016.0),
        ("kv_transfer_failures", "disagg", 0.0),
        ("external_prompt_tokens", "disagg", 7_798.0),
    ],
)
def test_metrics_of_vllm(metric: str, name: str, expected: float) -> None:
    assert value(metric, read(VLLM / name)) == pytest.approx(expected)


def test_a_position_beyond_the_draft_is_absent() -> None:
    assert isinstance(value("speculation_acceptance_rate_at_4", read(VLLM / "ngram")), Absent)


def test_kvbm_by_tier() -> None:
    seen = read(DOCUMENTED, {"kvbm": "worker-0-kvbm_metrics"})
    assert inactive(TRTLLM, DISK, seen) == ()
    names = ("offloaded_to_host", "offloaded_to_disk", "offloaded_to_store", "onboarded_from_host", "onboarded_from_disk")
    assert [value(f"kvbm_blocks_{name}", seen) for name in names] == [320.0, 64.0, 0.0, 192.0, 64.0]
    host_alone = read(
        DOCUMENTED, {"kvbm": "worker-0-kvbm_metrics"}, lambda text: text.replace("onboard_blocks_d2d 64", "onboard_blocks_d2d 0")
    )
    (reason,) = inactive(TRTLLM, DISK, host_alone)
    assert "hits on disk were counted 0 times" in reason
    assert "kvbm_onboard_blocks_d2d" in reason


def test_lmcache_inside_the_engine() -> None:
    seen = read(DOCUMENTED, {"lmcache-in-process": "worker-0"})
    assert inactive(LMCACHE, AGAIN, seen) == ()
    assert value("lmcache_hit_rate", seen) == pytest.approx(4_608 / 5_850), "of what was looked up, not of what was fetched"
    died = read(DOCUMENTED, {"lmcache-in-process": "worker-0"}, lambda text: text.replace(" 4608.0", " 0.0"))
    (reason,) = inactive(LMCACHE, AGAIN, died)
    assert "vllm:external_prefix_cache_hits of worker-0" in reason
    ill = read(DOCUMENTED, {"lmcache-in-process": "worker-0"}, lambda text: text.replace('worker_id="0"} 1.0', 'worker_id="0"} 0.0'))
    assert "lmcache_is_healthy 0" in inactive(LMCACHE, AGAIN, ill)[0]
