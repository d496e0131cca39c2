"""Faults of services, for anybody's tests: each heals on every way out of its block.

What is done here was asked for, so a deployment does not report it as an incident.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import readiness
from pytest_dynperf.errors import FaultError, UnsupportedFaultError
from pytest_dynperf.fault.network import connect, disconnect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment

READY_S = 30.0

__all__ = ["cut_off", "kill", "paused", "restart", "restarted", "service_of"]


def kill(service: Service) -> None:
    """SIGKILL to all processes of ``service``; returns when they are gone.

    :raises FaultError: when one of them is still there, or there was none.
    """
    if not service.pids:
        msg = f"service {service.spec.name} does not run ({service.ended() or 'it has no process'}): there is nothing to kill"
        raise FaultError(msg)
    service.kill()
    if service.pids:
        msg = f"service {service.spec.name} was killed and still has processes {', '.join(map(str, service.pids))}"
        raise FaultError(msg)


def restart(service: Service, *, ready_s: float = READY_S) -> None:
    """Kill ``service``, start it again, and wait until its own check answers. For a worker: registered, which the frontend learns later.

    :raises FaultError: when it could not be killed.
    :raises DeploymentError: when it cannot be started, or is not ready within ``ready_s``; ServiceExited when it ends on the way.
    """
    kill(service)
    _start_again(service, ready_s)


@contextmanager
def restarted(service: Service, *, ready_s: float = READY_S) -> Iterator[Service]:
    """Killed while the block runs, started again and ready after it.

    :raises FaultError: when it could not be killed.
    :raises DeploymentError: as :func:`restart`.
    """
    kill(service)
    try:
        yield service
    finally:
        _start_again(service, ready_s)


@contextmanager
def paused(service: Service) -> Iterator[Service]:
    """Stopped where it is while the block runs: connections stay open, and nothing answers.

    :raises FaultError: when it does not run.
    """
    if not service.pids:
        msg = f"service {service.spec.name} does not run ({service.ended() or 'it has no process'}): there is nothing to pause"
        raise FaultError(msg)
    service.pause()
    try:
        yield service
    finally:
        service.resume()


@contextmanager
def cut_off(service: Service) -> Iterator[Service]:
    """No packet in or out of the container's network while the block runs; its own loopback goes on. Needs root, nsenter and iptables.

    :raises UnsupportedFaultError: when ``service`` shares this host's network (it was not started in a container), or a tool is missing.
    """
    undo = disconnect(service)
    try:
        yield service
    finally:
        connect(undo)


def service_of(deployment: Deployment, target: str) -> Service:
    """The service called ``target``, else the first whose role it is; ``worker`` finds ``prefill`` and ``decode`` as well.

    :raises UnsupportedFaultError: when there is none: the endpoint is somebody else's, or the topology has no such service.
    """
    services: Mapping[str, Service] = deployment.services
    if target in services:
        return services[target]
    found = next((service for service in services.values() if service.spec.role == target), None)
    if found is None and target == "worker":
        found = next((service for service in services.values() if service.spec.role in {"prefill", "decode", "encode"}), None)
    if found is not None:
        return found
    if not services:
        msg = f"{target} cannot be broken: nothing here was started by this session. Faults need a deployment of its own, not an endpoint"
    else:
        msg = f"{target} cannot be broken: there is no such service; there are {', '.join(services)}"
    raise UnsupportedFaultError(msg)


def _start_again(service: Service, ready_s: float) -> None:
    service.restart()
    readiness.wait_services([service], incident=lambda: _gone(service), deadline=time.monotonic() + ready_s)


def _gone(service: Service) -> str | None:
    ended = service.ended()
    return None if ended is None else f"service {service.spec.name} was started again and {ended}. Its log: {service.log}"
