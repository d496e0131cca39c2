"""Whose a process on a GPU is, by the pid that the driver gives.

NVML knows host pids; the open kernel modules translate them into the namespace of whoever asks. Where this process is not in the host's pid
namespace, a pid that is not known here may be one of ours under its other number: then its owner is unknown.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

YES, NO, UNKNOWN = "yes", "no", "unknown"
_HOST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h, the same on every machine
_FARTHEST = 64


def sees_host_pids() -> bool:
    """Whether this process is in the pid namespace that the host's first process is in."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()) == _HOST_PID_NAMESPACE
    except OSError:
        return False


def owner_of(
    own_pids: Collection[int] | Callable[[], Collection[int]] | None, *, host_pids: bool | None = None, proc: Path = Path("/proc")
) -> Callable[[int], str]:
    """A function from a pid to ``yes``, ``no`` or ``unknown``: own are ``own_pids`` and their descendants. ``None``: nobody can tell.

    A ``yes`` is kept. Of a pid that is not own, it is asked again when it is seen for the 2nd, 4th, 8th… time, because a worker may be
    listed before its deployment knows it, and to ask may mean to look through all processes.
    """
    if own_pids is None:
        return lambda _pid: UNKNOWN
    host = sees_host_pids() if host_pids is None else host_pids
    known: dict[int, str] = {}
    seen: Counter[int] = Counter()

    def owner(pid: int) -> str:
        seen[pid] += 1
        if known.get(pid) != YES and seen[pid] & (seen[pid] - 1) == 0:
            own = set(own_pids() if callable(own_pids) else own_pids)
            known[pid] = YES if own and _descends(pid, own, proc) else NO if host else UNKNOWN
        return known[pid]

    return owner


def _descends(pid: int, own: set[int], proc: Path) -> bool:
    for _ in range(_FARTHEST):
        if pid in own:
            return True
        parent = _parent(pid, proc)
        if parent is None or parent <= 1:
            return False
        pid = parent
    return False


def _parent(pid: int, proc: Path) -> int | None:
    try:
        # The name, in brackets, may hold anything, a bracket too.
        return int((proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def name_of(pid: int, proc: Path = Path("/proc")) -> str:
    """The name of a process, ``?`` where it cannot be read."""
    try:
        return (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip() or "?"
    except OSError:
        return "?"
