"""By which launcher a topology is started, and what of the host it gets."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.container_stack import READY_S, start_contained
from pytest_dynperf.deployment.embedded import installed_versions, start_embedded
from pytest_dynperf.deployment.extension_start import start_engine
from pytest_dynperf.deployment.hub import local_model
from pytest_dynperf.deployment.installed_engine import installation, installed_engine_versions, served_model, start_installed
from pytest_dynperf.deployment.model_directory import make_model
from pytest_dynperf.errors import UsageError
from pytest_dynperf.session.extensions import LaunchCall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.session.plan import Settings

OPTION = "--dynperf-launcher"
LOADING_S = 1800.0
"""Longest time until a real engine serves: weights of 140 GB from a network disk, and compiling."""


def in_containers(settings: Settings) -> bool:
    """Whether what is started is started in containers. ``auto`` is decided by the platform when the plan is made; without a plan, as for a
    fixture of somebody's own test, it means processes.
    """
    return settings.launcher == "container"


def by_extension(settings: Settings) -> bool:
    """Whether what is started is started by the launcher of an extension, wherever that may be."""
    return settings.launcher in settings.extensions.launchers


def launch(
    topology: Topology,
    settings: Settings,
    *,
    directory: Path,
    log_path: Callable[[str], Path],
    python: Path | None = None,
    gpus: Sequence[str] = (),
    descriptors: Sequence[int] = (),
) -> Deployment:
    """Start ``topology`` as the settings say and return when it serves. ``python`` runs Dynamo's services in place of our own interpreter
    or of the installed engine's. ``gpus`` are UUIDs, and ``descriptors`` those of their leases, which processes that use them inherit.

    :raises UsageError: for what this launcher cannot start.
    :raises DeploymentError: as :func:`start_embedded`, :func:`start_installed` and :func:`start_contained`.
    """
    if by_extension(settings) or topology.engine in settings.extensions.engines:
        extension_at = partial(_launch_extension, topology, settings, directory=directory, log_path=log_path)
        return extension_at(python=python, gpus=gpus, descriptors=descriptors)
    if not in_containers(settings):
        if topology.engine != "mocker":
            return start_installed(
                topology,
                cache_directory=settings.cache_directory,
                log_path=log_path,
                python=python,
                session=settings.session_id,
            )
        return start_embedded(
            topology,
            directory=directory,
            cache_directory=settings.cache_directory,
            log_path=log_path,
            python=python,
            session=settings.session_id,
            gpus=gpus,
            descriptors=descriptors,
        )
    return _launch_contained(topology, settings, directory=directory, log_path=log_path, python=python, gpus=gpus)


def _launch_contained(
    topology: Topology,
    settings: Settings,
    *,
    directory: Path,
    log_path: Callable[[str], Path],
    python: Path | None,
    gpus: Sequence[str],
) -> Deployment:
    if python is not None:
        msg = f"{OPTION}=container runs what is in the image, so the interpreter {python} has no meaning there: name an image instead"
        raise UsageError(msg)
    images = {"etcd": topology.images.etcd, "nats": topology.images.nats, "proxy": topology.images.proxy}
    return start_contained(
        topology,
        images=images,
        directory=directory,
        cache_directory=settings.cache_directory,
        log_path=log_path,
        session=settings.session_id,
        gpus=gpus,
        model=None if topology.engine == "mocker" else local_model(topology.model, os.environ),
        ready_s=READY_S if topology.engine == "mocker" else LOADING_S,
    )


def _launch_extension(
    topology: Topology,
    settings: Settings,
    *,
    directory: Path,
    log_path: Callable[[str], Path],
    python: Path | None,
    gpus: Sequence[str],
    descriptors: Sequence[int],
) -> Deployment:
    if python is not None:
        msg = f"the interpreter {python} has no meaning for what an extension starts: take another control"
        raise UsageError(msg)
    extensions = settings.extensions
    if by_extension(settings):
        call = LaunchCall(topology=topology, directory=directory, log_path=log_path, session=settings.session_id)
        return extensions.launchers[settings.launcher](call)
    if in_containers(settings):
        msg = f"the engine {topology.engine!r} of an extension is started as a process: leave out {OPTION}=container"
        raise UsageError(msg)
    return start_engine(
        topology,
        extensions.engines[topology.engine],
        directory=directory,
        log_path=log_path,
        session=settings.session_id,
        gpus=gpus,
        descriptors=descriptors,
    )


def model_directory(topology: Topology, settings: Settings) -> Path | None:
    """Where the model is that :func:`launch` serves, and with it its tokenizer and chat template; ``None`` where only an extension knows.

    :raises DeploymentError: when it is not on this host.
    """
    if by_extension(settings):
        return None
    if (engine := settings.extensions.engines.get(topology.engine)) is not None:
        return engine.tokenizer
    if topology.engine == "mocker":
        return make_model(settings.cache_directory)
    if in_containers(settings):
        return local_model(topology.model, os.environ)
    return served_model(topology, installation(settings.cache_directory))


def versions_here(topology: Topology, settings: Settings, python: Path | None) -> dict[str, str]:
    """``*.version`` of the processes that :func:`launch` would start, by the names of provenance; etcd and NATS among them whether they run
    or not.

    :raises DeploymentError: when the engine is not installed.
    """
    if by_extension(settings):
        return {}
    if (engine := settings.extensions.engines.get(topology.engine)) is not None:
        return dict(engine.versions())
    ours = installed_versions(python)
    if topology.engine == "mocker":
        return ours
    return {**ours, **installed_engine_versions(installation(settings.cache_directory), python)}
