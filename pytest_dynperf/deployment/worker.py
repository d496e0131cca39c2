"""One worker of a topology, and how it is started: what the modules of the engines share. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.deployment.service import Place
    from pytest_dynperf.deployment.versions import Dialect
    from pytest_dynperf.scenario.topology import Role, Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """``name`` is that of its service, ``role`` one of the topology's. ``ports`` maps the purposes of :func:`extra_ports` and ``system`` or
    ``http`` to its own ports; ``gpus`` are the UUIDs of its devices; ``cache_port`` is where LMCache's server listens, where there is one.
    """

    name: str
    role: str
    topology: Topology
    place: Place
    dialect: Dialect
    ports: Mapping[str, int]
    gpus: tuple[str, ...] = ()
    cache_port: int | None = None

    @property
    def intent(self) -> Role:
        """What the topology says of its role."""
        return self.topology.roles[self.role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A command line, what it needs beyond the common environment, and the files that it reads (path to text)."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def flag(name: str, value: object) -> tuple[str, ...]:
    """``--name value``, or nothing where the value is ``None``."""
    return () if value is None else (name, str(value))


def publishes_events(topology: Topology, role: str) -> bool:
    """Whether workers of ``role`` must tell the router what their caches hold: a KV router that is not told to guess, a cache to tell of,
    and a role that fills it.
    """
    asked = topology.served_by == "dynamo" and topology.router_mode == "kv" and topology.router.kv_events is not False
    return asked and topology.kv_cache.prefix_caching is not False and role in ("worker", "prefill")


def tiers(topology: Topology, role: str) -> str:
    """The connector to tiers below the device that workers of ``role`` have: decode and encode workers reuse nothing, so they have none."""
    connector = topology.kv_cache.connector
    return connector if connector != "nixl" and role in ("worker", "prefill") else "none"


def transfers(topology: Topology, role: str) -> bool:
    """Whether workers of ``role`` send or receive KV blocks over NIXL."""
    return topology.mode == "disagg" and topology.engine != "mocker" and role in ("prefill", "decode")


def extra_ports(topology: Topology, role: str) -> tuple[str, ...]:
    """Purposes of the ports that a worker of ``role`` needs beside its ``system`` or ``http`` port, in order. Ranks of a data-parallel
    worker add their number to the first port of a purpose, so each such purpose is followed by ``…+1``, ….
    """
    ranks = topology.roles[role].data_parallel or 1
    purposes: list[str] = []

    def per_rank(purpose: str) -> None:
        purposes.extend([purpose, *(f"{purpose}+{rank}" for rank in range(1, ranks))])

    if publishes_events(topology, role) and topology.engine in ("vllm", "sglang"):
        per_rank("kv_events")
    if transfers(topology, role) and topology.engine == "vllm":
        per_rank("nixl")
    if topology.engine == "sglang" and topology.mode == "disagg" and role == "prefill":
        purposes.append("bootstrap")
    if tiers(topology, role) == "kvbm":
        purposes += ["kvbm_metrics", "kvbm_publish", "kvbm_acknowledge", *(["kvbm_events"] if topology.engine == "trtllm" else [])]
    return tuple(purposes)
