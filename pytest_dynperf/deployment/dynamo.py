"""Topology to services: etcd, NATS, frontends, a proxy, a cache server and workers, with their command lines and ports. Pure.

Flags of etcd 3.5 and nats-server 2.15, the same in Debian's 3.4 and 2.9. What engines and versions of Dynamo are called stands in the
modules of their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import kvbm, lmcache, mocker, nginx, sglang, trtllm, vllm
from pytest_dynperf.deployment.combination import check_combination
from pytest_dynperf.deployment.frontend import frontend_argv, planes
from pytest_dynperf.deployment.service import Place, ReadyCheck, ServiceSpec
from pytest_dynperf.deployment.versions import choose
from pytest_dynperf.deployment.worker import Launch, Worker, extra_ports, tiers
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_dynperf.deployment.versions import Dialect
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
"""Ports that every deployment is given, whatever of it runs: two for etcd, two for NATS, one that clients talk to."""

LARGEST_PORT = 32767
"""Dynamo parses ``DYN_SYSTEM_PORT`` as a signed 16-bit integer, and dies."""

_DYNAMO_WORKERS: Mapping[str, Callable[[Worker], Launch]] = {
    "mocker": mocker.dynamo_worker,
    "vllm": vllm.dynamo_worker,
    "sglang": sglang.dynamo_worker,
    "trtllm": trtllm.dynamo_worker,
}
_OWN_SERVERS: Mapping[str, Callable[[Worker], Launch]] = {
    "vllm": vllm.own_server,
    "sglang": sglang.own_server,
    "trtllm": trtllm.own_server,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMap:
    """Ports on 127.0.0.1, none above 32767. ``frontend`` is what clients talk to: the frontend, the proxy before several, or an engine's
    own server. ``others`` are used in the order of :func:`other_ports`, one system port per worker first.
    """

    etcd_client: int
    etcd_peer: int
    nats_client: int
    nats_monitor: int
    frontend: int
    others: tuple[int, ...]


def port_map(ports: Sequence[int]) -> PortMap:
    """``ports`` by purpose: the first five for etcd, NATS and clients, the rest for everything else."""
    etcd_client, etcd_peer, nats_client, nats_monitor, frontend, *others = ports
    return PortMap(
        etcd_client=etcd_client,
        etcd_peer=etcd_peer,
        nats_client=nats_client,
        nats_monitor=nats_monitor,
        frontend=frontend,
        others=tuple(others),
    )


def ports_needed(topology: Topology) -> int:
    """How many ports :func:`port_map` must be given for ``topology``."""
    return FIXED_PORTS + len(other_ports(topology))


def other_ports(topology: Topology) -> tuple[str, ...]:
    """``service.purpose`` of every port beyond the fixed ones, in order."""
    proxied = topology.served_by == "engine" and topology.worker_count > 1
    names = [(f"{role}-{index}", role) for role, workers in topology.roles.items() for index in range(workers.count)]
    if topology.served_by == "dynamo":
        found = [f"{name}.system" for name, _ in names]
        found += [f"frontend-{index}.http" for index in range(topology.frontends)] if topology.frontends > 1 else []
    else:
        found = [f"{name}.http" for name, _ in names] if proxied else []
    if topology.kv_cache.connector == "lmcache-mp":
        found += ["lmcache.cache", "lmcache.http"]
    return (*found, *(f"{name}.{purpose}" for name, role in names for purpose in extra_ports(topology, role)))


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


def check_engine(topology: Topology, engines: Sequence[str] = ("mocker",)) -> None:
    """Return when ``topology`` can be started, as far as can be said without asking which version is there: cheap, and before anything is
    looked for. ``engines``: those that the caller has programs and a model for.

    :raises UsageError: for another engine; what does not go together, why, and what to do.
    """
    if topology.engine not in engines:
        msg = (
            f"engine {topology.engine!r} cannot be started by this version: only {', '.join(map(repr, engines))} can. "
            f"Start it yourself and measure it with --dynperf-endpoint URL --dynperf-model NAME."
        )
        raise UsageError(msg)
    check_combination(topology, choose(topology).dialect)


def services(topology: Topology, *, place: Place, ports: PortMap, gpus: Sequence[str] = ()) -> tuple[ServiceSpec, ...]:
    """Services in the order in which they start: etcd, NATS (where something goes over it), frontends, proxy, cache server, workers. Served
    by the engine itself: cache server, workers, proxy.

    One process per worker; each takes its share of ``gpus`` (UUIDs), in order. A role's free arguments stand last on its command line, so
    that they win.

    :raises UsageError: for what cannot be deployed together, or when there are too few ports or GPUs.
    """
    dialect = choose(topology, found=place.dynamo_version).dialect
    check_combination(topology, dialect)
    if len(gpus) < topology.gpu_count:
        msg = f"the topology uses {topology.gpu_count} GPUs, {len(gpus)} were given"
        raise UsageError(msg)
    purposes = other_ports(topology)
    if len(ports.others) < len(purposes):
        msg = f"the topology needs {ports_needed(topology)} ports, {FIXED_PORTS + len(ports.others)} were given"
        raise UsageError(msg)
    named = dict(zip(purposes, ports.others, strict=False))
    if too_large := [port for port in (ports.frontend, *named.values()) if port > LARGEST_PORT]:
        msg = f"port {too_large[0]} is above {LARGEST_PORT}, the largest that Dynamo can take: choose lower ones"
        raise UsageError(msg)
    plan = _Plan(topology=topology, place=place, dialect=dialect, ports=ports, named=named, gpus=tuple(gpus))
    return tuple(_dynamo(plan) if topology.served_by == "dynamo" else _engine_alone(plan))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    topology: Topology
    place: Place
    dialect: Dialect
    ports: PortMap
    named: Mapping[str, int]
    gpus: tuple[str, ...]

    def ports_of(self, service: str) -> dict[str, int]:
        return {name.partition(".")[2]: port for name, port in self.named.items() if name.partition(".")[0] == service}


def _dynamo(plan: _Plan) -> Iterator[ServiceSpec]:
    topology, place, ports = plan.topology, plan.place, plan.ports
    base = _environment(place) | _dynamo_environment(topology, place, ports)
    yield etcd_service(place, client=ports.etcd_client, peer=ports.etcd_peer)
    if topology.planes == "nats":
        yield nats_service(place, client=ports.nats_client, monitor=ports.nats_monitor)
    if topology.frontends == 1:
        yield _frontend(plan, "frontend", port=ports.frontend, env=base)
    else:
        names = [f"frontend-{index}" for index in range(topology.frontends)]
        for name in names:
            yield _frontend(plan, name, port=plan.named[f"{name}.http"], env=base)
        yield _proxy(plan, names)
    yield from _cache(plan)
    for worker in _workers(plan):
        system = {
            "DYN_SYSTEM_PORT": str(worker.ports["system"]),
            # Without it the worker's /health stays 503 for ever.
            "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": '["generate"]',
        }
        if topology.engine != "mocker":
            # Else a worker waits 5 s for requests that nobody sends any more, and is killed before it ends by itself.
            system["DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS"] = "0"
        launch = _DYNAMO_WORKERS[topology.engine](worker)
        arguments = (*launch.argv, *(() if topology.engine == "mocker" else planes(topology)), *worker.intent.args)
        yield _worker_service(worker, launch, argv=arguments, env={**base, **launch.env, **system}, ready="system")


def _engine_alone(plan: _Plan) -> Iterator[ServiceSpec]:
    base = _environment(plan.place) | {"PYTHONUNBUFFERED": "1"}
    yield from _cache(plan)
    workers = tuple(_workers(plan))
    for worker in workers:
        launch = _OWN_SERVERS[plan.topology.engine](worker)
        yield _worker_service(worker, launch, argv=(*launch.argv, *worker.intent.args), env={**base, **launch.env}, ready="http")
    if len(workers) > 1:
        yield _proxy(plan, [worker.name for worker in workers])


def _workers(plan: _Plan) -> Iterator[Worker]:
    topology, free = plan.topology, iter(plan.gpus)
    alone = topology.served_by == "engine" and topology.worker_count == 1
    for role, workers in topology.roles.items():
        for index in range(workers.count):
            name = f"{role}-{index}"
            yield Worker(
                name=name,
                role=role,
                topology=topology,
                place=plan.place,
                dialect=plan.dialect,
                ports=({"http": plan.ports.frontend} if alone else {}) | plan.ports_of(name),
                gpus=tuple(next(free) for _ in range(workers.gpus)),
                cache_port=plan.named.get("lmcache.cache"),
            )


def _frontend(plan: _Plan, name: str, *, port: int, env: Mapping[str, str]) -> ServiceSpec:
    return ServiceSpec(
        name=name,
        role="frontend",
        argv=frontend_argv(plan.topology, plan.place, plan.dialect, port=port),
        env=env,
        ports={"http": port},
        ready=ReadyCheck(port="http", path="/health"),
        working_directory=plan.place.directory,
        directories=_directories(plan.place),
        image=plan.topology.image,
        mounts=plan.place.mounts,
    )


def _proxy(plan: _Plan, names: Sequence[str]) -> ServiceSpec:
    servers = [f"{plan.place.host_of(name)}:{plan.named[f'{name}.http']}" for name in names]
    return nginx.proxy_service(plan.place, port=plan.ports.frontend, servers=servers, env=_environment(plan.place))


def _cache(plan: _Plan) -> Iterator[ServiceSpec]:
    if plan.topology.kv_cache.connector == "lmcache-mp":
        env = _environment(plan.place) | {"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}
        gpus = plan.gpus[: plan.topology.gpu_count]
        yield lmcache.server(plan.topology, plan.place, ports=plan.ports_of("lmcache"), env=env | _devices(plan.place, gpus), gpus=gpus)


def _worker_service(worker: Worker, launch: Launch, *, argv: tuple[str, ...], env: Mapping[str, str], ready: str) -> ServiceSpec:
    topology, place = worker.topology, worker.place
    kept = lmcache.directories(topology, place, worker.name) if tiers(topology, worker.role) == "lmcache" else ()
    return ServiceSpec(
        name=worker.name,
        role=worker.role,
        argv=argv,
        env={**env, **_devices(place, worker.gpus)},
        ports=dict(worker.ports),
        ready=ReadyCheck(port=ready, path="/health"),
        working_directory=place.directory,
        directories=(*_directories(place), *kept, *(kvbm.directories(worker) if tiers(topology, worker.role) == "kvbm" else ())),
        files=launch.files,
        image=topology.image,
        mounts=place.mounts,
        gpus=worker.gpus,
    )


def _devices(place: Place, gpus: Sequence[str]) -> dict[str, str]:
    """Processes see the devices of the whole host; a container is given its own, under numbers of its own."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus and not place.by_name else {}


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
