"""The real stack: etcd, NATS, Dynamo's frontend and mocker workers, started, used, broken and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.deployment.embedded import start_embedded
from pytest_dynperf.deployment.infrastructure import start_etcd, start_nats
from pytest_dynperf.deployment.ports import PortTaken, free_ports
from pytest_dynperf.deployment.readiness import complete_once
from pytest_dynperf.errors import ServiceExited
from pytest_dynperf.scenario.topology import Role, Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_dynperf.deployment.running import Deployment

pytestmark = pytest.mark.system

DEADLINE_S = 30.0
MODEL = "sim-8b"


def topology(mode: str = "agg", planes: str = "nats", router_mode: str = "round-robin", **changes: object) -> Topology:
    base: dict[str, object] = {"engine": "mocker", "model": MODEL, "mode": mode, "planes": planes, "router_mode": router_mode}
    return Topology(**(base | {"worker": Role(count=2)} | changes))  # type: ignore[arg-type]


def services() -> list[psutil.Process]:
    """Our children of today, whatever they are: the tests of this file start nothing else."""
    return psutil.Process().children(recursive=True)


def service(words: str) -> psutil.Process:
    return next(process for process in services() if words in " ".join(process.cmdline()))


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def deploy(tmp_path: Path, cache: Path) -> Iterator[Callable[..., Deployment]]:
    started: list[Deployment] = []

    def start(asked: Topology, **changes: object) -> Deployment:
        arguments: dict[str, object] = {"log_path": lambda name: tmp_path / "run" / f"{name}.log"}
        deployment = start_embedded(asked, directory=tmp_path / "run", cache_directory=cache, **(arguments | changes))  # type: ignore[arg-type]
        started.append(deployment)
        return deployment

    yield start
    for deployment in started:
        deployment.stop()
    assert services() == []


def ask(deployment: Deployment, content: str = "hello") -> dict[str, object]:
    """One completion with what Dynamo tells of it."""
    endpoint = deployment.endpoint
    body = dict(endpoint.extra_body) | {"model": endpoint.model, "max_tokens": 4, "messages": [{"role": "user", "content": content}]}
    reply = exchange("POST", endpoint.url("/v1/chat/completions"), timeout_s=30, body=body)
    assert reply.status == 200, reply.excerpt
    told: dict[str, object] = json.loads(reply.body)["nvext"]
    return told


def worker_ids(told: dict[str, object]) -> tuple[int, int]:
    ids = told["worker_id"]
    assert isinstance(ids, dict)
    return ids["prefill_worker_id"], ids["decode_worker_id"]


@pytest.mark.parametrize("router_mode", ["round-robin", "kv"])
@pytest.mark.parametrize("mode", ["agg", "disagg"])
def test_start_use_stop_over_nats(deploy: Callable[..., Deployment], tmp_path: Path, mode: str, router_mode: str) -> None:
    began = time.monotonic()
    deployment = deploy(topology(mode, "nats", router_mode))
    print(f"start {time.monotonic() - began:.2f} s, RSS {[round(process.memory_info().rss / 1e6) for process in services()]} MB")
    pids = [process.pid for process in services()]
    assert len(pids) == 6, "etcd, NATS, frontend, two workers and the reaper"
    assert all(os.getsid(pid) == pid for pid in pids)

    before = deployment.witness()
    served = [worker_ids(ask(deployment)) for _ in range(6)]
    after = deployment.witness()

    assert after["nats.in_msgs"] - before["nats.in_msgs"] >= 6
    assert after["nats.out_msgs"] - before["nats.out_msgs"] >= 6
    if mode == "disagg":
        assert all(prefill != decode for prefill, decode in served)
    elif router_mode == "round-robin":
        assert len(set(served)) == 2, "both workers take part"
    assert deployment.incident() is None
    answer = complete_once(deployment.endpoint, content="hello", max_tokens=5, timeout_s=30, ignore_eos=True)
    assert answer.completion_tokens == 5

    began = time.monotonic()
    deployment.stop()
    print(f"stop {time.monotonic() - began:.2f} s")
    deployment.stop()

    assert services() == []
    assert not any(alive(pid) for pid in pids)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert all(name.endswith(".log") for name in left), "state is removed, logs stay"


def test_default_planes_need_no_nats(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(topology("agg", "default", "kv"))

    assert ask(deployment)
    assert deployment.witness() == {}
    assert not any("nats-server" in " ".join(process.cmdline()) for process in services())


@pytest.mark.parametrize("planes", ["nats", "default"])
def test_the_kv_router_learns_of_cached_blocks(deploy: Callable[..., Deployment], planes: str) -> None:
    deployment = deploy(topology("agg", planes, "kv"))
    prompt = "lorem ipsum dolor " * 200

    def hit() -> bool:
        timing = ask(deployment, prompt)["timing"]
        assert isinstance(timing, dict)
        return float(timing["kv_hit_rate"]) > 0.5

    assert not hit(), "nothing is cached before the first request"
    wait_for(hit, "a prefix hit")


def test_provenance_and_key(deploy: Callable[..., Deployment]) -> None:
    arguments = ("--speedup-ratio", "2")
    deployment = deploy(topology(worker=Role(args=arguments), router_args=("--router-mode", "random"), block_size=32))

    provenance = deployment.provenance

    assert set(deployment.key) == {"cpu.model", "cpu.count", "model"}
    assert provenance["router.mode"] == "random", "the last flag is in force"
    assert provenance["worker.args"] == "--speedup-ratio 2"
    assert provenance["etcd.version"][0].isdigit()
    assert provenance["nats.version"][0].isdigit()
    assert provenance["ai-dynamo.version"][0].isdigit()
    assert len(provenance["model.digest"]) == 16
    assert all(provenance.values())


def test_a_killed_worker_is_named(deploy: Callable[..., Deployment]) -> None:
    ports = free_ports(7)
    deployment = deploy(topology(), choose_ports=lambda _count: ports)
    victim = next(process for process in services() if process.environ().get("DYN_SYSTEM_PORT") == str(ports[6]))

    victim.send_signal(signal.SIGKILL)

    wait_for(deployment.incident, "the incident")
    assert "service worker-1 was killed by SIGKILL" in str(deployment.incident())
    assert "worker-1.log ends:" in str(deployment.incident())


@pytest.mark.parametrize(("words", "name"), [("dynamo.frontend", "frontend"), ("nats-server", "nats")])
def test_a_service_that_leaves_politely_is_an_incident(deploy: Callable[..., Deployment], words: str, name: str) -> None:
    deployment = deploy(topology())

    service(words).send_signal(signal.SIGTERM)

    wait_for(deployment.incident, "the incident")
    assert f"service {name} ended with exit status" in str(deployment.incident())


def test_a_worker_that_cannot_start_is_an_error_at_once_with_its_words(deploy: Callable[..., Deployment]) -> None:
    began = time.monotonic()

    with pytest.raises(ServiceExited, match=r"service worker-0 ended with exit status 2") as caught:
        deploy(topology(worker=Role(args=("--no-such-flag",))))

    assert "--no-such-flag" in str(caught.value)
    assert time.monotonic() - began < 45, "the deadline of 60 s was not waited out"
    assert services() == []


@pytest.mark.parametrize("which", range(6), ids=["etcd", "etcd-peer", "nats", "nats-monitor", "frontend", "worker"])
def test_a_port_that_is_taken_leads_to_another_attempt(deploy: Callable[..., Deployment], which: int) -> None:
    attempts: list[tuple[int, ...]] = []

    with socket.socket() as taken:

        def choose(count: int) -> tuple[int, ...]:
            attempts.append(free_ports(count))
            if len(attempts) == 1:
                taken.bind(("127.0.0.1", attempts[0][which]))
                taken.listen()
            return attempts[-1]

        deployment = deploy(topology(), choose_ports=choose)

    assert len(attempts) == 2
    assert ask(deployment)


def test_there_is_no_third_attempt(deploy: Callable[..., Deployment]) -> None:
    attempts: list[tuple[int, ...]] = []

    @contextmanager
    def taken() -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield listener.getsockname()[1]

    with taken() as port:

        def choose(count: int) -> tuple[int, ...]:
            attempts.append((port, *free_ports(count - 1)))
            return attempts[-1]

        with pytest.raises(PortTaken, match="service etcd found its port taken"):
            deploy(topology(), choose_ports=choose)

    assert len(attempts) == 2
    assert services() == []


def test_interrupted_start_leaves_nothing(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    def log_path(name: str) -> Path:
        if name == "worker-1":
            raise KeyboardInterrupt
        return tmp_path / f"{name}.log"

    with pytest.raises(KeyboardInterrupt):
        deploy(topology(), log_path=log_path)

    assert (tmp_path / "worker-0.log").exists()
    assert services() == []


SESSION = """
import json, sys, time
from pathlib import Path
import psutil
from pytest_dynperf.deployment.embedded import start_embedded
from pytest_dynperf.scenario.topology import Topology
directory, cache = map(Path, sys.argv[1:])
topology = Topology(engine="mocker", model="m", planes="nats")
start_embedded(topology, directory=directory, cache_directory=cache, log_path=lambda name: directory / f"{name}.log")
print(json.dumps([process.pid for process in psutil.Process().children(recursive=True)]), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_survives_a_killed_session(tmp_path: Path, cache: Path, number: signal.Signals) -> None:
    session = subprocess.Popen([sys.executable, "-c", SESSION, str(tmp_path / "run"), str(cache)], stdout=subprocess.PIPE, text=True)
    assert session.stdout is not None
    with session.stdout:
        pids = json.loads(session.stdout.readline())
    assert len(pids) == 5
    assert all(alive(pid) for pid in pids)

    session.send_signal(number)
    session.wait()

    wait_for(lambda: not any(alive(pid) for pid in pids), "the end of all services")


def test_etcd_and_nats_on_their_own(tmp_path: Path) -> None:
    etcd, nats = start_etcd(tmp_path), start_nats(tmp_path)
    try:
        assert etcd.url.startswith("http://127.0.0.1:")
        assert json.loads(exchange("GET", f"{etcd.url}/version", timeout_s=10).body)["etcdserver"]
        host, port = nats.url.removeprefix("nats://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            greeting = connection.recv(4096).decode()
        assert '"jetstream":true' in greeting
        assert '"max_payload":15728640' in greeting or '"max_payload":15000000' in greeting
        assert (etcd.incident(), nats.incident()) == (None, None)
    finally:
        for server in (nats, etcd):
            server.stop()
            server.stop()

    assert services() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["etcd.log", "nats.log"]
