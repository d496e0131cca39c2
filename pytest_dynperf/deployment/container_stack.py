"""The whole stack in containers: etcd, NATS, Dynamo's frontend and workers, from images that are on this host."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.container import ContainerService
from pytest_dynperf.deployment.container_engine import connect, describe_image, run_inside
from pytest_dynperf.deployment.container_launcher import ContainerLauncher, own_cpus
from pytest_dynperf.deployment.container_spec import DIRECTORY, ContainerSettings
from pytest_dynperf.deployment.container_words import image_identity, missing_image, program_of
from pytest_dynperf.deployment.dynamo import check_engine
from pytest_dynperf.deployment.embedded import PACKAGES
from pytest_dynperf.deployment.model_directory import make_model, model_digest
from pytest_dynperf.deployment.service import INFRASTRUCTURE, Mount, Place
from pytest_dynperf.deployment.stack import start_stack
from pytest_dynperf.errors import DeploymentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.deployment.container_engine import Engine
    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.scenario.topology import Topology

READY_S = 120.0
"""Longest time from the first container to the first completion; 7 s is usual on two cores."""
MODEL = "/model"
_ENGINES = ("mocker", "vllm", "sglang", "trtllm")
_PROGRAMS = {"etcd": "etcd", "nats": "nats-server"}
_FACTS = (
    "import json, platform, sys\nfrom importlib import metadata\nfound = {}\nfor name in sys.argv[1:]:\n    try:\n"
    "        found[name + '.version'] = metadata.version(name)\n    except metadata.PackageNotFoundError:\n        pass\n"
    "found['python'] = platform.python_implementation() + ' ' + platform.python_version()\nprint(json.dumps(found))"
)


def start_contained(
    topology: Topology,
    *,
    images: Mapping[str, str],
    directory: Path,
    cache_directory: Path,
    log_path: Callable[[str], Path],
    session: str = "",
    settings: ContainerSettings | None = None,
    python: str = "python3",
    gpus: Sequence[str] = (),
    model: Path | None = None,
    ready_s: float = READY_S,
) -> Deployment:
    """Start ``topology`` in containers and return when a completion has come back: 5 to 8 s on two cores.

    ``topology.image`` runs Dynamo with its interpreter ``python``; ``images`` names those of ``etcd``, of ``nats`` where the topology sends
    over it, of ``proxy`` and ``cache`` where it has them. Nothing is fetched. The directory ``model`` is mounted
    read-only; the mocker's is made in ``cache_directory``. ``directory`` is where a state directory of this host would be; logs stay at
    ``log_path(service)``. ``settings``: limits, and what is allowed besides.

    :raises UsageError: for an engine that this version cannot start, or when an image is not named.
    :raises ServiceExited: when a service ends on the way; with its last log lines.
    :raises DeploymentError: without a container engine, when an image is missing, or the stack is not ready within ``ready_s``.
    """
    check_engine(topology, ("mocker",) if model is None else _ENGINES)
    _check_named(topology, images)
    settings = settings or ContainerSettings(cpuset=own_cpus())
    engine = connect()
    try:
        weights = model or make_model(cache_directory)
        digest = {} if model else {"model.digest": model_digest(weights)}
        return start_stack(
            topology,
            launcher=ContainerLauncher(session=session, settings=settings),
            place=_place(engine, topology, images, python=python, model=weights, shared=settings.host_network),
            state=directory.resolve() / "state",
            log_path=log_path,
            versions=lambda services: {**_facts(services, engine, python), **digest},
            ready_s=ready_s,
            gpus=gpus,
            key=limits(settings),
        )
    finally:
        engine.close()


def mounted(weights: Path) -> tuple[Mount, str]:
    """How containers see a model, and where. Files of a hub's snapshot are links into the repository around it: that is mounted whole."""
    directory = weights.resolve()
    if directory.parent.name == "snapshots":
        return Mount(source=str(directory.parent.parent), target=MODEL), f"{MODEL}/snapshots/{directory.name}"
    return Mount(source=str(directory), target=MODEL), MODEL


def _place(engine: Engine, topology: Topology, images: Mapping[str, str], *, python: str, model: Path, shared: bool) -> Place:
    programs = _programs(engine, topology, images)
    mount, path = mounted(model)
    return Place(
        python=python,
        etcd=programs["etcd"],
        nats=programs.get("nats", ""),
        nginx="nginx",
        lmcache="lmcache",
        model=path,
        directory=DIRECTORY,
        bind="127.0.0.1" if shared else "0.0.0.0",  # noqa: S104 -- of a private network; what is published is on 127.0.0.1
        by_name=not shared,
        images=images,
        mounts=(mount,),
    )


def limits(settings: ContainerSettings) -> dict[str, str]:
    """What of ``settings`` binds comparability: ``memory.limit`` (bytes) and ``cpu.limit`` (CPUs) of each container, where they are set."""
    memory = {} if settings.memory_bytes is None else {"memory.limit": str(settings.memory_bytes)}
    return memory if settings.cpus is None else {**memory, "cpu.limit": f"{settings.cpus:g}"}


def _check_named(topology: Topology, images: Mapping[str, str]) -> None:
    if topology.image is None:
        msg = 'in containers, the topology must name the image that runs Dynamo: image = "repository@sha256:…"'
        raise UsageError(msg)
    missing = [role for role in _roles(topology) if role not in images]
    if missing:
        msg = f"in containers, the image of {' and '.join(missing)} must be named; named are: {', '.join(sorted(images)) or 'none'}"
        raise UsageError(msg)


def _roles(topology: Topology) -> tuple[str, ...]:
    return INFRASTRUCTURE if topology.planes == "nats" else ("etcd",)


def _programs(engine: Engine, topology: Topology, images: Mapping[str, str]) -> dict[str, str]:
    """Where etcd and NATS are in their images."""
    found = {}
    for role in _roles(topology):
        described = describe_image(engine, images[role])
        if described is None:
            raise DeploymentError(missing_image(images[role], role))
        found[role] = program_of(described, _PROGRAMS[role])
    return found


def _facts(services: Mapping[str, Service], engine: Engine, python: str) -> dict[str, str]:
    """Facts of provenance as the containers themselves tell them; what one does not tell is left out. 0.5 s."""
    found = {"launcher.version": f"{engine.version}, API {engine.api}"}
    for service in services.values():
        if not isinstance(service, ContainerService):
            continue
        role = service.spec.role
        image = str(service.spec.image)
        found[f"image.{role}"] = image_identity(image, describe_image(engine, image) or {})
        if role in INFRASTRUCTURE:
            version = re.search(r"\d+\.\d+\.\d+\S*", run_inside(engine, service.container, (service.spec.argv[0], "--version")) or "")
            found[f"{role}.version"] = version.group() if version else "unknown"
        elif role == "frontend":
            found |= _packages(run_inside(engine, service.container, (python, "-c", _FACTS, *PACKAGES)))
    return found


def _packages(output: str | None) -> dict[str, str]:
    """What the interpreter of an image says of itself: ``python`` and ``<package>.version``."""
    try:
        told = json.loads(output or "")
    except ValueError:
        told = None
    return {str(name): str(value) for name, value in told.items()} if isinstance(told, dict) else {"python": "unknown"}
