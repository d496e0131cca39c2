"""LMCache: inside the engine by its environment, or beside it as a server of its own. Pure.

Names as of lmcache 0.5.6: ``lmcache/v1/config.py`` and ``lmcache/v1/multiprocess/config.py``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.deployment.service import Place
    from pytest_dynperf.scenario.topology import Topology

IN_PROCESS = {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}
_QUIET = {"LMCACHE_TRACK_USAGE": "false", "LMCACHE_DISABLE_BANNER": "1"}


def in_process_environment(topology: Topology, place: Place, name: str) -> dict[str, str]:
    """Configuration of the connector that runs inside the worker ``name``: host memory, then a directory, then a remote store."""
    cache = topology.kv_cache
    found = {**_QUIET, "LMCACHE_LOCAL_CPU": "true" if cache.host_gib is not None else "false"}
    if cache.chunk_tokens is not None:
        found["LMCACHE_CHUNK_SIZE"] = str(cache.chunk_tokens)
    if cache.host_gib is not None:
        found["LMCACHE_MAX_LOCAL_CPU_SIZE"] = str(cache.host_gib)
    if cache.disk_gib is not None:
        found |= {
            "LMCACHE_LOCAL_DISK": f"file://{_disk(topology, place, name)}/",
            "LMCACHE_MAX_LOCAL_DISK_SIZE": str(cache.disk_gib),
        }
    if cache.object_store_url is not None:
        found["LMCACHE_REMOTE_URL"] = cache.object_store_url
    return found


def connector(place: Place, port: int) -> dict[str, object]:
    """The connector of a vLLM worker that talks to the server at ``port``."""
    extra = {"lmcache.mp.host": f"tcp://{place.host_of('lmcache')}", "lmcache.mp.port": port}
    return {"kv_connector": "LMCacheMPConnector", "kv_role": "kv_both", "kv_connector_extra_config": extra}


def server(topology: Topology, place: Place, *, ports: Mapping[str, int], env: Mapping[str, str], gpus: tuple[str, ...]) -> ServiceSpec:
    """``lmcache server``, one for all workers; ``ports``: ``cache`` for workers, ``http`` for health and metrics.

    Transfer mode ``auto``, because on a CPU vLLM does not become healthy with another. It reaches the workers' device memory through CUDA's
    own handles, so it is given their ``gpus``.
    """
    cache = topology.kv_cache
    argv = (
        *(place.lmcache or "lmcache", "server", "--host", place.bind, "--port", str(ports["cache"])),
        *("--http-host", place.bind, "--http-port", str(ports["http"])),
        *("--l1-size-gb", str(cache.host_gib), "--eviction-policy", "LRU"),
        *(("--chunk-size", str(cache.chunk_tokens)) if cache.chunk_tokens is not None else ()),
        *("--supported-transfer-mode", "auto"),
        *(("--l2-adapter", _second_tier(topology, place)) if _has_disk(topology) else ()),
    )
    return ServiceSpec(
        name="lmcache",
        role="cache",
        argv=argv,
        env={**env, **_QUIET},
        ports=dict(ports),
        ready=ReadyCheck(port="http", path="/healthcheck"),
        working_directory=place.directory,
        directories=(_disk(topology, place, "server"),) if _has_disk(topology) else (),
        image=place.images.get("cache", topology.image),
        mounts=place.mounts,
        gpus=gpus,
    )


def directories(topology: Topology, place: Place, name: str) -> tuple[str, ...]:
    """What must exist before the worker ``name`` starts."""
    return (_disk(topology, place, name),) if topology.kv_cache.connector == "lmcache" and _has_disk(topology) else ()


def _has_disk(topology: Topology) -> bool:
    return topology.kv_cache.disk_gib is not None


def _disk(topology: Topology, place: Place, name: str) -> str:
    return topology.kv_cache.disk_path or f"{place.directory}/lmcache-{name}"


def _second_tier(topology: Topology, place: Place) -> str:
    """The adapter for directories, which knows no bound: ``disk_gib`` only says that there is such a tier."""
    adapter = {"type": "fs", "base_path": _disk(topology, place, "server")}
    return json.dumps(adapter, separators=(",", ":"))
