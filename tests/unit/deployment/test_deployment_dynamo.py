"""Command lines, word for word."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.deployment.dynamo import FIXED_PORTS, PortMap, check_engine, inherited, other_ports, port_map, ports_needed, services
from pytest_dynperf.deployment.service import Place, ReadyCheck
from pytest_dynperf.errors import UsageError
from pytest_dynperf.scenario.topology import KvCache, Role, Topology

if TYPE_CHECKING:
    from pytest_dynperf.deployment.service import ServiceSpec

PORTS = PortMap(etcd_client=20001, etcd_peer=20002, nats_client=20003, nats_monitor=20004, frontend=20005, others=(20006, 20007, 20008))


def plan(topology: Topology) -> dict[str, ServiceSpec]:
    specs = services(
        topology,
        place=Place(
            python="/py",
            etcd="/bin/etcd",
            nats="/bin/nats-server",
            model="/model",
            directory="/run/state",
            environment={"PATH": "/bin", "LANG": "C.UTF-8"},
        ),
        ports=PORTS,
    )
    assert len({spec.name for spec in specs}) == len(specs)
    return {spec.name: spec for spec in specs}


def lines(topology: Topology) -> dict[str, str]:
    return {name: " ".join(spec.argv) for name, spec in plan(topology).items()}


ETCD = (
    "/bin/etcd --name dynperf --data-dir /run/state/etcd --listen-client-urls http://127.0.0.1:20001 "
    "--advertise-client-urls http://127.0.0.1:20001 --listen-peer-urls http://127.0.0.1:20002 "
    "--initial-advertise-peer-urls http://127.0.0.1:20002 --initial-cluster dynperf=http://127.0.0.1:20002 --log-level warn"
)
NATS = "/bin/nats-server --config /run/state/nats.conf"


def test_agg_over_nats() -> None:
    topology = Topology(engine="mocker", model="sim-8b", worker=Role(count=2), planes="nats", router_mode="kv", block_size=64)

    assert lines(topology) == {
        "etcd": ETCD,
        "nats": NATS,
        "frontend": "/py -m dynamo.frontend --http-host 127.0.0.1 --http-port 20005 --request-plane nats --event-plane nats "
        "--kv-cache-block-size 64 --router-mode kv",
        "worker-0": "/py -m dynamo.mocker --model-path /model --model-name sim-8b --request-plane nats --event-plane nats --block-size 64",
        "worker-1": "/py -m dynamo.mocker --model-path /model --model-name sim-8b --request-plane nats --event-plane nats --block-size 64",
    }


def test_agg_over_default_planes_has_no_nats_and_no_plane_flags() -> None:
    assert lines(Topology(engine="mocker", model="sim-8b", planes="default")) == {
        "etcd": ETCD,
        "frontend": "/py -m dynamo.frontend --http-host 127.0.0.1 --http-port 20005 --router-mode round-robin",
        "worker-0": "/py -m dynamo.mocker --model-path /model --model-name sim-8b",
    }


def test_disagg_starts_prefill_before_decode() -> None:
    topology = Topology(engine="mocker", model="sim-8b", mode="disagg", prefill=Role(count=2), planes="default")

    found = lines(topology)

    assert list(found) == ["etcd", "frontend", "prefill-0", "prefill-1", "decode-0"]
    assert found["prefill-1"] == "/py -m dynamo.mocker --model-path /model --model-name sim-8b --disaggregation-mode prefill"
    assert found["decode-0"] == "/py -m dynamo.mocker --model-path /model --model-name sim-8b --disaggregation-mode decode"


def test_free_arguments_stand_last_so_that_they_win() -> None:
    topology = Topology(
        engine="mocker",
        model="sim-8b",
        mode="disagg",
        decode=Role(args=("--block-size", "32", "--speedup-ratio=0.9")),
        planes="nats",
        router_args=("--router-mode", "random"),
        block_size=16,
    )

    found = plan(topology)

    assert found["decode-0"].argv[-3:] == ("--block-size", "32", "--speedup-ratio=0.9")
    assert found["prefill-0"].argv[-2:] == ("--block-size", "16")
    assert found["frontend"].argv[-4:] == ("--router-mode", "round-robin", "--router-mode", "random")


def test_environment_of_a_worker() -> None:
    assert plan(Topology(engine="mocker", model="sim-8b", worker=Role(count=2), planes="nats"))["worker-1"].env == {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "HOME": "/run/state/home",
        "TMPDIR": "/run/state/temporary",
        "ETCD_ENDPOINTS": "http://127.0.0.1:20001",
        "NATS_SERVER": "nats://127.0.0.1:20003",
        "DYN_TCP_RPC_HOST": "127.0.0.1",
        "DYN_HTTP_RPC_HOST": "127.0.0.1",
        "DYN_EVENT_PLANE_HOST": "127.0.0.1",
        "DYN_SYSTEM_HOST": "127.0.0.1",
        "DYN_SDK_DISABLE_ANSI_LOGGING": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "DYN_SYSTEM_PORT": "20007",
        "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": '["generate"]',
    }


def test_nats_is_configured_without_tracing_and_with_its_store_inside() -> None:
    nats = plan(Topology(engine="mocker", model="sim-8b", planes="nats"))["nats"]

    assert nats.files == {
        "/run/state/nats.conf": 'listen: "127.0.0.1:20003"\nhttp: "127.0.0.1:20004"\nmax_payload: 15MB\ntrace: false\ndebug: false\n'
        'jetstream { store_dir: "/run/state/nats" }\n'
    }
    assert nats.ready == ReadyCheck(port="monitor", path="/healthz")
    assert set(nats.env) == {"PATH", "LANG", "HOME", "TMPDIR"}


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm", "unknown"])
def test_engines_that_a_caller_cannot_start_are_refused_with_the_way_out(engine: str) -> None:
    with pytest.raises(UsageError, match=rf"engine '{engine}' cannot be started.*only 'mocker' can.*--dynperf-endpoint"):
        check_engine(Topology(engine=engine, model="m"))


def test_an_engine_that_a_caller_can_start_is_still_checked() -> None:
    check_engine(Topology(engine="vllm", model="m", worker=Role(gpus=1)), ("mocker", "vllm"))
    with pytest.raises(UsageError, match=r"disagg.*without a transfer connector"):
        check_engine(Topology(engine="vllm", model="m", mode="disagg"), ("mocker", "vllm"))


def test_too_few_ports_are_refused() -> None:
    with pytest.raises(UsageError, match="needs 9 ports, 8 were given"):
        plan(Topology(engine="mocker", model="m", worker=Role(count=4)))


def test_too_few_gpus_are_refused() -> None:
    with pytest.raises(UsageError, match="uses 2 GPUs, 0 were given"):
        plan(Topology(engine="vllm", model="m", worker=Role(gpus=2)))


def test_a_port_that_dynamo_cannot_take_is_refused() -> None:
    place = Place(python="/py", model="/m", directory="/d")
    with pytest.raises(UsageError, match="port 32768 is above 32767"):
        services(Topology(engine="mocker", model="m"), place=place, ports=port_map([1, 2, 3, 4, 5, 32768]))


def test_what_varies_in_number_is_counted() -> None:
    mocker = Topology(engine="mocker", model="m", worker=Role(count=3))
    assert ports_needed(mocker) == FIXED_PORTS + 3
    assert other_ports(replace(mocker, frontends=2))[3:] == ("frontend-0.http", "frontend-1.http")
    kvbm = Topology(engine="vllm", model="m", worker=Role(count=2, gpus=1), kv_cache=KvCache(connector="kvbm", host_gib=1))
    assert [name for name in other_ports(kvbm) if name.startswith("worker-1.")] == [
        "worker-1.system",
        "worker-1.kvbm_metrics",
        "worker-1.kvbm_publish",
        "worker-1.kvbm_acknowledge",
    ]
    ranks = Topology(engine="vllm", model="m", worker=Role(gpus=2, data_parallel=2), router_mode="kv")
    assert other_ports(ranks) == ("worker-0.system", "worker-0.kv_events", "worker-0.kv_events+1")
    assert other_ports(Topology(engine="vllm", model="m", worker=Role(gpus=1), served_by="engine")) == ()


def test_what_a_probe_found_decides_the_flags_and_what_is_asked_wins() -> None:
    topology = Topology(engine="mocker", model="m", mode="disagg", planes="nats")
    place = Place(python="/py", model="/m", directory="/d", dynamo_version="0.9.1")
    old = services(topology, place=place, ports=port_map(range(20001, 20008)))
    asked = services(replace(topology, dynamo_version="1.4.2"), place=place, ports=port_map(range(20001, 20008)))
    assert "--is-prefill-worker" in next(spec for spec in old if spec.role == "prefill").argv
    assert "--disaggregation-mode" in next(spec for spec in asked if spec.role == "prefill").argv


@given(st.lists(st.integers(20000, 32000), min_size=5, max_size=9, unique=True))
def test_port_map_uses_every_port_once(ports: list[int]) -> None:
    mapped = port_map(ports)

    named = [mapped.etcd_client, mapped.etcd_peer, mapped.nats_client, mapped.nats_monitor, mapped.frontend]
    assert sorted([*named, *mapped.others]) == sorted(ports)


def test_secrets_and_tuning_stay_behind() -> None:
    environ = {"PATH": "/bin", "HF_TOKEN": "secret", "AWS_SECRET_ACCESS_KEY": "secret", "DYN_ROUTER_MODE": "kv", "HOME": "/home/me"}

    assert inherited(environ) == {"PATH": "/bin"}


@given(st.sampled_from(["agg", "disagg"]), st.sampled_from(["nats", "default"]), st.integers(1, 3))
def test_every_worker_is_a_process_with_its_own_port(mode: str, planes: str, count: int) -> None:
    topology = Topology(engine="mocker", model="m", mode=mode, planes=planes, worker=Role(count=count))

    workers = [spec for spec in plan(topology).values() if re.fullmatch(r"(worker|prefill|decode)-\d", spec.name)]

    assert len(workers) == topology.worker_count
    assert len({spec.env["DYN_SYSTEM_PORT"] for spec in workers}) == len(workers)
    assert all(int(spec.env["DYN_SYSTEM_PORT"]) <= 32767 for spec in workers)
