"""TensorRT-LLM: a worker of Dynamo (``dynamo.trtllm``), and ``trtllm-serve`` as the control. Pure.

What its command line cannot say stands in a file of engine arguments. Names as of TensorRT-LLM 1.3.0rc (Dynamo 0.9 to 1.6):
``tensorrt_llm/commands/serve.py``, ``tensorrt_llm/llmapi/llm_args.py``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import kvbm
from pytest_dynperf.deployment.speculation import trtllm_config
from pytest_dynperf.deployment.worker import Launch, flag, publishes_events, tiers

if TYPE_CHECKING:
    from pytest_dynperf.deployment.worker import Worker

_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONHASHSEED": "0"}
_ENCODER = "dyn://dynamo.encode.generate"


def dynamo_worker(worker: Worker) -> Launch:
    """A worker that Dynamo's frontend routes to."""
    topology, place, role = worker.topology, worker.place, worker.intent
    path, files = _engine_file(worker, of_dynamo=True)
    return Launch(
        argv=(
            *(place.python, "-m", "dynamo.trtllm", "--model-path", place.model, "--served-model-name", topology.model),
            *_role_flags(worker),
            *flag("--tensor-parallel-size", role.tensor_parallel),
            *flag("--pipeline-parallel-size", role.pipeline_parallel),
            *flag("--expert-parallel-size", role.expert_parallel),
            *flag("--kv-block-size", topology.block_size),
            *(worker.dialect.trtllm_publish if publishes_events(topology, worker.role) else ()),
            *(("--connector", "kvbm") if tiers(topology, worker.role) == "kvbm" else ()),
            *flag("--extra-engine-args", path),
            *(() if worker.dialect.frontend_migrates else flag("--migration-limit", topology.migration_limit)),
        ),
        env=_environment(worker),
        files=files,
    )


def own_server(worker: Worker) -> Launch:
    """``trtllm-serve``, found on PATH. It serves a model directory under the last part of its path, whatever the topology calls it."""
    place, role = worker.place, worker.intent
    path, files = _engine_file(worker, of_dynamo=False)
    return Launch(
        argv=(
            *("trtllm-serve", "serve", place.model, "--host", place.bind, "--port", str(worker.ports["http"])),
            *flag("--tp_size", role.tensor_parallel),
            *flag("--pp_size", role.pipeline_parallel),
            *flag("--ep_size", role.expert_parallel),
            *flag("--extra_llm_api_options", path),
        ),
        env=_environment(worker),
        files=files,
    )


def engine_arguments(worker: Worker, *, of_dynamo: bool) -> dict[str, object]:
    """What goes into the file; empty where the command line says all."""
    topology, cache = worker.topology, worker.topology.kv_cache
    kv: dict[str, object] = {} if cache.prefix_caching is None else {"enable_block_reuse": cache.prefix_caching}
    found: dict[str, object] = {}
    if tiers(topology, worker.role) == "kvbm":
        # Blocks that are reused in part are not found in a lower tier again.
        kv["enable_partial_reuse"] = False
        if not of_dynamo:
            found["kv_connector_config"] = dict(kvbm.TRTLLM_CONNECTOR)
    if not of_dynamo and topology.block_size is not None:
        kv["tokens_per_block"] = topology.block_size
    if kv:
        found["kv_cache_config"] = kv
    if (worker.intent.data_parallel or 1) > 1:
        found["enable_attention_dp"] = True
    if worker.role in ("prefill", "decode"):
        found["cache_transceiver_config"] = {"backend": "NIXL"}
    if worker.role == "prefill":
        # As in every recipe of Dynamo: a prefill worker generates one token, which the overlap scheduler only delays.
        found["disable_overlap_scheduler"] = True
    if (speculation := trtllm_config(topology.speculation)) and worker.role != "encode":
        found["speculative_config"] = speculation
    return found


def _engine_file(worker: Worker, *, of_dynamo: bool) -> tuple[str | None, dict[str, str]]:
    arguments = engine_arguments(worker, of_dynamo=of_dynamo)
    if not arguments:
        return None, {}
    path = f"{worker.place.directory}/trtllm-{worker.name}.yaml"
    # JSON is YAML, and needs no library to be written.
    return path, {path: json.dumps(arguments, indent=2) + "\n"}


def _role_flags(worker: Worker) -> tuple[str, ...]:
    encoding = bool(worker.topology.encode.count)
    if worker.role == "encode":
        return ("--disaggregation-mode", "encode", "--enable-multimodal")
    multimodal = ("--enable-multimodal", "--encode-endpoint", _ENCODER) if encoding else ()
    return multimodal if worker.role == "worker" else ("--disaggregation-mode", worker.role, *multimodal)


def _environment(worker: Worker) -> dict[str, str]:
    return _ENVIRONMENT | (kvbm.environment(worker) if tiers(worker.topology, worker.role) == "kvbm" else {})
