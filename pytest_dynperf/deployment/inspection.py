"""Facts of this machine and of what is installed on it. Reads files and asks ``git``; never raises for a fact that is not to be had."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROGRAM_S = 5.0


def host_facts() -> dict[str, str]:
    """``cpu.model``, ``cpu.count`` (CPUs that this process may use, not those of the machine), ``kernel``, ``hostname``, ``python``."""
    return {
        "cpu.model": _cpu_model(),
        "cpu.count": str(_cpu_count()),
        "kernel": f"{platform.system()} {platform.release()}",
        "hostname": socket.gethostname(),
        "python": python_of(None),
    }


def python_of(python: Path | None) -> str:
    """``CPython 3.11.9``: what the interpreter ``python`` is, ``None`` for our own; ``unknown`` when it cannot be asked. One process for
    another one, about 20 ms.
    """
    if python is None:
        return f"{platform.python_implementation()} {platform.python_version()}"
    program = "import platform; print(platform.python_implementation(), platform.python_version())"
    return program_output((str(python), "-I", "-c", program)) or "unknown"


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Distribution name to version, for those of ``names`` that are installed beside this interpreter."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def versions_of(python: Path, names: Iterable[str]) -> dict[str, str] | None:
    """As :func:`package_versions`, beside another interpreter; ``None`` when it cannot be asked. One process, about 50 ms."""
    program = (
        "import json, sys\nfrom importlib import metadata\nfound = {}\nfor name in sys.argv[1:]:\n    try:\n"
        "        found[name] = metadata.version(name)\n    except metadata.PackageNotFoundError:\n        pass\nprint(json.dumps(found))"
    )
    output = program_output((str(python), "-I", "-c", program, *names))
    try:
        found = None if output is None else json.loads(output)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def commit_facts(directory: Path) -> dict[str, str]:
    """``git.commit`` and ``git.dirty`` (``yes`` or ``no``, untracked files count) of the repository that ``directory`` lies in; empty
    when it lies in none or there is no ``git``. What sessions write, ``baselines/`` and ``reports/`` at the top of the tree, makes nothing
    dirty. Two processes, about 10 ms.
    """
    commit = program_output(("git", "--no-optional-locks", "-C", str(directory), "rev-parse", "HEAD"))
    elsewhere = (":(top)", ":(top,exclude)baselines", ":(top,exclude)reports")
    status = program_output(("git", "--no-optional-locks", "-C", str(directory), "status", "--porcelain", "--", *elsewhere))
    if commit is None or status is None:
        return {}
    return {"git.commit": commit, "git.dirty": "yes" if status else "no"}


def program_output(argv: Sequence[str]) -> str | None:
    """Standard output of a short program, stripped; ``None`` when it is missing, fails, or takes more than 5 s."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=PROGRAM_S, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model") and value.strip():
            return " ".join(value.split())
    return platform.processor() or platform.machine() or "unknown"


def _cpu_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
