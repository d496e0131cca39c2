"""Starts the engine of an extension: one process, watched and stopped as every other service is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.deployment.extension_engine import EngineCall, check_topology, engine_service
from pytest_dynperf.deployment.infrastructure import services_environment
from pytest_dynperf.deployment.ports import free_ports
from pytest_dynperf.deployment.process_launcher import ProcessLauncher
from pytest_dynperf.deployment.service import Place
from pytest_dynperf.deployment.stack import start_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_dynperf.deployment.extension_engine import Engine
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.deployment.service import ServiceSpec
    from pytest_dynperf.scenario.topology import Topology

HOST = "127.0.0.1"


def start_engine(
    topology: Topology,
    engine: Engine,
    *,
    directory: Path,
    log_path: Callable[[str], Path],
    session: str = "",
    gpus: Sequence[str] = (),
    descriptors: Sequence[int] = (),
) -> Deployment:
    """Start ``engine`` and return when a completion has come back. ``gpus`` are UUIDs, ``descriptors`` those of their leases.

    :raises UsageError: for a topology that is not one server.
    :raises ServiceExited: when it ends on the way; with its last log lines.
    :raises DeploymentError: when it cannot be executed, or is not ready within ``engine.ready_s``.
    """
    check_topology(topology)
    state = directory.resolve() / "state"

    def specs(choose_ports: Callable[[int], tuple[int, ...]]) -> tuple[ServiceSpec, ...]:
        (port,) = choose_ports(1)
        call = EngineCall(topology=topology, host=HOST, port=port, directory=str(state), gpus=tuple(gpus))
        return (engine_service(engine, call, environment=services_environment()),)

    return start_stack(
        topology,
        launcher=ProcessLauncher(free_ports, session=session, descriptors=descriptors),
        place=Place(python="", directory=str(state), model=topology.model),
        state=state,
        log_path=log_path,
        versions=lambda _services: dict(engine.versions()),
        ready_s=engine.ready_s,
        specs_of=specs,
    )
