"""What was found in caches of KV blocks: on the device, and in the tiers below it. Source: counters of engines, LMCache and KVBM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.over_window import both, total
from pytest_dynperf.metrics.service_metric import count, increase_of, parts_of, rate
from pytest_dynperf.quantity import Absent, Unit

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording


def cached_tokens(recording: Recording, _facts: RunFacts) -> tuple[float, float] | Absent:
    """Cached tokens and input tokens. Absent where no worker said what it had: the histogram then stands there without values."""
    told = total(recording, ids.FRONTEND_CACHED_TOKENS + ids.COUNT)
    if not isinstance(told, Absent) and told.value == 0:
        return Absent("no worker told the frontend how much of a prompt it had in its cache")
    return both(recording, ids.FRONTEND_CACHED_TOKENS + ids.SUM, ids.FRONTEND_INPUT_TOKENS)


DEFINITIONS = (
    rate(
        "prefix_cache_hit_rate",
        formula="Δ tokens found in the device's prefix cache / Δ tokens looked up",
        source="vllm:prefix_cache_hits_total, vllm:prefix_cache_queries_total",
        parts=parts_of(ids.ENGINE_PREFIX_HITS, ids.ENGINE_PREFIX_QUERIES),
    ),
    rate(
        "cached_token_rate",
        formula="Δ input tokens that the engines say they had in a cache / Δ input tokens, both as the frontend counts them",
        source="dynamo_frontend_cached_tokens_sum, dynamo_frontend_input_sequence_tokens_sum",
        parts=cached_tokens,
    ),
    rate(
        "external_cache_hit_rate",
        formula="Δ tokens that a KV connector found / Δ tokens that it was asked for",
        source="vllm:external_prefix_cache_hits_total, vllm:external_prefix_cache_queries_total",
        parts=parts_of(ids.ENGINE_EXTERNAL_HITS, ids.ENGINE_EXTERNAL_QUERIES),
    ),
    rate(
        "lmcache_hit_rate",
        formula="Δ tokens found / Δ tokens looked up, by LMCache itself",
        source="lmcache_mp_lookup_hit_tokens_total, lmcache_mp_lookup_requested_tokens_total",
        parts=parts_of(ids.LMCACHE_HIT_TOKENS, ids.LMCACHE_REQUESTED_TOKENS),
    ),
    rate(
        "lmcache_l1_hit_rate",
        formula="Δ tokens found in LMCache's host memory / Δ tokens looked up",
        source="lmcache_mp_lookup_hit_l1_tokens_total, lmcache_mp_lookup_requested_tokens_total",
        parts=parts_of(ids.LMCACHE_L1_HIT_TOKENS, ids.LMCACHE_REQUESTED_TOKENS),
    ),
    rate(
        "lmcache_l2_hit_rate",
        formula="Δ tokens that LMCache's lower tier added to what host memory had / Δ tokens looked up",
        source="lmcache_mp_lookup_hit_l2_tokens_total, lmcache_mp_lookup_requested_tokens_total",
        parts=parts_of(ids.LMCACHE_L2_HIT_TOKENS, ids.LMCACHE_REQUESTED_TOKENS),
    ),
    count(
        "kvbm_matched_tokens",
        Unit.TOKENS,
        formula="Δ of tokens that KVBM found in its tiers",
        source="kvbm_matched_tokens",
        value=increase_of(ids.KVBM_MATCHED_TOKENS),
    ),
    count(
        "kvbm_blocks_offloaded_to_host",
        Unit.BLOCKS,
        formula="Δ of blocks that KVBM copied from the device to host memory",
        source="kvbm_offload_blocks_d2h",
        value=increase_of(ids.KVBM_OFFLOADED_BLOCKS),
    ),
    count(
        "kvbm_blocks_offloaded_to_disk",
        Unit.BLOCKS,
        formula="Δ of blocks that KVBM copied to the disk, from host memory or, where there is none, from the device",
        source="kvbm_offload_blocks_h2d, kvbm_offload_blocks_d2d",
        value=increase_of(ids.KVBM_OFFLOADED_TO_DISK, ids.KVBM_OFFLOADED_PAST_HOST),
    ),
    count(
        "kvbm_blocks_offloaded_to_store",
        Unit.BLOCKS,
        formula="Δ of blocks that KVBM copied to the object store",
        source="kvbm_offload_blocks_d2o",
        value=increase_of(ids.KVBM_OFFLOADED_TO_STORE),
    ),
    count(
        "kvbm_blocks_onboarded_from_host",
        Unit.BLOCKS,
        formula="Δ of blocks that KVBM copied from host memory to the device",
        source="kvbm_onboard_blocks_h2d",
        value=increase_of(ids.KVBM_ONBOARDED_BLOCKS),
    ),
    count(
        "kvbm_blocks_onboarded_from_disk",
        Unit.BLOCKS,
        formula="Δ of blocks that KVBM copied from the disk to the device",
        source="kvbm_onboard_blocks_d2d",
        value=increase_of(ids.KVBM_ONBOARDED_FROM_DISK),
    ),
    count(
        "kvbm_blocks_onboarded_from_store",
        Unit.BLOCKS,
        formula="Δ of blocks that KVBM copied from the object store to the device",
        source="kvbm_onboard_blocks_o2d",
        value=increase_of(ids.KVBM_ONBOARDED_FROM_STORE),
    ),
)
