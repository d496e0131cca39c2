"""Several load processes: started together, fed, watched, ended, and their segments collected.

They are fresh interpreters, not forks: an event loop, a CUDA context or threads of the caller must not be inherited.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from time import monotonic_ns
from typing import TYPE_CHECKING

from pytest_dynperf.load.board import Board, Column, State
from pytest_dynperf.load.segment import decode
from pytest_dynperf.load.share import write_share
from pytest_dynperf.load.supply import SpoolWriter
from pytest_dynperf.load.workplace import Workplace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_dynperf.load.ask import Unit
    from pytest_dynperf.load.segment import Segment
    from pytest_dynperf.load.share import Share

_POLL_S = 0.02
_SILENT_NS = 5_000_000_000
_PARSING_NS = 300_000_000_000
_READY_NS = 60_000_000_000
_HEAD_START_NS = 100_000_000
_WORDS = 2000


class Crew:
    """The load processes of one run. ``shares`` and ``ready`` have one entry per process; ``more`` makes further units, each with the
    process that gets it, so that every spool stays ``ahead`` units ahead. Used as a context: leaving it ends what still runs, by SIGKILL
    where nothing else helps.
    """

    def __init__(
        self, root: Path, shares: Sequence[Share], ready: Sequence[Sequence[Unit]], more: Iterator[tuple[int, Unit]], *, ahead: int
    ) -> None:
        self._workplace = Workplace(root)
        self._shares, self._ready, self._more, self._ahead = shares, ready, more, ahead
        self._stack = ExitStack()
        self._spools: list[SpoolWriter] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self._dry = False
        self.board = Board.create(self._workplace.board, len(shares))

    def __enter__(self) -> Crew:
        self._stack.callback(self._kill)
        try:
            for share, units in zip(self._shares, self._ready, strict=True):
                self._start(share, units)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, share: Share, units: Sequence[Unit]) -> None:
        number, workplace = share.number, self._workplace
        write_share(workplace.share(number), share)
        spool = SpoolWriter(workplace.spool(number))
        self._stack.callback(spool.close)
        self._spools.append(spool)
        spool.write(units)
        argv = [sys.executable, "-P", "-m", "pytest_dynperf.load.process", str(workplace.root), str(number)]
        words = self._stack.enter_context(workplace.words(number).open("wb"))
        # A process group of its own: Ctrl-C on a terminal is for us alone, who then ask it to stop.
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=words, stderr=subprocess.STDOUT, process_group=0)
        self._children.append(child)

    # While it goes on.

    def load(self, tick: Callable[[int], str | None]) -> tuple[str, ...]:
        """Until every process has ended; the incident that ended the run too early, if one did. ``tick`` is called about every 20 ms; text
        from it stops the run.
        """
        incident = self._until_ready()
        if incident is None:
            self.board.common[Column.START_NS] = monotonic_ns() + _HEAD_START_NS
        while incident is None and self._running():
            time.sleep(_POLL_S)
            now_ns = monotonic_ns()
            self._feed()
            incident = tick(now_ns) or self._fault(now_ns)
        incident = incident or self._fault(monotonic_ns())
        if incident is None:
            return ()
        self.interrupt()
        return (incident,)

    def interrupt(self) -> None:
        """Tell all to stop, and wait until they have; one that does not answer is killed."""
        self.board.common[Column.STOP] = 1
        if not self.board.common[Column.START_NS]:
            return
        while running := self._running():
            for number in running:
                if self._silent(number, monotonic_ns()):
                    self._children[number].kill()
            time.sleep(_POLL_S)

    def segments(self) -> list[Segment]:
        """Of the processes that left one, in the order of their numbers."""
        paths = (self._workplace.segment(share.number) for share in self._shares)
        return [decode(path.read_bytes()) for path in paths if path.is_file()]

    def _until_ready(self) -> str | None:
        deadline_ns = monotonic_ns() + _READY_NS
        while waiting := [number for number, row in enumerate(self.board.rows) if row[Column.STATE] == State.STARTING]:
            for number in waiting:
                if self._children[number].poll() is not None:
                    return self._obituary(number)
            if monotonic_ns() > deadline_ns:
                return f"{self._name(waiting[0])} was not ready after {_READY_NS / 1e9:g} s{self._last_words(waiting[0])}"
            time.sleep(_POLL_S / 10)
        return None

    def _feed(self) -> None:
        """Keep every spool ahead of its reader."""
        taken = self.board.rows[:, Column.TAKEN].tolist()
        while not self._dry and any(spool.units - count < self._ahead for spool, count in zip(self._spools, taken, strict=True)):
            dealt = next(self._more, None)
            if dealt is None:
                self._dry = True
                for spool in self._spools:
                    spool.end()
            else:
                self._spools[dealt[0]].write((dealt[1],))

    # What may be wrong.

    def _running(self) -> list[int]:
        return [number for number, child in enumerate(self._children) if child.poll() is None]

    def _fault(self, now_ns: int) -> str | None:
        for number, child in enumerate(self._children):
            if child.poll() is None:
                if self._silent(number, now_ns):
                    return f"{self._name(number)} has given no sign of life for {_SILENT_NS / 1e9:g} s{self._last_words(number)}"
            elif child.returncode or not self._workplace.segment(number).is_file():
                return self._obituary(number)
        return None

    def _silent(self, number: int, now_ns: int) -> bool:
        """Whether it has not been seen for too long; while it parses, nobody expects to see it."""
        row = self.board.rows[number]
        seen_ns = max(int(row[Column.BEAT_NS]), int(self.board.common[Column.START_NS]))
        return now_ns - seen_ns > (_PARSING_NS if row[Column.STATE] == State.PARSING else _SILENT_NS)

    def _obituary(self, number: int) -> str:
        status = self._children[number].returncode
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return f"{self._name(number)} ended {how} before its part was done{self._last_words(number)}"

    def _name(self, number: int) -> str:
        return f"load process {number + 1} of {len(self._shares)} (process id {self._children[number].pid})"

    def _last_words(self, number: int) -> str:
        words = self._workplace.words(number).read_text(errors="replace").strip()[-_WORDS:]
        return f"; its last words: {words}" if words else "; it said nothing"

    def _kill(self) -> None:
        for child in self._children:
            if child.stdin is not None:
                child.stdin.close()  # a healthy one ends by itself
            if child.poll() is None:
                child.kill()
            child.wait()
