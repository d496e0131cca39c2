"""A topology as running services, whatever starts them: etcd, NATS, Dynamo's frontend and workers."""

from __future__ import annotations

import shlex
import time
from functools import partial
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import readiness
from pytest_dynperf.deployment.dynamo import port_map, ports_needed, services
from pytest_dynperf.deployment.infrastructure import nats_counters, starting_incident
from pytest_dynperf.deployment.inspection import host_facts
from pytest_dynperf.deployment.ports import PortTaken
from pytest_dynperf.deployment.service import INFRASTRUCTURE, METRICS_PORTS, entry
from pytest_dynperf.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.deployment.launcher import Group, Launcher, Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.deployment.service import Place, ServiceSpec
    from pytest_dynperf.scenario.topology import Topology

EXTRA_BODY = (("nvext", {"extra_fields": ["worker_id", "timing"]}),)
"""Dynamo then tells in each answer which worker served it and what its own clock says."""


def start_stack(
    topology: Topology,
    *,
    launcher: Launcher,
    place: Place,
    state: Path,
    log_path: Callable[[str], Path],
    versions: Callable[[Mapping[str, Service]], Mapping[str, str]],
    ready_s: float,
    gpus: Sequence[str] = (),
    key: Mapping[str, str] | None = None,
    specs_of: Callable[[Callable[[int], tuple[int, ...]]], tuple[ServiceSpec, ...]] | None = None,
) -> Deployment:
    """Start ``topology`` by ``launcher`` and return when a completion has come back.

    ``state`` on this host takes what services write and is removed when they are stopped. ``versions`` is asked once everything runs, for
    facts of provenance, and is given the running services. ``key``: further facts that bind comparability.
    ``specs_of``: what is started in place of Dynamo's services, given how to choose ports. A service that loses its port to
    somebody else leads to one more attempt with new ports.

    :raises UsageError: for an engine that this version cannot start.
    :raises ServiceExited: when a service ends on the way; with its last log lines.
    :raises DeploymentError: when something is missing, or the stack is not ready within ``ready_s``.
    """

    def attempt() -> Deployment:
        if specs_of is None:
            ports = port_map(launcher.choose_ports(ports_needed(topology)))
            specs = services(topology, place=place, ports=ports, gpus=gpus)
        else:
            specs = specs_of(launcher.choose_ports)
        stack = _Stack(topology=topology, specs=specs, launcher=launcher, key=key or {})
        try:
            stack.start(state, log_path, ready_s)
            stack.versions = dict(versions(stack.services))
        except BaseException:
            stack.stop()
            raise
        return stack

    try:
        return attempt()
    except PortTaken:
        return attempt()


def metrics_urls(running: Mapping[str, Service]) -> tuple[tuple[str, str], ...]:
    """Where services serve Prometheus metrics: frontends and engines beside their API, Dynamo's workers at their system port, KVBM at one
    of its own. The first of a service goes by the service's name, others by its name and their purpose.
    """
    found: dict[str, str] = {}
    for name, service in running.items():
        for purpose in METRICS_PORTS:
            if purpose in service.ports:
                found[f"{name}-{purpose}" if name in found else name] = service.address(purpose)
    return tuple((name, f"http://{address}/metrics") for name, address in found.items())


class _Stack:
    """A deployment of services that a launcher has started."""

    endpoint: Endpoint

    def __init__(self, *, topology: Topology, specs: tuple[ServiceSpec, ...], launcher: Launcher, key: Mapping[str, str]) -> None:
        self._topology = topology
        self._key = key
        self._specs = specs
        self._launcher = launcher
        self._host = host_facts()
        self._group: Group | None = None
        self.versions: dict[str, str] = {}

    def start(self, state: Path, log_path: Callable[[str], Path], ready_s: float) -> None:
        deadline = time.monotonic() + ready_s

        def infrastructure_first(spec: ServiceSpec, group: Group) -> None:
            self._group = group
            if spec.role not in INFRASTRUCTURE:
                needed = [service for service in group.services.values() if service.spec.role in INFRASTRUCTURE]
                readiness.wait_services(needed, incident=partial(starting_incident, group), deadline=deadline)

        group = self._launcher.start(self._specs, directory=state, log_path=log_path, before=infrastructure_first)
        self._group, starting = group, partial(starting_incident, group)
        readiness.wait_services(tuple(group.services.values()), incident=starting, deadline=deadline)
        first, purpose = entry(self._specs)
        dynamo = self._topology.served_by == "dynamo"
        self.endpoint = Endpoint(
            base_url=f"http://{group.services[first.name].address(purpose)}",
            model=self._topology.model,
            extra_body=EXTRA_BODY if dynamo else (),
            metrics_urls=metrics_urls(group.services),
        )
        instances = self._topology.worker_count if dynamo else None
        readiness.wait_ready(self.endpoint, instances=instances, incident=starting, deadline=deadline)

    @property
    def services(self) -> Mapping[str, Service]:
        return {} if self._group is None else self._group.services

    @property
    def key(self) -> Mapping[str, str]:
        return {"cpu.model": self._host["cpu.model"], "cpu.count": self._host["cpu.count"], "model": self._topology.model, **self._key}

    @property
    def provenance(self) -> Mapping[str, str]:
        topology = self._topology
        frontend = next((spec for spec in self._specs if spec.role == "frontend"), None)
        facts = {
            "launcher": self._launcher.name,
            "engine": topology.engine,
            "engine.timing": "simulated timing, real frontend and router" if topology.engine == "mocker" else "",
            "topology": topology.shape,
            "router.mode": "" if frontend is None else last_value(frontend.argv, "--router-mode"),
            "router.args": shlex.join(topology.router_args),
            "block_size": "default" if topology.block_size is None else str(topology.block_size),
            **{f"{role}.args": shlex.join(workers.args) for role, workers in topology.roles.items()},
            **{name: self._host[name] for name in ("hostname", "kernel", "python")},
            **self.versions,
        }
        return {name: text for name, text in facts.items() if text}

    def incident(self) -> str | None:
        return None if self._group is None else self._group.incident()

    def witness(self) -> Mapping[str, float]:
        nats = next((service for service in self.services.values() if service.spec.role == "nats"), None)
        return {} if nats is None else nats_counters(nats.ports["monitor"])

    def stop(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            group.stop()


def last_value(argv: Sequence[str], flag: str) -> str:
    """The value of ``flag`` that is in force: the last one, given as ``--flag value`` or ``--flag=value``."""
    value = ""
    for index, word in enumerate(argv):
        if word == flag and index + 1 < len(argv):
            value = argv[index + 1]
        elif word.startswith(f"{flag}="):
            value = word.partition("=")[2]
    return value
