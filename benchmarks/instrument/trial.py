"""One client against the server, each on its core: who runs where, at what priority, and what came of it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.instrument.comparison import Result, compare
from benchmarks.instrument.seen import Seen, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.instrument.truth import Server

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Cores of the client, of the server and of a spinning process (``None``: no binding, no such process); niceness of the first two."""

    client: frozenset[int] | None
    server: int | None
    busy: int | None = None
    niceness: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """``streams`` in flight, ``itl_ms`` apart; ``rounds`` requests for each."""

    streams: int
    itl_ms: int
    osl: int = 100
    rounds: int = 3

    @property
    def requests(self) -> int:
        """Of one trial. A single stream makes several, or start-up would be most of what it costs."""
        return max(self.rounds * self.streams, 6)


def trial(kind: str, level: Level, server: Server, place: Place, *, more: tuple[str, ...] = ("1",)) -> tuple[Seen, Result]:
    """:raises RuntimeError: when the client fails, with its last words."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        if place.busy is not None:
            stack.enter_context(_spinning(place.busy))
        file = Path(name) / "seen.npz"
        numbers = (server.url.rpartition(":")[2], level.streams, level.requests, level.osl)
        arguments = [sys.executable, "-m", "benchmarks.instrument.client", kind, *map(str, numbers), str(file), *more]
        with subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            # It imports for a while before it does anything that counts.
            if place.client is not None:
                os.sched_setaffinity(process.pid, place.client)
            os.setpriority(os.PRIO_PROCESS, process.pid, place.niceness)
            _, said = process.communicate()
        if process.returncode != 0:
            msg = f"the client {kind} ended with status {process.returncode}:\n{said[-2000:]}"
            raise RuntimeError(msg)
        seen = load(file)
    return seen, compare(seen, server.taken())


@contextmanager
def _spinning(core: int) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        os.sched_setaffinity(process.pid, {core})
        try:
            yield
        finally:
            process.kill()


def may_renice(niceness: int) -> bool:
    """Whether this process may give its children that priority."""
    try:
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
    except PermissionError:
        return False
    return True
