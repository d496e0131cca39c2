"""The cache of the Hugging Face hub's own tools on this host: where it is, and which snapshot of a repository in it counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
