"""Weights of models on this host: a directory, or what the Hugging Face hub's own tools have fetched. Reads, never fetches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping


def hub_cache(environ: Mapping[str, str]) -> Path:
    """Where the hub keeps repositories: ``HF_HUB_CACHE``, ``HF_HOME/hub``, or ``hub`` in the user's cache."""
    if environ.get("HF_HUB_CACHE"):
        return Path(environ["HF_HUB_CACHE"]).expanduser()
    if environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(environ["HUGGINGFACE_HUB_CACHE"]).expanduser()
    if environ.get("HF_HOME"):
        return Path(environ["HF_HOME"]).expanduser() / "hub"
    cache = environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path(environ.get("HOME") or Path.home()) / ".cache") / "huggingface" / "hub"


def repository_of(name: str, environ: Mapping[str, str]) -> Path:
    """Where the cache keeps the repository ``name``, whether it is there or not."""
    return hub_cache(environ) / f"models--{name.replace('/', '--')}"


def snapshot_in(repository: Path) -> Path | None:
    """That of ``refs/main``, else the newest."""
    try:
        named = repository / "snapshots" / (repository / "refs" / "main").read_text(encoding="utf-8").strip()
        if named.is_dir():
            return named
    except (OSError, UnicodeDecodeError):
        pass
    found = [path for path in (repository / "snapshots").glob("*") if path.is_dir()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


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
