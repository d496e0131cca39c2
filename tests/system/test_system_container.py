"""The real stack in containers: etcd, NATS, Dynamo's frontend and mocker workers, started, measured, broken and stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment import container_launcher
from pytest_dynperf.deployment.container_engine import connect, create_container
from pytest_dynperf.deployment.container_spec import SESSION_LABEL, ContainerSettings
from pytest_dynperf.deployment.container_stack import start_contained
from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.deployment.model_directory import make_model
from pytest_dynperf.deployment.readiness import complete_once
from pytest_dynperf.errors import DeploymentError, EndpointError, ServiceExited, UsageError
from pytest_dynperf.load.run import run_load
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_platform, load_scenario
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.session.prompts import source_for
from pytest_dynperf.workload.stream import requests_of
from tests.contract.leftovers import leaving_nothing
from tests.contract.waiting import gone, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from docker import DockerClient

    from pytest_dynperf.deployment.container_engine import Engine
    from pytest_dynperf.deployment.running import Deployment
    from tests.images.engine import Image

pytestmark = pytest.mark.system

SUITES = Path(__file__).parents[2] / "suites"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def asked(test_images: Mapping[str, Image]) -> Topology:
    return Topology(
        engine="mocker",
        model="sim-8b",
        planes="nats",
        router_mode="kv",
        worker=Role(count=2),
        image=test_images["dynamo"].reference,
    )


@pytest.fixture
def session(engine: DockerClient) -> Iterator[str]:
    """A session of which the test must leave nothing in the engine."""
    with leaving_nothing(engine) as own:
        yield own


@pytest.fixture
def deploy(tmp_path: Path, cache: Path, test_images: Mapping[str, Image], session: str) -> Iterator[Callable[..., Deployment]]:
    started: list[Deployment] = []

    def start(topology: Topology, **changes: object) -> Deployment:
        arguments: dict[str, object] = {
            "images": {role: test_images[role].reference for role in ("etcd", "nats")},
            "directory": tmp_path / "run",
            "cache_directory": cache,
            "log_path": lambda name: tmp_path / "run" / f"{name}.log",
            "session": session,
        }
        deployment = start_contained(topology, **(arguments | changes))  # type: ignore[arg-type]
        started.append(deployment)
        return deployment

    yield start
    for deployment in started:
        deployment.stop()


def test_what_the_engine_was_still_making_when_it_was_interrupted_is_removed(
    deploy: Callable[..., Deployment], asked: Topology, engine: DockerClient, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = threading.Event()

    def interrupted(of: Engine, body: Mapping[str, object], name: str) -> str:
        def later() -> None:
            stopped.wait(30)
            own = connect()
            create_container(own, body, name)
            own.close()
            made.set()

        threading.Thread(target=later).start()
        raise KeyboardInterrupt

    stopped = threading.Event()
    monkeypatch.setattr(container_launcher, "create_container", interrupted)
    with pytest.raises(KeyboardInterrupt):
        deploy(asked)
    stopped.set()

    assert made.wait(30)
    wait_for(lambda: not engine.containers.list(all=True, filters={"label": f"{SESSION_LABEL}={session}"}), "the end of what came late")


def answers(deployment: Deployment) -> bool:
    return complete_once(deployment.endpoint, content="hello", max_tokens=5, timeout_s=30, ignore_eos=True).completion_tokens == 5


@pytest.mark.parametrize("planes", ["nats", "default"])
@pytest.mark.parametrize("mode", ["agg", "disagg"])
def test_start_use_stop(deploy: Callable[..., Deployment], asked: Topology, tmp_path: Path, mode: str, planes: str) -> None:
    began = time.monotonic()
    deployment = deploy(replace(asked, mode=mode, planes=planes))
    print(f"start {time.monotonic() - began:.2f} s")
    running = [pid for service in deployment.services.values() for pid in service.pids]
    assert len(running) >= len(deployment.services) == (5 if planes == "nats" else 4)

    before = deployment.witness()
    assert all(answers(deployment) for _ in range(6))
    after = deployment.witness()

    if planes == "nats":
        assert after["nats.in_msgs"] - before["nats.in_msgs"] >= 6
    else:
        assert before == {}
    for name, url in deployment.endpoint.metrics_urls:
        assert not url.startswith("http://127.0.0.1:"), f"{name}: the engine's port forwarder stands in between"
        assert exchange("GET", url, timeout_s=10).status == 200
    assert deployment.incident() is None

    began = time.monotonic()
    deployment.stop()
    print(f"stop {time.monotonic() - began:.2f} s")
    deployment.stop()

    wait_for(lambda: all(map(gone, running)), "the end of all processes")
    assert all(path.suffix == ".log" for path in (tmp_path / "run").iterdir()), "logs stay, and nothing else"


def test_the_kv_router_learns_of_cached_blocks(deploy: Callable[..., Deployment], asked: Topology) -> None:
    deployment = deploy(asked)
    endpoint = deployment.endpoint
    prompt = "lorem ipsum dolor " * 200
    body = dict(endpoint.extra_body) | {"model": endpoint.model, "max_tokens": 4, "messages": [{"role": "user", "content": prompt}]}

    def hit() -> bool:
        reply = exchange("POST", endpoint.url("/v1/chat/completions"), timeout_s=30, body=body)
        assert reply.status == 200, reply.excerpt
        return float(json.loads(reply.body)["nvext"]["timing"]["kv_hit_rate"]) > 0.5

    assert not hit(), "nothing is cached before the first request"
    wait_for(hit, "a prefix hit")


def test_provenance_and_key(deploy: Callable[..., Deployment], asked: Topology, test_images: Mapping[str, Image]) -> None:
    deployment = deploy(asked, settings=ContainerSettings(memory_bytes=2 << 30))

    provenance = deployment.provenance

    assert {name: deployment.key[name] for name in ("model", "memory.limit")} == {"model": "sim-8b", "memory.limit": str(2 << 30)}
    assert set(deployment.key) == {"cpu.model", "cpu.count", "model", "memory.limit"}
    assert provenance["launcher"] == "container"
    assert provenance["launcher.version"].startswith(("docker ", "podman "))
    for role, name in {"etcd": "etcd", "nats": "nats", "frontend": "dynamo", "worker": "dynamo"}.items():
        assert test_images[name].image_id in provenance[f"image.{role}"]
    assert all(provenance[f"{name}.version"][0].isdigit() for name in ("etcd", "nats", "ai-dynamo", "ai-dynamo-runtime"))
    assert provenance["python"].startswith("CPython 3.")
    assert len(provenance["model.digest"]) == 16
    assert all(provenance.values())


def test_the_instrument_measures_a_case_of_the_shipped_suite(
    deploy: Callable[..., Deployment], asked: Topology, cache: Path, tmp_path: Path
) -> None:
    scenario = load_scenario(SUITES / "concurrency_sweep" / "scenario.toml")
    case = next(one for one in expand(scenario, load_platform(SUITES / "platforms" / "mocker.toml")) if one.traffic.concurrency == 2)
    topology = replace(case.topology, image=asked.image)
    assert replace(case, topology=topology).case_id == case.case_id, "a case is what is asked, not what runs it"

    deployment = deploy(topology)
    traffic = Traffic(isl=case.traffic.isl, osl=case.traffic.osl, concurrency=2, requests=30)
    source = source_for(deployment.endpoint, make_model(cache))
    recording = run_load(
        deployment.endpoint,
        requests_of(traffic, source, seed=1, root=tmp_path),
        traffic,
        run="run-1",
        seed=1,
        records_path=None,
        incident=deployment.incident,
    )

    assert len(recording.measured) == 30
    assert [record for record in recording.measured if record.error is not None] == []
    assert {record.completion_tokens for record in recording.measured} == {case.traffic.osl}


def test_a_worker_that_is_killed_is_no_incident_and_serves_again_after_a_restart(
    deploy: Callable[..., Deployment], asked: Topology
) -> None:
    deployment = deploy(replace(asked, worker=Role(count=1)))
    worker = deployment.services["worker-0"]

    worker.kill()
    assert deployment.incident() is None
    worker.restart()

    def served() -> bool:
        try:
            return answers(deployment)
        except EndpointError:  # a frontend without a worker refuses, until it has one
            return False

    wait_for(served, "the restarted worker")
    assert deployment.incident() is None


def test_a_worker_that_cannot_start_is_an_error_at_once_with_its_words(deploy: Callable[..., Deployment], asked: Topology) -> None:
    with pytest.raises(ServiceExited, match=r"service worker-0 ended with exit status 2") as caught:
        deploy(replace(asked, worker=Role(args=("--no-such-flag",))))

    assert "--no-such-flag" in str(caught.value)


def test_images_that_are_not_named_or_not_there(deploy: Callable[..., Deployment], asked: Topology) -> None:
    with pytest.raises(UsageError, match="the topology must name the image that runs Dynamo"):
        deploy(replace(asked, image=None))
    with pytest.raises(UsageError, match="the image of nats must be named; named are: etcd"):
        deploy(asked, images={"etcd": "x"})
    with pytest.raises(DeploymentError, match=r"service etcd: the image no\.such/etcd is not on this host.*docker pull no\.such/etcd"):
        deploy(asked, images={"etcd": "no.such/etcd", "nats": "x"})
    with pytest.raises(DeploymentError, match=r"service frontend: the image no\.such/dynamo is not on this host"):
        deploy(replace(asked, image="no.such/dynamo"))


SESSION = """
import json, sys, time
from pathlib import Path
from pytest_dynperf.deployment.container_stack import start_contained
from pytest_dynperf.scenario.topology import Topology
directory, cache, session, etcd, nats, dynamo = sys.argv[1:]
deployment = start_contained(
    Topology(engine="mocker", model="m", planes="nats", image=dynamo), images={"etcd": etcd, "nats": nats}, directory=Path(directory),
    cache_directory=Path(cache), log_path=lambda name: Path(directory) / f"{name}.log", session=session,
)
print(json.dumps([pid for service in deployment.services.values() for pid in service.pids]), flush=True)
time.sleep(600)
"""


def test_nothing_survives_a_killed_session(tmp_path: Path, cache: Path, test_images: Mapping[str, Image], session: str) -> None:
    images = [test_images[name].reference for name in ("etcd", "nats", "dynamo")]
    command = [sys.executable, "-c", SESSION, str(tmp_path / "run"), str(cache), session, *images]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    with victim.stdout:
        running = json.loads(victim.stdout.readline())
    assert len(running) >= 4
    assert not any(map(gone, running))

    victim.kill()
    victim.wait()

    began = time.monotonic()
    wait_for(lambda: all(map(gone, running)), "the end of all processes", 10.0)
    print(f"all processes gone after {time.monotonic() - began:.2f} s")
