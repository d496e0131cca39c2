"""Whether the features that a topology claims took part in a run, by what the services counted. Pure.

A run of an arm whose feature slept measures the other arm: it is invalid, whatever its numbers are. All readings count, not the window
alone: the first lies before the first request and the last after the last one, so nothing needs to be interpolated. A counter that no
service states proves nothing, and is a reason of its own. What is not claimed is not asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.routing import role_of
from pytest_dynperf.metrics.success import successful

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.series import Series
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.scenario.traffic import Traffic

PROMETHEUS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        ids.ENGINE_DRAFTS: ("vllm:spec_decode_num_drafts", "sglang:spec_verify_calls"),
        ids.ENGINE_DRAFT_TOKENS: ("trtllm_spec_decode_drafted_tokens",),
        ids.ENGINE_EXTERNAL_QUERIES: ("vllm:external_prefix_cache_queries",),
        ids.ENGINE_EXTERNAL_HITS: ("vllm:external_prefix_cache_hits",),
        ids.ENGINE_EXTERNAL_TOKENS: ("vllm:prompt_tokens_by_source",),
        ids.ENGINE_PREFIX_HITS: ("vllm:prefix_cache_hits", "sglang:cached_tokens"),
        ids.ENGINE_REQUESTS: ("dynamo_component_requests",),
        ids.FRONTEND_CACHED_TOKENS: ("dynamo_frontend_cached_tokens",),
        ids.ROUTER_EVENTS: ("dynamo_component_kv_cache_events_applied",),
        ids.ROUTER_EVENT_BATCHES: ("dynamo_component_router_kv_zmq_ingress_batches",),
        ids.ROUTER_SILENT_WORKERS: ("dynamo_component_router_kv_event_source_mismatch_workers",),
        ids.ROUTER_HIT_RATE + ids.SUM: ("dynamo_component_router_kv_hit_rate",),
        ids.LMCACHE_REQUESTED_TOKENS: ("lmcache_mp_lookup_requested_tokens", "lmcache:num_lookup_tokens"),
        ids.LMCACHE_HIT_TOKENS: ("lmcache_mp_lookup_hit_tokens", "lmcache:num_lookup_hits"),
        ids.LMCACHE_L2_HIT_TOKENS: ("lmcache_mp_lookup_hit_l2_tokens",),
        ids.LMCACHE_HEALTHY: ("lmcache:lmcache_is_healthy",),
        ids.KVBM_MATCHED_TOKENS: ("kvbm_matched_tokens",),
        ids.KVBM_OFFLOADED_BLOCKS: ("kvbm_offload_blocks_d2h",),
        ids.KVBM_OFFLOADED_PAST_HOST: ("kvbm_offload_blocks_d2d",),
        ids.KVBM_ONBOARDED_BLOCKS: ("kvbm_onboard_blocks_h2d",),
        ids.KVBM_ONBOARDED_FROM_DISK: ("kvbm_onboard_blocks_d2d",),
        ids.KV_TRANSFERS: ("vllm:nixl_bytes_transferred_count", "sglang:kv_transfer_total_mb_count", "trtllm_kv_transfer_success"),
    }
)
"""What services call the series that are evidence here, for sentences; the whole table, by version, is telemetry's."""

_WORKERS, _FRONTEND = "the workers", "Dynamo's frontend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What proves a claim: that one of ``series`` rose. ``claim`` is the key that makes it, ``what`` had to happen, ``where`` it would be
    counted, ``otherwise`` what to look at when it did not happen. ``roles``: only services of these roles count; empty: all.
    """

    claim: str
    what: str
    series: tuple[str, ...]
    where: str
    otherwise: str
    roles: tuple[str, ...] = ()


def inactive(topology: Topology, traffic: Traffic, recording: Recording) -> tuple[str, ...]:
    """Sentences for people, one for each feature that ``topology`` claims and that did not take part, as far as ``traffic`` would have
    made it; empty where all did. Nothing is said of a run that has incidents, or no successful request: that is its flaw.
    """
    if topology.engine == "unknown" or recording.incidents or not successful(recording):
        return ()
    return (
        *_speculation(topology, recording),
        *_tiers(topology, traffic, recording),
        *_routing(topology, traffic, recording),
        *_transfers(topology, recording),
    )


def reuses(traffic: Traffic) -> bool:
    """Whether requests of one run begin with the same text often enough for a cache to show it."""
    workload = traffic.workload
    if workload.kind == "shared-prefix":
        return workload.prefix_ratio > 0 and workload.prefix_count < traffic.request_count
    return (workload.kind == "conversation" and workload.turns > 1) or traffic.cache == "warm"


def _speculation(topology: Topology, recording: Recording) -> Iterator[str]:
    method = topology.speculation.method
    if method == "none":
        return
    evidence = Evidence(
        claim=f"topology.speculation.method = {method!r}",
        what="drafts",
        series=(ids.ENGINE_DRAFTS, ids.ENGINE_DRAFT_TOKENS),
        where=_WORKERS,
        otherwise="see in their logs whether they took the speculative configuration",
    )
    yield from _unproven(evidence, recording)


def _tiers(topology: Topology, traffic: Traffic, recording: Recording) -> Iterator[str]:
    connector = topology.kv_cache.connector
    if connector in ("none", "nixl"):
        return
    claim = f"topology.kv_cache.connector = {connector!r}"
    asked = Evidence(
        claim=claim,
        what="look-ups in the tier" if connector != "kvbm" or topology.engine == "vllm" else "blocks that the tier took or gave",
        series=_asked_of(connector, topology.engine),
        where="`lmcache server`" if connector == "lmcache-mp" else _WORKERS,
        otherwise="it is not connected: see the workers' logs",
        # In a decode worker the engine counts what it received from prefill as if it were a tier.
        roles=("worker", "prefill", "lmcache"),
    )
    sleeping = tuple(_unproven(asked, recording))
    yield from sleeping
    if sleeping:
        return
    yield from _unhealthy(claim, recording)
    if not reuses(traffic) and traffic.cache not in {"warm", "disk"}:
        return
    hits = Evidence(
        claim=claim,
        what="hits of the tier",
        series=_found_by(connector, topology.engine),
        where=_WORKERS,
        otherwise=(
            "it was asked and never had anything: it is broken, or the device's own cache holds all that is asked twice "
            "(a smaller one there makes the tier work)"
        ),
        roles=("worker", "prefill", "lmcache"),
    )
    missing = tuple(_unproven(hits, recording))
    yield from missing
    if traffic.cache == "disk" and not missing:
        yield from _second_tier(topology, recording)


def _asked_of(connector: str, engine: str) -> tuple[str, ...]:
    if connector == "lmcache-mp":
        return (ids.LMCACHE_REQUESTED_TOKENS,)  # the server's own word: an engine also counts what it could not send
    if engine == "vllm":
        return (ids.ENGINE_EXTERNAL_QUERIES,)
    if connector == "lmcache":
        return (ids.LMCACHE_REQUESTED_TOKENS,)
    return (
        *(ids.KVBM_OFFLOADED_BLOCKS, ids.KVBM_OFFLOADED_PAST_HOST, ids.KVBM_MATCHED_TOKENS),
        *(ids.KVBM_ONBOARDED_BLOCKS, ids.KVBM_ONBOARDED_FROM_DISK),
    )


def _found_by(connector: str, engine: str) -> tuple[str, ...]:
    """Where the engine counts what it took from the tier, that decides: what a tier has and nobody takes helps nobody."""
    if engine == "vllm":
        return (ids.ENGINE_EXTERNAL_HITS,)
    if connector == "kvbm":
        return (ids.KVBM_MATCHED_TOKENS, ids.KVBM_ONBOARDED_BLOCKS, ids.KVBM_ONBOARDED_FROM_DISK)
    return (ids.LMCACHE_HIT_TOKENS,)


def _unhealthy(claim: str, recording: Recording) -> Iterator[str]:
    ill = sorted({series.source for series in _of(recording, (ids.LMCACHE_HEALTHY,)) if series.values and series.values[-1] == 0})
    if ill:
        yield f"{claim} was not active: {', '.join(ill)} states lmcache:lmcache_is_healthy 0 at the end of the run"


def _second_tier(topology: Topology, recording: Recording) -> Iterator[str]:
    cache = topology.kv_cache
    claim = f"traffic.cache = 'disk' with topology.kv_cache.connector = {cache.connector!r}"
    if cache.disk_gib is None:
        yield f"{claim}: there is no tier on disk; set topology.kv_cache.disk_gib"
    elif cache.connector == "lmcache":
        if cache.host_gib is not None:
            yield (
                f"{claim} cannot be shown: inside an engine LMCache counts no hits by tier. Leave topology.kv_cache.host_gib out, so that "
                "every hit is one of the disk, or take 'lmcache-mp'"
            )
    else:
        mp = cache.connector == "lmcache-mp"
        evidence = Evidence(
            claim=claim,
            what="hits on disk",
            series=(ids.LMCACHE_L2_HIT_TOKENS,) if mp else (ids.KVBM_ONBOARDED_FROM_DISK,),
            where="`lmcache server`" if mp else "KVBM's page of the workers",
            otherwise="all hits were of the host tier: what was to be on disk was not written, not found, or not emptied above it",
        )
        yield from _unproven(evidence, recording)


def _routing(topology: Topology, traffic: Traffic, recording: Recording) -> Iterator[str]:
    if topology.served_by != "dynamo" or topology.router_mode != "kv":
        return
    claim, again = "topology.router_mode = 'kv'", reuses(traffic)
    if topology.kv_cache.prefix_caching is False:
        if again:
            yield (
                f"{claim} with topology.kv_cache.prefix_caching = false: requests share their beginnings and no worker keeps any, so there "
                "is nothing to route by; switch prefix caching on"
            )
        return
    if _listens(topology):
        yield from _events(recording)
    if not again:
        return
    expected = Evidence(
        claim=claim,
        what="prompts of which the router expected a part in a cache",
        series=(ids.ROUTER_HIT_RATE + ids.SUM,),
        where=_FRONTEND,
        otherwise="requests share their beginnings: see whether prefix caching is on, and whether what they share fills a block",
    )
    missing = tuple(_unproven(expected, recording))
    yield from missing
    if not missing:
        yield from _unfounded(claim, topology, recording)


def _listens(topology: Topology) -> bool:
    """Whether the KV router is told by the workers what they hold: asked so, or by default, and not switched off by a free argument."""
    last = [word for word in topology.router_args if word.endswith("kv-events") and word.startswith("--")][-1:]
    return topology.router.kv_events is not False if not last else not last[0].startswith("--no-")


def _events(recording: Recording) -> Iterator[str]:
    claim = "topology.router_mode = 'kv' by KV events"
    # The least of all readings: a worker that has just come back is silent for a moment.
    silent = max((min(series.values) for series in _of(recording, (ids.ROUTER_SILENT_WORKERS,)) if series.values), default=0.0)
    if silent:
        yield (
            f"{claim} was not active: {silent:.0f} workers sent the router no KV events "
            f"({PROMETHEUS[ids.ROUTER_SILENT_WORKERS][0]} throughout the run); see whether prefix caching is on, "
            "and whether free arguments switched the events off"
        )
        return
    # Over ZMQ the router counts what came. Elsewhere only what it made of it, and its own guesses go under the same name.
    over_zmq = any(len(series.values) > 1 for series in _of(recording, (ids.ROUTER_EVENT_BATCHES,)))
    evidence = Evidence(
        claim=claim,
        what="events that reached the router",
        series=(ids.ROUTER_EVENT_BATCHES,) if over_zmq else (ids.ROUTER_EVENTS,),
        where=_FRONTEND,
        otherwise=(
            "workers published none, their sockets could not be reached, or no prompt fills a block; "
            "topology.router.kv_events = false routes by the router's own guess"
        ),
    )
    yield from _unproven(evidence, recording)


def _unfounded(claim: str, topology: Topology, recording: Recording) -> Iterator[str]:
    """Whether workers really had what the router expected: by the answers, by what workers told the frontend, or by the engines' counters.

    The mocker of Dynamo 1.4.2 tells it nowhere; what its workers publish is all there is.
    """
    answers = [record.cached_tokens for record in successful(recording) if record.cached_tokens is not None]
    told = [series for series in _of(recording, (ids.FRONTEND_CACHED_TOKENS + ids.COUNT,)) if _rise(series)]
    counted = [series for series in _of(recording, (ids.ENGINE_PREFIX_HITS,)) if len(series.values) > 1]
    if any(answers) or any(map(_rise, (*counted, *(_of(recording, (ids.FRONTEND_CACHED_TOKENS + ids.SUM,)) if told else ())))):
        return
    what = "tokens that workers had in their caches"
    if answers or told or counted:
        yield (
            f"{claim} was not active: {what} were counted 0 times while {len(successful(recording))} requests were answered; the router "
            "expected some of each prompt and nothing was there: see whether prefix caching is on"
        )
    elif topology.engine != "mocker":
        names = " or ".join(PROMETHEUS[series_id][0] for series_id in (ids.ENGINE_PREFIX_HITS, ids.FRONTEND_CACHED_TOKENS))
        yield (
            f"{claim} cannot be shown: {what} would stand in the answers (usage.prompt_tokens_details.cached_tokens) or be counted in "
            f"{names}, on the page of {_WORKERS} or of {_FRONTEND}, and no service that was asked states it"
        )


def _transfers(topology: Topology, recording: Recording) -> Iterator[str]:
    if topology.mode != "disagg":
        return
    if topology.engine == "mocker":
        evidence = Evidence(
            claim="topology.mode = 'disagg'",
            what="requests that prefill workers took",
            series=(ids.ENGINE_REQUESTS,),
            where="the prefill workers",
            otherwise="decode workers did all of it: see whether the frontend found the prefill workers",
            roles=("prefill",),
        )
    else:
        evidence = Evidence(
            claim="topology.mode = 'disagg'",
            what="KV transfers from prefill to decode",
            series=(ids.KV_TRANSFERS, ids.ENGINE_EXTERNAL_TOKENS),
            where=_WORKERS,
            otherwise="decode workers computed the prompts themselves: see whether the frontend found the prefill workers",
            # vLLM's decode workers fetch; what its prefill workers receive comes from a tier. The others count where they send.
            roles=("decode",) if topology.engine == "vllm" else ("prefill", "decode"),
        )
    yield from _unproven(evidence, recording)


def _unproven(evidence: Evidence, recording: Recording) -> Iterator[str]:
    found = [
        series
        for series in _of(recording, evidence.series)
        if len(series.values) > 1 and (not evidence.roles or role_of(series.source) in evidence.roles)
    ]
    if not found:
        names = " or ".join(name for series_id in evidence.series for name in PROMETHEUS[series_id])
        said = "no server metrics were read during the run" if not recording.series else "no service that was asked states it"
        yield f"{evidence.claim} cannot be shown: {evidence.what} would be counted in {names}, on the page of {evidence.where}, and {said}"
        return
    if any(map(_rise, found)):
        return
    names = " and ".join(name for series_id in dict.fromkeys(series.id for series in found) for name in PROMETHEUS[series_id][:1])
    sources = ", ".join(dict.fromkeys(series.source for series in found))
    yield (
        f"{evidence.claim} was not active: {evidence.what} were counted 0 times while {len(successful(recording))} requests were answered "
        f"({names} of {sources}); {evidence.otherwise}"
    )


def _rise(series: Series) -> float:
    return series.values[-1] - series.values[0] if series.values else 0.0


def _of(recording: Recording, series_ids: tuple[str, ...]) -> tuple[Series, ...]:
    return tuple(series for series in recording.series if series.id in series_ids)
