"""The scripted server as a process of its own, started as a service of a deployment: something real that can be killed and paused."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.ports import free_ports
from pytest_dynperf.deployment.process_launcher import ProcessLauncher
from pytest_dynperf.deployment.readiness import wait_services
from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec
from pytest_dynperf.endpoint import Endpoint
from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dynperf.deployment.launcher import Group, Service

ROOT = Path(__file__).parents[2]
MODEL = "fake"


def spec(name: str, role: str, port: int, directory: Path) -> ServiceSpec:
    """A service that answers chats and ``/health`` at ``port``."""
    return ServiceSpec(
        name=name,
        role=role,
        argv=(sys.executable, "-m", "tests.fakes.served", str(port)),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        ports={"http": port},
        ready=ReadyCheck(port="http", path="/health"),
        working_directory=str(directory / "work"),
    )


class Served:
    """A deployment of one process that is frontend and worker in one."""

    key: Mapping[str, str]
    provenance: Mapping[str, str]

    def __init__(self, group: Group, port: int) -> None:
        self._group = group
        self.endpoint = Endpoint(base_url=f"http://127.0.0.1:{port}", model=MODEL)
        self.key, self.provenance = {"name": "test"}, {}
        self.stopped = 0

    @property
    def services(self) -> Mapping[str, Service]:
        return self._group.services

    def incident(self) -> str | None:
        return self._group.incident()

    def witness(self) -> Mapping[str, float]:
        return {}

    def stop(self) -> None:
        self.stopped += 1
        self._group.stop()


@contextmanager
def served(directory: Path, role: str = "worker") -> Iterator[Served]:
    """Ready, and stopped when the block ends."""
    (port,) = free_ports(1)
    group = ProcessLauncher().start(
        [spec(f"{role}-0", role, port, directory)], directory=directory / "state", log_path=lambda name: directory / f"{name}.log"
    )
    deployment = Served(group, port)
    try:
        wait_services(tuple(group.services.values()), incident=group.incident, deadline=time.monotonic() + 30)
        yield deployment
    finally:
        group.stop()


if __name__ == "__main__":
    with sse_server(Behaviour(itl_s=0.002), model=MODEL, port=int(sys.argv[1])):
        signal.pause()
