"""What containers promise besides: images, limits, hardening, and that nothing comes out of them but what was asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.container import ContainerService
from pytest_dynperf.deployment.container_launcher import ContainerLauncher
from pytest_dynperf.deployment.container_spec import ContainerSettings
from pytest_dynperf.deployment.service import Mount
from pytest_dynperf.errors import DeploymentError
from tests.contract.kinds import SERVER, SLEEP
from tests.contract.waiting import gone, wait_for, wait_up

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from docker import DockerClient

    from pytest_dynperf.deployment.launcher import Group
    from tests.contract.conftest import Start
    from tests.contract.kinds import Kind
    from tests.images.engine import Image

SECRET = "hf_" + "Zx9Qw7Er5Ty3" * 2


def limited(kind: Kind, settings: ContainerSettings) -> Kind:
    return replace(kind, launcher=ContainerLauncher(session=kind.session, settings=settings))


def inspected(engine: DockerClient, group: Group) -> list[dict[str, object]]:
    return [engine.api.inspect_container(one.container) for one in group.services.values() if isinstance(one, ContainerService)]


def test_a_missing_image_is_an_error_that_says_what_to_do_and_nothing_is_fetched(
    contained: Kind, start: Start, engine: DockerClient
) -> None:
    images = {image.id for image in engine.images.list(all=True)}

    with pytest.raises(DeploymentError, match=r"service b: the image no\.such/image:1 is not on this host.*docker pull no\.such/image:1"):
        start(contained.spec("a", SLEEP), replace(contained.spec("b", SLEEP), image="no.such/image:1"))

    assert {image.id for image in engine.images.list(all=True)} == images


def test_a_service_is_refused_before_anything_runs(contained: Kind, start: Start) -> None:
    socket = Mount(source="/var/run/docker.sock", target="/var/run/docker.sock")

    with pytest.raises(DeploymentError, match=r"service b asks for .*allow="):
        start(
            contained.spec("a", SLEEP),
            replace(contained.spec("b", SLEEP), mounts=(socket,)),
            before=lambda *_: pytest.fail("something was started"),
        )


@pytest.mark.parametrize("status", [0, 1])
def test_out_of_memory_is_said_whatever_the_exit_status(contained: Kind, start: Start, status: int) -> None:
    greedy = "b = bytearray(1)\nwhile True: b.extend(bytes(1 << 20))"
    code = f"import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', {greedy!r}]).returncode, flush=True)\nsys.exit({status})"
    kind = limited(contained, ContainerSettings(memory_bytes=64 << 20))

    group = start(kind.spec("greedy", code), kind=kind)
    wait_for(group.incident, "the incident")

    text = str(group.incident())
    assert text.startswith("service greedy ran out of memory (its limit is 64 MiB)")
    assert f"exit status {status}" in text


LOOK = """
import json, os, pathlib
def can(path):
    try:
        pathlib.Path(path).touch()
        return True
    except OSError:
        return False
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "capabilities": status["CapBnd"].strip(),
    "privileges": status["NoNewPrivs"].strip(),
    "root": can("/new"), "etc": can("/etc/new"), "tmp": can("/tmp/new"), "model": can("/model/new"),
    "read": pathlib.Path("/model/file").read_text(),
    "first": pathlib.Path("/proc/1/cmdline").read_text().split("\\0")[0],
}))
"""


def test_a_service_can_do_little(contained: Kind, start: Start, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir(mode=0o777)
    (model / "file").write_text("weights")
    spec = replace(contained.spec("a", LOOK + "\nprint('up')\n" + SLEEP), mounts=(Mount(source=str(model), target="/model"),))
    (service,) = start(spec).services.values()
    wait_for(lambda: b"up\n" in service.log.read_bytes(), "what it sees")

    seen = json.loads(service.log.read_text().splitlines()[0])

    assert seen.pop("first").endswith("init"), "the sentinel's init reaps orphans"
    assert seen == {
        "capabilities": "0000000000000000",
        "privileges": "1",
        "root": False,
        "etc": False,
        "tmp": True,
        "model": False,
        "read": "weights",
    }


ASKS = """
import os, time, urllib.request
while True:
    try:
        print(urllib.request.urlopen(os.environ["URL"]).read())
        break
    except OSError:
        time.sleep(0.05)
"""


def test_services_reach_each_other_by_name(contained: Kind, start: Start) -> None:
    asks = ASKS + SLEEP
    group = start(contained.spec("server", SERVER, port=21000), contained.spec("asks", asks, env={"URL": "http://server:21000"}))
    wait_for(lambda: b"b'ok'\n" in group.services["asks"].log.read_bytes(), "the answer")

    assert group.incident() is None


def test_labels_say_whose_a_container_is_and_hold_no_secret(contained: Kind, start: Start, engine: DockerClient) -> None:
    group = start(contained.spec("a", SLEEP, env={"HF_TOKEN": SECRET}))

    (described,) = inspected(engine, group)
    config = described["Config"]
    assert isinstance(config, dict)
    assert config["Labels"]["org.pytest-dynperf.session"] == contained.session
    assert config["Labels"]["org.pytest-dynperf.mark"].startswith(f"{contained.session}-")
    assert len(config["Labels"]["org.pytest-dynperf.boot"]) == 36
    networks = engine.api.networks(filters={"label": f"org.pytest-dynperf.session={contained.session}"})
    assert SECRET not in json.dumps([config["Labels"], described["Name"], networks])
    assert len(networks) == 1


def test_an_engines_error_about_a_secret_does_not_tell_it(contained: Kind, start: Start) -> None:
    spec = replace(contained.spec("a", "", argv=(SECRET,)), env={"HF_TOKEN": SECRET})

    with pytest.raises(DeploymentError, match=r"cannot start service a .*its image has no such program") as caught:
        start(spec)

    assert SECRET not in str(caught.value)


def test_an_image_without_a_shell_is_watched_over_by_another_one(
    contained: Kind, start: Start, test_images: Mapping[str, Image], tmp_path: Path
) -> None:
    bare = replace(contained.spec("nats", "", argv=("/nats-server",), role="nats"), image=test_images["nats"].reference)
    group = start(contained.spec("a", SLEEP), bare)

    assert group.incident() is None
    assert "Server is ready" in _log_when(group, "nats", b"Server is ready")


def test_images_without_any_program_to_watch_are_an_error(contained: Kind, start: Start, test_images: Mapping[str, Image]) -> None:
    with pytest.raises(DeploymentError, match=r"no image has a program that can watch over the others \(cat, sh or python3\)"):
        start(replace(contained.spec("nats", "", argv=("/nats-server",)), image=test_images["nats"].reference))


def test_when_the_sentinel_goes_everything_goes(contained: Kind, start: Start, engine: DockerClient) -> None:
    group = start(contained.spec("a", SLEEP), contained.spec("b", SLEEP))
    wait_up(group)
    running = [pid for service in group.services.values() for pid in service.pids]
    (sentinel,) = [
        one
        for one in engine.containers.list(filters={"label": f"org.pytest-dynperf.session={contained.session}"})
        if "sentinel" in str(one.name)
    ]

    sentinel.kill()

    wait_for(lambda: all(map(gone, running)), "the end of all")
    wait_for(group.incident, "the incident")
    assert "was killed by SIGKILL" in str(group.incident())


def test_a_group_stops_when_its_containers_were_removed_by_somebody_else(contained: Kind, start: Start, engine: DockerClient) -> None:
    group = start(contained.spec("a", SLEEP))
    for container in engine.containers.list(filters={"label": f"org.pytest-dynperf.session={contained.session}"}):
        container.remove(force=True, v=True)
    wait_for(group.incident, "the incident")

    group.stop()

    assert group.incident() is None


def test_volumes_go_with_their_containers(contained: Kind, start: Start, engine: DockerClient) -> None:
    group = start(contained.spec("a", SLEEP), contained.spec("b", SLEEP))
    mounts = [mount for one in inspected(engine, group) for mount in one["Mounts"]]  # type: ignore[attr-defined]
    volumes = {mount["Name"] for mount in mounts if mount["Type"] == "volume"}
    assert len(volumes) == 2
    assert volumes <= {volume.name for volume in engine.volumes.list()}

    group.stop()

    assert not volumes & {volume.name for volume in engine.volumes.list()}


def test_limits_reach_the_container(contained: Kind, start: Start, engine: DockerClient) -> None:
    kind = limited(contained, ContainerSettings(memory_bytes=96 << 20, cpus=0.5, pids=77))
    (described,) = inspected(engine, start(kind.spec("a", SLEEP), kind=kind))

    host = described["HostConfig"]
    assert isinstance(host, dict)
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (96 << 20, 500_000_000, 77)


FORKS = """
import os, signal
try:
    while True:
        if os.fork() == 0:
            signal.pause()
except OSError as error:
    print(error.errno, flush=True)
"""


def test_processes_are_bounded(contained: Kind, start: Start) -> None:
    kind = limited(contained, ContainerSettings(pids=20))
    group = start(kind.spec("a", FORKS + SLEEP), kind=kind)
    (service,) = group.services.values()
    wait_for(lambda: b"11\nup\n" in service.log.read_bytes(), "the bound (EAGAIN)")

    running = service.pids
    assert len(running) <= 20
    group.stop()
    wait_for(lambda: all(map(gone, running)), "the end of all of them")


def _log_when(group: Group, name: str, text: bytes) -> str:
    log = group.services[name].log
    wait_for(lambda: text in log.read_bytes(), f"{text!r} in its log")
    return log.read_text()
