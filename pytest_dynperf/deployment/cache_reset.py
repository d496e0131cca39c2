"""Empties KV caches of a deployment that runs, so that the next request finds nothing in them.

::

    Deployment.services ── one call for each worker (device) and each cache server (host) ──▶ empty, or DeploymentError

What is called: ``POST /engine/flush_cache`` at the system port of Dynamo's vLLM workers (seen: 1.6.1; read: 1.4.2), and
``POST /cache/clear`` of LMCache's server (seen: 0.5.6). The frontend's ``/clear_kv_blocks`` is in its source and on none of its ports.
"""

from __future__ import annotations

import json
import re
import time
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.errors import DeploymentError, EndpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment

TIERS = ("device", "host")
"""``device``: what the engine itself holds. ``host``: memory of the host beside it. Tiers below, on disk or in a store, stay."""

PATIENCE_S = 10.0
"""How long blocks may stay in use after the last request: what is handed to a tier below is handed over after it."""

EMPTIED = "Successfully reset prefix cache"
IN_USE = "Failed to reset prefix cache"
"""What vLLM logs (``vllm/v1/core/block_pool.py``). Dynamo answers ``ok`` in both cases."""

HELD = "lmcache_mp_l1_memory_usage_bytes"
"""LMCache's gauge of what its memory holds."""

_POLL_S = 0.05
_ANSWER_S = 10.0
_WORKERS = ("worker", "prefill", "decode")
_WITHOUT_HOST_MEMORY = {"NixlConnector", "LMCacheMPConnector", "PdConnector"}
"""Connectors that hand on, and one that holds others together."""

_HOST_FLAGS = {"--num-host-blocks", "--enable-hierarchical-cache", "--enable-lmcache", "--kv-offloading-size"}


def reset_caches(deployment: Deployment, *, tiers: Sequence[str]) -> None:
    """Empty the caches of ``tiers`` in all services of ``deployment``; returns when each has said that it is done. 10 to 100 ms a worker.
    A tier that the deployment does not have is empty.

    Send nothing meanwhile: what requests use is not emptied. Counters of the servers go on, and what a KV router knows of the caches
    follows by the engine's own events, where it has them.

    :raises DeploymentError: names what cannot be reset, before anything is; or what did not do as it was told.
    """
    for tier in tiers:
        if tier not in TIERS:
            msg = f"there is no call that empties the tier {tier!r}: known are {', '.join(map(repr, TIERS))}. Deploy anew instead."
            raise DeploymentError(msg)
    services = tuple(deployment.services.values())
    if not services:
        msg = "caches of a server that somebody else runs cannot be reset from here: nothing of it was started by this session"
        raise DeploymentError(msg)
    calls = [call for tier in dict.fromkeys(tiers) for call in {"device": _of_device, "host": _of_host}[tier](services)]
    for call in calls:
        call()


def _of_device(services: Sequence[Service]) -> Iterator[Callable[[], None]]:
    for worker in services:
        if worker.spec.role not in _WORKERS:
            continue
        if "dynamo.vllm" not in worker.spec.argv:
            msg = (
                f"the device's KV cache of {worker.spec.name} cannot be reset: of Dynamo's vLLM workers the call is known, of "
                f"{_program(worker)} none. Deploy it anew, which begins with empty caches."
            )
            raise DeploymentError(msg)
        yield partial(_empty_device, worker)


def _of_host(services: Sequence[Service]) -> Iterator[Callable[[], None]]:
    servers = [service for service in services if service.spec.role == "cache"]
    for server in servers:
        yield partial(_empty_host, server)
    for worker in services:
        if not servers and worker.spec.role in _WORKERS and (inside := _host_memory_of(worker)):
            msg = (
                f"the host's KV cache inside {worker.spec.name} ({inside}) cannot be reset: the call is known of a cache server beside the "
                f"engine alone (topology.kv_cache.connector 'lmcache-mp'). Deploy it anew, which begins with empty caches."
            )
            raise DeploymentError(msg)


def _program(service: Service) -> str:
    """``dynamo.mocker`` of ``python -m dynamo.mocker …``."""
    argv = service.spec.argv
    return argv[argv.index("-m") + 1] if "-m" in argv[:-1] else argv[0]


def _host_memory_of(worker: Service) -> str:
    """What on its command line gives a worker memory of the host for KV blocks; empty where nothing does."""
    words = worker.spec.argv
    connectors = set(re.findall(r'"kv_connector":\s*"(\w+)"', " ".join(words))) - _WITHOUT_HOST_MEMORY
    named = [value for word, value in pairwise(words) if word == "--connector" and value not in {"nixl", "none"}]
    flags = [word for word in words if word.partition("=")[0] in _HOST_FLAGS]
    return ", ".join([*sorted(connectors), *named, *flags])


def _empty_device(worker: Service) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        size = worker.log.stat().st_size
        _call(worker, port="system", path="/engine/flush_cache")
        if _logged(worker, size, deadline) == EMPTIED:
            return
        if time.monotonic() >= deadline:
            msg = (
                f"the device's KV cache of {worker.spec.name} was not reset: blocks of it are in use for {PATIENCE_S:g} s. "
                f"Reset caches when no request runs."
            )
            raise DeploymentError(msg)
        time.sleep(_POLL_S)


def _logged(worker: Service, since: int, deadline: float) -> str:
    """Which of the two sentences the worker has logged behind the byte ``since``."""
    while True:
        with worker.log.open("rb") as file:
            file.seek(since)
            text = file.read().decode("utf-8", "replace")
        for sentence in (EMPTIED, IN_USE):
            if sentence in text:
                return sentence
        if time.monotonic() >= deadline:
            msg = (
                f"{worker.spec.name} answered that its KV cache is reset and its log {worker.log} does not confirm it: it says neither "
                f"{EMPTIED!r} nor {IN_USE!r}. Is this a version of vLLM that says it differently, or is its log switched off?"
            )
            raise DeploymentError(msg)
        time.sleep(_POLL_S)


def _empty_host(server: Service) -> None:
    """What a transfer has locked is passed over and the answer is ``ok`` all the same, so the server's own gauge decides."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        _call(server, port="http", path="/cache/clear")
        held = _held_bytes(server)
        if held == 0:
            return
        if time.monotonic() >= deadline:
            msg = f"the host's KV cache of {server.spec.name} was not reset: {held:g} bytes are in use for {PATIENCE_S:g} s"
            raise DeploymentError(msg)
        time.sleep(_POLL_S)


def _held_bytes(server: Service) -> float:
    url = f"http://127.0.0.1:{server.ports['http']}/metrics"
    try:
        text = exchange("GET", url, timeout_s=_ANSWER_S).body.decode("utf-8", "replace")
    except EndpointError as error:
        msg = f"whether the KV cache of {server.spec.name} was reset is not known: {error}"
        raise DeploymentError(msg) from error
    found = re.findall(rf"^{HELD}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    if not found:
        msg = f"whether the KV cache of {server.spec.name} was reset is not known: {url} states no {HELD}"
        raise DeploymentError(msg)
    return sum(map(float, found))


def _call(service: Service, *, port: str, path: str) -> None:
    url = f"http://127.0.0.1:{service.ports[port]}{path}"
    try:
        reply = exchange("POST", url, timeout_s=_ANSWER_S, body={})
        status = json.loads(reply.body).get("status") if reply.status == 200 else None
    except (EndpointError, ValueError, AttributeError) as error:
        msg = f"the KV cache of {service.spec.name} cannot be reset: {error}"
        raise DeploymentError(msg) from error
    if status != "ok":
        msg = f"the KV cache of {service.spec.name} cannot be reset: {url} answers HTTP {reply.status}: {reply.excerpt or 'without a text'}"
        raise DeploymentError(msg)
