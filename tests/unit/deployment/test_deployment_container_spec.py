"""What the engine is asked to create, compared with what was written down; and what is refused."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace

import pytest

from pytest_dynperf.deployment.container_spec import (
    DIRECTORY,
    ENGINE_SOCKET,
    HOST_NETWORK,
    PRIVILEGED,
    VOLUME,
    Birth,
    ContainerSettings,
    archive,
    network_body,
    refusals,
    sentinel_body,
    service_body,
)
from pytest_dynperf.deployment.dynamo import port_map, services
from pytest_dynperf.deployment.service import Mount, Place, ReadyCheck, ServiceSpec
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.scenario.topology import Role, Topology

BIRTH = Birth(session="s1", mark="s1-0123456789abcdef0123456789abcdef", boot="b00t")
LABELS = {
    "org.pytest-dynperf.session": "s1",
    "org.pytest-dynperf.mark": "s1-0123456789abcdef0123456789abcdef",
    "org.pytest-dynperf.boot": "b00t",
}
HARDENING = {
    "Init": True,
    "Privileged": False,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "PidsLimit": 16384,
    "ReadonlyRootfs": True,
    "Tmpfs": {"/tmp": "rw,exec,nosuid,nodev,mode=1777", "/run": "rw,nosuid,nodev,mode=755"},
    "RestartPolicy": {"Name": "no"},
    "AutoRemove": False,
}
LOGS = {"Type": "json-file", "Config": {"max-size": "10485760", "max-file": "2"}}
SPEC = ServiceSpec(
    name="worker-0",
    role="worker",
    argv=("python3", "-m", "engine", "--flag"),
    env={"HOME": f"{DIRECTORY}/home", "A": "b=c"},
    ports={"system": 20005},
    ready=ReadyCheck(port="system", path="/health"),
    working_directory=DIRECTORY,
    directories=(f"{DIRECTORY}/home",),
    image="registry/engine@sha256:1",
    mounts=(Mount(source="/models/tiny", target="/model"),),
    gpus=("GPU-1", "GPU-2"),
)


def body(spec: ServiceSpec = SPEC, settings: ContainerSettings | None = None, **variables: str) -> dict[str, object]:
    return service_body(spec, birth=BIRTH, sentinel="5e", settings=settings or ContainerSettings(), variables=variables)


def host(made: dict[str, object]) -> dict[str, object]:
    found = made["HostConfig"]
    assert isinstance(found, dict)
    return found


def test_a_worker_with_gpus() -> None:
    settings = ContainerSettings(memory_bytes=1 << 30, cpus=3.5, cpuset="0-3")

    assert body(SPEC, settings, MARK="m") == {
        "Image": "registry/engine@sha256:1",
        "Entrypoint": ["python3"],
        "Cmd": ["-m", "engine", "--flag"],
        "Env": ["A=b=c", "HOME=/dynperf/state/home", "MARK=m"],
        "WorkingDir": "/dynperf/state",
        "Labels": LABELS,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "Hostname": "worker-0",
        "ExposedPorts": {"20005/tcp": {}},
        "NetworkingConfig": {"EndpointsConfig": {"dynperf-01234567": {"Aliases": ["worker-0"]}}},
        "HostConfig": {
            **HARDENING,
            "Memory": 1 << 30,
            "MemorySwap": 1 << 30,
            "NanoCpus": 3_500_000_000,
            "CpusetCpus": "0-3",
            "PidMode": "container:5e",
            "IpcMode": "container:5e",
            "NetworkMode": "dynperf-01234567",
            "PortBindings": {"20005/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
            "Mounts": [
                {"Type": "volume", "Target": "/dynperf"},
                {"Type": "bind", "Source": "/models/tiny", "Target": "/model", "ReadOnly": True},
            ],
            "LogConfig": LOGS,
            "Ulimits": [
                {"Name": "nofile", "Soft": 65536, "Hard": 65536},
                {"Name": "memlock", "Soft": -1, "Hard": -1},
                {"Name": "stack", "Soft": 67108864, "Hard": 67108864},
            ],
            "DeviceRequests": [
                {"Driver": "", "Count": 0, "DeviceIDs": ["GPU-1", "GPU-2"], "Capabilities": [["gpu"]], "Options": {}},
            ],
        },
    }


def test_a_service_without_gpus_sees_none_even_where_the_default_runtime_hands_them_out() -> None:
    made = body(replace(SPEC, gpus=()))

    assert made["Env"] == ["A=b=c", "HOME=/dynperf/state/home", "NVIDIA_VISIBLE_DEVICES=void"]
    assert "DeviceRequests" not in host(made)
    assert host(made)["Ulimits"] == [{"Name": "nofile", "Soft": 65536, "Hard": 65536}]
    assert not {"Memory", "NanoCpus", "CpusetCpus"} & set(host(made)), "no limit that nobody asked for"
    assert host(body(replace(SPEC, gpus=()), ContainerSettings(open_files=None)))["Ulimits"] == []


def test_the_sentinel_reads_what_we_hold_and_shares_its_memory() -> None:
    made = sentinel_body(("cat",), image="i", birth=BIRTH, settings=ContainerSettings(shm_bytes=7))

    assert made == {
        "Image": "i",
        "Entrypoint": ["cat"],
        "Cmd": [],
        "Labels": LABELS,
        "WorkingDir": "/",
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            **HARDENING,
            "IpcMode": "shareable",
            "ShmSize": 7,
            "NetworkMode": "none",
            "LogConfig": LOGS,
            "Ulimits": [{"Name": "nofile", "Soft": 65536, "Hard": 65536}],
        },
    }


def test_names_and_labels() -> None:
    assert BIRTH.name("etcd") == "dynperf-01234567-etcd"
    assert replace(BIRTH, mark="f" * 32).network == "dynperf-ffffffff"
    assert network_body(BIRTH) == {"Name": "dynperf-01234567", "Driver": "bridge", "CheckDuplicate": True, "Labels": LABELS}


def test_a_whole_stack_of_the_topology_is_plain_json() -> None:
    place = Place(
        python="python3",
        etcd="etcd",
        nats="nats-server",
        model="/model",
        directory=DIRECTORY,
        bind="0.0.0.0",
        by_name=True,
        images={"etcd": "e", "nats": "n"},
        mounts=(Mount(source="/m", target="/model"),),
    )
    topology = Topology(engine="mocker", model="sim", planes="nats", worker=Role(count=2), image="d")
    specs = services(topology, place=place, ports=port_map(range(20000, 20007)))

    made = {spec.name: body(spec) for spec in specs}

    assert json.loads(json.dumps(made)) == made
    assert list(made) == ["etcd", "nats", "frontend", "worker-0", "worker-1"]
    assert {name: one["Image"] for name, one in made.items()} == {
        "etcd": "e",
        "nats": "n",
        "frontend": "d",
        "worker-0": "d",
        "worker-1": "d",
    }
    environment = made["frontend"]["Env"]
    assert isinstance(environment, list)
    assert "ETCD_ENDPOINTS=http://etcd:20000" in environment
    assert "NATS_SERVER=nats://nats:20002" in environment
    assert not any(text.startswith("PATH=") for text in environment), "the image's own PATH holds"
    published = [port for one in made.values() for port in host(one)["PortBindings"].values()]  # type: ignore[attr-defined]
    assert published
    assert all(binding["HostIp"] == "127.0.0.1" for bindings in published for binding in bindings)


SECRET = "hf_" + "s3cr3t" * 4


def test_no_secret_is_in_a_label_or_a_name() -> None:
    made = body(replace(SPEC, env={"HF_TOKEN": SECRET}, argv=("x", "--api-key", SECRET)))

    shown = json.dumps([made["Labels"], network_body(BIRTH), BIRTH.name("worker-0"), made["Hostname"]])
    assert SECRET not in shown
    assert SECRET in json.dumps(made["Env"]), "the service itself gets it"


# ---- refusals


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        pytest.param({"Privileged": True}, PRIVILEGED, id="privileged"),
        pytest.param({"CapAdd": ["CAP_SYS_ADMIN"]}, PRIVILEGED, id="a capability that is as good"),
        pytest.param({"CapAdd": ["ALL"]}, PRIVILEGED, id="all capabilities"),
        pytest.param({"SecurityOpt": ["seccomp=unconfined"]}, PRIVILEGED, id="seccomp off"),
        pytest.param({"PidMode": "host"}, PRIVILEGED, id="processes of the host"),
        pytest.param({"IpcMode": "host"}, PRIVILEGED, id="memory of the host"),
        pytest.param({"NetworkMode": "host"}, HOST_NETWORK, id="network of the host"),
        pytest.param({"Binds": ["/var/run/docker.sock:/var/run/docker.sock"]}, ENGINE_SOCKET, id="the engine's socket"),
        pytest.param({"Binds": ["/:/host:ro"]}, ENGINE_SOCKET, id="everything, and so its socket"),
        pytest.param({"Mounts": [{"Type": "bind", "Source": "/run", "Target": "/x"}]}, ENGINE_SOCKET, id="a directory above it"),
    ],
)
def test_what_makes_a_container_root_is_refused_unless_it_is_said_aloud(asked: dict[str, object], name: str) -> None:
    with pytest.raises(DeploymentError, match=r"service worker-0 asks for .*Refused") as caught:
        body(settings=ContainerSettings(host_config=asked))

    assert f'ContainerSettings(allow=frozenset({{"{name}"}}))' in str(caught.value)
    made = host(body(settings=ContainerSettings(host_config=asked, allow=frozenset({name}))))
    assert asked.items() <= made.items()
    others = frozenset({PRIVILEGED, HOST_NETWORK, ENGINE_SOCKET} - {name})
    with pytest.raises(DeploymentError, match="Refused"):
        body(settings=ContainerSettings(host_config=asked, allow=others))


def test_a_mount_of_the_service_itself_is_refused_too() -> None:
    with pytest.raises(DeploymentError, match=r"asks for /var/run/docker\.sock of this host"):
        body(replace(SPEC, mounts=(Mount(source="/var/run/docker.sock", target="/var/run/docker.sock"),)))


def test_what_a_service_has_by_default_is_not_refused() -> None:
    assert refusals(host(body())) == []
    assert refusals({"CapAdd": ["IPC_LOCK"], "Devices": [{"PathOnHost": "/dev/infiniband"}], "Binds": ["/runs:/runs"]}) == []


def test_on_the_hosts_network_nothing_is_published() -> None:
    made = body(settings=ContainerSettings(host_config={"NetworkMode": "host"}, allow=frozenset({HOST_NETWORK})))

    assert not {"Hostname", "ExposedPorts", "NetworkingConfig"} & set(made)
    assert "PortBindings" not in host(made)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        pytest.param(replace(SPEC, image=None), "service worker-0 names no image", id="no image"),
        pytest.param(replace(SPEC, name="sentinel"), "cannot be called sentinel", id="the sentinel's name"),
        pytest.param(replace(SPEC, working_directory="/workspace"), "wants to write /workspace: .* below /dynperf", id="elsewhere"),
        pytest.param(replace(SPEC, files={"/dynperf/../etc/x": ""}), r"wants to write /dynperf/\.\./etc/x", id="upwards"),
        pytest.param(replace(SPEC, directories=("/dynperf",)), "wants to write /dynperf: ", id="the volume itself"),
    ],
)
def test_what_cannot_be_a_container(spec: ServiceSpec, said: str) -> None:
    with pytest.raises(DeploymentError, match=said):
        body(spec)


# ---- files


def test_files_and_directories_as_an_archive() -> None:
    spec = replace(SPEC, files={f"{DIRECTORY}/etc/nats.conf": "port: ü"}, directories=(f"{DIRECTORY}/home/deep",))

    with tarfile.open(fileobj=io.BytesIO(archive(spec))) as tar:
        found = {member.name: (member.isdir(), oct(member.mode), member.mtime) for member in tar}
        file = tar.extractfile("state/etc/nats.conf")
        assert file is not None
        assert file.read().decode() == "port: ü"

    assert found == {
        "state": (True, "0o777", 0),
        "state/etc": (True, "0o777", 0),
        "state/home": (True, "0o777", 0),
        "state/home/deep": (True, "0o777", 0),
        "state/etc/nats.conf": (False, "0o644", 0),
    }
    assert archive(spec) == archive(spec)
    assert f"{VOLUME}/state" == DIRECTORY
