"""An endpoint that somebody else runs: starts nothing, stops nothing, says what it could not learn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.control import authorised_headers, exchange
from pytest_dynperf.deployment.inspection import host_facts
from pytest_dynperf.deployment.readiness import check_serves, complete_once
from pytest_dynperf.endpoint import shown
from pytest_dynperf.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.endpoint import Endpoint

LIST_S = 10.0
METRICS_S = 3.0
COMPLETION_S = 120.0
"""A cold server may compile on its first request."""

UNKNOWN = "unknown: the endpoint does not say"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attached:
    """Its ``incident`` is always ``None``: services of somebody else end out of sight; failed requests show it."""

    endpoint: Endpoint
    key: Mapping[str, str]
    provenance: Mapping[str, str] = field(repr=False)

    @property
    def services(self) -> Mapping[str, Service]:
        return {}

    def incident(self) -> str | None:
        return None

    def witness(self) -> Mapping[str, float]:
        return {}

    def stop(self) -> None:
        return


def attach(endpoint: Endpoint, *, environment_name: str | None) -> Deployment:
    """Prove that ``endpoint`` lists its model and completes, and describe it.

    Its own ``/metrics`` becomes a metrics URL when it answers with Prometheus text; most gateways do not, and that is no error.
    The key has ``model`` and, where the user names the environment, ``name``; nothing else can be known to bind.

    :raises EndpointError: when it does not answer as an OpenAI-compatible server that serves the model.
    """
    check_serves(endpoint, timeout_s=LIST_S)
    complete_once(endpoint, content="ready?", max_tokens=4, timeout_s=COMPLETION_S)
    endpoint = replace(endpoint, metrics_urls=endpoint.metrics_urls or _metrics_urls(endpoint))
    host = host_facts()
    name = {} if environment_name is None else {"name": environment_name}
    return _Attached(
        endpoint=endpoint,
        key={**name, "model": endpoint.model},
        provenance={
            "launcher": "attached",
            "endpoint": shown(endpoint.base_url),
            **dict.fromkeys(("engine", "engine.version", "topology", "router.mode", "gpu.sku", "model.digest"), UNKNOWN),
            **{f"client.{fact}": host[fact] for fact in ("cpu.model", "cpu.count", "hostname", "kernel", "python")},
        },
    )


def _metrics_urls(endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    url = endpoint.url("/metrics")
    try:
        reply = exchange("GET", url, timeout_s=METRICS_S, headers=authorised_headers(endpoint))
    except EndpointError:
        return ()
    is_text = reply.content_type.partition(";")[0].strip() in {"text/plain", "application/openmetrics-text"}
    return (("server", url),) if reply.status == 200 and is_text and b"# TYPE " in reply.body else ()
