"""SGLang: a worker of Dynamo (``dynamo.sglang``), and its own server as the control. Pure.

Flags as of SGLang 0.5.8 (Dynamo 0.9) to 0.5.21 (Dynamo 1.6).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import lmcache
from pytest_dynperf.deployment.speculation import sglang_flags
from pytest_dynperf.deployment.worker import Launch, flag, publishes_events, tiers

if TYPE_CHECKING:
    from pytest_dynperf.deployment.worker import Worker

_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONHASHSEED": "0"}


def dynamo_worker(worker: Worker) -> Launch:
    """A worker that Dynamo's frontend routes to. Without ``--enable-metrics`` its metrics are not passed through."""
    topology, place = worker.topology, worker.place
    return Launch(
        argv=(
            *(place.python, "-m", "dynamo.sglang", "--model-path", place.model, "--served-model-name", topology.model, "--enable-metrics"),
            *_role_flags(worker),
            *_engine_flags(worker),
            *_event_flags(worker),
            *(() if worker.dialect.frontend_migrates else flag("--migration-limit", topology.migration_limit)),
        ),
        env=_environment(worker),
        files=_files(worker),
    )


def own_server(worker: Worker) -> Launch:
    """``sglang.launch_server``."""
    topology, place = worker.topology, worker.place
    return Launch(
        argv=(
            *(place.python, "-m", "sglang.launch_server", "--model-path", place.model, "--served-model-name", topology.model),
            *("--host", place.bind, "--port", str(worker.ports["http"]), "--enable-metrics"),
            *_engine_flags(worker),
        ),
        env=_environment(worker),
        files=_files(worker),
    )


def _role_flags(worker: Worker) -> tuple[str, ...]:
    encoding = bool(worker.topology.encode.count)
    if worker.role == "encode":
        return ("--disaggregation-mode", "encode", "--enable-multimodal")
    multimodal = ("--enable-multimodal", "--dedicated-mm-encoder") if encoding else ()
    if worker.role == "worker":
        return ("--disaggregation-mode", "pd", *multimodal) if encoding else ()
    bootstrap = ("--disaggregation-bootstrap-port", str(worker.ports["bootstrap"])) if worker.role == "prefill" else ()
    return (
        *("--disaggregation-mode", worker.role, "--disaggregation-transfer-backend", "nixl"),
        *("--host", worker.place.bind, *bootstrap),
        *multimodal,
    )


def _engine_flags(worker: Worker) -> tuple[str, ...]:
    role, topology = worker.intent, worker.topology
    return (
        *flag("--tp-size", role.tensor_parallel),
        *flag("--pp-size", role.pipeline_parallel),
        *flag("--dp-size", role.data_parallel),
        *flag("--ep-size", role.expert_parallel),
        *flag("--page-size", topology.block_size),
        *(("--disable-radix-cache",) if topology.kv_cache.prefix_caching is False else ()),
        *_cache_flags(worker),
        *(sglang_flags(topology.speculation) if worker.role != "encode" else ()),
    )


def _cache_flags(worker: Worker) -> tuple[str, ...]:
    tier = tiers(worker.topology, worker.role)
    if tier == "lmcache-mp":
        return ("--enable-lmcache", "--lmcache-config-file", _cache_file(worker))
    return ("--enable-lmcache",) if tier == "lmcache" else ()


def _cache_file(worker: Worker) -> str:
    return f"{worker.place.directory}/lmcache-{worker.name}.yaml"


def _files(worker: Worker) -> dict[str, str]:
    """Where LMCache's server is, as SGLang reads it."""
    if tiers(worker.topology, worker.role) != "lmcache-mp":
        return {}
    return {_cache_file(worker): f"mp_host: {worker.place.host_of('lmcache')}\nmp_port: {worker.cache_port}\n"}


def _event_flags(worker: Worker) -> tuple[str, ...]:
    if not publishes_events(worker.topology, worker.role):
        return ()
    events = {"publisher": "zmq", "topic": "kv-events", "endpoint": f"tcp://*:{worker.ports['kv_events']}"}
    return ("--kv-events-config", json.dumps(events, separators=(",", ":")))


def _environment(worker: Worker) -> dict[str, str]:
    if tiers(worker.topology, worker.role) != "lmcache":
        return dict(_ENVIRONMENT)
    # As SGLang's own example has it: layer by layer, which the other form of LMCache does not know.
    form = {"LMCACHE_USE_EXPERIMENTAL": "true", "LMCACHE_USE_LAYERWISE": "true"}
    return _ENVIRONMENT | form | lmcache.in_process_environment(worker.topology, worker.place, worker.name)
