"""What a service's own metrics are called here, whatever it calls them itself: ``telemetry.names`` translates, by version.

A histogram has its sum, its count and its buckets as series of their own: the id with :data:`SUM`, :data:`COUNT` or :data:`BUCKET` behind
it. *Frontend*: what speaks HTTP to the client. *Engine*: what runs the model; there may be many, and in a disaggregated topology each
request meets two.
"""

from __future__ import annotations

SUM, COUNT, BUCKET = ".sum", ".count", ".bucket"

FRONTEND_REQUESTS = "frontend.requests"  # counter: ended, whatever became of them
FRONTEND_INPUT_TOKENS = "frontend.input_tokens"  # counter
FRONTEND_OUTPUT_TOKENS = "frontend.output_tokens"  # counter
FRONTEND_TIME_TO_FIRST_TOKEN = "frontend.time_to_first_token"  # histogram, s  # noqa: S105 -- no secret
FRONTEND_INTER_TOKEN_LATENCY = "frontend.inter_token_latency"  # histogram, s  # noqa: S105 -- no secret
FRONTEND_CACHED_TOKENS = "frontend.cached_tokens"  # histogram: input tokens that a worker says it had in a cache, where it says so
FRONTEND_REQUESTS_IN_FLIGHT = "frontend.requests_in_flight"  # gauge
FRONTEND_REQUESTS_QUEUED = "frontend.requests_queued"  # gauge; Dynamo's: until the first token, prefill included

ROUTER_OVERHEAD = "router.overhead"  # histogram, s, one value per routing decision
ROUTER_HIT_RATE = "router.hit_rate"  # histogram, fraction of the prompt that the router expects in the worker's cache
ROUTER_REQUESTS_PENDING = "router.requests_pending"  # gauge
ROUTER_EVENTS = "router.events"  # counter: changes of what the router thinks that workers hold, be it by its own guesses
ROUTER_EVENT_BATCHES = "router.event_batches"  # counter: batches of KV events that came to the router over ZMQ
ROUTER_SILENT_WORKERS = "router.silent_workers"  # gauge: workers that send no KV events to a router that waits for them

ENGINE_REQUESTS_RUNNING = "engine.requests_running"  # gauge
ENGINE_REQUESTS_WAITING = "engine.requests_waiting"  # gauge
ENGINE_KV_CACHE_USAGE = "engine.kv_cache_usage"  # gauge, fraction
ENGINE_REQUESTS = "engine.requests"  # counter: requests that one worker took
ENGINE_QUEUE_TIME = "engine.queue_time"  # histogram, s
ENGINE_TIME_TO_FIRST_TOKEN = "engine.time_to_first_token"  # histogram, s  # noqa: S105 -- no secret
ENGINE_INTER_TOKEN_LATENCY = "engine.inter_token_latency"  # histogram, s  # noqa: S105 -- no secret
ENGINE_PREEMPTIONS = "engine.preemptions"  # counter
ENGINE_PROMPT_TOKENS = "engine.prompt_tokens"  # counter
ENGINE_GENERATED_TOKENS = "engine.generated_tokens"  # counter
ENGINE_PREFIX_QUERIES = "engine.prefix_cache.queries"  # counter, tokens
ENGINE_PREFIX_HITS = "engine.prefix_cache.hits"  # counter, tokens
ENGINE_EXTERNAL_QUERIES = "engine.external_cache.queries"  # counter, tokens that were asked of a KV connector
ENGINE_EXTERNAL_HITS = "engine.external_cache.hits"  # counter, tokens
ENGINE_EXTERNAL_TOKENS = "engine.external_tokens"  # counter, tokens of prompts that were received instead of computed
ENGINE_DRAFTS = "engine.speculation.drafts"  # counter
ENGINE_DRAFT_TOKENS = "engine.speculation.draft_tokens"  # counter
ENGINE_ACCEPTED_TOKENS = "engine.speculation.accepted_tokens"  # counter
ENGINE_ACCEPTED_AT_POSITION = "engine.speculation.accepted_at_position"  # counter; label ``position`` counts from 0

KV_TRANSFERS = "kv_transfer.transfers"  # counter, from prefill to decode; one per request and rank
KV_TRANSFERRED_BYTES = "kv_transfer.bytes"  # counter
KV_TRANSFER_FAILURES = "kv_transfer.failures"  # counter

LMCACHE_REQUESTED_TOKENS = "lmcache.requested_tokens"  # counter
LMCACHE_HIT_TOKENS = "lmcache.hit_tokens"  # counter
LMCACHE_L1_HIT_TOKENS = "lmcache.l1_hit_tokens"  # counter: of the hits, those in host memory
LMCACHE_L2_HIT_TOKENS = "lmcache.l2_hit_tokens"  # counter: of the hits, those that a lower tier (disk, remote) adds
LMCACHE_HEALTHY = "lmcache.healthy"  # gauge, 1 or 0
KVBM_MATCHED_TOKENS = "kvbm.matched_tokens"  # counter
KVBM_OFFLOADED_BLOCKS = "kvbm.offloaded_blocks"  # counter, device → host
KVBM_OFFLOADED_TO_DISK = "kvbm.offloaded_to_disk"  # counter, host → disk
KVBM_OFFLOADED_PAST_HOST = "kvbm.offloaded_past_host"  # counter, device → disk
KVBM_OFFLOADED_TO_STORE = "kvbm.offloaded_to_store"  # counter, device → object store
KVBM_ONBOARDED_BLOCKS = "kvbm.onboarded_blocks"  # counter, host → device
KVBM_ONBOARDED_FROM_DISK = "kvbm.onboarded_from_disk"  # counter, disk → device
KVBM_ONBOARDED_FROM_STORE = "kvbm.onboarded_from_store"  # counter, object store → device

# Of GPUs, the driver's own: ``source`` of a series is the UUID, its label ``gpu`` the index.
GPU_PRESENT = "gpu.present"  # gauge: 1 where the device answered, 0 where it is gone; without readings where nothing could be asked
GPU_SM_CLOCK = "gpu.sm_clock"  # gauge, Hz
GPU_MEMORY_CLOCK = "gpu.memory_clock"  # gauge, Hz
GPU_CLOCK_REASONS = "gpu.clock_reasons"  # gauge, NVML's bit mask of clock event reasons
GPU_TEMPERATURE = "gpu.temperature"  # gauge, degrees Celsius
GPU_POWER = "gpu.power"  # gauge, W
GPU_UTILIZATION = "gpu.utilization"  # gauge, fraction
GPU_MEMORY_USED = "gpu.memory_used"  # gauge, bytes
GPU_MEMORY_UNEXPLAINED = "gpu.memory_unexplained"  # gauge, bytes: used, less what the listed processes use; where that is known of all
GPU_ECC_UNCORRECTED = "gpu.ecc_uncorrected"  # counter
GPU_XIDS = "gpu.xids"  # counter; label ``xid`` is the code
GPU_PROCESS = "gpu.process"  # gauge, 1 while it is there; labels ``pid``, ``own`` (yes, no, unknown) and ``name``

FRONTEND_MIGRATIONS = "frontend.migrations"  # counter: begun, also where the limit then forbids it
FAULT_ACTIVE = "fault.active"  # gauge, ours: 1 at the instant before a fault was injected, 0 when it had been undone
