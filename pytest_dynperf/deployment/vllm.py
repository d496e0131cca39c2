"""vLLM: a worker of Dynamo (``dynamo.vllm``), and its own server as the control. Pure.

Flags as of vLLM 0.14 (Dynamo 0.9) to 0.31 (Dynamo 1.6).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import kvbm, lmcache
from pytest_dynperf.deployment.speculation import vllm_flags
from pytest_dynperf.deployment.worker import Launch, flag, publishes_events, tiers, transfers

if TYPE_CHECKING:
    from pytest_dynperf.deployment.worker import Worker

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # Hashes of KV blocks must be the same in every process.
    "PYTHONHASHSEED": "0",
}

CPU_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # Eager or not, the first request that samples has C++ compiled: seconds on an idle machine, a minute on a busy one.
    "TORCHDYNAMO_DISABLE": "1",
}
"""Without these the engine spins on a few cores and tokens arrive in bursts of 0.4 to 0.7 s (vllm-cpu 0.31.0, two cores)."""

CPU_ARGS = (
    *("--max-model-len", "2048", "--dtype", "float32", "--enforce-eager"),
    *("--distributed-executor-backend", "uni", "--kv-cache-memory-bytes", "67108864"),
)
"""For a model of some megabytes. On a GPU none of this is ever set: it would be measured instead of the engine."""

CPU_TRANSFER_ENVIRONMENT = {"UCX_TLS": "tcp,sm,self", "UCX_NET_DEVICES": "lo"}


def dynamo_worker(worker: Worker) -> Launch:
    """A worker that Dynamo's frontend routes to."""
    topology, place = worker.topology, worker.place
    return Launch(
        argv=(
            *(place.python, "-m", "dynamo.vllm", "--model", place.model, "--served-model-name", topology.model),
            *_role_flags(worker),
            *_engine_flags(worker),
            *_event_flags(worker),
            *_connector_flags(worker),
            *_migration(worker),
        ),
        env=_environment(worker),
    )


def own_server(worker: Worker) -> Launch:
    """What ``vllm serve`` runs. Started as a module: the program looks for a distribution called vllm, which builds for a CPU are not."""
    topology, place = worker.topology, worker.place
    connector = _connector(worker)
    return Launch(
        argv=(
            *(place.python, "-m", "vllm.entrypoints.openai.api_server", "--model", place.model, "--served-model-name", topology.model),
            *("--host", place.bind, "--port", str(worker.ports["http"]), "--disable-uvicorn-access-log"),
            *_engine_flags(worker),
            *(("--kv-transfer-config", _json(connector)) if connector else ()),
        ),
        env=_environment(worker),
    )


def _role_flags(worker: Worker) -> tuple[str, ...]:
    encoding = bool(worker.topology.encode.count)
    multimodal = (
        () if not encoding else ("--enable-multimodal",) if worker.role == "encode" else ("--enable-multimodal", "--route-to-encoder")
    )
    if worker.role == "worker":
        return multimodal
    if worker.dialect.disaggregation_mode:
        return ("--disaggregation-mode", worker.role, *multimodal)
    return (f"--is-{worker.role}-worker",)


def _engine_flags(worker: Worker) -> tuple[str, ...]:
    role, cache = worker.intent, worker.topology.kv_cache
    caching = {None: (), True: ("--enable-prefix-caching",), False: ("--no-enable-prefix-caching",)}[cache.prefix_caching]
    return (
        *flag("--tensor-parallel-size", role.tensor_parallel),
        *flag("--pipeline-parallel-size", role.pipeline_parallel),
        *flag("--data-parallel-size", role.data_parallel),
        *(("--enable-expert-parallel",) if (role.expert_parallel or 1) > 1 else ()),
        *flag("--block-size", worker.topology.block_size),
        *caching,
        *(CPU_ARGS if role.gpus == 0 else ()),
        *(vllm_flags(worker.topology.speculation, draft=worker.place.draft) if worker.role != "encode" else ()),
    )


def _event_flags(worker: Worker) -> tuple[str, ...]:
    if publishes_events(worker.topology, worker.role):
        events = {"enable_kv_cache_events": True, "publisher": "zmq", "endpoint": _events_endpoint(worker), "topic": "kv-events"}
        return ("--kv-events-config", _json(events))
    return ("--kv-events-config", _json({"enable_kv_cache_events": False})) if worker.dialect.events_unasked else ()


def _events_endpoint(worker: Worker) -> str:
    """vLLM binds a wildcard and ``ipc``, and connects to anything else: then no event ever arrives, and nothing says so.

    On a CPU a name in the kernel's abstract namespace: it is on no network, needs no file and so has no path that could be too long.
    """
    place, role = worker.place, worker.intent
    if place.by_name or role.gpus or (role.data_parallel or 1) > 1:
        return f"tcp://*:{worker.ports['kv_events']}"
    return f"ipc://@dynperf-{hashlib.sha256(place.directory.encode()).hexdigest()[:16]}-{worker.name}"


def _connector_flags(worker: Worker) -> tuple[str, ...]:
    tier = tiers(worker.topology, worker.role)
    if worker.dialect.connector_flag and tier != "lmcache-mp":
        names = [tier] if tier != "none" else []
        if transfers(worker.topology, worker.role):
            names.append("nixl")
        return ("--connector", *(names or ["none"]))
    connector = _connector(worker)
    return ("--kv-transfer-config", _json(connector)) if connector else ()


def _connector(worker: Worker) -> dict[str, object]:
    """What ``--kv-transfer-config`` holds; empty without any. Tier and transfer together go through Dynamo's ``PdConnector``."""
    connectors = [one for one in (_tier(worker), _transfer(worker)) if one]
    if len(connectors) < 2:
        return connectors[0] if connectors else {}
    return {
        "kv_connector": "PdConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"connectors": connectors},
        "kv_connector_module_path": "kvbm.vllm_integration.connector",
    }


def _tier(worker: Worker) -> dict[str, object]:
    tier = tiers(worker.topology, worker.role)
    if tier == "lmcache":
        return dict(lmcache.IN_PROCESS)
    if tier == "kvbm":
        return dict(kvbm.VLLM_CONNECTOR)
    if tier == "lmcache-mp" and worker.cache_port is not None:
        return lmcache.connector(worker.place, worker.cache_port)
    return {}


def _transfer(worker: Worker) -> dict[str, object]:
    if not transfers(worker.topology, worker.role):
        return {}
    alone = tiers(worker.topology, worker.role) == "none"
    end = {"prefill": "kv_producer", "decode": "kv_consumer"}[worker.role] if worker.dialect.transfer_roles and alone else "kv_both"
    found: dict[str, object] = {"kv_connector": "NixlConnector", "kv_role": end}
    return found if worker.intent.gpus else {**found, "kv_buffer_device": "cpu"}


def _migration(worker: Worker) -> tuple[str, ...]:
    return () if worker.dialect.frontend_migrates else flag("--migration-limit", worker.topology.migration_limit)


def _environment(worker: Worker) -> dict[str, str]:
    topology, place = worker.topology, worker.place
    found = dict(_ENVIRONMENT)
    # In a container the worker's own address is the one that others reach.
    if not place.by_name:
        found["VLLM_HOST_IP"] = place.bind
    if worker.intent.gpus == 0:
        found |= CPU_ENVIRONMENT
    if transfers(topology, worker.role):
        found |= {
            "VLLM_NIXL_SIDE_CHANNEL_PORT": str(worker.ports["nixl"]),
            "VLLM_NIXL_SIDE_CHANNEL_HOST": worker.name if place.by_name else place.bind,
        }
        if worker.intent.gpus == 0:
            found |= CPU_TRANSFER_ENVIRONMENT
    tier = tiers(topology, worker.role)
    if tier == "lmcache":
        found |= lmcache.in_process_environment(topology, place, worker.name)
    if tier == "kvbm":
        found |= kvbm.environment(worker)
    return found


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
