"""What cannot be deployed together, with the reason and the way out. Pure.

Each check is a function of its own that yields sentences; a topology is deployed only when all of them stay silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.deployment.worker import transfers
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.deployment.versions import Dialect
    from pytest_dynperf.scenario.topology import Role, Topology

_ATTACH = "Start it yourself and measure it with --dynperf-endpoint URL --dynperf-model NAME."
_TIERS = {
    "mocker": ("none", "nixl"),
    "vllm": ("none", "nixl", "lmcache", "lmcache-mp", "kvbm"),
    "sglang": ("none", "nixl"),
    "trtllm": ("none", "nixl", "kvbm"),
}
"""Connectors that each engine has, whatever its version."""


def check_combination(topology: Topology, dialect: Dialect) -> None:
    """Return when ``topology`` can be deployed in ``dialect``.

    :raises UsageError: what does not go together, why, and what to do.
    """
    for flaw in flaws(topology, dialect):
        raise UsageError(flaw)


def flaws(topology: Topology, dialect: Dialect) -> Iterator[str]:
    """All sentences, the most basic first."""
    yield from _engine(topology)
    if topology.engine not in _TIERS:
        return
    yield from _own_server(topology)
    yield from _router(topology)
    yield from _versions(topology, dialect)
    for name, role in topology.roles.items():
        yield from _parallelism(topology, name, role)
    yield from _connector(topology, dialect)
    yield from _tier_sizes(topology)
    yield from _speculation(topology)


def _engine(topology: Topology) -> Iterator[str]:
    if topology.engine not in _TIERS:
        yield (
            f"topology.engine {topology.engine!r} cannot be started: it stands for an endpoint that already runs. {_ATTACH} "
            f"Or choose one of {', '.join(map(repr, _TIERS))}."
        )
    if topology.engine in ("sglang", "trtllm"):
        for name, role in topology.roles.items():
            if role.gpus == 0:
                yield f"topology.{name}.gpus is 0, and {topology.engine} needs GPUs: say how many each {name} takes"
    if topology.engine == "mocker" and topology.encode.count:
        yield "topology.encode.count: the mocker has no encode worker; leave it at 0, or choose an engine that encodes"


def _own_server(topology: Topology) -> Iterator[str]:
    if topology.served_by != "engine":
        return
    said = "topology.served_by 'engine' runs the engine's own server"
    if topology.engine == "mocker":
        yield f"{said}, and the mocker has none: it exists inside Dynamo alone. Choose vllm, sglang or trtllm."
    if topology.mode != "agg" or topology.encode.count:
        yield f"{said}, which does prefill, decode and encode in one: set topology.mode to 'agg' and topology.encode.count to 0"
    if topology.frontends != 1:
        yield f"{said} without Dynamo's frontend: leave topology.frontends at 1. Several workers get nginx in front of them."
    if topology.migration_limit is not None:
        yield f"{said}, and only Dynamo's frontend migrates requests: leave topology.migration_limit out"
    if topology.router_mode != "round-robin" or topology.router_args or topology.asked_of("router"):
        yield f"{said}, and there is no router: leave topology.router_mode, router_args and topology.router.* out"


def _router(topology: Topology) -> Iterator[str]:
    router = topology.router
    if topology.router_mode != "kv":
        kv_only = ("kv_events", "ttl_s", "overlap_weight", "temperature", "replica_sync", "reset_states")
        asked = [name for name in topology.asked_of("router") if name.removeprefix("router.") in kv_only]
        if asked:
            yield (
                f"topology.{asked[0]} has no effect with topology.router_mode {topology.router_mode!r}: "
                f"only the KV router knows it. Set topology.router_mode to 'kv', or leave it out."
            )
    if router.ttl_s is not None and router.kv_events is not False:
        yield (
            "topology.router.ttl_s is how long the router believes its own guess, and with KV events it does not guess: "
            "set topology.router.kv_events to false, or leave ttl_s out"
        )
    if router.replica_sync and topology.frontends == 1:
        yield "topology.router.replica_sync: there is one frontend and nothing to keep in step with; set topology.frontends to 2 or more"
    if router.kv_events and topology.kv_cache.prefix_caching is False:
        yield (
            "topology.router.kv_events with topology.kv_cache.prefix_caching false: workers that keep nothing have nothing to tell. "
            "Switch prefix caching on, or the events off."
        )


def _versions(topology: Topology, dialect: Dialect) -> Iterator[str]:
    if topology.served_by == "engine":
        return
    if topology.planes == "default" and dialect.events_over_nats:
        yield f"topology.planes 'default': Dynamo {dialect.name} sends events over NATS by default; set it to 'nats'"
    if topology.router_mode not in dialect.router_modes:
        yield f"topology.router_mode {topology.router_mode!r}: Dynamo {dialect.name} has {', '.join(map(repr, dialect.router_modes))}"
    if topology.router.reset_states and not dialect.reset_states:
        yield f"topology.router.reset_states: Dynamo {dialect.name} keeps no state of the router that could be reset; leave it out"
    if topology.encode.count and topology.engine not in dialect.encoders:
        yield (
            f"topology.encode.count: with Dynamo {dialect.name} no encode worker of {topology.engine} is started like the other roles; "
            f"take a newer version ({topology.engine} from {'1.1' if topology.engine == 'vllm' else '1.3'} on)"
        )
    if topology.migration_limit is not None and not dialect.frontend_migrates and topology.engine == "mocker":
        yield f"topology.migration_limit: in Dynamo {dialect.name} it is an option of workers, and its mocker has none; take 1.0 or newer"


def _parallelism(topology: Topology, name: str, role: Role) -> Iterator[str]:
    sizes = {
        "tensor_parallel": role.tensor_parallel,
        "pipeline_parallel": role.pipeline_parallel,
        "data_parallel": role.data_parallel,
        "expert_parallel": role.expert_parallel,
    }
    asked = [key for key, size in sizes.items() if size is not None]
    if not asked:
        return
    if topology.engine == "mocker":
        if asked != ["data_parallel"]:
            key = next(key for key in asked if key != "data_parallel")
            yield f"topology.{name}.{key}: the mocker computes on nothing that could be split so; it knows data_parallel alone"
        return
    tensor, pipeline, data = (sizes[key] or 1 for key in ("tensor_parallel", "pipeline_parallel", "data_parallel"))
    of_attention = topology.engine == "trtllm"
    used = tensor * pipeline * (1 if of_attention else data)
    if role.gpus and used != role.gpus:
        product = f"{tensor} (tensor) x {pipeline} (pipeline)" + ("" if of_attention else f" x {data} (data)")
        yield (
            f"topology.{name}.gpus is {role.gpus}, and its parallelism takes {product} = {used}: "
            f"make them equal; GPUs beyond it would idle, and too few do not start"
        )
    if of_attention and data not in (1, tensor):
        yield f"topology.{name}.data_parallel {data}: TensorRT-LLM replicates attention over its {tensor} tensor ranks: 1 or {tensor}"
    yield from _experts(topology, name, role, tensor * (1 if of_attention else data))


def _experts(topology: Topology, name: str, role: Role, ranks: int) -> Iterator[str]:
    size = role.expert_parallel or 1
    if topology.engine == "vllm" and size not in (1, ranks):
        yield f"topology.{name}.expert_parallel {size}: vLLM spreads experts over all {ranks} ranks or none; set {ranks} or 1"
    elif ranks % size:
        yield f"topology.{name}.expert_parallel {size} does not divide the {ranks} ranks of {name}"


def _connector(topology: Topology, dialect: Dialect) -> Iterator[str]:
    connector, engine = topology.kv_cache.connector, topology.engine
    known = (*_TIERS[engine], *((dialect.sglang_lmcache,) if engine == "sglang" else ()))
    if connector not in known:
        instead = " Its simulated host tier is a free argument of the worker." if engine == "mocker" else ""
        yield f"topology.kv_cache.connector {connector!r}: {engine} has {', '.join(map(repr, known))} here.{instead}"
    if connector == "none" and any(transfers(topology, role) for role in topology.roles):
        yield (
            "topology.mode 'disagg' without a transfer connector: decode workers would wait for KV blocks that nobody sends. "
            "Set topology.kv_cache.connector to 'nixl', or to a tier ('lmcache', 'kvbm'), which then goes together with NIXL."
        )
    on_cpu = [name for name, role in topology.roles.items() if role.gpus == 0 and name != "encode"]
    if connector == "lmcache" and on_cpu:
        yield (
            f"topology.kv_cache.connector 'lmcache' with topology.{on_cpu[0]}.gpus 0: inside an engine on the CPU LMCache dies in silence, "
            f"the engine stays healthy and every request waits 3 s for a lookup. Take 'lmcache-mp'."
        )
    if connector == "kvbm" and on_cpu:
        yield f"topology.kv_cache.connector 'kvbm' with topology.{on_cpu[0]}.gpus 0: KVBM needs CUDA. Take 'lmcache-mp'."
    if connector == "kvbm" and engine == "trtllm" and topology.mode == "disagg":
        yield "topology.kv_cache.connector 'kvbm': TensorRT-LLM takes one connector, and disaggregation needs it for NIXL; use mode 'agg'"


def _tier_sizes(topology: Topology) -> Iterator[str]:
    cache = topology.kv_cache
    tier = cache.connector not in ("none", "nixl")
    for name in ("host_gib", "disk_gib", "disk_path", "object_store_url", "chunk_tokens"):
        if getattr(cache, name) is not None and not tier:
            yield f"topology.kv_cache.{name} has no effect with connector {cache.connector!r}: choose 'lmcache', 'lmcache-mp' or 'kvbm'"
    if cache.connector == "lmcache-mp" and cache.host_gib is None:
        yield "topology.kv_cache.connector 'lmcache-mp': its server must know its memory; set topology.kv_cache.host_gib"
    if cache.connector == "lmcache-mp" and cache.object_store_url is not None:
        yield "topology.kv_cache.object_store_url: the server of 'lmcache-mp' is not given one; take 'lmcache' or 'kvbm'"
    if tier and cache.host_gib is None and cache.disk_gib is None and cache.object_store_url is None:
        yield f"topology.kv_cache.connector {cache.connector!r} without a tier: set kv_cache.host_gib, disk_gib or object_store_url"
    if cache.connector == "kvbm" and cache.chunk_tokens is not None:
        yield "topology.kv_cache.chunk_tokens: KVBM moves the engine's own blocks; set topology.block_size, or leave it out"
    if cache.disk_path is not None and cache.disk_gib is None:
        yield "topology.kv_cache.disk_path without disk_gib: say how large the tier on disk may become"
    if tier and cache.prefix_caching is False:
        yield (
            f"topology.kv_cache.prefix_caching false with connector {cache.connector!r}: without hashes nothing is found in any tier. "
            f"Leave it on; a small cache on the device makes the tiers work."
        )


def _speculation(topology: Topology) -> Iterator[str]:
    speculation = topology.speculation
    if speculation.method == "none":
        for name in topology.asked_of("speculation"):
            yield f"topology.{name} has no effect with topology.speculation.method 'none': choose 'ngram', 'draft_model' or 'eagle3'"
        return
    said = f"topology.speculation.method {speculation.method!r}"
    if topology.engine == "mocker":
        yield f"{said}: the mocker drafts nothing; its effect on timing is the free argument --decode-speedup-ratio of the worker"
    if not speculation.tokens:
        yield f"{said} without tokens: set topology.speculation.tokens to how many are drafted per step, at least 1"
    drafts = speculation.method in ("draft_model", "eagle3")
    if drafts and speculation.model is None:
        yield f"{said} without a draft: set topology.speculation.model to its directory or name; it must fit the served model"
    if not drafts and speculation.model is not None:
        yield "topology.speculation.model: n-grams are looked up in the prompt, without a model; leave it out, or choose 'draft_model'"
    bounds = [name for name in ("lookup_min", "lookup_max") if getattr(speculation, name) is not None]
    if bounds and drafts:
        yield f"topology.speculation.{bounds[0]}: only 'ngram' looks anything up; leave it out"
    if bounds and topology.engine == "sglang":
        yield f"topology.speculation.{bounds[0]}: SGLang names its bounds differently from version to version; give them as free arguments"
    if speculation.lookup_min and speculation.lookup_max and speculation.lookup_min > speculation.lookup_max:
        yield f"topology.speculation.lookup_min {speculation.lookup_min} is larger than lookup_max {speculation.lookup_max}"
    if topology.engine == "trtllm" and speculation.lookup_min is not None:
        yield "topology.speculation.lookup_min: TensorRT-LLM has an upper bound alone; leave it out"
