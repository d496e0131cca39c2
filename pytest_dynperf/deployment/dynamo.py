"""Topology to command lines: the one place that knows the flags of Dynamo, etcd and NATS. Pure.

Flags as of ai-dynamo 1.4.2, etcd 3.5 and nats-server 2.15; those of etcd and NATS are the same in Debian's 3.4 and 2.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.scenario.topology import Topology

HOST = "127.0.0.1"

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


def etcd_service(*, program: str, client: int, peer: int, directory: str, environment: Mapping[str, str]) -> ServiceSpec:
    """A single etcd with its data inside ``directory``."""
    client_url, peer_url = f"http://{HOST}:{client}", f"http://{HOST}:{peer}"
    argv = (
        *(program, "--name", "dynperf", "--data-dir", f"{directory}/etcd"),
        *("--listen-client-urls", client_url, "--advertise-client-urls", client_url),
        *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url, "--initial-cluster", f"dynperf={peer_url}"),
        *("--log-level", "warn"),
    )
    return ServiceSpec(
        name="etcd",
        role="etcd",
        argv=argv,
        env=_environment(directory, environment),
        ports={"client": client, "peer": peer},
        ready=ReadyCheck(url=f"{client_url}/health"),
        working_directory=directory,
        directories=_directories(directory),
    )


def nats_service(*, program: str, client: int, monitor: int, directory: str, environment: Mapping[str, str]) -> ServiceSpec:
    """A single NATS with JetStream, its store inside ``directory`` and its monitoring port open; protocol tracing stays off, it costs."""
    configuration = f"{directory}/nats.conf"
    text = (
        f'listen: "{HOST}:{client}"\nhttp: "{HOST}:{monitor}"\nmax_payload: 15MB\ntrace: false\ndebug: false\n'
        f"jetstream {{ store_dir: {_nats_text(directory + '/nats')} }}\n"
    )
    return ServiceSpec(
        name="nats",
        role="nats",
        argv=(program, "--config", configuration),
        env=_environment(directory, environment),
        ports={"client": client, "monitor": monitor},
        ready=ReadyCheck(url=f"http://{HOST}:{monitor}/healthz"),
        working_directory=directory,
        directories=_directories(directory),
        files={configuration: text},
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


def services(
    topology: Topology,
    *,
    python: str,
    etcd: str,
    nats: str,
    model_directory: str,
    directory: str,
    ports: PortMap,
    environment: Mapping[str, str],
) -> tuple[ServiceSpec, ...]:
    """Services in the order in which they start: etcd, NATS (where the topology sends over it), frontend, workers.

    One process per worker. ``directory`` (absolute) takes everything that they write; ``environment`` is what they inherit
    (:func:`inherited`). A role's free arguments stand last on its command line, so that they win.

    :raises UsageError: for an engine other than ``mocker``, or when ``ports`` has too few workers.
    """
    check_engine(topology)
    base = _environment(directory, environment) | _dynamo_environment(topology, ports)
    specs = [etcd_service(program=etcd, client=ports.etcd_client, peer=ports.etcd_peer, directory=directory, environment=environment)]
    if topology.planes == "nats":
        specs.append(
            nats_service(program=nats, client=ports.nats_client, monitor=ports.nats_monitor, directory=directory, environment=environment)
        )
    specs.append(_frontend(topology, python=python, directory=directory, port=ports.frontend, env=base))
    system_ports = iter(ports.workers)
    for role, workers in topology.roles.items():
        for index in range(workers.count):
            port = next(system_ports, None)
            if port is None:
                msg = f"{topology.worker_count} workers need as many system ports, {len(ports.workers)} were given"
                raise UsageError(msg)
            argv = _mocker(topology, role, python=python, model_directory=model_directory) + workers.args
            specs.append(_worker(f"{role}-{index}", role, argv=argv, directory=directory, port=port, env=base))
    return tuple(specs)


def _frontend(topology: Topology, *, python: str, directory: str, port: int, env: Mapping[str, str]) -> ServiceSpec:
    block_size = () if topology.block_size is None else ("--kv-cache-block-size", str(topology.block_size))
    return ServiceSpec(
        name="frontend",
        role="frontend",
        argv=(
            *(python, "-m", "dynamo.frontend", "--http-host", HOST, "--http-port", str(port)),
            *_planes(topology),
            *block_size,
            *("--router-mode", topology.router_mode),
            *topology.router_args,
        ),
        env=env,
        ports={"http": port},
        ready=ReadyCheck(url=f"http://{HOST}:{port}/health"),
        working_directory=directory,
        directories=_directories(directory),
    )


def _mocker(topology: Topology, role: str, *, python: str, model_directory: str) -> tuple[str, ...]:
    disaggregation = ("--disaggregation-mode", role) if topology.mode == "disagg" else ()
    block_size = () if topology.block_size is None else ("--block-size", str(topology.block_size))
    return (
        *(python, "-m", "dynamo.mocker", "--model-path", model_directory, "--model-name", topology.model),
        *_planes(topology),
        *disaggregation,
        *block_size,
    )


def _worker(name: str, role: str, *, argv: tuple[str, ...], directory: str, port: int, env: Mapping[str, str]) -> ServiceSpec:
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
        ready=ReadyCheck(url=f"http://{HOST}:{port}/health"),
        working_directory=directory,
        directories=_directories(directory),
    )


def _planes(topology: Topology) -> tuple[str, ...]:
    return ("--request-plane", "nats", "--event-plane", "nats") if topology.planes == "nats" else ()


def _directories(directory: str) -> tuple[str, ...]:
    return (f"{directory}/home", f"{directory}/temporary")


def _environment(directory: str, environment: Mapping[str, str]) -> dict[str, str]:
    home, temporary = _directories(directory)
    return {**environment, "HOME": home, "TMPDIR": temporary}


def _dynamo_environment(topology: Topology, ports: PortMap) -> dict[str, str]:
    nats = {"NATS_SERVER": f"nats://{HOST}:{ports.nats_client}"} if topology.planes == "nats" else {}
    return {
        "ETCD_ENDPOINTS": f"http://{HOST}:{ports.etcd_client}",
        **nats,
        **dict.fromkeys(("DYN_TCP_RPC_HOST", "DYN_HTTP_RPC_HOST", "DYN_EVENT_PLANE_HOST", "DYN_SYSTEM_HOST"), HOST),
        "DYN_SDK_DISABLE_ANSI_LOGGING": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _nats_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
