"""Which stage of a request a metric speaks of: the table behind suspicions.

A metric is evidence where a change of one stage alone moves it. What several stages move together (a throughput, a request's latency, a
count of running requests) tells an effect and no cause, and stands in :data:`NO_STAGE` with the reason. First tokens are between: queue,
routing and prefill lie on their way, so they speak of prefill only by what the other two do not explain (see ``suspect``).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.metrics.speculation import POSITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE, ROUTING, PREFILL, DECODE, TRANSFER, CLIENT = "queue", "routing", "prefill", "decode", "KV transfer", "client"
RECORDED = "recorded change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """``sentence`` is what is said where ``cell`` moved to the worse. ``on_the_way``: its seconds are part of the time to first token."""

    stage: str
    cell: Cell
    sentence: str
    on_the_way: bool = False


def _per_run(name: str) -> Cell:
    return Cell(f"{name}.v1", "value")


QUEUE_TIME, ROUTER_OVERHEAD = _per_run("server_queue_time"), _per_run("router_overhead")
INTER_TOKEN = Cell("inter_token_latency.v1", "p50")

_WAITED = "more requests waited in the engines' queues: look at scheduling and at the load of each worker first"
_DECODED = "the gaps between tokens grew: look at decode first"
_ACCEPTED = "less of what was drafted was accepted: look at speculation in decode first"
_COMPUTED = "less of the prompts was in the prefix cache, and more was computed: look at prefill and at what was evicted first"
_FETCHED = "less of the prompts came from the cache beside the engine: look at the transfer of KV blocks and at its tiers first"

EVIDENCE = (
    Evidence(
        stage=QUEUE, cell=QUEUE_TIME, sentence="requests waited longer in the engines' queues: look at scheduling first", on_the_way=True
    ),
    Evidence(stage=QUEUE, cell=_per_run("server_requests_waiting"), sentence=_WAITED),
    Evidence(stage=QUEUE, cell=_per_run("server_requests_waiting_max"), sentence=_WAITED),
    Evidence(
        stage=QUEUE,
        cell=_per_run("server_preemptions"),
        sentence="requests were preempted, to be queued and computed again: look at scheduling and the memory for the KV cache first",
    ),
    Evidence(
        stage=ROUTING, cell=ROUTER_OVERHEAD, sentence="the router took longer for its decisions: look at routing first", on_the_way=True
    ),
    Evidence(
        stage=ROUTING,
        cell=_per_run("router_hit_rate"),
        sentence="the workers that the router chose held less of the prompts: look at routing first",
    ),
    Evidence(stage=PREFILL, cell=_per_run("prefix_cache_hit_rate"), sentence=_COMPUTED),
    Evidence(stage=PREFILL, cell=_per_run("cached_token_rate"), sentence=_COMPUTED),
    Evidence(stage=TRANSFER, cell=_per_run("external_cache_hit_rate"), sentence=_FETCHED),
    Evidence(stage=TRANSFER, cell=_per_run("lmcache_hit_rate"), sentence=_FETCHED),
    Evidence(
        stage=TRANSFER,
        cell=_per_run("kv_transfer_failures"),
        sentence="KV transfers failed, and what they carried was computed again: look at the transfer of KV blocks first",
    ),
    Evidence(stage=DECODE, cell=_per_run("frontend_inter_token_latency"), sentence=_DECODED),
    Evidence(stage=DECODE, cell=INTER_TOKEN, sentence=_DECODED),
    Evidence(stage=DECODE, cell=_per_run("speculation_acceptance_rate"), sentence=_ACCEPTED),
    Evidence(stage=DECODE, cell=_per_run("speculation_acceptance_length"), sentence=_ACCEPTED),
)

SERVER_FIRST_TOKEN = (
    _per_run("frontend_time_to_first_token"),
    Cell("server_time_to_first_token.v1", "mean"),
    Cell("server_time_to_first_token.v1", "p50"),
)
"""As the server states it, the best first; means, because the parts that are taken away are means."""

CLIENT_FIRST_TOKEN = (Cell("time_to_first_token.v1", "mean"), Cell("time_to_first_token.v1", "p50"))

_EFFECT = "what every stage moves: an effect, and no cause"
_FACT = "has no worse direction"

NO_STAGE: Mapping[str, str] = MappingProxyType(
    {
        "frontend_time_to_first_token_p90_estimate.v1": "as coarse as its buckets, which are a factor of two apart",
        "server_input_token_throughput.v1": _EFFECT,
        "server_output_token_throughput.v1": _EFFECT,
        "server_requests_running.v1": _FACT,
        "kv_cache_usage.v1": _FACT,
        "kv_cache_usage_max.v1": _FACT,
        "kvbm_matched_tokens.v1": f"{_FACT}; the hit rates say what became of it",
        **{f"kvbm_blocks_offloaded_to_{tier}.v1": _FACT for tier in ("host", "disk", "store")},
        **{f"kvbm_blocks_onboarded_from_{tier}.v1": _FACT for tier in ("host", "disk", "store")},
        **{f"lmcache_l{tier}_hit_rate.v1": "a part of lmcache_hit_rate, which speaks for both tiers" for tier in (1, 2)},
        **{
            f"speculation_acceptance_rate_at_{position}.v1": "a part of speculation_acceptance_rate, which speaks for all positions"
            for position in range(1, POSITIONS + 1)
        },
        **{f"{name}.v1": _FACT for name in ("worker_imbalance", "router_events", "external_prompt_tokens")},
        **{f"{name}.v1": _FACT for name in ("kv_transfers", "kv_transferred_bytes")},
    }
)
"""Metrics of the services that accuse no stage, and why."""

LATE_BEYOND_QUEUE = (
    "first tokens came later by more than the queues explain, and the gaps between tokens did not grow: look at prefill first"
)
LATE_QUEUE_UNKNOWN = (
    "first tokens came later, and the gaps between tokens did not grow: look at prefill first; of the queues nothing is known here"
)
LATE_BEFORE_SERVER = (
    "first tokens came later at the client, and no later by the server's own account: look at the client and the network first"
)
LAGGED = "the load generator lagged more behind its own events: look at the client first"
LAGGED_ALONE = "the load generator lagged behind its own events by a noteworthy part of the regression: look at the client first"
