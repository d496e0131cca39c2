"""Dynamo's frontend with its router. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.deployment.worker import flag

if TYPE_CHECKING:
    from pytest_dynperf.deployment.service import Place
    from pytest_dynperf.deployment.versions import Dialect
    from pytest_dynperf.scenario.topology import Router, Topology


def frontend_argv(topology: Topology, place: Place, dialect: Dialect, *, port: int) -> tuple[str, ...]:
    """Its command line; ``router_args`` stand last, so that they win."""
    return (
        *(place.python, "-m", "dynamo.frontend", "--http-host", place.bind, "--http-port", str(port)),
        *planes(topology),
        *flag("--kv-cache-block-size", topology.block_size),
        *("--router-mode", topology.router_mode),
        *_router_flags(topology.router, dialect),
        *(flag("--migration-limit", topology.migration_limit) if dialect.frontend_migrates else ()),
        *topology.router_args,
    )


def planes(topology: Topology) -> tuple[str, ...]:
    """Over what requests and events go."""
    return ("--request-plane", "nats", "--event-plane", "nats") if topology.planes == "nats" else ()


def _router_flags(router: Router, dialect: Dialect) -> tuple[str, ...]:
    events = dialect.kv_events if router.kv_events else dialect.kv_events.replace("--", "--no-", 1)
    return (
        *(() if router.kv_events is None else (events,)),
        *flag(dialect.ttl, router.ttl_s),
        *flag(dialect.overlap_weight, router.overlap_weight),
        *flag("--router-temperature", router.temperature),
        *flag("--active-decode-blocks-threshold", router.active_decode_blocks_threshold),
        *flag("--active-prefill-tokens-threshold", router.active_prefill_tokens_threshold),
        *(("--router-replica-sync",) if router.replica_sync else ()),
        *((dialect.reset_states,) if router.reset_states else ()),
    )
