"""How many connections this process may hold: each is an open file, and the kernel limits those."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESERVE = 64  # the event loop, files, and whatever else this process opens meanwhile
_UNLIMITED = 1 << 20


def demand_connections(count: int, *, what: str) -> None:
    """Check that a process can have them.

    :raises UsageError: when even the hard limit is too small; ``what`` names who wants them.
    """
    most = _hard_limit() - _open_files() - _RESERVE
    if count > most:
        msg = (
            f"{what} needs {count} connections in one process, and this one may open {most} (ulimit -Hn says {_hard_limit()}): "
            "raise the hard limit, or load with more processes"
        )
        raise UsageError(msg)


@contextmanager
def room_for_connections(count: int) -> Iterator[int]:
    """Raise the soft limit to hold ``count``, or as many as the hard limit allows; yields how many. Restored afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = _open_files() + _RESERVE
    wanted = min(used + count, _hard_limit())
    raised = max(wanted, _UNLIMITED if soft == resource.RLIM_INFINITY else soft)
    if soft in {raised, resource.RLIM_INFINITY}:
        yield raised - used
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    try:
        yield raised - used
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _hard_limit() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _UNLIMITED if hard == resource.RLIM_INFINITY else hard


def _open_files() -> int:
    for directory in ("/proc/self/fd", "/dev/fd"):
        if Path(directory).is_dir():
            return sum(1 for _ in Path(directory).iterdir())
    return 0
