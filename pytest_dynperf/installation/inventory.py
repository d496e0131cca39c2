"""What lies in the directory of environments: whole, of an older recipe, unfinished; and its removal."""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from pytest_dynperf.errors import InstallationError, UsageError, nearest
from pytest_dynperf.installation.environment import BUILT, OWNED, clear, log_path
from pytest_dynperf.installation.found import engines_directory, read_marker
from pytest_dynperf.installation.recipe import known_recipes, load_recipe
from pytest_dynperf.installation.turn import turn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Literal

    from pytest_dynperf.installation.logged_process import Account

_NAME = re.compile(r"(?P<name>[a-z0-9-]+)-(?P<digest>[0-9a-f]{12})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A directory of ours. ``state``: ``installed``, ``untried`` (every package is there, no completion has come back yet) or
    ``unfinished``. ``current``: by the recipe as it is now. ``versions``: by part.
    """

    name: str
    directory: Path
    state: Literal["installed", "untried", "unfinished"]
    current: bool
    versions: Mapping[str, Mapping[str, str]]
    made: str = ""
    python: str = ""


def environments(cache_directory: Path) -> tuple[Environment, ...]:
    """All of them, by name; those of the recipe as it is now first."""
    root = engines_directory(cache_directory)
    entries = sorted(root.iterdir()) if root.is_dir() else []
    listed = [_environment(entry, match) for entry in entries if (match := _NAME.fullmatch(entry.name)) and (entry / OWNED).is_file()]
    return tuple(sorted(listed, key=lambda each: (each.name, not each.current, each.made)))


def size_bytes(directory: Path) -> int:
    """Space that the files below ``directory`` take; a second for 60,000 files."""
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_blocks * 512  # noqa: PTH118 -- twice as fast over 60,000 files
            except OSError:
                continue
    return total


def remove(what: str, cache_directory: Path, account: Account) -> tuple[Path, ...]:
    """Remove all environments of the recipe ``what``, or the one in the directory of that name; those that were removed.

    :raises UsageError: when there is none; says the nearest.
    :raises InstallationError: when one is being made, or a process of one is running; then that one stays.
    """
    there = environments(cache_directory)
    chosen = [each for each in there if what in (each.name, each.directory.name)]
    if not chosen:
        names = sorted({each.name for each in there} | {each.directory.name for each in there})
        if what in known_recipes():
            msg = f"{what} is not installed in {engines_directory(cache_directory)}"
        else:
            where = engines_directory(cache_directory)
            msg = f"there is no environment {what!r}{nearest(what, names)} in {where}; 'dynperf engines list' shows what there is"
        raise UsageError(msg)
    for each in chosen:
        with turn(lock_path(each.name, cache_directory), account, wait=False):
            users = using(each.directory)
            if users:
                msg = f"{each.directory} is in use by {', '.join(users)}: end what uses it, then remove it"
                raise InstallationError(msg)
            aside = each.directory.with_name(f".removed-{uuid.uuid4().hex[:8]}")
            each.directory.rename(aside)
            clear(aside)
            log_path(each.directory).unlink(missing_ok=True)
    return tuple(each.directory for each in chosen)


def lock_path(name: str, cache_directory: Path) -> Path:
    """The lock of those who install or remove ``name``."""
    return engines_directory(cache_directory) / f".{name}.lock"


def using(directory: Path) -> list[str]:
    """Processes whose program is below ``directory``, as ``python (process 42)``."""
    found = []
    for process in psutil.process_iter(["pid", "name", "cmdline"]):
        argv = process.info["cmdline"] or [""]
        if argv[0].startswith(f"{directory}/"):
            found.append(f"{process.info['name']} (process {process.info['pid']})")
    return found


def _environment(directory: Path, match: re.Match[str]) -> Environment:
    name = match["name"]
    marker = read_marker(directory)
    built = marker or read_marker(directory, BUILT)
    current = name in known_recipes() and load_recipe(name).digest == match["digest"]
    return Environment(
        name=name,
        directory=directory,
        state="installed" if marker else "untried" if built else "unfinished",
        current=current,
        versions=built["versions"] if built else {},
        made=built["made"] if built else "",
        python=built["python"] if built else "",
    )
