"""Where requests went, and what went between workers. Source: counters of the router, of the workers and of the transfers."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.over_window import increase, of_id
from pytest_dynperf.metrics.service_metric import count, definition, increase_of
from pytest_dynperf.quantity import Absent, Direction, Unit

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording


def role_of(source: str) -> str:
    """``prefill`` of ``prefill-0``: services are named by their role and a number."""
    return source.split("-", maxsplit=1)[0]


def worker_imbalance(recording: Recording, _facts: RunFacts) -> float | Absent:
    """Largest number of requests of one worker / mean over the workers of its role; of several roles the most uneven one."""
    found = of_id(recording, ids.ENGINE_REQUESTS)
    if isinstance(found, Absent):
        return found
    by_role: defaultdict[str, list[float]] = defaultdict(list)
    for series in found:
        part = increase(series, recording.window_start_ns, recording.window_end_ns)
        if isinstance(part, Absent):
            return part
        by_role[role_of(series.source)].append(part.value)
    several = [requests for requests in by_role.values() if len(requests) > 1]
    if not several:
        return Absent("there is one worker of each role: nothing to spread")
    uneven = [max(requests) * len(requests) / sum(requests) for requests in several if sum(requests) > 0]
    return max(uneven) if len(uneven) == len(several) else Absent("no worker of a role took a request within the window")


DEFINITIONS = (
    definition(
        "worker_imbalance",
        Unit.RATIO,
        Direction.NEITHER,
        formula="requests of the busiest worker / mean over the workers of its role, of the most uneven role: 100 % is even",
        source="dynamo_component_requests_total, else vllm:request_success_total",
        value=worker_imbalance,
    ),
    count(
        "router_events",
        Unit.EVENTS,
        formula="Δ of changes of what the router thinks that workers hold: by their KV events, without these by its own guesses",
        source="dynamo_component_kv_cache_events_applied",
        value=increase_of(ids.ROUTER_EVENTS),
    ),
    count(
        "external_prompt_tokens",
        Unit.TOKENS,
        formula="Δ of prompt tokens whose KV blocks were received from another worker or a tier instead of computed",
        source='vllm:prompt_tokens_by_source_total{source="external_kv_transfer"}',
        value=increase_of(ids.ENGINE_EXTERNAL_TOKENS),
    ),
    count(
        "kv_transfers",
        Unit.TRANSFERS,
        formula="Δ of KV transfers between workers; one per request and rank",
        source="vllm:nixl_bytes_transferred_count",
        value=increase_of(ids.KV_TRANSFERS),
    ),
    definition(
        "kv_transferred_bytes",
        Unit.BYTES,
        Direction.NEITHER,
        formula="Δ of bytes that KV transfers moved",
        source="vllm:nixl_bytes_transferred_sum",
        value=increase_of(ids.KV_TRANSFERRED_BYTES),
    ),
    count(
        "kv_transfer_failures",
        Unit.TRANSFERS,
        direction=Direction.LOWER_IS_BETTER,
        formula="Δ of KV transfers that failed",
        source="vllm:nixl_num_failed_transfers_total",
        value=increase_of(ids.KV_TRANSFER_FAILURES),
    ),
)
