"""What services count that proves a claim, and how much of it is enough. Pure.

In: a recording with the series of its services. Out: sentences for people where a claim is not proven: nobody states the counter, it stood
still, or it rose by too little. What is counted before the window (warm-up, and the warming of caches) proves nothing of the window: a
counter has risen by what it stands at after the last request, less what it stood at when the first measured one was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.routing import role_of
from pytest_dynperf.metrics.success import successful

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.series import Series

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

BLOCK_TOKENS = 128
"""Tokens that a block is taken to hold where nobody says: the largest size that engines have here, so that too few blocks are asked for."""

_REQUESTS = frozenset({ids.ENGINE_DRAFTS, ids.ENGINE_DRAFT_TOKENS, ids.KV_TRANSFERS, ids.ENGINE_REQUESTS, ids.ROUTER_HIT_RATE + ids.SUM})
"""Held against the number of requests: each makes one of them, or drafts more than once."""

_BLOCKS = frozenset({ids.KVBM_OFFLOADED_BLOCKS, ids.KVBM_OFFLOADED_PAST_HOST, ids.KVBM_ONBOARDED_BLOCKS, ids.KVBM_ONBOARDED_FROM_DISK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What proves a claim: that one of ``series`` rose within the window, by at least ``share`` of what it could have risen by. ``claim``
    is the key that makes it, ``what`` had to happen, ``where`` it would be counted, ``otherwise`` what to look at when it did not happen.
    ``roles``: only services of these roles count; empty: all.

    What a counter could have risen by: the requests that were answered, where it counts requests; else the tokens that ``of`` counted as
    looked up, and where nobody states that the tokens of all prompts, in blocks of ``block_tokens`` where it counts blocks. ``whole_run``:
    what was counted before the window is evidence too.
    """

    claim: str
    what: str
    series: tuple[str, ...]
    where: str
    otherwise: str
    roles: tuple[str, ...] = ()
    share: float = 0.0
    of: tuple[str, ...] = ()
    block_tokens: int = BLOCK_TOKENS
    whole_run: bool = False


def unproven(evidence: Evidence, recording: Recording) -> Iterator[str]:
    """Why ``evidence`` is not there; nothing where it is."""
    found = _stated(recording, evidence.series, evidence.roles)
    if not found:
        names = " or ".join(name for series_id in evidence.series for name in PROMETHEUS[series_id])
        yield (
            f"{evidence.claim} cannot be shown: {evidence.what} would be counted in {names}, on the page of {evidence.where}, "
            f"and {nobody_states_it(recording)}"
        )
        return
    amounts = []
    for series_id in dict.fromkeys(series.id for series in found):
        risen = sum(rise(series, recording, whole_run=evidence.whole_run) for series in found if series.id == series_id)
        needed = evidence.share * _possible(evidence, series_id, recording) if evidence.share else 0.0
        if risen > 0 and risen >= needed:
            return
        amounts.append((risen, needed))
    risen, needed = max(amounts)
    names = " and ".join(name for series_id in dict.fromkeys(series.id for series in found) for name in PROMETHEUS[series_id][:1])
    sources = ", ".join(dict.fromkeys(series.source for series in found))
    yield (
        f"{evidence.claim} was not active: {evidence.what} were counted {too_few(risen, needed, evidence.share, recording)} "
        f"({names} of {sources}); {evidence.otherwise}"
    )


def nobody_states_it(recording: Recording) -> str:
    """Why a counter is not known, in words."""
    return "no service that was asked states it" if recording.series else "no server metrics were read during the run"


def too_few(risen: float, needed: float, share: float, recording: Recording) -> str:
    """``16 times while 30 requests were answered, needed are 768 (…)``; what is needed is left out where nothing was counted."""
    said = f"{risen:.6g} times while {len(successful(recording))} requests were answered"
    return said if not risen else f"{said}, needed are {needed:.6g} ({share:.2g} of what could have been, by expect.min_active_share)"


def rise(series: Series, recording: Recording, *, whole_run: bool = False) -> float:
    """By how much a counter rose from the last reading before the first measured request (the first reading, where there is none, or of the
    ``whole_run``) to the last reading.
    """
    if not series.values:
        return 0.0
    before = 0 if whole_run else sum(stamp <= recording.window_start_ns for stamp in series.stamps_ns) - 1
    return series.values[-1] - series.values[max(0, before)]


def of_ids(recording: Recording, series_ids: tuple[str, ...]) -> tuple[Series, ...]:
    """All series of these ids, over all services."""
    return tuple(series for series in recording.series if series.id in series_ids)


def prompt_tokens(recording: Recording) -> int:
    """Of all requests that were answered, as the server counts them; as they were asked where it does not."""
    return sum(record.isl_requested if record.prompt_tokens is None else record.prompt_tokens for record in successful(recording))


def _stated(recording: Recording, series_ids: tuple[str, ...], roles: Iterable[str]) -> list[Series]:
    """Two readings at least: of one nobody knows whether it rose."""
    known = tuple(roles)
    return [series for series in of_ids(recording, series_ids) if len(series.values) > 1 and (not known or role_of(series.source) in known)]


def _possible(evidence: Evidence, series_id: str, recording: Recording) -> float:
    if series_id in _REQUESTS:
        return len(successful(recording))
    asked = _stated(recording, evidence.of, evidence.roles)
    tokens = sum(rise(series, recording) for series in asked) if asked else prompt_tokens(recording)
    return tokens / evidence.block_tokens if series_id in _BLOCKS else tokens
