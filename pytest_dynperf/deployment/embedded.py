"""The whole stack on this machine: etcd, NATS, Dynamo's frontend and mocker workers, each a process."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import process, readiness
from pytest_dynperf.deployment.dynamo import FIXED_PORTS, HOST, check_engine, port_map, services
from pytest_dynperf.deployment.infrastructure import (
    REMEDY,
    find_program,
    nats_counters,
    program_version,
    services_environment,
    starting_incident,
)
from pytest_dynperf.deployment.inspection import host_facts, package_versions, versions_of
from pytest_dynperf.deployment.model_directory import make_model, model_digest
from pytest_dynperf.deployment.ports import PortTaken, free_ports
from pytest_dynperf.deployment.service import INFRASTRUCTURE
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.deployment.service import ServiceSpec
    from pytest_dynperf.scenario.topology import Topology

READY_S = 60.0
"""Longest time from the first process to the first completion; 4 s is usual on two cores."""

PACKAGES = ("ai-dynamo", "ai-dynamo-runtime", "transformers", "tokenizers")
EXTRA_BODY = (("nvext", {"extra_fields": ["worker_id", "timing"]}),)
"""Dynamo then tells in each answer which worker served it and what its own clock says."""


def start_embedded(
    topology: Topology,
    *,
    directory: Path,
    cache_directory: Path,
    log_path: Callable[[str], Path],
    choose_ports: Callable[[int], tuple[int, ...]] = free_ports,
    python: Path | None = None,
) -> Deployment:
    """Start ``topology`` and return when a completion has come back: 2 to 5 s on two cores. ``python``: another interpreter than our own
    for Dynamo's services; etcd and NATS are then those beside it, where it has them.

    Services write inside ``directory`` only, and what they wrote there is removed when they are stopped; logs stay at
    ``log_path(service)``. A service that loses its port to somebody else leads to one more attempt with new ports.

    :raises UsageError: for an engine that this version cannot start.
    :raises ServiceExited: when a service ends on the way; with its last log lines.
    :raises DeploymentError: when a program or package is missing, or the stack is not ready within 60 s.
    """
    check_engine(topology)
    if python is None:
        _require_packages()
    else:
        _require_packages_of(python)
    state = directory.resolve() / "state"

    def attempt() -> Deployment:
        specs = _specs(topology, state=state, cache_directory=cache_directory, choose_ports=choose_ports, python=python)
        deployment = _Embedded(topology=topology, specs=specs, state=state, python=python)
        try:
            deployment.start(log_path)
        except BaseException:
            deployment.stop()
            raise
        return deployment

    try:
        return attempt()
    except PortTaken:
        return attempt()


def metrics_urls(specs: Sequence[ServiceSpec]) -> tuple[tuple[str, str], ...]:
    """Where Dynamo's services serve Prometheus metrics: the frontend beside its API, workers at their system port."""
    ports = ((spec.name, spec.ports.get("http") or spec.ports.get("system")) for spec in specs)
    return tuple((name, f"http://{HOST}:{port}/metrics") for name, port in ports if port is not None)


def _require_packages() -> None:
    for package in ("dynamo.frontend", "dynamo.mocker"):
        try:
            found = find_spec(package) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            msg = f"the package {package} is not installed for {sys.executable} (Python 3.11 or 3.12). Install it: {REMEDY}"
            raise DeploymentError(msg)


def _require_packages_of(python: Path) -> None:
    if "ai-dynamo" not in (versions_of(python, PACKAGES) or {}):
        msg = f"the package ai-dynamo is not installed for {python}, or it does not start. Install it there: pip install ai-dynamo"
        raise DeploymentError(msg)


def installed_versions(python: Path | None = None) -> dict[str, str]:
    """``*.version`` of what :func:`start_embedded` would run, by the names of provenance, without starting it; what is not there is left
    out. 0.2 s.
    """
    found = package_versions(PACKAGES) if python is None else versions_of(python, PACKAGES) or {}
    programs = {}
    for role, name in (("etcd", "etcd"), ("nats", "nats-server")):
        try:
            programs[role] = program_version(find_program(name, python))
        except DeploymentError:
            continue
    return {f"{name}.version": version for name, version in {**found, **programs}.items()}


def _specs(
    topology: Topology,
    *,
    state: Path,
    cache_directory: Path,
    choose_ports: Callable[[int], tuple[int, ...]],
    python: Path | None,
) -> tuple[ServiceSpec, ...]:
    return services(
        topology,
        python=str(python or sys.executable),
        etcd=find_program("etcd", python),
        nats=find_program("nats-server", python) if topology.planes == "nats" else "",
        model_directory=str(make_model(cache_directory)),
        directory=str(state),
        ports=port_map(choose_ports(FIXED_PORTS + topology.worker_count)),
        environment=services_environment(own_packages=python is None),
    )


class _Embedded:
    """A deployment of processes that this one has started."""

    def __init__(self, *, topology: Topology, specs: tuple[ServiceSpec, ...], state: Path, python: Path | None) -> None:
        self._python = python
        self._topology = topology
        self._specs = specs
        self._state = state
        self._host = host_facts()
        self._versions: dict[str, str] = {}
        self.running: list[process.Running] = []
        frontend = next(spec for spec in specs if spec.role == "frontend")
        self.endpoint = Endpoint(
            base_url=f"http://{HOST}:{frontend.ports['http']}",
            model=topology.model,
            extra_body=EXTRA_BODY,
            metrics_urls=metrics_urls(specs),
        )

    def start(self, log_path: Callable[[str], Path]) -> None:
        deadline = time.monotonic() + READY_S

        def starting() -> str | None:
            return starting_incident(self.running)

        def infrastructure_first(spec: ServiceSpec, running: Sequence[process.Running]) -> None:
            self.running = list(running)
            if spec.role not in INFRASTRUCTURE:
                needed = [service.spec for service in running if service.spec.role in INFRASTRUCTURE]
                readiness.wait_services(needed, incident=starting, deadline=deadline)

        self.running = process.start(self._specs, log_path=log_path, before=infrastructure_first)
        readiness.wait_services(self._specs, incident=starting, deadline=deadline)
        readiness.wait_ready(self.endpoint, instances=self._topology.worker_count, incident=starting, deadline=deadline)
        self._versions = self._ask_versions()

    @property
    def key(self) -> Mapping[str, str]:
        return {"cpu.model": self._host["cpu.model"], "cpu.count": self._host["cpu.count"], "model": self._topology.model}

    @property
    def provenance(self) -> Mapping[str, str]:
        topology = self._topology
        frontend = next(spec for spec in self._specs if spec.role == "frontend")
        facts = {
            "launcher": "process",
            "engine": topology.engine,
            "engine.timing": "simulated timing, real frontend and router",
            "topology": topology.shape,
            "router.mode": _last_value(frontend.argv, "--router-mode"),
            "router.args": shlex.join(topology.router_args),
            "block_size": "default" if topology.block_size is None else str(topology.block_size),
            **{f"{role}.args": shlex.join(workers.args) for role, workers in topology.roles.items()},
            **{name: self._host[name] for name in ("hostname", "kernel", "python")},
            **self._versions,
        }
        return {name: text for name, text in facts.items() if text}

    def incident(self) -> str | None:
        return process.incident(self.running)

    def witness(self) -> Mapping[str, float]:
        nats = next((spec for spec in self._specs if spec.role == "nats"), None)
        if nats is None:
            return {}
        return nats_counters(nats.ports["monitor"])

    def stop(self) -> None:
        running, self.running = self.running, []
        try:
            process.stop(running)
        finally:
            shutil.rmtree(self._state, ignore_errors=True)

    def _ask_versions(self) -> dict[str, str]:
        programs = {spec.role: spec.argv[0] for spec in self._specs if spec.role in INFRASTRUCTURE}
        packages = package_versions(PACKAGES) if self._python is None else versions_of(self._python, PACKAGES) or {}
        worker = next(spec for spec in self._specs if spec.role in self._topology.roles)
        model = Path(_last_value(worker.argv, "--model-path"))
        return {
            **{f"{name}.version": version for name, version in packages.items()},
            **{f"{role}.version": program_version(path) for role, path in programs.items()},
            "model.digest": model_digest(model),
        }


def _last_value(argv: Sequence[str], flag: str) -> str:
    """The value of ``flag`` that is in force: the last one, given as ``--flag value`` or ``--flag=value``."""
    value = ""
    for index, word in enumerate(argv):
        if word == flag and index + 1 < len(argv):
            value = argv[index + 1]
        elif word.startswith(f"{flag}="):
            value = word.partition("=")[2]
    return value
