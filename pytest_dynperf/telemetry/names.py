"""What Dynamo, vLLM, SGLang, TensorRT-LLM, LMCache and KVBM call what ``metrics.series_ids`` names: one table for all versions. Pure.

Of several names for one id, the first that a service states is read and the others are not: Dynamo's mocker, for one, states both names
of vLLM's KV cache usage. Evidence, in the table: *seen* on a running server of that version, or *read* (its documentation, source, or what
others parse) and not seen by us.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pytest_dynperf.metrics import series_ids as ids

if TYPE_CHECKING:
    from collections.abc import Mapping


class Form(Enum):
    """What stands behind a name on a page."""

    COUNTER = "counter"  # NAME or NAME_total
    GAUGE = "gauge"  # NAME
    HISTOGRAM = "histogram"  # NAME_sum, NAME_count, NAME_bucket{le}


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """``name`` is without ``_total``. ``scale`` makes SI of its values. Only samples that have the labels ``where`` are read. A counter is
    summed over its labels, but for those in ``keep``: each of their values is a series of its own.
    """

    series: str
    name: str
    form: Form
    evidence: str
    scale: float = 1.0
    where: tuple[tuple[str, str], ...] = ()
    keep: tuple[str, ...] = ()


_DYNAMO_SEEN = "seen: Dynamo 1.4.2"
_MOCKER_SEEN = "seen: mocker of Dynamo 1.4.2 (as vLLM states it)"
_VLLM_SEEN = "seen: vLLM 0.31 and 0.32 on a CPU"
_READ = "read"
_IN_PROCESS = f"{_READ}: LMCache in the engine's process"
_KVBM = f"{_READ}: Dynamo 0.9 to 1.4"


def _counter(
    series: str, name: str, evidence: str, *, where: tuple[tuple[str, str], ...] = (), keep: tuple[str, ...] = (), scale: float = 1.0
) -> Name:
    return Name(series=series, name=name, form=Form.COUNTER, evidence=evidence, where=where, keep=keep, scale=scale)


def _gauge(series: str, name: str, evidence: str) -> Name:
    return Name(series=series, name=name, form=Form.GAUGE, evidence=evidence)


def _histogram(series: str, name: str, evidence: str, *, scale: float = 1.0) -> Name:
    return Name(series=series, name=name, form=Form.HISTOGRAM, evidence=evidence, scale=scale)


DYNAMO = (
    _counter(ids.FRONTEND_REQUESTS, "dynamo_frontend_requests", _DYNAMO_SEEN),
    # The sum of a histogram: the frontend has no counter of input tokens.
    _counter(ids.FRONTEND_INPUT_TOKENS, "dynamo_frontend_input_sequence_tokens_sum", _DYNAMO_SEEN),
    _counter(ids.FRONTEND_OUTPUT_TOKENS, "dynamo_frontend_output_tokens", _DYNAMO_SEEN),
    _histogram(
        ids.FRONTEND_CACHED_TOKENS, "dynamo_frontend_cached_tokens", f"{_DYNAMO_SEEN} and 1.6.1; the mocker of 1.4.2 gives no value"
    ),
    _histogram(ids.FRONTEND_TIME_TO_FIRST_TOKEN, "dynamo_frontend_time_to_first_token_seconds", _DYNAMO_SEEN),
    _histogram(ids.FRONTEND_INTER_TOKEN_LATENCY, "dynamo_frontend_inter_token_latency_seconds", _DYNAMO_SEEN),
    _gauge(ids.FRONTEND_REQUESTS_IN_FLIGHT, "dynamo_frontend_inflight_requests", _DYNAMO_SEEN),
    _gauge(ids.FRONTEND_REQUESTS_QUEUED, "dynamo_frontend_queued_requests", _DYNAMO_SEEN),
    _counter(ids.FRONTEND_MIGRATIONS, "dynamo_frontend_model_migration", _DYNAMO_SEEN),
    _histogram(ids.ROUTER_OVERHEAD, "dynamo_router_overhead_total_ms", _DYNAMO_SEEN, scale=1e-3),
    _histogram(ids.ROUTER_OVERHEAD, "dynamo_routing_overhead_total_ms", f"{_READ}: Dynamo 0.9", scale=1e-3),
    _histogram(ids.ROUTER_HIT_RATE, "dynamo_component_router_kv_hit_rate", _DYNAMO_SEEN),
    _gauge(ids.ROUTER_REQUESTS_PENDING, "dynamo_frontend_router_queue_pending_requests", _DYNAMO_SEEN),
    _counter(ids.ROUTER_EVENTS, "dynamo_component_kv_cache_events_applied", f"{_DYNAMO_SEEN} and 1.6.1", where=(("status", "ok"),)),
    _counter(ids.ROUTER_EVENT_BATCHES, "dynamo_component_router_kv_zmq_ingress_batches", f"{_DYNAMO_SEEN} and 1.6.1; from 1.4 on"),
    _gauge(ids.ROUTER_SILENT_WORKERS, "dynamo_component_router_kv_event_source_mismatch_workers", f"{_DYNAMO_SEEN}; from 1.4 on"),
    _counter(ids.ENGINE_REQUESTS, "dynamo_component_requests", f"{_DYNAMO_SEEN} and 1.6.1", where=(("dynamo_endpoint", "generate"),)),
)

VLLM = (
    _gauge(ids.ENGINE_REQUESTS_RUNNING, "vllm:num_requests_running", _MOCKER_SEEN),
    _gauge(ids.ENGINE_REQUESTS_WAITING, "vllm:num_requests_waiting", _MOCKER_SEEN),
    _gauge(ids.ENGINE_KV_CACHE_USAGE, "vllm:kv_cache_usage_perc", f"{_MOCKER_SEEN}; {_VLLM_SEEN}"),
    _gauge(ids.ENGINE_KV_CACHE_USAGE, "vllm:gpu_cache_usage_perc", f"{_MOCKER_SEEN}; {_READ}: vLLM before 0.10"),
    _histogram(ids.ENGINE_QUEUE_TIME, "vllm:request_queue_time_seconds", f"{_READ}: vLLM"),
    _histogram(ids.ENGINE_TIME_TO_FIRST_TOKEN, "vllm:time_to_first_token_seconds", _MOCKER_SEEN),
    _histogram(ids.ENGINE_INTER_TOKEN_LATENCY, "vllm:inter_token_latency_seconds", _MOCKER_SEEN),
    _histogram(ids.ENGINE_INTER_TOKEN_LATENCY, "vllm:time_per_output_token_seconds", f"{_READ}: older vLLM"),
    _counter(ids.ENGINE_PREEMPTIONS, "vllm:num_preemptions", _MOCKER_SEEN),
    _counter(ids.ENGINE_PROMPT_TOKENS, "vllm:prompt_tokens", f"{_READ}: vLLM"),
    _counter(ids.ENGINE_GENERATED_TOKENS, "vllm:generation_tokens", f"{_READ}: vLLM"),
    _counter(ids.ENGINE_PREFIX_QUERIES, "vllm:prefix_cache_queries", _VLLM_SEEN),
    _counter(ids.ENGINE_PREFIX_HITS, "vllm:prefix_cache_hits", _VLLM_SEEN),
    _counter(ids.ENGINE_EXTERNAL_QUERIES, "vllm:external_prefix_cache_queries", _VLLM_SEEN),
    _counter(ids.ENGINE_EXTERNAL_HITS, "vllm:external_prefix_cache_hits", _VLLM_SEEN),
    _counter(ids.ENGINE_REQUESTS, "vllm:request_success", "seen: vLLM 0.31 on a CPU"),
    _counter(ids.ENGINE_EXTERNAL_TOKENS, "vllm:prompt_tokens_by_source", _VLLM_SEEN, where=(("source", "external_kv_transfer"),)),
    _counter(ids.ENGINE_DRAFTS, "vllm:spec_decode_num_drafts", _VLLM_SEEN),
    _counter(ids.ENGINE_DRAFT_TOKENS, "vllm:spec_decode_num_draft_tokens", _VLLM_SEEN),
    _counter(ids.ENGINE_ACCEPTED_TOKENS, "vllm:spec_decode_num_accepted_tokens", _VLLM_SEEN),
    _counter(ids.ENGINE_ACCEPTED_AT_POSITION, "vllm:spec_decode_num_accepted_tokens_per_pos", _VLLM_SEEN, keep=("position",)),
    # A histogram of bytes with one value per transfer.
    _counter(ids.KV_TRANSFERS, "vllm:nixl_bytes_transferred_count", "seen: vLLM 0.31 on a CPU, NIXL 1.4"),
    _counter(ids.KV_TRANSFERRED_BYTES, "vllm:nixl_bytes_transferred_sum", "seen: vLLM 0.31 on a CPU, NIXL 1.4"),
    _counter(ids.KV_TRANSFER_FAILURES, "vllm:nixl_num_failed_transfers", "seen: vLLM 0.31 on a CPU, NIXL 1.4"),
)

SGLANG = (
    _gauge(ids.ENGINE_REQUESTS_RUNNING, "sglang:num_running_reqs", f"{_READ}: SGLang"),
    _gauge(ids.ENGINE_REQUESTS_WAITING, "sglang:num_queue_reqs", f"{_READ}: SGLang"),
    _gauge(ids.ENGINE_KV_CACHE_USAGE, "sglang:token_usage", f"{_READ}: SGLang"),
    _histogram(ids.ENGINE_TIME_TO_FIRST_TOKEN, "sglang:time_to_first_token_seconds", f"{_READ}: SGLang"),
    _counter(ids.ENGINE_PROMPT_TOKENS, "sglang:prompt_tokens", f"{_READ}: SGLang"),
    _counter(ids.ENGINE_GENERATED_TOKENS, "sglang:generation_tokens", f"{_READ}: SGLang"),
    # SGLang looks up every prompt token, and counts those that it found.
    _counter(ids.ENGINE_PREFIX_QUERIES, "sglang:prompt_tokens", f"{_READ}: SGLang"),
    _counter(ids.ENGINE_PREFIX_HITS, "sglang:cached_tokens", f"{_READ}: SGLang"),
    _counter(ids.ENGINE_REQUESTS, "sglang:num_requests", f"{_READ}: SGLang"),
    # One verification of a draft each, counted when a request ends.
    _counter(ids.ENGINE_DRAFTS, "sglang:spec_verify_calls", f"{_READ}: SGLang"),
    # The prefill side states them.
    _counter(ids.KV_TRANSFERS, "sglang:kv_transfer_total_mb_count", f"{_READ}: SGLang"),
    _counter(ids.KV_TRANSFER_FAILURES, "sglang:num_transfer_failed_reqs", f"{_READ}: SGLang"),
)

TRTLLM = (
    _counter(ids.ENGINE_DRAFT_TOKENS, "trtllm_spec_decode_drafted_tokens", f"{_READ}: TensorRT-LLM"),
    _counter(ids.ENGINE_ACCEPTED_TOKENS, "trtllm_spec_decode_accepted_tokens", f"{_READ}: TensorRT-LLM"),
    _counter(ids.ENGINE_REQUESTS, "trtllm_request_success", f"{_READ}: TensorRT-LLM"),
    # Of Dynamo's worker; the prefill side states them.
    _counter(ids.KV_TRANSFERS, "trtllm_kv_transfer_success", f"{_READ}: Dynamo 1.4"),
    _counter(ids.KV_TRANSFERRED_BYTES, "trtllm_kv_transfer_bytes_sum", f"{_READ}: Dynamo 1.4"),
)

CACHES = (
    _counter(ids.LMCACHE_REQUESTED_TOKENS, "lmcache_mp_lookup_requested_tokens", "seen: LMCache 0.5.6, `lmcache server`"),
    # What is looked up; older versions count only what is then fetched.
    _counter(ids.LMCACHE_REQUESTED_TOKENS, "lmcache:num_lookup_tokens", _IN_PROCESS),
    _counter(ids.LMCACHE_REQUESTED_TOKENS, "lmcache:num_requested_tokens", _IN_PROCESS),
    _counter(ids.LMCACHE_HIT_TOKENS, "lmcache_mp_lookup_hit_tokens", "seen: LMCache 0.5.6, `lmcache server`"),
    _counter(ids.LMCACHE_HIT_TOKENS, "lmcache:num_lookup_hits", _IN_PROCESS),
    _counter(ids.LMCACHE_HIT_TOKENS, "lmcache:num_hit_tokens", _IN_PROCESS),
    _counter(ids.LMCACHE_L1_HIT_TOKENS, "lmcache_mp_lookup_hit_l1_tokens", "seen: LMCache 0.5.6, `lmcache server`"),
    _counter(ids.LMCACHE_L2_HIT_TOKENS, "lmcache_mp_lookup_hit_l2_tokens", "seen: LMCache 0.5.6, `lmcache server`"),
    _gauge(ids.LMCACHE_HEALTHY, "lmcache:lmcache_is_healthy", _IN_PROCESS),
    _counter(ids.KVBM_MATCHED_TOKENS, "kvbm_matched_tokens", _KVBM),
    # "h2d" is host to disk when offloading, and host to device when onboarding.
    _counter(ids.KVBM_OFFLOADED_BLOCKS, "kvbm_offload_blocks_d2h", _KVBM),
    _counter(ids.KVBM_OFFLOADED_TO_DISK, "kvbm_offload_blocks_h2d", _KVBM),
    _counter(ids.KVBM_OFFLOADED_PAST_HOST, "kvbm_offload_blocks_d2d", _KVBM),
    _counter(ids.KVBM_OFFLOADED_TO_STORE, "kvbm_offload_blocks_d2o", _KVBM),
    _counter(ids.KVBM_ONBOARDED_BLOCKS, "kvbm_onboard_blocks_h2d", _KVBM),
    _counter(ids.KVBM_ONBOARDED_FROM_DISK, "kvbm_onboard_blocks_d2d", _KVBM),
    _counter(ids.KVBM_ONBOARDED_FROM_STORE, "kvbm_onboard_blocks_o2d", _KVBM),
)

TABLE = (*DYNAMO, *VLLM, *SGLANG, *TRTLLM, *CACHES)


def _by_sample() -> dict[str, tuple[tuple[Name, str], ...]]:
    found: dict[str, tuple[tuple[Name, str], ...]] = {}
    for name in TABLE:
        parts = {
            Form.COUNTER: {"": "", "_total": ""},
            Form.GAUGE: {"": ""},
            Form.HISTOGRAM: {"_sum": ids.SUM, "_count": ids.COUNT, "_bucket": ids.BUCKET},
        }[name.form]
        for suffix, part in parts.items():
            found[name.name + suffix] = (*found.get(name.name + suffix, ()), (name, part))
    return found


BY_SAMPLE: Mapping[str, tuple[tuple[Name, str], ...]] = _by_sample()
"""Name of a sample, as pages have it, to the entries of the table and the part of a histogram that it is."""
