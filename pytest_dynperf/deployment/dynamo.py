"""Topology to command lines: the one place that knows the flags of Dynamo, etcd and NATS. Pure.

Flags as of ai-dynamo 1.4.2, etcd 3.5 and nats-server 2.15; those of etcd and NATS are the same in Debian's 3.4 and 2.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.service import Place, ReadyCheck, ServiceSpec
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.scenario.topology import Topology

ALLOWED_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "PYTHONUSERBASE",
    "PYTHONDONTWRITEBYTECODE",
    "VIRTUAL_ENV",
)
"""What services inherit. Everything else stays behind: secrets, and variables (``DYN_*``, ``RUST_LOG``) that would change a measurement."""

FIXED_PORTS = 5
"""Ports that a deployment needs besides one per worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMap:
    """Ports on 127.0.0.1. ``workers`` holds one system port per worker, in the order of :func:`services`; none above 32767, because
    Dynamo parses ``DYN_SYSTEM_PORT`` as a signed 16-bit integer.
    """

    etcd_client: int
    etcd_peer: int
    nats_client: int
    nats_monitor: int
    frontend: int
    workers: tuple[int, ...]


def port_map(ports: Sequence[int]) -> PortMap:
    """``ports`` by purpose: the first five for etcd, NATS and the frontend, the rest for workers."""
    etcd_client, etcd_peer, nats_client, nats_monitor, frontend, *workers = ports
    return PortMap(
        etcd_client=etcd_client,
        etcd_peer=etcd_peer,
        nats_client=nats_client,
        nats_monitor=nats_monitor,
        frontend=frontend,
        workers=tuple(workers),
    )


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of ``environ`` that services may see."""
    return {name: environ[name] for name in ALLOWED_VARIABLES if name in environ}


def etcd_service(place: Place, *, client: int, peer: int) -> ServiceSpec:
    """A single etcd with its data inside the place's directory."""
    reached, own = (f"http://{host}:{client}" for host in (place.host_of("etcd"), place.bind))
    peer_url = f"http://127.0.0.1:{peer}"
    argv = (
        *(place.etcd, "--name", "dynperf", "--data-dir", f"{place.directory}/etcd"),
        *("--listen-client-urls", own, "--advertise-client-urls", reached),
        *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url, "--initial-cluster", f"dynperf={peer_url}"),
        *("--log-level", "warn"),
    )
    return ServiceSpec(
        name="etcd",
        role="etcd",
        argv=argv,
        env=_environment(place),
        ports={"client": client, "peer": peer},
        ready=ReadyCheck(port="client", path="/health"),
        working_directory=place.directory,
        directories=_directories(place),
        image=place.images.get("etcd"),
    )


def nats_service(place: Place, *, client: int, monitor: int) -> ServiceSpec:
    """A single NATS with JetStream, its store inside the place's directory and its monitoring port open; protocol tracing stays off, it
    costs.
    """
    configuration = f"{place.directory}/nats.conf"
    text = (
        f'listen: "{place.bind}:{client}"\nhttp: "{place.bind}:{monitor}"\nmax_payload: 15MB\ntrace: false\ndebug: false\n'
        f"jetstream {{ store_dir: {_nats_text(place.directory + '/nats')} }}\n"
    )
    return ServiceSpec(
        name="nats",
        role="nats",
        argv=(place.nats, "--config", configuration),
        env=_environment(place),
        ports={"client": client, "monitor": monitor},
        ready=ReadyCheck(port="monitor", path="/healthz"),
        working_directory=place.directory,
        directories=_directories(place),
        files={configuration: text},
        image=place.images.get("nats"),
    )


def check_engine(topology: Topology) -> None:
    """Return when this version can start the topology's engine.

    :raises UsageError: for an engine other than ``mocker``.
    """
    if topology.engine != "mocker":
        msg = (
            f"engine {topology.engine!r} cannot be started by this version: only 'mocker' can. "
            f"Start it yourself and measure it with --dynperf-endpoint URL --dynperf-model NAME."
        )
        raise UsageError(msg)


def services(topology: Topology, *, place: Place, ports: PortMap, gpus: Sequence[str] = ()) -> tuple[ServiceSpec, ...]:
    """Services in the order in which they start: etcd, NATS (where the topology sends over it), frontend, workers.

    One process per worker; each takes its share of ``gpus`` (UUIDs), in order. A role's free arguments stand last on its command line, so
    that they win.

    :raises UsageError: for an engine that this version cannot start, or when there are too few ports or GPUs.
    """
    check_engine(topology)
    if len(gpus) < topology.gpu_count:
        msg = f"the topology uses {topology.gpu_count} GPUs, {len(gpus)} were given"
        raise UsageError(msg)
    base = _environment(place) | _dynamo_environment(topology, place, ports)
    specs = [etcd_service(place, client=ports.etcd_client, peer=ports.etcd_peer)]
    if topology.planes == "nats":
        specs.append(nats_service(place, client=ports.nats_client, monitor=ports.nats_monitor))
    specs.append(_frontend(topology, place, port=ports.frontend, env=base))
    system_ports, free = iter(ports.workers), iter(gpus)
    for role, workers in topology.roles.items():
        for index in range(workers.count):
            port = next(system_ports, None)
            if port is None:
                msg = f"{topology.worker_count} workers need as many system ports, {len(ports.workers)} were given"
                raise UsageError(msg)
            argv = _mocker(topology, role, place) + workers.args
            own = tuple(next(free) for _ in range(workers.gpus))
            specs.append(_worker(topology, place, f"{role}-{index}", role, argv=argv, port=port, env=base, gpus=own))
    return tuple(specs)


def _frontend(topology: Topology, place: Place, *, port: int, env: Mapping[str, str]) -> ServiceSpec:
    block_size = () if topology.block_size is None else ("--kv-cache-block-size", str(topology.block_size))
    return ServiceSpec(
        name="frontend",
        role="frontend",
        argv=(
            *(place.python, "-m", "dynamo.frontend", "--http-host", place.bind, "--http-port", str(port)),
            *_planes(topology),
            *block_size,
            *("--router-mode", topology.router_mode),
            *topology.router_args,
        ),
        env=env,
        ports={"http": port},
        ready=ReadyCheck(port="http", path="/health"),
        working_directory=place.directory,
        directories=_directories(place),
        image=topology.image,
        mounts=place.mounts,
    )


def _mocker(topology: Topology, role: str, place: Place) -> tuple[str, ...]:
    disaggregation = ("--disaggregation-mode", role) if topology.mode == "disagg" else ()
    block_size = () if topology.block_size is None else ("--block-size", str(topology.block_size))
    return (
        *(place.python, "-m", "dynamo.mocker", "--model-path", place.model, "--model-name", topology.model),
        *_planes(topology),
        *disaggregation,
        *block_size,
    )


def _worker(
    topology: Topology,
    place: Place,
    name: str,
    role: str,
    *,
    argv: tuple[str, ...],
    port: int,
    env: Mapping[str, str],
    gpus: tuple[str, ...],
) -> ServiceSpec:
    system = {
        "DYN_SYSTEM_PORT": str(port),
        # Without it the worker's /health stays 503 for ever.
        "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": '["generate"]',
    }
    return ServiceSpec(
        name=name,
        role=role,
        argv=argv,
        env={**env, **system},
        ports={"system": port},
        ready=ReadyCheck(port="system", path="/health"),
        working_directory=place.directory,
        directories=_directories(place),
        image=topology.image,
        mounts=place.mounts,
        gpus=gpus,
    )


def _planes(topology: Topology) -> tuple[str, ...]:
    return ("--request-plane", "nats", "--event-plane", "nats") if topology.planes == "nats" else ()


def _directories(place: Place) -> tuple[str, ...]:
    return (f"{place.directory}/home", f"{place.directory}/temporary")


def _environment(place: Place) -> dict[str, str]:
    home, temporary = _directories(place)
    return {**place.environment, "HOME": home, "TMPDIR": temporary}


def _dynamo_environment(topology: Topology, place: Place, ports: PortMap) -> dict[str, str]:
    nats = {"NATS_SERVER": f"nats://{place.host_of('nats')}:{ports.nats_client}"} if topology.planes == "nats" else {}
    hosts = () if place.by_name else ("DYN_TCP_RPC_HOST", "DYN_HTTP_RPC_HOST", "DYN_EVENT_PLANE_HOST")
    return {
        "ETCD_ENDPOINTS": f"http://{place.host_of('etcd')}:{ports.etcd_client}",
        **nats,
        **dict.fromkeys((*hosts, "DYN_SYSTEM_HOST"), place.bind),
        "DYN_SDK_DISABLE_ANSI_LOGGING": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _nats_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
