"""A service as a value: what to start, and how to see that it is ready. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INFRASTRUCTURE = ("etcd", "nats")
"""Roles that start first and stop last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyCheck:
    """Ready when ``GET path`` at the service's port for the purpose ``port`` answers 200. Necessary, not sufficient: Dynamo's frontend
    answers 200 without a single worker.
    """

    port: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory of the host that a container sees. Processes see the host's own; for them ``source`` and ``target`` are equal."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """One process, or one container. ``env`` is its whole environment: nothing is inherited.

    ``role`` is ``etcd``, ``nats``, ``frontend``, ``proxy``, ``cache``, ``worker``, ``prefill``, ``decode`` or ``encode``; ``name`` is
    unique within a deployment, and the name under which others reach it on a private network.
    ``ports`` maps a purpose (``client``, ``monitor``, ``http``, ``system``) to the port that it listens on; where a launcher publishes it
    under another number on this host, the launcher's handle says which. ``working_directory`` and ``directories`` are made before the
    start, ``files`` (path to text) are written; in a container all of them are inside it.
    ``image`` and ``mounts`` mean something to container launchers alone. ``gpus`` are the UUIDs that it may see.
    """

    name: str
    role: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ports: Mapping[str, int]
    ready: ReadyCheck
    working_directory: str
    directories: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    mounts: tuple[Mount, ...] = ()
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What command lines must know of where they will run. All paths are as the services see them.

    ``python``, ``etcd``, ``nats``, ``nginx`` and ``lmcache`` are programs; one that no service needs may be empty. ``directory`` takes all
    that they write, ``model`` is a directory or the name of a model that the engine can load, ``draft`` that of the one that drafts, where
    it is not under its name. Servers listen on ``bind``. ``by_name``:
    services are reached at their own names (a private network), else all at ``bind``. ``environment`` is what they inherit.
    ``images``: role to image for infrastructure (``etcd``, ``nats``, ``proxy``, ``cache``); everything else uses the topology's image.
    ``dynamo_version`` is what a probe found there, such as ``1.4.2``; empty where nobody asked.
    """

    python: str
    directory: str
    model: str
    etcd: str = ""
    nats: str = ""
    nginx: str = ""
    lmcache: str = ""
    draft: str = ""
    bind: str = "127.0.0.1"
    by_name: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    dynamo_version: str = ""
    mounts: tuple[Mount, ...] = ()

    def host_of(self, service: str) -> str:
        """Where the others reach ``service``."""
        return service if self.by_name else self.bind


METRICS_PORTS = ("http", "system", "kvbm_metrics")
"""Purposes of ports with Prometheus metrics at ``/metrics``. A proxy's is called ``api``: it serves those of the servers behind."""


def entry(specs: Sequence[ServiceSpec]) -> tuple[ServiceSpec, str]:
    """The service that clients talk to, and the purpose of its port: the proxy where there is one, else the frontend, else the worker that
    serves by itself.
    """
    ports = {"proxy": "api", "frontend": "http", "worker": "http"}
    for role, purpose in ports.items():
        for spec in specs:
            if spec.role == role and purpose in spec.ports:
                return spec, purpose
    msg = f"none of the services {[spec.name for spec in specs]} can be talked to"
    raise ValueError(msg)
