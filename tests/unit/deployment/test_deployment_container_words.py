"""What engines answer, in words: texts as Docker 20.10 to 28, containerd, the NVIDIA runtime and Podman write them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_dynperf.deployment.container_words import (
    Bridge,
    bridge_of,
    host_ports,
    how_ended,
    image_identity,
    in_words,
    is_port_taken,
    missing_image,
    program_of,
)
from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec

TOOLKIT = "the NVIDIA container toolkit is missing on this host"


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        pytest.param('could not select device driver "" with capabilities: [[gpu]]', TOOLKIT, id="no driver"),
        pytest.param('could not select device driver "nvidia" with capabilities: [[gpu]]', TOOLKIT, id="no driver of that name"),
        pytest.param("Unknown runtime specified nvidia", TOOLKIT, id="no runtime, Docker 20.10"),
        pytest.param("unknown or invalid runtime name: nvidia", TOOLKIT, id="no runtime, Docker 25"),
        pytest.param(
            "failed to create task for container: nvidia-container-cli: device error: GPU-1: unknown device: unknown",
            "this host has no such GPU",
            id="unknown GPU",
        ),
        pytest.param(
            "nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown",
            "the NVIDIA driver of this host",
            id="driver",
        ),
        pytest.param("write /var/lib/docker/tmp/x: no space left on device", "the container engine's disk is full", id="disk full"),
        pytest.param(
            "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
            "no address left for another network",
            id="networks, Docker 20.10",
        ),
        pytest.param(
            "all predefined address pools have been fully subnetted", "no address left for another network", id="networks, Docker 27"
        ),
        pytest.param('exec: "nowhere": executable file not found in $PATH: unknown', "its image has no such program", id="no program"),
        pytest.param(
            'exec: "/nowhere": stat /nowhere: no such file or directory: unknown', "its image has no such program", id="no such path"
        ),
        pytest.param("exec /bin/x: exec format error", "built for another processor", id="other processor"),
        pytest.param(
            "Failed to Setup IP tables: Unable to enable NAT rule: (iptables failed: iptables -t nat", "network rules", id="iptables"
        ),
        pytest.param(
            'invalid mount config for type "bind": bind source path does not exist: /x', "does not exist on this host", id="mount"
        ),
        pytest.param("Minimum memory limit allowed is 6MB", "its memory limit is too small", id="memory limit"),
    ],
)
def test_an_engines_error_with_its_remedy(said: str, meaning: str) -> None:
    text = in_words(said)

    assert meaning in text
    assert text.endswith(f"The engine says: {said}")
    assert not is_port_taken(said)


def test_an_unknown_error_is_the_engines_own_on_one_line_and_short() -> None:
    assert in_words("never\nseen  before") == "never seen before"
    text = in_words("a" * 5000 + "z" * 5000)
    assert len(text) < 500
    assert text.startswith("aaa")
    assert text.endswith("zzz")


def test_the_toolkits_remedy_says_what_to_run() -> None:
    assert "nvidia-ctk runtime configure --runtime=docker" in in_words("could not select device driver")


@pytest.mark.parametrize(
    "said",
    [
        "driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:20000 failed: port is already allocated",
        "Error starting userland proxy: listen tcp4 127.0.0.1:20000: bind: address already in use",
        "failed to bind host port for 127.0.0.1:20000:172.18.0.2:80/tcp: address already in use",
    ],
)
def test_a_port_that_is_taken(said: str) -> None:
    assert is_port_taken(said)


def test_a_missing_image_is_named_with_what_fetches_it() -> None:
    assert missing_image("quay.io/x:1", "etcd") == (
        "service etcd: the image quay.io/x:1 is not on this host. Fetch it first: docker pull quay.io/x:1"
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        pytest.param({"ExitCode": 0}, "ended with exit status 0", id="politely"),
        pytest.param({"ExitCode": 3}, "ended with exit status 3", id="a failure"),
        pytest.param({"ExitCode": 137}, "was killed by SIGKILL (exit status 137)", id="killed"),
        pytest.param({"ExitCode": 139}, "was killed by SIGSEGV (exit status 139)", id="crashed"),
        pytest.param({"ExitCode": 168}, "was killed by signal 40 (exit status 168)", id="a signal without a name"),
        pytest.param({"ExitCode": 255}, "ended with exit status 255", id="no signal"),
        pytest.param({"ExitCode": 128, "Error": "no\nway"}, "ended with exit status 128 (no way)", id="the engine's own word"),
        pytest.param({}, "ended, and the container engine does not say how", id="nothing is known"),
    ],
)
def test_how_a_container_ended(state: dict[str, object], said: str) -> None:
    assert how_ended(state, None) == said


@pytest.mark.parametrize("code", [0, 1, 137])
def test_out_of_memory_whatever_the_exit_status(code: int) -> None:
    state = {"ExitCode": code, "OOMKilled": True}

    assert how_ended(state, None).startswith("ran out of memory: ")
    assert how_ended(state, 64 << 20).startswith("ran out of memory (its limit is 64 MiB): ")
    assert how_ended(state, None).endswith(f"exit status {code}")
    assert how_ended({"ExitCode": code, "OOMKilled": False}, None).startswith(("ended", "was killed"))


SPEC = ServiceSpec(
    name="a",
    role="frontend",
    argv=("x",),
    env={},
    ports={"http": 80, "system": 90},
    ready=ReadyCheck(port="http", path="/"),
    working_directory="/dynperf/state",
)


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        pytest.param(
            {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49153"}], "90/tcp": [{"HostIp": "127.0.0.1", "HostPort": "1"}]},
            (49153, 1),
            id="both",
        ),
        pytest.param({"80/tcp": [{"HostIp": "::1", "HostPort": "7"}, {"HostIp": "127.0.0.1", "HostPort": "8"}]}, (8, 90), id="ours"),
        pytest.param({"80/tcp": None, "90/tcp": []}, (80, 90), id="exposed only"),
        pytest.param({}, (80, 90), id="ended"),
        pytest.param(None, (80, 90), id="host network"),
    ],
)
def test_ports_of_this_host(published: object, expected: tuple[int, int]) -> None:
    assert host_ports(SPEC, {"Ports": published}) == {"http": expected[0], "system": expected[1]}


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ({"n": {"IPAddress": "172.31.0.3", "Gateway": "172.31.0.1"}}, Bridge(address="172.31.0.3", gateway="172.31.0.1")),
        ({"host": {"IPAddress": "", "Gateway": ""}}, None),
        ({"n": {"IPAddress": "172.31.0.3", "Gateway": ""}}, None),
        ({"n": {"IPAddress": "172.31.0.3", "Gateway": "172.31.0.1"}, "m": {"IPAddress": "172.30.0.3", "Gateway": "172.30.0.1"}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_address_on_a_bridge(networks: object, expected: Bridge | None) -> None:
    assert bridge_of({"Networks": networks}) == expected


@pytest.mark.parametrize(
    ("image", "digests", "expected"),
    [
        ("quay.io/x/etcd:v3", ["quay.io/x/etcd@sha256:1"], "quay.io/x/etcd@sha256:1"),
        ("nats:2", ["other/nats@sha256:0", "nats@sha256:2"], "nats@sha256:2"),
        ("host:5000/nats", ["host:5000/nats@sha256:2"], "host:5000/nats@sha256:2"),
        ("host:5000/nats@sha256:2", ["host:5000/nats@sha256:2"], "host:5000/nats@sha256:2"),
        ("nats:2", ["docker.io/library/nats@sha256:2"], "docker.io/library/nats@sha256:2"),
        ("renamed:1", ["was/called@sha256:3"], "was/called@sha256:3"),
        ("dynperf-test/etcd:1", [], "dynperf-test/etcd:1 (local sha256:9)"),
        ("dynperf-test/etcd:1", None, "dynperf-test/etcd:1 (local sha256:9)"),
    ],
)
def test_what_an_image_is_by_its_digest(image: str, digests: object, expected: str) -> None:
    assert image_identity(image, {"RepoDigests": digests, "Id": "sha256:9"}) == expected


def test_an_image_that_is_not_described() -> None:
    assert image_identity("x", {}) == "x (local unknown)"


@pytest.mark.parametrize(
    ("config", "program"),
    [
        ({"Entrypoint": ["/nats-server"], "Cmd": ["--config", "x"]}, "/nats-server"),
        ({"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["nats-server", "-c"]}, "nats-server"),
        ({"Entrypoint": None, "Cmd": ["sh"]}, "nats-server"),
        (None, "nats-server"),
    ],
)
def test_where_a_program_is_in_its_image(config: Any, program: str) -> None:
    assert program_of({"Config": config}, "nats-server") == program
