"""What the services say of themselves: they explain a difference, and prove that a feature was active. One value per run, none gated by
default: a mean over a window is no distribution, and not every server states it.

Over the phase window, from readings taken about once a second. Whatever else the server did meanwhile is in them, surrounding requests
first of all. Over all services that state a series, unless the formula says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.definition import Kind, MetricDefinition
from pytest_dynperf.metrics.over_window import both, histogram_mean, largest, of_id, quantile_estimate, ratio, time_mean, total
from pytest_dynperf.quantity import Absent, Direction, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.series import Series

    Value = Callable[[Recording, RunFacts], float | Absent]
    Parts = Callable[[Recording, RunFacts], tuple[float, float] | Absent]


def _mean_of(*series_ids: str) -> Value:
    """Of the first of the histograms that a service states."""

    def value(recording: Recording, _facts: RunFacts) -> float | Absent:
        return histogram_mean(recording, _first_stated(recording, series_ids, part=ids.COUNT))

    return value


def _parts_of(part: str, whole: str) -> Parts:
    def parts(recording: Recording, _facts: RunFacts) -> tuple[float, float] | Absent:
        return both(recording, part, whole)

    return parts


def _increase_of(series_id: str) -> Value:
    def value(recording: Recording, _facts: RunFacts) -> float | Absent:
        found = total(recording, series_id)
        return found if isinstance(found, Absent) else found.value

    return value


def _rate_of(*series_ids: str) -> Value:
    def value(recording: Recording, _facts: RunFacts) -> float | Absent:
        found = total(recording, _first_stated(recording, series_ids))
        return found if isinstance(found, Absent) else found.value / recording.duration_s

    return value


def _gauge_of(
    series_id: str, over: Callable[[Series, int, int], float | Absent], combine: Callable[[Sequence[float]], float | np.floating]
) -> Value:
    def value(recording: Recording, _facts: RunFacts) -> float | Absent:
        found = of_id(recording, series_id)
        if isinstance(found, Absent):
            return found
        parts = []
        for series in found:
            part = over(series, recording.window_start_ns, recording.window_end_ns)
            if isinstance(part, Absent):
                return part
            parts.append(part)
        return float(combine(parts))

    return value


def _first_stated(recording: Recording, series_ids: Sequence[str], part: str = "") -> str:
    stated = {series.id for series in recording.series}
    return next((series_id for series_id in series_ids if series_id + part in stated), series_ids[0])


def acceptance_length(recording: Recording, _facts: RunFacts) -> float | Absent:
    """1 + accepted tokens / drafts, in tokens per step."""
    accepted = ratio(recording, ids.ENGINE_ACCEPTED_TOKENS, ids.ENGINE_DRAFTS)
    return accepted if isinstance(accepted, Absent) else 1 + accepted


def first_token_p90_estimate(recording: Recording, _facts: RunFacts) -> float | Absent:
    """In seconds, by the frontend's buckets; those of Dynamo are a factor of two apart."""
    return quantile_estimate(recording, ids.FRONTEND_TIME_TO_FIRST_TOKEN, 0.9)


def _definition(
    name: str, unit: Unit, direction: Direction, *, formula: str, source: str, value: Value, kind: Kind = Kind.MAGNITUDE
) -> MetricDefinition:
    return MetricDefinition(
        id=f"{name}.v1",
        unit=unit,
        direction=direction,
        formula=formula,
        source=f"Prometheus: {source}",
        prior_sd=0.04,
        kind=kind,
        value=value,
    )


_ONE_POINT, _TWO_POINTS = 0.04, 0.08
"""Log odds of sessions that scatter by one or two points around one half (p(1 - p) = 1/4 there). A guess, as every prior: which tokens a
draft gets right depends on the prompts alone, so one point; what is still in a cache depends on what happened to be evicted, and where the
router sent a request on what was in flight, so two.
"""


def _rate(name: str, *, formula: str, source: str, parts: Parts, prior_sd: float = _TWO_POINTS) -> MetricDefinition:
    def value(recording: Recording, facts: RunFacts) -> float | Absent:
        found = parts(recording, facts)
        return found if isinstance(found, Absent) else found[0] / found[1]

    return MetricDefinition(
        id=f"{name}.v1",
        unit=Unit.RATIO,
        direction=Direction.HIGHER_IS_BETTER,
        formula=formula,
        source=f"Prometheus: {source}",
        prior_sd=prior_sd,
        kind=Kind.RATE,
        value=value,
        parts=parts,
    )


_LOWER, _HIGHER, _FACT = Direction.LOWER_IS_BETTER, Direction.HIGHER_IS_BETTER, Direction.NEITHER
_SECONDS, _RATIO, _REQUESTS, _TOKENS = Unit.SECONDS, Unit.RATIO, Unit.REQUESTS, Unit.TOKENS

FRONTEND = (
    _definition(
        "frontend_time_to_first_token",
        _SECONDS,
        _LOWER,
        formula="Δsum / Δcount of the frontend's histogram",
        source="dynamo_frontend_time_to_first_token_seconds",
        value=_mean_of(ids.FRONTEND_TIME_TO_FIRST_TOKEN),
    ),
    _definition(
        "frontend_time_to_first_token_p90_estimate",
        _SECONDS,
        _LOWER,
        formula=(
            "90 % quantile of the frontend's histogram, values taken to lie evenly within a bucket: "
            "an estimate, as good as the buckets are narrow"
        ),
        source="dynamo_frontend_time_to_first_token_seconds_bucket",
        value=first_token_p90_estimate,
    ),
    _definition(
        "frontend_inter_token_latency",
        _SECONDS,
        _LOWER,
        formula="Δsum / Δcount of the frontend's histogram, over all tokens but the first",
        source="dynamo_frontend_inter_token_latency_seconds",
        value=_mean_of(ids.FRONTEND_INTER_TOKEN_LATENCY),
    ),
    _definition(
        "router_overhead",
        _SECONDS,
        _LOWER,
        formula="Δsum / Δcount of the router's histogram, per routing decision: two per request where prefill is routed on its own",
        source="dynamo_router_overhead_total_ms",
        value=_mean_of(ids.ROUTER_OVERHEAD),
    ),
    _rate(
        "router_hit_rate",
        formula="Δsum / Δcount of the share of a prompt that the KV router expects in the cache of the worker it chose",
        source="dynamo_component_router_kv_hit_rate",
        parts=_parts_of(ids.ROUTER_HIT_RATE + ids.SUM, ids.ROUTER_HIT_RATE + ids.COUNT),
    ),
    _definition(
        "server_input_token_throughput",
        Unit.TOKENS_PER_SECOND,
        _HIGHER,
        formula="Δ of the frontend's input tokens (of the engines', where there is no frontend) / phase window",
        source="dynamo_frontend_input_sequence_tokens_sum, else vllm:prompt_tokens_total",
        value=_rate_of(ids.FRONTEND_INPUT_TOKENS, ids.ENGINE_PROMPT_TOKENS),
    ),
    _definition(
        "server_output_token_throughput",
        Unit.TOKENS_PER_SECOND,
        _HIGHER,
        formula="Δ of the frontend's output tokens (of the engines', where there is no frontend) / phase window",
        source="dynamo_frontend_output_tokens_total, else vllm:generation_tokens_total",
        value=_rate_of(ids.FRONTEND_OUTPUT_TOKENS, ids.ENGINE_GENERATED_TOKENS),
    ),
)

ENGINE = (
    _definition(
        "server_queue_time",
        _SECONDS,
        _LOWER,
        formula="Δsum / Δcount of the time that requests waited in the engines' queues",
        source="vllm:request_queue_time_seconds",
        value=_mean_of(ids.ENGINE_QUEUE_TIME),
    ),
    _definition(
        "server_requests_running",
        _REQUESTS,
        _FACT,
        formula="time-mean, summed over the engines",
        source="vllm:num_requests_running",
        value=_gauge_of(ids.ENGINE_REQUESTS_RUNNING, time_mean, sum),
    ),
    _definition(
        "server_requests_waiting",
        _REQUESTS,
        _LOWER,
        formula="time-mean, summed over the engines",
        source="vllm:num_requests_waiting",
        value=_gauge_of(ids.ENGINE_REQUESTS_WAITING, time_mean, sum),
    ),
    _definition(
        "server_requests_waiting_max",
        _REQUESTS,
        _LOWER,
        formula="largest reading of any engine",
        source="vllm:num_requests_waiting",
        value=_gauge_of(ids.ENGINE_REQUESTS_WAITING, largest, max),
    ),
    _definition(
        "kv_cache_usage",
        _RATIO,
        _FACT,
        formula="time-mean of the used share of the device's KV cache, mean over the engines",
        source="vllm:kv_cache_usage_perc",
        value=_gauge_of(ids.ENGINE_KV_CACHE_USAGE, time_mean, np.mean),
    ),
    _definition(
        "kv_cache_usage_max",
        _RATIO,
        _FACT,
        formula="largest reading of any engine",
        source="vllm:kv_cache_usage_perc",
        value=_gauge_of(ids.ENGINE_KV_CACHE_USAGE, largest, max),
    ),
    _definition(
        "server_preemptions",
        _REQUESTS,
        _LOWER,
        formula="Δ of preemptions, over all engines; a request counts each time",
        source="vllm:num_preemptions_total",
        value=_increase_of(ids.ENGINE_PREEMPTIONS),
        kind=Kind.COUNT,
    ),
)

CACHE = (
    _rate(
        "prefix_cache_hit_rate",
        formula="Δ tokens found in the device's prefix cache / Δ tokens looked up",
        source="vllm:prefix_cache_hits_total, vllm:prefix_cache_queries_total",
        parts=_parts_of(ids.ENGINE_PREFIX_HITS, ids.ENGINE_PREFIX_QUERIES),
    ),
    _rate(
        "external_cache_hit_rate",
        formula="Δ tokens that a KV connector found / Δ tokens that it was asked for",
        source="vllm:external_prefix_cache_hits_total, vllm:external_prefix_cache_queries_total",
        parts=_parts_of(ids.ENGINE_EXTERNAL_HITS, ids.ENGINE_EXTERNAL_QUERIES),
    ),
    _rate(
        "lmcache_hit_rate",
        formula="Δ tokens found / Δ tokens looked up, by LMCache itself",
        source="lmcache_mp_lookup_hit_tokens_total, lmcache_mp_lookup_requested_tokens_total",
        parts=_parts_of(ids.LMCACHE_HIT_TOKENS, ids.LMCACHE_REQUESTED_TOKENS),
    ),
    _definition(
        "kvbm_matched_tokens",
        _TOKENS,
        _FACT,
        formula="Δ of tokens that KVBM found in its tiers",
        source="kvbm_matched_tokens",
        value=_increase_of(ids.KVBM_MATCHED_TOKENS),
        kind=Kind.COUNT,
    ),
)

SPECULATION = (
    _rate(
        "speculation_acceptance_rate",
        formula="Δ accepted tokens / Δ drafted tokens",
        source="vllm:spec_decode_num_accepted_tokens_total, vllm:spec_decode_num_draft_tokens_total",
        parts=_parts_of(ids.ENGINE_ACCEPTED_TOKENS, ids.ENGINE_DRAFT_TOKENS),
        prior_sd=_ONE_POINT,
    ),
    _definition(
        "speculation_acceptance_length",
        _TOKENS,
        _HIGHER,
        formula="1 + Δ accepted tokens / Δ drafts",
        source="vllm:spec_decode_num_accepted_tokens_total, vllm:spec_decode_num_drafts_total",
        value=acceptance_length,
    ),
)

DEFINITIONS = (*FRONTEND, *ENGINE, *CACHE, *SPECULATION)
