"""Whether the event loop is there when it should be: a beat every 4 ms, and how late each was."""

from __future__ import annotations

from array import array
from time import monotonic_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.load.alarm import Alarm

PERIOD_NS = 4_000_000
STALL_NS = 1_000_000
"""A beat that is later than this is a stall."""


class Heartbeat:
    """``lags_ns`` has one entry per beat that was due, those included that a stall left out: it is a mean over time, not over wake-ups.

    ``stalls`` are intervals (start, end) in which the loop did not look at its sockets for some time: from the beat before the late one.
    Some 50 µs of CPU time a beat where the machine has slept in between, 1 % of a core; less where it has not. A stall of 5 ms or more is
    always seen, one of 2 ms every fourth time.
    """

    def __init__(self, alarm: Alarm) -> None:
        self.lags_ns = array("q")
        self.stalls: list[tuple[int, int]] = []
        self._due_ns = alarm.every(PERIOD_NS, self._beat)

    def _beat(self) -> None:
        due_ns, now_ns = self._due_ns, monotonic_ns()
        if now_ns - due_ns > STALL_NS:
            self.stalls.append((due_ns - PERIOD_NS, now_ns))
        self.lags_ns.extend(range(now_ns - due_ns, -1, -PERIOD_NS))
        self._due_ns = due_ns + PERIOD_NS * ((now_ns - due_ns) // PERIOD_NS + 1)
