"""Whether the event loop is there when it should be: a beat at least every 4 ms, and how late each was."""

from __future__ import annotations

from array import array
from time import monotonic_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.load.alarm import Alarm, Repeating

PERIOD_NS = 4_000_000
STALL_NS = 1_000_000
"""A beat that is later than this is a stall."""

_REST_NS = 2_000_000
"""Reads within this time after a beat need not stand for another one."""

_NEVER_NS = 1 << 63


class Heartbeat:
    """A read proves that the loop looks at its sockets: it stands for the beat, which is put off. The timer beats where nothing is read.

    ``lags_ns`` has one entry per beat, those included that a stall left out: it is a mean over time, not over wake-ups. A read's entry is
    user minus kernel stamp. ``stalls`` are intervals (start, end) in which the loop did not look at its sockets for some time: from the
    beat before the late one. ``wanted_ns``: a read after this instant is to be told to :meth:`alive`.

    A beat of the timer costs some 50 µs of CPU time where the machine has slept in between, 1 % of a core; a read that stands for one
    costs 5 µs, at most every 2 ms. A stall of 5 ms or more is always seen, a shorter one the more often the longer it is.
    """

    def __init__(self) -> None:
        self.lags_ns = array("q")
        self.stalls: list[tuple[int, int]] = []
        self.wanted_ns = _NEVER_NS
        self._timer: Repeating | None = None
        self._due_ns = 0

    def begin(self, alarm: Alarm) -> None:
        """Beat from now on, until ``alarm`` is closed."""
        self._timer = alarm.every(PERIOD_NS, self._beat)
        self._due_ns = self._timer.first_ns
        self.wanted_ns = self._due_ns - PERIOD_NS + _REST_NS

    def alive(self, now_ns: int, lag_ns: int) -> None:
        """Something was read at ``now_ns``, ``lag_ns`` after it had come."""
        late_ns = now_ns - self._due_ns
        if late_ns > 0:
            self._note(now_ns, late_ns)
        else:
            self.lags_ns.append(lag_ns)
        self._due_ns = now_ns + PERIOD_NS
        self.wanted_ns = now_ns + _REST_NS
        if self._timer is not None:
            self._timer.put_off(self._due_ns)

    def _beat(self) -> None:
        now_ns = monotonic_ns()
        late_ns = now_ns - self._due_ns
        if late_ns < 0:  # a read of this very turn was first
            return
        self._note(now_ns, late_ns)
        self._due_ns += PERIOD_NS * (late_ns // PERIOD_NS + 1)
        self.wanted_ns = now_ns + _REST_NS

    def _note(self, now_ns: int, late_ns: int) -> None:
        if late_ns > STALL_NS:
            self.stalls.append((self._due_ns - PERIOD_NS, now_ns))
        self.lags_ns.extend(range(late_ns, -1, -PERIOD_NS))
