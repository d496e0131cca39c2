"""Whether the features that a topology claims took part in a run, by what the services counted. Pure.

A run of an arm whose feature slept measures the other arm: it is invalid, whatever its numbers are. So is one in which it took part now and
then: caches, routing and transfers must have served a share of what they could have (``expect.min_active_share``). What counts is what was
counted since the first measured request (:mod:`~pytest_dynperf.measurement.evidence`). A counter that no service states proves nothing, and
is a reason of its own. What is not claimed is not asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.measurement.evidence import (
    BLOCK_TOKENS,
    PROMETHEUS,
    Evidence,
    nobody_states_it,
    of_ids,
    prompt_tokens,
    rise,
    too_few,
    unproven,
)
from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.success import successful
from pytest_dynperf.scenario.expectation import MIN_ACTIVE_SHARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.scenario.traffic import Traffic

_WORKERS, _FRONTEND = "the workers", "Dynamo's frontend"
WITHOUT_TIER = frozenset({"none", "nixl"})
"""Connectors that keep nothing beside the device."""


def inactive(topology: Topology, traffic: Traffic, recording: Recording, *, min_active_share: float = MIN_ACTIVE_SHARE) -> tuple[str, ...]:
    """Sentences for people, one for each feature that ``topology`` claims and that did not take part, as far as ``traffic`` would have
    made it; empty where all did. Nothing is said of a run that has incidents, or no successful request: that is its flaw.
    ``min_active_share``: of what caches, routing and transfers could have served, what they must have.
    """
    if topology.engine == "unknown" or recording.incidents or not successful(recording):
        return ()
    return (
        *_speculation(topology, recording, share=min_active_share),
        *_tiers(topology, traffic, recording, share=min_active_share),
        *_device(topology, traffic, recording, share=min_active_share),
        *_routing(topology, traffic, recording, share=min_active_share),
        *_transfers(topology, recording, share=min_active_share),
    )


def reuses(traffic: Traffic) -> bool:
    """Whether requests of one run begin with the same text often enough for a cache to show it."""
    workload = traffic.workload
    if workload.kind == "shared-prefix":
        return workload.prefix_ratio > 0 and workload.prefix_count < traffic.request_count
    return (workload.kind == "conversation" and workload.turns > 1) or traffic.cache == "warm"


def asked_before(traffic: Traffic) -> float:
    """Share of the tokens of a run's prompts that have been asked before, by the run itself or while its caches were warmed."""
    workload = traffic.workload
    if traffic.cache in {"warm", "disk"}:
        return 1.0
    if workload.kind == "shared-prefix":
        return workload.prefix_ratio * max(0.0, 1 - workload.prefix_count / traffic.request_count)
    # Turn k of T repeats k - 1 turns: of all that is sent, (T - 1) / (T + 1).
    return (workload.turns - 1) / (workload.turns + 1) if workload.kind == "conversation" else 0.0


def _speculation(topology: Topology, recording: Recording, *, share: float) -> Iterator[str]:
    method = topology.speculation.method
    if method == "none":
        return
    evidence = Evidence(
        claim=f"topology.speculation.method = {method!r}",
        what="drafts",
        series=(ids.ENGINE_DRAFTS, ids.ENGINE_DRAFT_TOKENS),
        where=_WORKERS,
        otherwise="see in their logs whether they took the speculative configuration",
        share=0.0 if method == "ngram" else share,  # it drafts where it finds something, a model drafts in every step
    )
    yield from unproven(evidence, recording)


def _tiers(topology: Topology, traffic: Traffic, recording: Recording, *, share: float) -> Iterator[str]:
    connector = topology.kv_cache.connector
    if connector in WITHOUT_TIER:
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
    sleeping = tuple(unproven(asked, recording))
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
            "it was asked and had nothing, or next to nothing: it is broken, or the device's own cache holds all that is asked twice "
            "(a smaller one there makes the tier work)"
        ),
        roles=("worker", "prefill", "lmcache"),
        share=share * asked_before(traffic),
        of=_looked_up_by(connector, topology.engine),
        block_tokens=topology.block_size or BLOCK_TOKENS,
    )
    missing = tuple(unproven(hits, recording))
    yield from missing
    if traffic.cache == "disk" and not missing:
        yield from _second_tier(topology, traffic, recording, share=share)


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


def _looked_up_by(connector: str, engine: str) -> tuple[str, ...]:
    """What the hits are a part of; empty where nobody counts it."""
    if engine == "vllm":
        return (ids.ENGINE_EXTERNAL_QUERIES,)
    return () if connector == "kvbm" else (ids.LMCACHE_REQUESTED_TOKENS,)


def _unhealthy(claim: str, recording: Recording) -> Iterator[str]:
    ill = sorted({series.source for series in of_ids(recording, (ids.LMCACHE_HEALTHY,)) if series.values and series.values[-1] == 0})
    if ill:
        yield f"{claim} was not active: {', '.join(ill)} states lmcache:lmcache_is_healthy 0 at the end of the run"


def _second_tier(topology: Topology, traffic: Traffic, recording: Recording, *, share: float) -> Iterator[str]:
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
            otherwise=(
                "all hits were of the host tier, or nearly all: what was to be on disk was not written, not found, or not emptied above it"
            ),
            # What requests share is fetched from the disk by the first of them, and lies above it then.
            share=share if traffic.workload.kind in {"synthetic", "images"} else 0.0,
            of=(ids.LMCACHE_REQUESTED_TOKENS,) if mp else (),
            block_tokens=topology.block_size or BLOCK_TOKENS,
        )
        yield from unproven(evidence, recording)


def _device(topology: Topology, traffic: Traffic, recording: Recording, *, share: float) -> Iterator[str]:
    """Caches that were warmed, where the device's own are all there are: its prefix cache served what was asked again."""
    cache = topology.kv_cache
    if traffic.cache != "warm" or cache.connector not in WITHOUT_TIER or _routes_by_cache(topology):
        return
    if topology.engine == "mocker" and any("--num-g" in word for role in topology.roles.values() for word in role.args):
        return  # simulated tiers below the device, of which it states nothing
    claim = "traffic.cache = 'warm'"
    if cache.prefix_caching is False:
        yield f"{claim} with topology.kv_cache.prefix_caching = false: nothing keeps what was asked, so nothing is warm; switch it on"
        return
    yield from _not_held(
        claim,
        topology,
        recording,
        share=share * asked_before(traffic),
        otherwise="what was asked a moment before was not there: prefix caching is off, or the device has no room for all that a run asks",
    )


def _routes_by_cache(topology: Topology) -> bool:
    return topology.served_by == "dynamo" and topology.router_mode == "kv"


def _routing(topology: Topology, traffic: Traffic, recording: Recording, *, share: float) -> Iterator[str]:
    if not _routes_by_cache(topology):
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
        share=share * asked_before(traffic),
    )
    missing = tuple(unproven(expected, recording))
    yield from missing
    if not missing:
        yield from _not_held(
            claim,
            topology,
            recording,
            share=share * asked_before(traffic),
            otherwise="the router expected some of each prompt and nothing was there: see whether prefix caching is on",
        )


def _listens(topology: Topology) -> bool:
    """Whether the KV router is told by the workers what they hold: asked so, or by default, and not switched off by a free argument."""
    last = [word for word in topology.router_args if word.endswith("kv-events") and word.startswith("--")][-1:]
    return topology.router.kv_events is not False if not last else not last[0].startswith("--no-")


def _events(recording: Recording) -> Iterator[str]:
    claim = "topology.router_mode = 'kv' by KV events"
    # The least of all readings: a worker that has just come back is silent for a moment.
    silent = max((min(series.values) for series in of_ids(recording, (ids.ROUTER_SILENT_WORKERS,)) if series.values), default=0.0)
    if silent:
        yield (
            f"{claim} was not active: {silent:.0f} workers sent the router no KV events "
            f"({PROMETHEUS[ids.ROUTER_SILENT_WORKERS][0]} throughout the run); see whether prefix caching is on, "
            "and whether free arguments switched the events off"
        )
        return
    # Over ZMQ the router counts what came. Elsewhere only what it made of it, and its own guesses go under the same name.
    over_zmq = any(len(series.values) > 1 for series in of_ids(recording, (ids.ROUTER_EVENT_BATCHES,)))
    evidence = Evidence(
        claim=claim,
        what="events that reached the router",
        series=(ids.ROUTER_EVENT_BATCHES,) if over_zmq else (ids.ROUTER_EVENTS,),
        where=_FRONTEND,
        otherwise=(
            "workers published none, their sockets could not be reached, or no prompt fills a block; "
            "topology.router.kv_events = false routes by the router's own guess"
        ),
        whole_run=True,  # where all is in the caches when the window begins, nothing new is published
    )
    yield from unproven(evidence, recording)


def _not_held(claim: str, topology: Topology, recording: Recording, *, share: float, otherwise: str) -> Iterator[str]:
    """Why it is not shown that workers had ``share`` of the prompts in their caches: by the answers, by what workers told the frontend, or
    by the engines' counters; any of them may tell.

    The mocker of Dynamo 1.4.2 tells it nowhere; what its workers publish is all there is.
    """
    records = successful(recording)
    answers = [record.cached_tokens for record in records if record.cached_tokens is not None]
    told = any(rise(series, recording) for series in of_ids(recording, (ids.FRONTEND_CACHED_TOKENS + ids.COUNT,)))
    counted = [series for series in of_ids(recording, (ids.ENGINE_PREFIX_HITS,)) if len(series.values) > 1]
    by_frontend = of_ids(recording, (ids.FRONTEND_CACHED_TOKENS + ids.SUM,)) if told else ()
    held = max(sum(answers), *(sum(rise(series, recording) for series in found) for found in (by_frontend, counted)))
    needed = share * prompt_tokens(recording)
    if held > 0 and held >= needed:
        return
    what = "tokens that workers had in their caches"
    if answers or told or counted:
        yield f"{claim} was not active: {what} were counted {too_few(held, needed, share, recording)}; {otherwise}"
    elif topology.engine != "mocker":
        names = " or ".join(PROMETHEUS[series_id][0] for series_id in (ids.ENGINE_PREFIX_HITS, ids.FRONTEND_CACHED_TOKENS))
        yield (
            f"{claim} cannot be shown: {what} would stand in the answers (usage.prompt_tokens_details.cached_tokens) or be counted in "
            f"{names}, on the page of {_WORKERS} or of {_FRONTEND}, and {nobody_states_it(recording)}"
        )


def _transfers(topology: Topology, recording: Recording, *, share: float) -> Iterator[str]:
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
            share=share,
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
            share=share,
        )
    yield from unproven(evidence, recording)
