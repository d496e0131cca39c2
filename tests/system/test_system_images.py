"""The images run: what is promised of each, and the proof that nothing is left can be red."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from pytest_dynperf.deployment.container_spec import SESSION_LABEL
from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.deployment.session_lock import Trace, boot_id, hold_session
from tests.images import fixtures
from tests.images.engine import KEEP, build_all, ours, present, remove
from tests.images.recipe import LABEL, recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import DockerClient
    from docker.models.containers import Container

    from tests.images.engine import Image

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0
STRICT: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "read_only": True,
    "tmpfs": {"/tmp": "mode=1777"},
    "mem_limit": "1g",
    "pids_limit": 500,
    "init": True,
}
"""What a launcher that grants nothing would ask for."""


@pytest.fixture
def start(engine: DockerClient, test_images: dict[str, Image], nothing_left: None) -> Iterator[Callable[..., Container]]:
    """Start a container of an image; it is removed after the test."""
    started: list[Container] = []

    def run(name: str, command: list[str] | None = None, **options: Any) -> Container:
        container = engine.containers.create(test_images[name].reference, command, **(STRICT | options))
        started.append(container)
        container.start()
        return container

    yield run
    for container in started:
        container.remove(force=True, v=True)


def said(container: Container) -> str:
    """Its output, after it has ended with status 0."""
    status = container.wait(timeout=DEADLINE_S)
    output = container.logs().decode()
    assert status["StatusCode"] == 0, output
    return output


def published(container: Container, port: str) -> int:
    container.reload()
    bindings = container.ports[port]
    assert bindings, f"port {port} is not published"
    return int(bindings[0]["HostPort"])


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return exchange("GET", url, timeout_s=5).status == 200
    except Exception as error:  # noqa: BLE001 - whatever a socket that is not ready says
        print(f"{url}: {error}")
        return False


def test_a_second_build_makes_nothing(engine: DockerClient, test_images: dict[str, Image]) -> None:
    again = build_all(engine)

    assert {name: image.image_id for name, image in again.items()} == {name: image.image_id for name, image in test_images.items()}
    assert not any(image.made for image in again.values())
    assert {recipe.reference for recipe in recipes().values()} <= set(present(engine))
    for name, image in test_images.items():
        config = engine.images.get(image.reference).attrs["Config"]
        assert config["Labels"][LABEL] == name
        assert image.image_id.startswith("sha256:")


def test_the_command_lists_them(test_images: dict[str, Image]) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.images", "list"], capture_output=True, text=True, check=True, timeout=60)
    for image in test_images.values():
        assert f"{image.reference}  {image.image_id}  current" in done.stdout


def test_etcd_answers(start: Callable[..., Container]) -> None:
    command = [
        "etcd",
        "--data-dir",
        "/tmp/etcd",
        "--listen-client-urls",
        "http://0.0.0.0:2379",
        "--advertise-client-urls",
        "http://etcd:2379",
    ]
    container = start("etcd", command, user="1000", ports={"2379/tcp": ("127.0.0.1", None)})

    wait_for(lambda: answers(f"http://127.0.0.1:{published(container, '2379/tcp')}/health"), "etcd")


def test_nats_answers(start: Callable[..., Container]) -> None:
    container = start("nats", ["-m", "8222", "-js", "-sd", "/tmp"], user="1000", ports={"8222/tcp": ("127.0.0.1", None)})

    wait_for(lambda: answers(f"http://127.0.0.1:{published(container, '8222/tcp')}/healthz"), "nats-server")


NGINX = """
daemon off;
pid /tmp/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  server { listen 8080; location / { return 200; } }
}
"""


def test_nginx_answers(start: Callable[..., Container], tmp_path: Path) -> None:
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(NGINX)
    volumes = {str(configuration): {"bind": "/etc/nginx.conf", "mode": "ro"}}
    command = ["nginx", "-e", "stderr", "-p", "/tmp", "-c", "/etc/nginx.conf"]
    container = start("nginx", command, volumes=volumes, ports={"8080/tcp": ("127.0.0.1", None)})

    wait_for(lambda: answers(f"http://127.0.0.1:{published(container, '8080/tcp')}/"), "nginx")


IMPORTS = """
import os, sys
import numpy, ssl, sqlite3, tokenizers, transformers, uvloop, zmq
import dynamo.mocker, dynamo.frontend, dynamo.runtime
print(os.getuid(), sys.prefix, os.getcwd())
"""


def test_dynamo_s_python_imports_what_it_needs_as_a_user_without_rights(start: Callable[..., Container]) -> None:
    # Libraries talk while they are imported; the last line is ours.
    assert said(start("dynamo", ["python", "-c", IMPORTS])).splitlines()[-1].split() == ["1000", "/opt/dynamo/venv", "/home/dynamo"]


def test_names_are_resolved_and_a_shell_is_there(start: Callable[..., Container]) -> None:
    container = start(
        "dynamo",
        ["sh", "-c", "python -c 'import socket; print(socket.gethostbyname(\"there\"))' | cat"],
        extra_hosts={"there": "192.0.2.7"},
    )

    assert said(container).strip() == "192.0.2.7"


def test_modules_come_with_their_bytecode(start: Callable[..., Container]) -> None:
    """A read-only container that compiles each module at each start would be slow, and nobody would see why."""
    verbose = said(start("dynamo", ["python", "-v", "-c", "import typing, numpy"]))

    assert len(re.findall(r"code object from '/opt/[^']+\.pyc'", verbose)) > 100
    assert re.findall(r"code object from '(/opt/[^']+\.py)'", verbose) == [], "compiled from their sources"


def test_what_is_left_is_found(engine: DockerClient, test_images: dict[str, Image], nothing_left: None) -> None:
    """A container without any label of its own, a network and a volume with ours: each is named, and removed."""
    before = ours(engine)
    container = engine.containers.create(test_images["nats"].reference, name="dynperf-left-container")
    network = engine.networks.create("dynperf-left-network", labels={"dynperf.session": "s"})
    volume = engine.volumes.create("dynperf-left-volume", labels={"dynperf.session": "s"})
    foreign = engine.volumes.create("somebody-else-s")
    try:
        left = ours(engine) - before
        assert left == {f"container {container.name}", f"network {network.name}", f"volume {volume.name}"}
        remove(engine, left)
        assert ours(engine) == before
        remove(engine, left)
    finally:
        foreign.remove()


def test_what_is_left_fails_a_test(engine: DockerClient, test_images: dict[str, Image], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixtures, "REMOVAL_DEADLINE_S", 0.5)
    proof = fixtures.nothing_left.__wrapped__(engine)  # type: ignore[attr-defined] # the fixture's own function
    next(proof)
    engine.networks.create("dynperf-left-network", labels={"dynperf.session": "s"})

    with pytest.raises(pytest.fail.Exception, match="left behind in the container engine: network dynperf-left-network"):
        next(proof)

    assert not engine.networks.list(names=["dynperf-left-network"]), "the next test begins clean"


def test_what_somebody_else_works_with_is_not_left(engine: DockerClient, nothing_left: None) -> None:
    """A trial by hand that says so, and a session that is alive: its lock is in the directory that all sessions of this user share."""
    session = f"of-test-{os.getpid()}"
    trace = Trace(session_id=session, boot=boot_id(), temporary=Path("/nonexistent"), run_directory=Path("/nonexistent"))
    lock = hold_session(trace, Path(f"/tmp/dynperf-leases-{os.getuid()}"))
    networks = [engine.networks.create("dynperf-kept-network", labels={"dynperf": "", KEEP: ""})]
    try:
        before = ours(engine)
        networks.append(engine.networks.create("dynperf-alive-network", labels={SESSION_LABEL: session}))
        assert ours(engine) == before
        lock.release()
        assert ours(engine) - before == {"network dynperf-alive-network"}, "its session is dead"
        assert "network dynperf-kept-network" not in ours(engine)
    finally:
        lock.release()
        for network in networks:
            network.remove()


def test_a_published_port_is_on_loopback_alone(start: Callable[..., Container]) -> None:
    container = start("nats", [], user="1000", ports={"4222/tcp": ("127.0.0.1", None)})
    port = published(container, "4222/tcp")

    def greets() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"INFO"

    wait_for(greets, "the greeting of NATS")
    assert container.ports["4222/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(port)}]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A containerd puts sockets below it, and the path of a socket has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("dockerd") is None, reason="needs dockerd, and root to start it")
def test_a_real_engine_for_the_time_of_a_command(short_path: Path) -> None:
    """One with directories and a network namespace of its own, since an engine tidies up the bridges and rules of the namespace where it
    starts: it answers the command, and neither it nor its containerd stays.
    """
    tmp_path = short_path
    of_its_own = [f"--data-root={tmp_path}/data", f"--exec-root={tmp_path}/exec", "--bridge=none", "--iptables=false", "--ip-forward=false"]
    dockerd = ("unshare", "--net", "dockerd", *of_its_own)
    places = ["--socket", f"{tmp_path}/s", "--pid-file", f"{tmp_path}/pid", "--log", f"{tmp_path}/log", "--no-install"]
    asks = f"import docker; print('asked', docker.DockerClient('unix://{tmp_path}/s').info()['DockerRootDir'])"
    argv = [sys.executable, str(ROOT / "tests/images/daemon.py"), *places, *(f"--dockerd={word}" for word in dockerd)]

    done = subprocess.run(
        [*argv, "--", sys.executable, "-c", f"{asks}; raise SystemExit(3)"],
        env={name: value for name, value in os.environ.items() if name != "DOCKER_HOST"},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )

    assert done.returncode == 3, done.stdout + done.stderr
    assert f"asked {tmp_path}/data" in done.stdout
    assert "storage driver" in done.stdout
    assert done.stdout.rstrip().endswith("container engine: stopped")
    assert not [process for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(process.info["cmdline"] or [])]
