"""Dynamo's mocker: simulated timing behind the real frontend and router. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.deployment.worker import Launch, flag

if TYPE_CHECKING:
    from pytest_dynperf.deployment.worker import Worker


def dynamo_worker(worker: Worker) -> Launch:
    """One process that plays one worker."""
    topology, place = worker.topology, worker.place
    caching = ("--no-enable-prefix-caching",) if topology.kv_cache.prefix_caching is False else ()
    return Launch(
        argv=(
            *(place.python, "-m", "dynamo.mocker", "--model-path", place.model, "--model-name", topology.model),
            *planes(worker),
            *_role_flags(worker),
            *flag("--block-size", topology.block_size),
            *flag("--data-parallel-size", worker.intent.data_parallel),
            *caching,
        )
    )


def planes(worker: Worker) -> tuple[str, ...]:
    """Over what requests and events go. Where the mocker has no flag for events, NATS is its default."""
    if worker.topology.planes != "nats":
        return ()
    return ("--request-plane", "nats", *(("--event-plane", "nats") if worker.dialect.mocker_event_plane else ()))


def _role_flags(worker: Worker) -> tuple[str, ...]:
    if worker.role == "worker":
        return ()
    return ("--disaggregation-mode", worker.role) if worker.dialect.disaggregation_mode else (f"--is-{worker.role}-worker",)
