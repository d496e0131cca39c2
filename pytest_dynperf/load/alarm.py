"""Callbacks of the event loop at an instant of CLOCK_MONOTONIC, right to some ten microseconds on an idle machine.

uvloop's own timers count milliseconds. Here the kernel's timer (``timerfd``) wakes the poller, so nothing spins, and reads are not starved.
Where there is none (not Linux), the loop's timer wakes early and the rest is polled.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from time import CLOCK_MONOTONIC, monotonic_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)  # the values of TFD_NONBLOCK and TFD_CLOEXEC
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_EARLY_S = 1.5e-3


class _Itimerspec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeating:
    """What :meth:`Alarm.every` has begun. ``first_ns`` is the instant of the first call. ``put_off`` moves the next call, and with it all
    that follow, to the instant that it is given; 3 µs.
    """

    first_ns: int
    put_off: Callable[[int], None]


class Alarm:
    """Any number of callbacks, one kernel timer, and one for each that repeats. Belongs to the running loop; :meth:`close` ends it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._armed_ns: int | None = None
        self._polling: asyncio.Handle | None = None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._repeating: list[int] = []
        self._closed = False
        self._timer = self._new_timer()
        if self._timer >= 0:
            self._loop.add_reader(self._timer, self._woken)

    def at(self, due_ns: int, callback: Callable[[], None]) -> None:
        """Call as soon as the loop can from ``due_ns`` on; callbacks of one instant in the order in which they were given. About 3 µs."""
        heappush(self._waiting, (due_ns, next(self._order), callback))
        self._arm()

    async def until(self, due_ns: int) -> None:
        """Wait. Returns at once where ``due_ns`` is over."""
        if due_ns <= monotonic_ns():
            return
        over: asyncio.Future[None] = self._loop.create_future()
        self.at(due_ns, lambda: None if over.done() else over.set_result(None))
        await over

    def every(self, period_ns: int, callback: Callable[[], None]) -> Repeating:
        """Call again and again, first one period from now. Calls that a late loop has missed are left out.

        The kernel is asked once, so it costs little more than half of :meth:`at` again and again.
        """
        first_ns = monotonic_ns() + period_ns
        timer = self._new_timer()
        if timer < 0:
            return Repeating(first_ns=first_ns, put_off=self._again(first_ns, period_ns, callback))

        def woken() -> None:
            with suppress(BlockingIOError):
                os.read(timer, 8)
            callback()

        self._repeating.append(timer)
        self._set(timer, first_ns, period_ns)
        self._loop.add_reader(timer, woken)
        return Repeating(first_ns=first_ns, put_off=lambda due_ns: None if self._closed else self._set(timer, due_ns, period_ns))

    def close(self) -> None:
        """Call nobody any more. May be called again."""
        self._closed = True
        self._waiting.clear()
        if self._polling is not None:
            self._polling.cancel()
        for timer in (self._timer, *self._repeating):
            if timer >= 0:
                self._loop.remove_reader(timer)
                os.close(timer)
        self._timer = -1
        self._repeating.clear()

    def _new_timer(self) -> int:
        """-1 where the platform has none."""
        if not hasattr(self._libc, "timerfd_create"):  # Python has it from 3.13 on
            return -1
        return int(self._libc.timerfd_create(CLOCK_MONOTONIC, _FLAGS))

    def _set(self, timer: int, due_ns: int, period_ns: int = 0) -> None:
        due = _Itimerspec(*divmod(period_ns, 1_000_000_000), *divmod(max(due_ns, 1), 1_000_000_000))  # a due time of zero would disarm
        if self._libc.timerfd_settime(timer, _ABSOLUTE, ctypes.byref(due), None):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def _again(self, due_ns: int, period_ns: int, callback: Callable[[], None]) -> Callable[[int], None]:
        def put_off(to_ns: int) -> None:
            nonlocal due_ns
            due_ns = to_ns

        def ring() -> None:
            nonlocal due_ns
            late_ns = monotonic_ns() - due_ns
            if late_ns >= 0:
                due_ns += period_ns * (late_ns // period_ns + 1)
                callback()
            if not self._closed:
                self.at(due_ns, ring)

        self.at(due_ns, ring)
        return put_off

    def _arm(self) -> None:
        if not self._waiting or self._waiting[0][0] == self._armed_ns:
            return
        self._armed_ns = self._waiting[0][0]
        if self._timer < 0:
            self._poll()
            return
        self._set(self._timer, self._armed_ns)

    def _poll(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
        left_s = (self._armed_ns or 0) / 1e9 - monotonic_ns() / 1e9
        if left_s > _EARLY_S:
            self._polling = self._loop.call_later(left_s - _EARLY_S, self._poll)
        elif left_s > 0:
            self._polling = self._loop.call_soon(self._poll)
        else:
            self._polling = self._loop.call_soon(self._ring)

    def _woken(self) -> None:
        try:
            os.read(self._timer, 8)
        except BlockingIOError:  # it was armed anew in the meantime
            return
        self._ring()

    def _ring(self) -> None:
        self._armed_ns = None
        now_ns = monotonic_ns()
        try:
            # What becomes due in the meantime waits for the next turn of the loop, after the reads of this one.
            while self._waiting and self._waiting[0][0] <= now_ns:
                heappop(self._waiting)[2]()
        finally:
            self._arm()
