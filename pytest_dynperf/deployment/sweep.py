"""Removes what dead sessions have left on this host: processes, containers, networks and directories, after a reboot or a lost reaper.

A session is dead when its lock (:mod:`pytest_dynperf.deployment.session_lock`) is there and nobody holds it, or, for a container, when it
was started before this boot. What belongs to a session that nobody knows is left alone: it may be another user's, or another job's.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_dynperf.deployment.reaper import VARIABLE, led_by
from pytest_dynperf.deployment.session_lock import boot_id, dead_sessions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pytest_dynperf.deployment.session_lock import Trace

LABELS = ("org.pytest-dynperf.session", "org.pytest-dynperf.mark", "org.pytest-dynperf.boot")
"""What every container and network of ours carries."""
PATIENCE_S = 5.0
_SESSION = re.compile(r"[A-Za-z0-9_.]{1,64}")
_STATE = ("deployments/*/state", "deployments/*/*-state")
_UNFINISHED = (".session.json.*", ".report.html.*", ".invocation.json.*", ".writable", "..writable.*")


class Engine(Protocol):
    """As much of a container engine as sweeping up needs. Every method may raise ``OSError`` when the engine goes away."""

    def containers(self) -> Mapping[str, Mapping[str, str]]:
        """Id to labels of every container that has the first of :data:`LABELS`, stopped ones too."""
        ...

    def networks(self) -> Mapping[str, Mapping[str, str]]:
        """The same of networks."""
        ...

    def remove_container(self, container: str) -> None:
        """End and remove it, with its volumes without a name; nothing where it is gone."""
        ...

    def remove_network(self, network: str) -> None:
        """Remove it; nothing where it is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How much was removed, and of how many ``sessions``; ``left`` says what could not be."""

    sessions: int = 0
    processes: int = 0
    containers: int = 0
    networks: int = 0
    directories: int = 0
    left: tuple[str, ...] = ()


def sweep(directory: Path, engine: Engine | None, *, boot: str | None = None) -> Swept:
    """Remove what dead sessions of the lease directory ``directory`` have left. Under 10 ms where there is nothing; up to 5 s for processes
    that the kernel does not let go. Two at once do not disturb each other. ``boot`` is this boot (for a test: another one).
    """
    with dead_sessions(directory) as traces:
        dead = {trace.session_id for trace in traces}
        processes, left = _kill_processes(dead) if dead else (0, [])
        containers = networks = 0
        if engine is not None:
            containers, networks = _remove_containers(engine, dead, boot_id() if boot is None else boot)
        directories = sum(_remove_directories(trace) for trace in traces)
    found = processes or containers or networks or directories
    return Swept(
        sessions=len(dead) if found else 0,
        processes=processes,
        containers=containers,
        networks=networks,
        directories=directories,
        left=tuple(f"process {pid} of a dead session is still there after {PATIENCE_S:g} s of SIGKILL" for pid in left),
    )


def swept_line(swept: Swept) -> str | None:
    """``swept up after 1 dead session: 3 processes, 1 directory``; ``None`` where there was nothing."""
    counts = (
        (swept.processes, "process", "processes"),
        (swept.containers, "container", "containers"),
        (swept.networks, "network", "networks"),
        (swept.directories, "directory", "directories"),
    )
    parts = [f"{number} {one if number == 1 else many}" for number, one, many in counts if number]
    if not parts and not swept.left:
        return None
    who = f"{swept.sessions} dead session{'' if swept.sessions == 1 else 's'}" if swept.sessions else "an earlier boot"
    return f"swept up after {who}: {', '.join([*parts, *swept.left])}"


# ---- processes


def marked_processes() -> dict[int, str]:
    """Process id to the session in its mark, of this user's processes that carry one, or whose leader (of the process session) does; marks
    without a session are left out. 4 ms for a hundred processes.
    """
    pids = (int(directory.name) for directory in Path("/proc").iterdir() if directory.name.isdigit())
    return {pid: session for pid in pids if (session := _session_of(pid))}


def _session_of(pid: int) -> str:
    """The session in the mark of a process, or of the one that leads it: a process that gives itself a title writes it over its mark."""
    return _own_session_of(pid) or _own_session_of(led_by(pid))


def _own_session_of(pid: int) -> str:
    """Empty where it has none, is gone, or is another user's."""
    entry = f"{VARIABLE}=".encode()
    directory = Path(f"/proc/{pid}")
    try:
        if directory.stat().st_uid != os.getuid():
            return ""
        mark = next((text for text in (directory / "environ").read_bytes().split(b"\0") if text.startswith(entry)), b"")
    except OSError:
        return ""
    return mark[len(entry) :].rpartition(b"-")[0].decode("utf-8", "replace")


def _kill_processes(dead: Collection[str]) -> tuple[int, list[int]]:
    """How many were found, and what is left of them."""
    seen: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    while left := [pid for pid, session in marked_processes().items() if session in dead]:
        seen |= set(left)
        if time.monotonic() > deadline:
            return len(seen), left
        for pid in sorted(left, key=lambda pid: led_by(pid) == pid):  # leaders last: without them the others are known no more
            _kill(pid, dead)
        time.sleep(0.01)
    return len(seen), []


def _kill(pid: int, dead: Collection[str]) -> None:
    """SIGKILL, if the process still is what it was when it was found: its number may be another's by now."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if _session_of(pid) in dead:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


# ---- containers and networks


def _remove_containers(engine: Engine, dead: Collection[str], boot: str) -> tuple[int, int]:
    """Containers first: a network with a container in it cannot be removed."""
    containers = networks = 0
    with contextlib.suppress(OSError):  # an engine that went away keeps nobody from measuring
        for container in _of_the_dead(engine.containers(), dead, boot):
            engine.remove_container(container)
            containers += 1
        for network in _of_the_dead(engine.networks(), dead, boot):
            engine.remove_network(network)
            networks += 1
    return containers, networks


def _of_the_dead(found: Mapping[str, Mapping[str, str]], dead: Collection[str], boot: str) -> Sequence[str]:
    return [
        name
        for name, labels in found.items()
        if all(labels.get(label) for label in LABELS)
        and _SESSION.fullmatch(labels[LABELS[0]])
        and (labels[LABELS[0]] in dead or (boot and labels[LABELS[2]] != boot))
    ]


# ---- directories


def _remove_directories(trace: Trace) -> int:
    """The temporary directory, and what services kept in the run directory while they ran. Only by the names that we give."""
    count = 0
    temporary = trace.temporary
    if temporary.name == f"dynperf-{trace.session_id}" and _own_directory(temporary):
        shutil.rmtree(temporary, ignore_errors=True)
        count += not temporary.exists()
    run = trace.run_directory
    if run.is_absolute() and run.name.endswith(f"-{trace.session_id}") and _own_directory(run):
        count += remove_state(run)
    return count


def remove_state(run: Path) -> int:
    """Remove what services kept below a run directory, and files that were being written when their writer was killed."""
    states = [path for pattern in _STATE for path in run.glob(pattern) if _own_directory(path)]
    for path in states:
        shutil.rmtree(path, ignore_errors=True)
    for pattern in _UNFINISHED:
        for file in run.glob(pattern):
            with contextlib.suppress(OSError):
                file.unlink()
    return sum(not path.exists() for path in states)


def _own_directory(path: Path) -> bool:
    try:
        return not path.is_symlink() and path.is_dir() and path.lstat().st_uid == os.getuid()
    except OSError:
        return False
