"""Faults of services, on real processes: they happen, they heal on every way out, and a deployment calls none of them an incident."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.deployment import process
from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.errors import EndpointError, FaultError, ServiceExited, UnsupportedFaultError
from pytest_dynperf.fault import network, toolbox
from tests.fakes.served import Served, served, spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.service import ServiceSpec


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def service(deployment: Served) -> Service:
    """Runs, whatever the test before did."""
    found = deployment.services["worker-0"]
    if not found.pids:
        toolbox._start_again(found, 30.0)
    return found


def healthy(deployment: Served, *, timeout_s: float = 10.0) -> bool:
    try:
        return exchange("GET", f"{deployment.endpoint.base_url}/health", timeout_s=timeout_s).status == 200
    except EndpointError:
        return False


def test_killed_is_gone_and_no_incident(deployment: Served, service: Service) -> None:
    pids = service.pids
    toolbox.kill(service)
    assert service.pids == ()
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)
    assert not healthy(deployment)
    assert deployment.incident() is None
    with pytest.raises(FaultError, match=r"worker-0 does not run .*there is nothing to kill"):
        toolbox.kill(service)
    with pytest.raises(FaultError, match="there is nothing to pause"), toolbox.paused(service):
        pytest.fail("the block must not run")


def test_a_death_that_nobody_asked_for_is_an_incident_still(deployment: Served, service: Service) -> None:
    """What was asked for once does not excuse what happens later."""
    toolbox.restart(service)
    assert deployment.incident() is None
    os.kill(service.pids[0], 9)
    while service.ended() is None:
        os.sched_yield()
    assert "worker-0 was killed by SIGKILL, although nobody asked it to" in str(deployment.incident())


def test_an_incident_that_is_looked_for_while_it_is_killed_is_none(
    deployment: Served, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load generator looks every 100 ms, from another thread than the one that kills."""
    look = process.ended

    def killed_meanwhile(popen: subprocess.Popen[bytes]) -> str | None:
        monkeypatch.setattr(process, "ended", look)
        service.kill()
        return look(popen)

    def restarted_meanwhile(popen: subprocess.Popen[bytes]) -> str | None:
        monkeypatch.setattr(process, "ended", look)
        service.kill()
        seen = look(popen)
        service.restart()
        return seen

    for meanwhile in (killed_meanwhile, restarted_meanwhile):
        if not service.pids:
            toolbox._start_again(service, 30.0)
        monkeypatch.setattr(process, "ended", meanwhile)
        assert deployment.incident() is None


def test_restarted_is_ready_again(deployment: Served, service: Service) -> None:
    before = service.pids
    with toolbox.restarted(service):
        meanwhile = service.pids
        assert not healthy(deployment)
    assert meanwhile == ()
    assert service.pids
    assert service.pids != before
    assert healthy(deployment)
    toolbox.restart(service)
    assert healthy(deployment)


def test_it_heals_when_the_block_fails(deployment: Served, service: Service) -> None:
    with pytest.raises(ZeroDivisionError), toolbox.restarted(service):
        _ = 1 / 0
    assert healthy(deployment)
    with pytest.raises(ZeroDivisionError), toolbox.paused(service):
        _ = 1 / 0
    assert healthy(deployment)


def test_paused_does_not_answer_and_then_does(deployment: Served, service: Service) -> None:
    with toolbox.paused(service):
        assert {psutil.Process(pid).status() for pid in service.pids} == {psutil.STATUS_STOPPED}
        assert not healthy(deployment, timeout_s=0.3)
        assert deployment.incident() is None
    assert healthy(deployment)


def test_a_service_that_cannot_come_back_is_named(tmp_path: Path) -> None:
    """Its port is taken while it is down."""
    with served(tmp_path) as deployment:
        service = deployment.services["worker-0"]
        port = service.ports["http"]
        ends = pytest.raises(ServiceExited, match=r"worker-0 was started again and ended with exit status 1")
        with socket.socket() as taken, ends, toolbox.restarted(service):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()


def test_which_service_a_role_is(deployment: Served) -> None:
    assert toolbox.service_of(deployment, "worker").spec.name == "worker-0"
    assert toolbox.service_of(deployment, "worker-0").spec.name == "worker-0"
    with pytest.raises(UnsupportedFaultError, match="nats cannot be broken: there is no such service; there are worker-0"):
        toolbox.service_of(deployment, "nats")


def test_worker_is_any_role_that_works(tmp_path: Path) -> None:
    with served(tmp_path, "decode") as deployment:
        assert toolbox.service_of(deployment, "worker").spec.name == "decode-0"


def test_somebody_elses_endpoint(deployment: Served) -> None:
    @dataclass
    class Attached:
        services: dict[str, Service]

    with pytest.raises(UnsupportedFaultError, match="nothing here was started by this session"):
        toolbox.service_of(Attached({}), "worker")  # type: ignore[arg-type]


# ---- networks


def test_a_process_of_this_host_is_not_cut_off(service: Service) -> None:
    refused = pytest.raises(
        UnsupportedFaultError, match=r"worker-0 cannot be cut off: it shares the network of this host.*needs containers"
    )
    with refused, toolbox.cut_off(service):
        pytest.fail("the block must not run")


@dataclass
class InNamespace:
    """A process in a network namespace of its own, as a container's is."""

    process: subprocess.Popen[bytes]
    spec: ServiceSpec

    @property
    def pids(self) -> tuple[int, ...]:
        return (self.process.pid,)


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[InNamespace]:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare: none here")
    process = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    try:
        while Path(f"/proc/{process.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
            assert process.poll() is None, "unshare has ended"
        yield InNamespace(process, spec("cache-0", "cache", 1, tmp_path))
    finally:
        process.kill()
        process.wait()


def rules(isolated: InNamespace) -> list[str]:
    """DROP rules in the namespace."""
    listed = subprocess.run(
        ["nsenter", f"--net=/proc/{isolated.process.pid}/ns/net", "iptables", "-w", "5", "-S"], capture_output=True, text=True, check=True
    )
    return [line for line in listed.stdout.splitlines() if line.endswith("-j DROP")]


@pytest.mark.skipif(shutil.which("iptables") is None, reason="needs iptables: none on PATH")
def test_cut_off_in_a_namespace_of_its_own(isolated: InNamespace) -> None:
    ours = subprocess.run(["iptables", "-w", "5", "-S"], capture_output=True, text=True, check=True).stdout
    with toolbox.cut_off(isolated):  # type: ignore[arg-type]
        assert rules(isolated) == ["-A INPUT ! -i lo -j DROP", "-A OUTPUT ! -o lo -j DROP"]
        assert subprocess.run(["iptables", "-w", "5", "-S"], capture_output=True, text=True, check=True).stdout == ours
    assert rules(isolated) == []
    with pytest.raises(ZeroDivisionError), toolbox.cut_off(isolated):  # type: ignore[arg-type]
        _ = 1 / 0
    assert rules(isolated) == []


def test_without_iptables_it_says_so(isolated: InNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "shutil", type("", (), {"which": staticmethod(lambda *_, **__: None)}))
    with pytest.raises(UnsupportedFaultError, match=r"iptables is missing\. Install it"), toolbox.cut_off(isolated):  # type: ignore[arg-type]
        pytest.fail("the block must not run")
