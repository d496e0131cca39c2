"""The whole stack on this machine: etcd, NATS, Dynamo's frontend and mocker workers, each a process."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.dynamo import check_engine
from pytest_dynperf.deployment.infrastructure import REMEDY, find_program, program_version, services_environment
from pytest_dynperf.deployment.inspection import package_versions, python_of, versions_of
from pytest_dynperf.deployment.model_directory import make_model, model_digest
from pytest_dynperf.deployment.ports import free_ports
from pytest_dynperf.deployment.process_launcher import ProcessLauncher
from pytest_dynperf.deployment.service import INFRASTRUCTURE, Place
from pytest_dynperf.deployment.stack import start_stack
from pytest_dynperf.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.scenario.topology import Topology

READY_S = 60.0
"""Longest time from the first process to the first completion; 4 s is usual on two cores."""

PACKAGES = ("ai-dynamo", "ai-dynamo-runtime", "transformers", "tokenizers")


def start_embedded(
    topology: Topology,
    *,
    directory: Path,
    cache_directory: Path,
    log_path: Callable[[str], Path],
    choose_ports: Callable[[int], tuple[int, ...]] = free_ports,
    python: Path | None = None,
    session: str = "",
    gpus: Sequence[str] = (),
    descriptors: Sequence[int] = (),
) -> Deployment:
    """Start ``topology`` and return when a completion has come back: 2 to 5 s on two cores. ``python``: another interpreter than our own
    for Dynamo's services; etcd and NATS are then those beside it, where it has them. What is started carries the id of the ``session``.
    ``gpus`` are the UUIDs that workers take, and ``descriptors`` those of their leases, which workers inherit.

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
    place = Place(
        python=str(python or sys.executable),
        etcd=find_program("etcd", python),
        nats=find_program("nats-server", python) if topology.planes == "nats" else "",
        nginx=find_proxy() if topology.frontends > 1 else "",
        model=str(make_model(cache_directory)),
        directory=str(state),
        environment=services_environment(own_packages=python is None),
    )
    return start_stack(
        topology,
        launcher=ProcessLauncher(choose_ports, session=session, descriptors=descriptors),
        place=place,
        state=state,
        log_path=log_path,
        versions=lambda services: _versions(services, python, place.model),
        ready_s=READY_S,
        gpus=gpus,
    )


def find_proxy() -> str:
    """nginx, which stands before several frontends; Debian keeps it in ``/usr/sbin``, where not everybody looks.

    :raises DeploymentError: where it is not; says how to get it.
    """
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        msg = "nginx is not here, and stands before several frontends: install it (Debian: apt-get install nginx-light)"
        raise DeploymentError(msg)
    return found


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


def _versions(services: Mapping[str, Service], python: Path | None, model: str) -> dict[str, str]:
    """Of what runs: an etcd or NATS that is installed and not started explains nothing."""
    idle = {f"{role}.version" for role in INFRASTRUCTURE} - {f"{service.spec.role}.version" for service in services.values()}
    found = {name: version for name, version in installed_versions(python).items() if name not in idle}
    return {**found, "python": python_of(python), "model.digest": model_digest(Path(model))}


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
