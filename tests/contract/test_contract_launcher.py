"""One contract for all launchers: processes and containers behave alike to whoever uses them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.deployment.launcher import ready_url
from pytest_dynperf.errors import DeploymentError, EndpointError
from tests.contract.kinds import SLEEP
from tests.contract.waiting import gone, wait_for, wait_up
from tests.house.markdown import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.deployment.launcher import Group, Service
    from pytest_dynperf.deployment.service import ServiceSpec
    from tests.contract.conftest import Start
    from tests.contract.kinds import Kind

KILLED_S = 10.0
"""Longest time after a session was killed until nothing of it is left."""
POLITE = """
import os, signal, time
def end(*_):
    os.write(1, b"end %d\\n" % time.monotonic_ns())
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(600)
"""
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP
PARENT = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {DEAF!r}])\n" + SLEEP


def answers(service: Service) -> bool:
    try:
        return exchange("GET", ready_url(service), timeout_s=2).body == b"ok"
    except EndpointError:
        return False


def pids(group: Group) -> list[int]:
    return [pid for service in group.services.values() for pid in service.pids]


# ---- start


def test_services_start_in_order_and_before_sees_what_runs(kind: Kind, start: Start) -> None:
    seen: list[tuple[str, list[str]]] = []

    def before(spec: ServiceSpec, group: Group) -> None:
        assert all(service.ended() is None and service.pids for service in group.services.values())
        seen.append((spec.name, list(group.services)))

    group = start(kind.spec("etcd", SLEEP, role="etcd"), kind.spec("a", SLEEP), kind.spec("b", SLEEP), before=before)

    assert seen == [("etcd", []), ("a", ["etcd"]), ("b", ["etcd", "a"])]
    assert list(group.services) == ["etcd", "a", "b"]
    assert group.incident() is None
    assert [service.spec.name for service in group.services.values()] == ["etcd", "a", "b"]


def test_a_missing_program_is_an_error_and_nothing_stays(kind: Kind, start: Start, tmp_path: Path) -> None:
    running: list[int] = []

    def before(spec: ServiceSpec, group: Group) -> None:
        running[:] = pids(group)

    with pytest.raises(DeploymentError, match=r"cannot start service b.*/nowhere/program"):
        start(kind.spec("a", SLEEP), kind.spec("b", "", argv=("/nowhere/program",)), before=before)

    assert running
    wait_for(lambda: all(map(gone, running)), "the end of what was started")
    assert not (tmp_path / "state").exists()


def test_an_interrupt_in_the_middle_leaves_nothing(kind: Kind, start: Start, tmp_path: Path) -> None:
    running: list[int] = []

    def before(spec: ServiceSpec, group: Group) -> None:
        if spec.name == "b":
            running.extend(pids(group))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(kind.spec("a", SLEEP), kind.spec("b", SLEEP), before=before)

    assert running
    wait_for(lambda: all(map(gone, running)), "the end of what was started")
    assert not (tmp_path / "state").exists()


def test_a_log_that_cannot_be_written_is_an_error(kind: Kind, start: Start, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where a directory should be")

    with pytest.raises(DeploymentError, match=r"cannot start service a: .*logs"):
        start(kind.spec("a", SLEEP))


def test_nothing_is_inherited(kind: Kind, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "x")
    (service,) = start(
        kind.spec("a", "import os\nprint(sorted(os.environ), os.environ['GIVEN'])\nprint('up')\n" + SLEEP, env={"GIVEN": "a = b"})
    ).services.values()
    wait_for(lambda: b"up\n" in service.log.read_bytes(), "its first lines")

    text = service.log.read_text()
    assert "SECRET_OF_THE_USER" not in text
    assert "a = b" in text


def test_files_and_directories_are_there_and_can_be_written(kind: Kind, start: Start) -> None:
    code = "import os, pathlib\nprint(os.getcwd(), pathlib.Path('file').read_text())\npathlib.Path('../home/new').touch()\n" + SLEEP
    (service,) = start(kind.spec("a", code, files={f"{kind.state}/work/file": "text of a file"})).services.values()
    wait_for(lambda: b"up\n" in service.log.read_bytes(), "the service")

    assert service.log.read_text().startswith(f"{kind.state}/work text of a file\n")


# ---- ends


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("raise SystemExit(0)", "ended with exit status 0", id="politely"),
        pytest.param("raise SystemExit(3)", "ended with exit status 3", id="with a failure"),
        pytest.param("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL", id="killed"),
    ],
)
def test_a_service_that_ends_is_an_incident_whatever_its_status(kind: Kind, start: Start, code: str, said: str) -> None:
    group = start(kind.spec("b", SLEEP), kind.spec("a", f"print('last words', flush=True)\n{code}"))
    wait_for(group.incident, "the incident")

    text = str(group.incident())

    assert text.startswith(f"service a {said}")
    assert "although nobody asked it to" in text
    assert "last words" in text
    assert str(group.services["a"].log) in text
    assert group.incident() == text, "asking twice gives the same answer"
    assert group.services["a"].pids == ()
    assert said in str(group.services["a"].ended())
    assert group.services["b"].ended() is None


def test_a_kill_is_no_incident_and_takes_the_children_too(kind: Kind, start: Start) -> None:
    group = start(kind.spec("a", PARENT), kind.spec("b", SLEEP))
    service = group.services["a"]
    wait_for(lambda: len(service.pids) >= 2, "its child")
    killed = service.pids
    assert not any(map(gone, killed))

    service.kill()

    wait_for(lambda: all(map(gone, killed)), "the end of all its processes")
    assert service.ended() is not None
    assert service.pids == ()
    assert group.incident() is None
    service.kill()
    assert group.services["b"].ended() is None


def test_pause_and_resume(kind: Kind, start: Start) -> None:
    group = start(kind.server())
    (service,) = group.services.values()
    wait_for(lambda: answers(service), "the server")

    service.pause()
    service.pause()
    with socket.create_connection(("127.0.0.1", service.ports["http"]), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        assert (service.ended(), group.incident()) == (None, None)
        service.resume()
        service.resume()
        connection.settimeout(30)
        assert connection.recv(100).startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize("after", ["kill", "stop"])
def test_what_is_paused_can_be_ended(kind: Kind, start: Start, after: str) -> None:
    group = start(kind.spec("a", SLEEP))
    (service,) = group.services.values()
    wait_up(group)
    paused = service.pids
    service.pause()

    if after == "kill":
        service.kill()
    else:
        group.stop()

    wait_for(lambda: all(map(gone, paused)), "its end")


def test_restart_after_a_kill_and_after_an_end(kind: Kind, start: Start) -> None:
    group = start(kind.server())
    (service,) = group.services.values()
    wait_for(lambda: answers(service), "the server")
    with pytest.raises(DeploymentError, match="service server still runs"):
        service.restart()
    first = service.pids

    service.kill()
    service.restart()

    wait_for(lambda: answers(service), "the server once more, wherever it is published now")
    assert service.ended() is None
    assert group.incident() is None
    assert not set(service.pids) & set(first)
    assert service.log.read_bytes().count(b"up\n") == 2, "its log goes on"
    exchange("GET", f"{ready_url(service)}end", timeout_s=10)
    wait_for(group.incident, "an incident: this time nobody asked")
    service.restart()
    wait_for(lambda: answers(service), "the server a third time")
    assert group.incident() is None


# ---- stop


def test_the_infrastructure_ends_last(kind: Kind, start: Start) -> None:
    names = {"etcd": "etcd", "nats": "nats", "frontend": "frontend", "worker-0": "worker"}
    group = start(*(kind.spec(name, POLITE, role=role) for name, role in names.items()))
    wait_up(group)
    logs = {name: service.log for name, service in group.services.items()}

    group.stop()

    ends = {name: int(log.read_text().split("end ")[1]) for name, log in logs.items()}
    assert max(ends["frontend"], ends["worker-0"]) < min(ends["etcd"], ends["nats"])


def test_stop_ends_what_ignores_it_and_children_and_leaves_the_logs(kind: Kind, start: Start, tmp_path: Path) -> None:
    group = start(kind.spec("deaf", DEAF), kind.spec("parent", PARENT))
    wait_up(group)
    wait_for(lambda: len(group.services["parent"].pids) >= 2, "the child")
    running = pids(group)

    group.stop()

    wait_for(lambda: all(map(gone, running)), "the end of all processes")
    assert group.incident() is None
    assert not (tmp_path / "state").exists()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["deaf.log", "parent.log"]
    group.stop()


def test_two_groups_at_once_know_nothing_of_each_other(kind: Kind, start: Start, tmp_path: Path) -> None:
    first = start(kind.server())
    second = start(kind.server("other"))
    (one,), (other,) = first.services.values(), second.services.values()
    wait_for(lambda: answers(one) and answers(other), "both servers")
    assert one.ports["http"] != other.ports["http"]

    first.stop()

    assert answers(other)
    assert second.incident() is None
    second.stop()


# ---- logs and ports


def test_logs_are_whole_byte_for_byte(kind: Kind, start: Start) -> None:
    code = (
        "import sys\nline = bytes(range(256)) * 4 + b'\\n'\nfor _ in range(8192):\n    sys.stdout.buffer.write(line)\n"
        "sys.stdout.buffer.write(b'x' * (1 << 20) + b'\\xff no end of line')"
    )
    (service,) = start(kind.spec("a", code)).services.values()
    wait_for(service.ended, "its end")

    assert service.log.read_bytes() == (bytes(range(256)) * 4 + b"\n") * 8192 + b"x" * (1 << 20) + b"\xff no end of line"


def test_what_it_says_on_standard_error_is_in_the_log_too(kind: Kind, start: Start) -> None:
    group = start(kind.spec("a", "import os\nos.write(2, b'trouble\\n')"))
    wait_for(group.incident, "its end")

    assert "trouble" in str(group.incident())


def test_ports_are_reached_on_127_0_0_1_and_nowhere_else(kind: Kind, start: Start) -> None:
    (service,) = start(kind.server()).services.values()
    wait_for(lambda: answers(service), "the server")
    port = service.ports["http"]
    addresses = {one.address for found in psutil.net_if_addrs().values() for one in found if one.family == socket.AF_INET}

    others = (addresses | {"127.0.0.2"}) - {"127.0.0.1"}
    for address in others:
        with pytest.raises(ConnectionRefusedError), socket.create_connection((address, port), timeout=5):
            pass


def test_an_address_stays_when_the_service_is_started_again(kind: Kind, start: Start) -> None:
    (service,) = start(kind.server()).services.values()
    wait_for(lambda: answers(service), "the server")
    address = service.address("http")
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10):
        pass

    service.kill()
    service.restart()
    wait_for(lambda: answers(service), "the server")

    assert service.address("http") == address
    with socket.create_connection((host, int(port)), timeout=10):
        pass


# ---- a session that is killed


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_nothing_is_left_10_s_after_a_session_was_killed(kind: Kind, tmp_path: Path, number: str) -> None:
    directory = tmp_path / "victim"
    session = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.victim", kind.name, str(directory), kind.image or "", kind.session],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert session.stdout is not None
    with session.stdout:
        running = json.loads(session.stdout.readline() or "[]")
    assert len(running) >= 2
    assert not any(map(gone, running))
    assert (directory / "state").exists()

    session.kill() if number == "SIGKILL" else session.terminate()
    session.wait()

    wait_for(lambda: all(map(gone, running)), "the end of all processes", KILLED_S)
    wait_for(lambda: not (directory / "state").exists(), "the end of the state directory, which goes last", KILLED_S)
    # Containers, networks and volumes: the fixtures of the container launcher look after them.
