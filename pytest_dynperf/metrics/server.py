"""What the services say of themselves: they explain a difference, and prove that a feature was active. One value per run, none gated by
default: a mean over a window is no distribution, and not every server states them.

How they are read is told by :mod:`~pytest_dynperf.metrics.service_metric`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.metrics import cache, routing, speculation
from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.metrics.over_window import largest, quantile_estimate, time_mean
from pytest_dynperf.metrics.service_metric import definition, gauge_of, increase_of, mean_of, parts_of, rate, rate_of
from pytest_dynperf.quantity import Direction, Unit

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.quantity import Absent


def first_token_p90_estimate(recording: Recording, _facts: RunFacts) -> float | Absent:
    """In seconds, by the frontend's buckets; those of Dynamo are a factor of two apart."""
    return quantile_estimate(recording, ids.FRONTEND_TIME_TO_FIRST_TOKEN, 0.9)


_LOWER, _HIGHER, _FACT = Direction.LOWER_IS_BETTER, Direction.HIGHER_IS_BETTER, Direction.NEITHER
_SECONDS, _RATIO, _REQUESTS = Unit.SECONDS, Unit.RATIO, Unit.REQUESTS

FRONTEND = (
    definition(
        "frontend_time_to_first_token",
        _SECONDS,
        _LOWER,
        formula="Δsum / Δcount of the frontend's histogram",
        source="dynamo_frontend_time_to_first_token_seconds",
        value=mean_of(ids.FRONTEND_TIME_TO_FIRST_TOKEN),
    ),
    definition(
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
    definition(
        "frontend_inter_token_latency",
        _SECONDS,
        _LOWER,
        formula="Δsum / Δcount of the frontend's histogram, over all tokens but the first",
        source="dynamo_frontend_inter_token_latency_seconds",
        value=mean_of(ids.FRONTEND_INTER_TOKEN_LATENCY),
    ),
    definition(
        "router_overhead",
        _SECONDS,
        _LOWER,
        formula="Δsum / Δcount of the router's histogram, per routing decision: two per request where prefill is routed on its own",
        source="dynamo_router_overhead_total_ms",
        value=mean_of(ids.ROUTER_OVERHEAD),
    ),
    rate(
        "router_hit_rate",
        formula="Δsum / Δcount of the share of a prompt that the KV router expects in the cache of the worker it chose",
        source="dynamo_component_router_kv_hit_rate",
        parts=parts_of(ids.ROUTER_HIT_RATE + ids.SUM, ids.ROUTER_HIT_RATE + ids.COUNT),
    ),
    definition(
        "server_input_token_throughput",
        Unit.TOKENS_PER_SECOND,
        _HIGHER,
        formula="Δ of the frontend's input tokens (of the engines', where there is no frontend) / phase window",
        source="dynamo_frontend_input_sequence_tokens_sum, else vllm:prompt_tokens_total",
        value=rate_of(ids.FRONTEND_INPUT_TOKENS, ids.ENGINE_PROMPT_TOKENS),
    ),
    definition(
        "server_output_token_throughput",
        Unit.TOKENS_PER_SECOND,
        _HIGHER,
        formula="Δ of the frontend's output tokens (of the engines', where there is no frontend) / phase window",
        source="dynamo_frontend_output_tokens_total, else vllm:generation_tokens_total",
        value=rate_of(ids.FRONTEND_OUTPUT_TOKENS, ids.ENGINE_GENERATED_TOKENS),
    ),
)

ENGINE = (
    definition(
        "server_queue_time",
        _SECONDS,
        _LOWER,
        formula="Δsum / Δcount of the time that requests waited in the engines' queues",
        source="vllm:request_queue_time_seconds",
        value=mean_of(ids.ENGINE_QUEUE_TIME),
    ),
    definition(
        "server_requests_running",
        _REQUESTS,
        _FACT,
        formula="time-mean, summed over the engines",
        source="vllm:num_requests_running",
        value=gauge_of(ids.ENGINE_REQUESTS_RUNNING, time_mean, sum),
    ),
    definition(
        "server_requests_waiting",
        _REQUESTS,
        _LOWER,
        formula="time-mean, summed over the engines",
        source="vllm:num_requests_waiting",
        value=gauge_of(ids.ENGINE_REQUESTS_WAITING, time_mean, sum),
    ),
    definition(
        "server_requests_waiting_max",
        _REQUESTS,
        _LOWER,
        formula="largest reading of any engine",
        source="vllm:num_requests_waiting",
        value=gauge_of(ids.ENGINE_REQUESTS_WAITING, largest, max),
    ),
    definition(
        "kv_cache_usage",
        _RATIO,
        _FACT,
        formula="time-mean of the used share of the device's KV cache, mean over the engines",
        source="vllm:kv_cache_usage_perc",
        value=gauge_of(ids.ENGINE_KV_CACHE_USAGE, time_mean, np.mean),
    ),
    definition(
        "kv_cache_usage_max",
        _RATIO,
        _FACT,
        formula="largest reading of any engine",
        source="vllm:kv_cache_usage_perc",
        value=gauge_of(ids.ENGINE_KV_CACHE_USAGE, largest, max),
    ),
    definition(
        "server_preemptions",
        _REQUESTS,
        _LOWER,
        formula="Δ of preemptions, over all engines; a request counts each time",
        source="vllm:num_preemptions_total",
        value=increase_of(ids.ENGINE_PREEMPTIONS),
        kind=Kind.COUNT,
    ),
)

DEFINITIONS = (*FRONTEND, *ENGINE, *cache.DEFINITIONS, *speculation.DEFINITIONS, *routing.DEFINITIONS)
