"""etcd and NATS: where their programs are, and each of them on its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import site
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import process, readiness
from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.deployment.dynamo import etcd_service, inherited, nats_service
from pytest_dynperf.deployment.inspection import program_output
from pytest_dynperf.deployment.ports import PortTaken, free_ports
from pytest_dynperf.deployment.process_launcher import ProcessLauncher
from pytest_dynperf.deployment.service import Place
from pytest_dynperf.errors import DeploymentError, EndpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.deployment.launcher import Group
    from pytest_dynperf.deployment.service import ServiceSpec

REMEDY = 'pip install "pytest-dynperf[mocker]"'
READY_S = 30.0
_PORT_TAKEN = re.compile(r"address already in use|port \d+ already in use", re.IGNORECASE)


def find_program(name: str, python: Path | None = None) -> str:
    """Path of ``etcd`` or ``nats-server``: beside the interpreter ``python``, where one is given, beside our own, else on PATH.

    :raises DeploymentError: when it is in none of these places.
    """
    beside = [one.parent / name for one in (python, Path(sys.executable)) if one is not None]
    found = next((str(path) for path in beside if os.access(path, os.X_OK)), None) or shutil.which(name)
    if found is None:
        msg = f"{name} is neither beside {sys.executable} nor on PATH. Install it: {REMEDY}"
        raise DeploymentError(msg)
    return str(Path(found).absolute())


def program_version(path: str) -> str:
    """What ``path --version`` calls its version, ``unknown`` when it does not say. 20 to 150 ms."""
    match = re.search(r"\d+\.\d+\.\d+\S*", program_output((path, "--version")) or "")
    return match.group() if match else "unknown"


OWN_PACKAGES = ("PYTHONPATH", "PYTHONUSERBASE", "VIRTUAL_ENV")
"""Variables that lead to packages of our own environment."""


def services_environment(*, own_packages: bool = True) -> dict[str, str]:
    """What services inherit from this process. HOME moves, so packages installed below it must be named. Services of another interpreter
    must not find ours: they would run what they are compared with (``own_packages=False``).
    """
    environment = inherited(os.environ)
    if not own_packages:
        return {name: text for name, text in environment.items() if name not in OWN_PACKAGES}
    if site.ENABLE_USER_SITE:
        environment.setdefault("PYTHONUSERBASE", site.getuserbase())
    return environment


def starting_incident(group: Group) -> str | None:
    """:meth:`Group.incident` for services that are starting.

    :raises PortTaken: when one of them says so in its log, whether it has ended or not: Dynamo's workers go on without their port.
    """
    for name, service in group.services.items():
        if _PORT_TAKEN.search(_beginning(service.log)):
            msg = f"service {name} found its port taken. Its log {service.log} ends:\n{process.tail(service.log)}"
            raise PortTaken(msg)
    return group.incident()


def _beginning(log: Path) -> str:
    """The first MiB of a log: ports are bound at the start."""
    try:
        with log.open("rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return ""


def nats_counters(monitor_port: int) -> dict[str, float]:
    """``nats.in_msgs``, ``nats.out_msgs``, ``nats.in_bytes`` and ``nats.out_bytes`` since NATS started, from its ``/varz``; empty when it
    does not answer within 2 s.
    """
    try:
        values = json.loads(exchange("GET", f"http://127.0.0.1:{monitor_port}/varz", timeout_s=2.0).body)
    except (EndpointError, ValueError):
        return {}
    return {f"nats.{name}": float(values[name]) for name in ("in_msgs", "out_msgs", "in_bytes", "out_bytes") if name in values}


@dataclass(slots=True)
class Server:
    """A running etcd or NATS. ``url`` is what its clients connect to."""

    url: str
    _group: Group = field(repr=False)

    def incident(self) -> str | None:
        """How it ended, although nobody asked it to, or ``None``."""
        return self._group.incident()

    def stop(self) -> None:
        """Stop it and remove its data; its log stays. May be called again."""
        self._group.stop()


def start_etcd(directory: Path, session: str = "") -> Server:
    """An etcd that answers, ready after about a second; its log is ``etcd.log`` in ``directory``. It carries the id of the ``session``.

    :raises DeploymentError: when there is no etcd, or it does not become ready within 30 s.
    """
    state = directory.resolve() / "etcd-state"
    place = Place(python="", model="", etcd=find_program("etcd"), directory=str(state), environment=services_environment())

    def spec() -> ServiceSpec:
        client, peer = free_ports(2)
        return etcd_service(place, client=client, peer=peer)

    return _twice(partial(_start_server, "http", spec, state, session))


def start_nats(directory: Path, session: str = "") -> Server:
    """A NATS with JetStream that answers, ready after 50 ms; its log is ``nats.log`` in ``directory``. It carries the id of ``session``.

    :raises DeploymentError: when there is no nats-server, or it does not become ready within 30 s.
    """
    state = directory.resolve() / "nats-state"
    place = Place(python="", model="", nats=find_program("nats-server"), directory=str(state), environment=services_environment())

    def spec() -> ServiceSpec:
        client, monitor = free_ports(2)
        return nats_service(place, client=client, monitor=monitor)

    return _twice(partial(_start_server, "nats", spec, state, session))


def _start_server(scheme: str, make_spec: Callable[[], ServiceSpec], state: Path, session: str) -> Server:
    spec = make_spec()
    group = ProcessLauncher(session=session).start([spec], directory=state, log_path=lambda name: state.parent / f"{name}.log")
    server = Server(url=f"{scheme}://127.0.0.1:{spec.ports['client']}", _group=group)
    try:
        readiness.wait_services(
            tuple(group.services.values()), incident=partial(starting_incident, group), deadline=time.monotonic() + READY_S
        )
    except BaseException:
        server.stop()
        raise
    return server


def _twice(start: Callable[[], Server]) -> Server:
    try:
        return start()
    except PortTaken:
        return start()
