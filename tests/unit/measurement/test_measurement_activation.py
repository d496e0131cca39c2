"""Features that slept: each is claimed by a topology, counted by services, and each way to be absent is planted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.measurement.activation import asked_before, inactive, reuses
from pytest_dynperf.measurement.evidence import PROMETHEUS
from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.observation.series import Series, SeriesKind
from pytest_dynperf.scenario.topology import KvCache, Role, Router, Speculation, Topology
from pytest_dynperf.scenario.traffic import Traffic, Workload
from pytest_dynperf.telemetry.names import TABLE
from tests.fakes.observations import MS, failed, record, recording

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording

FRESH = Traffic(isl=1024, osl=32, concurrency=4)
AGAIN = replace(FRESH, workload=Workload(kind="shared-prefix", prefix_ratio=0.5, prefix_count=4))
WARM, DISK = replace(FRESH, cache="warm"), replace(FRESH, cache="disk")

VLLM = Topology(engine="vllm", model="m", served_by="engine")
MOCKER = Topology(engine="mocker", model="m", worker=Role(count=2))
DRAFTING = replace(VLLM, speculation=Speculation(method="ngram", tokens=4))
ROUTED = replace(MOCKER, router_mode="kv")
GUESSING = replace(ROUTED, router=Router(kv_events=False))
DISAGG = Topology(engine="vllm", model="m", mode="disagg", kv_cache=KvCache(connector="nixl"))
PREFILLED = replace(MOCKER, mode="disagg")


def tiered(connector: str, *, engine: str = "vllm", host_gib: int | None = 4, disk_gib: int | None = None) -> Topology:
    return Topology(engine=engine, model="m", kv_cache=KvCache(connector=connector, host_gib=host_gib, disk_gib=disk_gib))


def column(series_id: str, *values: float, source: str = "worker-0") -> Series:
    return Series(
        id=series_id, source=source, kind=SeriesKind.COUNTER, stamps_ns=tuple(n * 500 * MS for n in range(len(values))), values=values
    )


def rose(series_id: str, by: float, source: str = "worker-0") -> Series:
    return column(series_id, 0, by / 2, by, source=source)


def seen(*series: Series) -> Recording:
    """30 requests were answered, and a service said something, whatever it was."""
    stated = column(ids.FRONTEND_REQUESTS, 0, 15, 30, source="frontend")
    return replace(recording([record(n) for n in range(30)]), series=(stated, *series))


HITS = ids.ROUTER_HIT_RATE + ids.SUM
DRAFTS = rose(ids.ENGINE_DRAFTS, 310)
ASKED, FOUND = rose(ids.ENGINE_EXTERNAL_QUERIES, 1_632), rose(ids.ENGINE_EXTERNAL_HITS, 900)
EVENTS = rose(ids.ROUTER_EVENTS, 40, "frontend")
BATCHES = rose(ids.ROUTER_EVENT_BATCHES, 40, "frontend")
EXPECTED, CACHED = rose(HITS, 12.5, "frontend"), rose(ids.ENGINE_PREFIX_HITS, 9_000)


def told(tokens: float, workers: int = 30) -> tuple[Series, ...]:
    """What workers told the frontend, ``workers`` times; the histogram stands on its page in any case."""
    return rose(ids.FRONTEND_CACHED_TOKENS + ids.SUM, tokens, "frontend"), rose(ids.FRONTEND_CACHED_TOKENS + ids.COUNT, workers, "frontend")


def silent(*workers: float) -> Series:
    stamps = tuple(number * MS for number in range(len(workers)))
    return Series(id=ids.ROUTER_SILENT_WORKERS, source="frontend", kind=SeriesKind.GAUGE, stamps_ns=stamps, values=workers)


TRANSFERS = rose(ids.KV_TRANSFERS, 30, "decode-0")
SERVER = (rose(ids.LMCACHE_REQUESTED_TOKENS, 5_850, "lmcache"), rose(ids.LMCACHE_HIT_TOKENS, 4_608, "lmcache"))
ON_DISK = rose(ids.LMCACHE_L2_HIT_TOKENS, 4_608, "lmcache")

# Of each claim: topology, traffic, and the series without any one of which it is not shown.
ACTIVE: dict[str, tuple[Topology, Traffic, tuple[Series, ...]]] = {
    "speculation": (DRAFTING, FRESH, (DRAFTS,)),
    "speculation of SGLang": (replace(DRAFTING, engine="sglang"), FRESH, (DRAFTS,)),
    "speculation of TensorRT-LLM": (replace(DRAFTING, engine="trtllm"), FRESH, (rose(ids.ENGINE_DRAFT_TOKENS, 900),)),
    "tier in the engine": (tiered("lmcache"), FRESH, (ASKED,)),
    "tier in the engine, asked again": (tiered("lmcache"), AGAIN, (ASKED, FOUND)),
    "tier in the engine, on disk alone": (tiered("lmcache", host_gib=None, disk_gib=8), DISK, (ASKED, FOUND)),
    "tier of SGLang": (tiered("lmcache", engine="sglang"), WARM, SERVER),
    "tier beside the engine": (tiered("lmcache-mp"), FRESH, SERVER[:1]),
    "tier beside the engine, warm": (tiered("lmcache-mp"), WARM, (SERVER[0], FOUND)),
    "tier beside the engine, on disk": (tiered("lmcache-mp", host_gib=1, disk_gib=8), DISK, (SERVER[0], FOUND, ON_DISK)),
    "KVBM": (tiered("kvbm"), WARM, (ASKED, FOUND)),
    "KVBM on disk": (tiered("kvbm", host_gib=1, disk_gib=8), DISK, (ASKED, FOUND, rose(ids.KVBM_ONBOARDED_FROM_DISK, 7))),
    "KVBM of TensorRT-LLM": (tiered("kvbm", engine="trtllm"), FRESH, (rose(ids.KVBM_OFFLOADED_BLOCKS, 64),)),
    "KVBM of TensorRT-LLM, warm": (tiered("kvbm", engine="trtllm"), WARM, (rose(ids.KVBM_MATCHED_TOKENS, 5_120),)),
    "device of vLLM, warm": (VLLM, WARM, (CACHED,)),
    "device behind prefill, warm": (
        replace(DISAGG, served_by="dynamo"),
        WARM,
        (rose(ids.ENGINE_PREFIX_HITS, 7_000, "prefill-0"), TRANSFERS),
    ),
    "events": (ROUTED, FRESH, (EVENTS,)),
    "events over ZMQ": (ROUTED, FRESH, (BATCHES,)),
    "routing": (ROUTED, AGAIN, (EVENTS, EXPECTED)),
    "routing by a guess": (GUESSING, AGAIN, (EXPECTED,)),
    "routing of vLLM": (replace(ROUTED, engine="vllm"), AGAIN, (EVENTS, EXPECTED, CACHED)),
    "routing of vLLM by a guess": (replace(GUESSING, engine="vllm"), AGAIN, (EXPECTED, CACHED)),
    "transfers": (DISAGG, FRESH, (TRANSFERS,)),
    "transfers, by tokens": (DISAGG, FRESH, (rose(ids.ENGINE_EXTERNAL_TOKENS, 6_000, "decode-0"),)),
    "transfers of SGLang": (replace(DISAGG, engine="sglang"), FRESH, (rose(ids.KV_TRANSFERS, 30, "prefill-0"),)),
    "prefill of the mocker": (PREFILLED, FRESH, (rose(ids.ENGINE_REQUESTS, 30, "prefill-0"),)),
}
PARTS = [(name, part) for name, (_, _, series) in ACTIVE.items() for part in range(len(series))]


@pytest.mark.parametrize("name", ACTIVE)
def test_what_was_counted_was_active(name: str) -> None:
    topology, traffic, series = ACTIVE[name]
    assert inactive(topology, traffic, seen(*series)) == ()


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_what_stood_still_slept(name: str, part: int) -> None:
    topology, traffic, series = ACTIVE[name]
    still = replace(series[part], values=(7.0, 7.0, 7.0))
    (reason,) = inactive(topology, traffic, seen(*series[:part], still, *series[part + 1 :]))
    assert "was not active" in reason
    assert "0 times while 30 requests were answered" in reason
    assert f" of {still.source})" in reason or still.id == ids.ENGINE_PREFIX_HITS


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_what_nobody_states_is_not_shown_and_no_pass(name: str, part: int) -> None:
    topology, traffic, series = ACTIVE[name]
    (reason,) = inactive(topology, traffic, seen(*series[:part], *series[part + 1 :]))
    assert "cannot be shown" in reason
    assert "no service that was asked states it" in reason
    assert any(names[0] in reason for names in PROMETHEUS.values())


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_one_reading_shows_no_increase(name: str, part: int) -> None:
    topology, traffic, series = ACTIVE[name]
    once = replace(series[part], stamps_ns=series[part].stamps_ns[:1], values=(900.0,))
    (reason,) = inactive(topology, traffic, seen(*series[:part], once, *series[part + 1 :]))
    assert "cannot be shown" in reason


@pytest.mark.parametrize("name", ACTIVE)
def test_without_any_metrics_every_claim_is_a_reason(name: str) -> None:
    topology, traffic, _ = ACTIVE[name]
    reasons = inactive(topology, traffic, replace(seen(), series=()))
    assert reasons
    assert all("no server metrics were read during the run" in reason for reason in reasons)


def test_a_topology_that_claims_nothing_needs_no_counter() -> None:
    for topology in (VLLM, MOCKER, replace(MOCKER, kv_cache=KvCache(connector="nixl")), replace(VLLM, router_mode="kv")):
        assert inactive(topology, AGAIN, seen()) == ()
        assert inactive(topology, AGAIN, replace(seen(), series=())) == ()


def test_an_endpoint_of_somebody_else_claims_nothing() -> None:
    foreign = replace(DRAFTING, engine="unknown", router_mode="kv", served_by="dynamo", kv_cache=KvCache(connector="lmcache"))
    assert inactive(replace(foreign, engine="vllm"), AGAIN, seen()) != ()
    assert inactive(foreign, AGAIN, seen()) == ()


def test_a_run_that_failed_has_its_own_reasons() -> None:
    assert inactive(DRAFTING, FRESH, replace(seen(), incidents=("worker-0 ended",))) == ()
    assert inactive(DRAFTING, FRESH, replace(seen(), records=(failed(0),))) == ()
    assert inactive(DRAFTING, FRESH, seen()) != ()


def test_the_connector_that_died_in_silence() -> None:
    """LMCache inside vLLM on a CPU: healthy, every answer right, 1,632 tokens asked for and none ever found."""
    died = seen(ASKED, rose(ids.ENGINE_EXTERNAL_HITS, 0))
    for traffic in (AGAIN, WARM):
        (reason,) = inactive(tiered("lmcache"), traffic, died)
        assert "topology.kv_cache.connector = 'lmcache' was not active" in reason
        assert "it was asked and had nothing" in reason
    assert inactive(tiered("lmcache"), FRESH, died) == (), "nothing is asked twice, so nothing can be found"


def test_a_tier_that_is_not_connected_says_so_and_no_more() -> None:
    (reason,) = inactive(tiered("lmcache-mp", host_gib=1, disk_gib=8), DISK, seen(rose(ids.LMCACHE_REQUESTED_TOKENS, 0, "lmcache")))
    assert "it is not connected" in reason


def test_an_engine_that_asks_nobody_is_not_connected() -> None:
    """The engine counts what it meant to ask; the server beside it heard nothing."""
    (reason,) = inactive(tiered("lmcache-mp"), FRESH, seen(ASKED, FOUND))
    assert "lmcache_mp_lookup_requested_tokens" in reason
    assert "`lmcache server`" in reason


def test_lmcache_that_calls_itself_ill() -> None:
    health = Series(id=ids.LMCACHE_HEALTHY, source="worker-0", kind=SeriesKind.GAUGE, stamps_ns=(0, MS), values=(1.0, 0.0))
    (reason,) = inactive(tiered("lmcache"), FRESH, seen(ASKED, health))
    assert "worker-0 states lmcache:lmcache_is_healthy 0" in reason
    assert inactive(tiered("lmcache"), FRESH, seen(ASKED, replace(health, values=(0.0, 1.0)))) == ()


def test_hits_of_the_host_are_none_of_the_disk() -> None:
    both = tiered("lmcache-mp", host_gib=1, disk_gib=8)
    (reason,) = inactive(both, DISK, seen(SERVER[0], FOUND, rose(ids.LMCACHE_L2_HIT_TOKENS, 0, "lmcache")))
    assert "all hits were of the host tier" in reason
    (reason,) = inactive(tiered("lmcache-mp"), DISK, seen(SERVER[0], FOUND, ON_DISK))
    assert "there is no tier on disk; set topology.kv_cache.disk_gib" in reason
    (reason,) = inactive(tiered("lmcache", host_gib=1, disk_gib=8), DISK, seen(ASKED, FOUND))
    assert "counts no hits by tier" in reason


def test_what_decode_receives_is_no_hit_of_a_tier() -> None:
    topology = replace(tiered("lmcache"), mode="disagg")
    received = (rose(ids.ENGINE_EXTERNAL_QUERIES, 900, "decode-0"), rose(ids.ENGINE_EXTERNAL_HITS, 900, "decode-0"))
    silent = (rose(ids.ENGINE_EXTERNAL_QUERIES, 900, "prefill-0"), rose(ids.ENGINE_EXTERNAL_HITS, 0, "prefill-0"))
    (reason,) = inactive(topology, AGAIN, seen(TRANSFERS, *received, *silent))
    assert "of prefill-0)" in reason


def test_what_prefill_takes_from_a_tier_is_no_transfer() -> None:
    (reason,) = inactive(DISAGG, FRESH, seen(rose(ids.ENGINE_EXTERNAL_TOKENS, 900, "prefill-0")))
    assert "KV transfers from prefill to decode" in reason


def test_decode_that_does_all_the_work() -> None:
    idle = tuple(rose(ids.ENGINE_REQUESTS, 0, f"prefill-{number}") for number in range(2))
    alone = (*idle, rose(ids.ENGINE_REQUESTS, 30, "decode-0"))
    (reason,) = inactive(PREFILLED, FRESH, seen(*alone))
    assert "decode workers did all of it" in reason
    assert "prefill-0, prefill-1" in reason
    assert inactive(PREFILLED, FRESH, seen(rose(ids.ENGINE_REQUESTS, 30, "prefill-1"), *alone)) == ()


def test_prefix_caching_switched_off_under_the_router() -> None:
    off = replace(ROUTED, kv_cache=KvCache(prefix_caching=False))
    (reason,) = inactive(off, AGAIN, seen(EVENTS, EXPECTED, CACHED))
    assert "topology.kv_cache.prefix_caching = false" in reason
    assert inactive(off, FRESH, seen()) == (), "nothing is asked twice, and nothing is claimed"


def test_prefix_caching_switched_off_by_a_free_argument() -> None:
    """The topology does not know it, the counters do: nothing is published, and by its own guess the router expects what nobody has."""
    quiet = (rose(ids.ROUTER_EVENTS, 0, "frontend"), rose(HITS, 0, "frontend"))
    events, expected = inactive(ROUTED, AGAIN, seen(*quiet))
    assert "topology.router_mode = 'kv' by KV events was not active" in events
    assert "whether prefix caching is on" in expected
    for nothing in (told(0), (rose(ids.ENGINE_PREFIX_HITS, 0),)):
        (guessed,) = inactive(GUESSING, AGAIN, seen(EXPECTED, *nothing))
        assert "nothing was there" in guessed


def test_workers_that_tell_the_router_nothing() -> None:
    """As Dynamo 1.4.2 states it of a mocker that was started with --no-enable-prefix-caching."""
    (reason,) = inactive(ROUTED, FRESH, seen(EVENTS, silent(2, 3, 2)))
    assert "2 workers sent the router no KV events" in reason
    assert inactive(ROUTED, FRESH, seen(EVENTS, silent(0))) == ()
    assert inactive(ROUTED, FRESH, seen(EVENTS, silent(0, 1, 0))) == (), "one came back"
    assert "cannot be shown" in inactive(ROUTED, FRESH, seen(silent(0)))[0], "a router that waits for events has not got any"
    assert inactive(GUESSING, FRESH, seen(silent(2))) == ()


def test_what_comes_over_zmq_decides_where_it_is_counted() -> None:
    """The other counter holds the router's own guesses as well."""
    (reason,) = inactive(ROUTED, FRESH, seen(EVENTS, rose(ids.ROUTER_EVENT_BATCHES, 0, "frontend")))
    assert "dynamo_component_router_kv_zmq_ingress_batches of frontend" in reason


@pytest.mark.parametrize(
    ("arguments", "listens"),
    [
        ((), True),
        (("--no-router-kv-events",), False),
        (("--no-kv-events",), False),
        (("--no-router-kv-events", "--router-kv-events"), True),
        (("--router-queue-threshold", "2"), True),
    ],
)
def test_events_that_a_free_argument_switched_off_are_not_claimed(arguments: tuple[str, ...], listens: bool) -> None:
    assert bool(inactive(replace(ROUTED, router_args=arguments), FRESH, seen())) is listens
    assert bool(inactive(replace(GUESSING, router_args=arguments), FRESH, seen())) is ("--router-kv-events" in arguments)


def answered(cached: int | None) -> Recording:
    """Every answer says how much of its prompt was cached; ``None``: none does."""
    return replace(seen(EXPECTED), records=tuple(replace(record(n), cached_tokens=cached) for n in range(30)))


def test_any_of_three_may_tell_what_workers_had() -> None:
    engine = replace(GUESSING, engine="vllm")
    for found in (answered(512), seen(EXPECTED, *told(9_000)), seen(EXPECTED, CACHED)):
        assert inactive(engine, AGAIN, found) == ()
    for nothing in (answered(0), seen(EXPECTED, *told(0)), seen(EXPECTED, rose(ids.ENGINE_PREFIX_HITS, 0))):
        assert "was not active" in inactive(engine, AGAIN, nothing)[0]
    for untold in (answered(None), seen(EXPECTED, *told(0, workers=0))):
        assert "cannot be shown" in inactive(engine, AGAIN, untold)[0]
        assert inactive(GUESSING, AGAIN, untold) == (), "the mocker of 1.4.2 tells it nowhere"


def test_traffic_that_shares_nothing_expects_no_hits() -> None:
    nothing = (EVENTS, rose(HITS, 0, "frontend"), *told(0))
    assert inactive(ROUTED, FRESH, seen(*nothing)) == ()
    assert len(inactive(ROUTED, AGAIN, seen(*nothing))) == 1


@pytest.mark.parametrize(
    ("traffic", "expected"),
    [
        (FRESH, False),
        (AGAIN, True),
        (replace(AGAIN, workload=replace(AGAIN.workload, prefix_ratio=0.0)), False),
        (replace(AGAIN, workload=replace(AGAIN.workload, prefix_count=30)), False),
        (replace(AGAIN, workload=replace(AGAIN.workload, prefix_count=29)), True),
        (replace(FRESH, workload=Workload(kind="conversation", turns=3)), True),
        (replace(FRESH, workload=Workload(kind="conversation")), False),
        (WARM, True),
        (DISK, False),
        (replace(FRESH, cache="cold"), False),
    ],
)
def test_what_re_uses_prefixes(traffic: Traffic, expected: bool) -> None:
    assert traffic.request_count == 30
    assert reuses(traffic) is expected


# ---- how much, and when


def early(series: Series) -> Series:
    """All of it was counted before the first measured request: by the warm-up, or while caches were warmed."""
    return replace(series, stamps_ns=(-2_000 * MS, -1_000 * MS, 0, 500 * MS), values=(*series.values, series.values[-1]))


@pytest.mark.parametrize(("name", "part"), [(name, part) for name, part in PARTS if not name.startswith("events")])
def test_what_was_active_before_the_window_was_not_active_in_it(name: str, part: int) -> None:
    topology, traffic, series = ACTIVE[name]
    if series[part] in (EVENTS, BATCHES):
        assert inactive(topology, traffic, seen(*series[:part], early(series[part]), *series[part + 1 :])) == ()
        return
    (reason,) = inactive(topology, traffic, seen(*series[:part], early(series[part]), *series[part + 1 :]))
    assert "was not active" in reason


LITTLE = [
    ("tier in the engine, asked again", 1),
    ("tier in the engine, on disk alone", 1),
    ("tier of SGLang", 1),
    ("tier beside the engine, warm", 1),
    ("tier beside the engine, on disk", 1),
    ("tier beside the engine, on disk", 2),
    ("KVBM", 1),
    ("KVBM on disk", 2),
    ("KVBM of TensorRT-LLM, warm", 0),
    ("device of vLLM, warm", 0),
    ("routing", 1),
    ("routing of vLLM", 2),
    ("transfers", 0),
    ("transfers, by tokens", 0),
    ("prefill of the mocker", 0),
]


@pytest.mark.parametrize(("name", "part"), LITTLE)
def test_once_in_a_while_is_not_active(name: str, part: int) -> None:
    """One hit, one block, one transfer: of 30 requests with 256 tokens each."""
    topology, traffic, series = ACTIVE[name]
    little = replace(series[part], values=(0.0, 0.0, 1.0))
    found = seen(*series[:part], little, *series[part + 1 :])
    (reason,) = inactive(topology, traffic, found)
    assert "were counted 1 times while 30 requests were answered, needed are " in reason
    assert "by expect.min_active_share" in reason
    assert inactive(topology, traffic, found, min_active_share=1e-6) == (), "how much is enough is the scenario's"


def test_one_draft_is_enough_for_what_drafts_where_it_finds_something_and_not_for_a_model() -> None:
    assert inactive(DRAFTING, FRESH, seen(rose(ids.ENGINE_DRAFTS, 1))) == ()
    for method in ("draft_model", "eagle3"):
        drafting = replace(VLLM, speculation=Speculation(method=method, tokens=4, model="d"))
        (reason,) = inactive(drafting, FRESH, seen(rose(ids.ENGINE_DRAFTS, 1)))
        assert "drafts were counted 1 times while 30 requests were answered, needed are 3 " in reason
        assert inactive(drafting, FRESH, seen(DRAFTS)) == ()


def test_what_is_enough_follows_what_was_asked_before() -> None:
    """Half of each prompt is one of 29 texts of 30 requests: nearly nothing was asked before."""
    seldom = replace(AGAIN, workload=replace(AGAIN.workload, prefix_count=29))
    found = seen(ASKED, rose(ids.ENGINE_EXTERNAL_HITS, 20))
    assert inactive(tiered("lmcache"), seldom, found) == ()
    assert "needed are 70.72" in inactive(tiered("lmcache"), AGAIN, found)[0]


@pytest.mark.parametrize(
    ("traffic", "share"),
    [
        (FRESH, 0.0),
        (WARM, 1.0),
        (DISK, 1.0),
        (AGAIN, 0.5 * (1 - 4 / 30)),
        (replace(FRESH, workload=Workload(kind="conversation", turns=3)), 0.5),
        (replace(FRESH, workload=Workload(kind="conversation")), 0.0),
    ],
)
def test_how_much_was_asked_before(traffic: Traffic, share: float) -> None:
    assert asked_before(traffic) == pytest.approx(share)


def test_what_items_share_leaves_the_disk_once() -> None:
    """The first question about a table fetches it, and the others find it above the disk: a share of all look-ups would be too much."""
    items = replace(DISK, workload=Workload(kind="fact-table"))
    topology = tiered("lmcache-mp", host_gib=1, disk_gib=8)
    assert inactive(topology, items, seen(SERVER[0], FOUND, rose(ids.LMCACHE_L2_HIT_TOKENS, 128, "lmcache"))) == ()


def test_a_device_that_kept_nothing_is_not_warm() -> None:
    (reason,) = inactive(VLLM, WARM, seen(rose(ids.ENGINE_PREFIX_HITS, 16)))
    assert reason.startswith("traffic.cache = 'warm' was not active: tokens that workers had in their caches were counted 16 times")
    (untold,) = inactive(VLLM, WARM, seen())
    assert "traffic.cache = 'warm' cannot be shown" in untold
    (off,) = inactive(replace(VLLM, kv_cache=KvCache(prefix_caching=False)), WARM, seen(CACHED))
    assert "nothing keeps what was asked" in off
    assert inactive(VLLM, replace(FRESH, cache="cold"), seen()) == ()


def test_a_mocker_is_believed_where_it_says_nothing_and_not_where_it_says_none() -> None:
    assert inactive(MOCKER, WARM, seen()) == ()
    assert "was not active" in inactive(MOCKER, WARM, seen(*told(0)))[0]
    assert inactive(MOCKER, WARM, seen(*told(7_000))) == ()
    tiers = replace(MOCKER, worker=Role(count=1, args=("--num-g2-blocks", "64")))
    assert inactive(tiers, WARM, seen(*told(0))) == (), "of simulated tiers it states nothing"


def test_names_in_sentences_are_those_of_the_table() -> None:
    known = {(name.series, name.name) for name in TABLE}
    for series_id, names in PROMETHEUS.items():
        for name in names:
            assert (series_id.removesuffix(ids.SUM), name) in known


def unnamed(page: str) -> set[str]:
    return {name for names in PROMETHEUS.values() for name in names if f"`{name}" not in page}


def test_the_page_names_every_counter() -> None:
    page = (Path(__file__).parents[3] / "docs" / "activation.md").read_text(encoding="utf-8")
    assert unnamed(page) == set()
    assert unnamed(page.replace("`kvbm_matched_tokens`", "a counter")) == {"kvbm_matched_tokens"}
