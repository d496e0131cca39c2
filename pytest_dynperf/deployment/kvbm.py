"""Dynamo's KV block manager: its environment, and how vLLM and TensorRT-LLM load it. Pure.

Names as in Dynamo's ``lib/bindings/kvbm`` from 0.9 on. KVBM loads beside the engine and needs CUDA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pytest_dynperf.deployment.worker import Worker

METRICS_PORT = 6880
"""Where KVBM serves its metrics unless told otherwise; workers of one host need one each."""

VLLM_CONNECTOR = {"kv_connector": "DynamoConnector", "kv_connector_module_path": "kvbm.vllm_integration.connector", "kv_role": "kv_both"}
TRTLLM_CONNECTOR = {
    "connector_module": "kvbm.trtllm_integration.connector",
    "connector_scheduler_class": "DynamoKVBMConnectorLeader",
    "connector_worker_class": "DynamoKVBMConnectorWorker",
}


def environment(worker: Worker) -> dict[str, str]:
    """Tiers and metrics. Without ``host_gib`` blocks go from the device to the disk. The filter that keeps blocks off the disk until they
    are used twice stays on, as upstream has it. Credentials of an object store are the place's to hand over.
    """
    cache, place = worker.topology.kv_cache, worker.place
    found = {
        "DYN_KVBM_METRICS": "true",
        "DYN_KVBM_METRICS_PORT": str(worker.ports["kvbm_metrics"]),
        "DYN_KVBM_LEADER_ZMQ_HOST": "127.0.0.1",
        "DYN_KVBM_LEADER_ZMQ_PUB_PORT": str(worker.ports["kvbm_publish"]),
        "DYN_KVBM_LEADER_ZMQ_ACK_PORT": str(worker.ports["kvbm_acknowledge"]),
    }
    if "kvbm_events" in worker.ports:
        found["DYN_KVBM_TRTLLM_ZMQ_PORT"] = str(worker.ports["kvbm_events"])
    if cache.host_gib is not None:
        found["DYN_KVBM_CPU_CACHE_GB"] = str(cache.host_gib)
    if cache.disk_gib is not None:
        found |= {
            "DYN_KVBM_DISK_CACHE_GB": str(cache.disk_gib),
            "DYN_KVBM_DISK_CACHE_DIR": cache.disk_path or f"{place.directory}/kvbm-{worker.name}",
        }
    if cache.object_store_url is not None:
        found |= _object_store(cache.object_store_url)
    return found


def directories(worker: Worker) -> tuple[str, ...]:
    """What must exist before the start: the disk tier's directory, where it is ours."""
    cache = worker.topology.kv_cache
    return (f"{worker.place.directory}/kvbm-{worker.name}",) if cache.disk_gib is not None and cache.disk_path is None else ()


def _object_store(url: str) -> dict[str, str]:
    """``s3://bucket``, or ``http://host:port/bucket`` for a store of one's own."""
    parts = urlsplit(url)
    found = {"DYN_KVBM_OBJECT_ENABLED": "1"}
    if parts.scheme == "s3":
        return {**found, "DYN_KVBM_OBJECT_BUCKET": parts.netloc}
    return {
        **found,
        "DYN_KVBM_OBJECT_ENDPOINT": f"{parts.scheme}://{parts.netloc}",
        "DYN_KVBM_OBJECT_BUCKET": parts.path.strip("/"),
    }
