"""Weights of models on this host: a directory, or what the Hugging Face hub's own tools have fetched. Reads, never fetches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.workload.hub_cache import hub_cache, snapshot_in

if TYPE_CHECKING:
    from collections.abc import Mapping


def repository_of(name: str, environ: Mapping[str, str]) -> Path:
    """Where the cache keeps the repository ``name``, whether it is there or not."""
    return hub_cache(environ) / f"models--{name.replace('/', '--')}"


def local_model(name: str, environ: Mapping[str, str]) -> Path:
    """The directory with the files of the model ``name``: a path that exists, else the snapshot of a repository of the hub.

    :raises DeploymentError: when it is not here; says how to fetch it.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    repository = repository_of(name, environ)
    found = snapshot_in(repository) if repository.is_dir() else None
    if found is None:
        msg = (
            f"the model {name} is not on this host: neither a directory, nor in the hub's cache ({repository}). "
            f"Fetch it before measuring: hf download {name} (HF_HOME or HF_HUB_CACHE say where to)"
        )
        raise DeploymentError(msg)
    return found
