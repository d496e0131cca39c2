"""How long a case may take. While requests are sent the deadline is looked at beside the services; while something is deployed, which waits
in many places, the kernel's timer interrupts it.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_dynperf.errors import CaseTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_READINESS = "pytest_dynperf.deployment.readiness"


class CaseDeadline:
    """The deadline of the case that is being measured; without :meth:`begin` there is none. ``clock`` counts seconds. ``over`` is set once
    somebody has been told that the time is over, and says what was going on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_s: float | None = None
        self._limit_s = 0.0
        self._doing = "beginning"
        self.over: str | None = None

    def begin(self, limit_s: float | None) -> None:
        """A case begins; ``None``: it may take as long as it likes."""
        self._ends_s = None if limit_s is None else self._clock() + limit_s
        self._limit_s = limit_s or 0.0
        self.over = None
        self._doing = "beginning"

    def end(self) -> None:
        """The case has its verdict."""
        self._ends_s = None

    def now(self, doing: str) -> None:
        """What the case is doing from here on: ``in run 2 of 3``."""
        self._doing = doing

    def passed(self) -> str | None:
        """That the time is over and what was going on, or ``None``. Under a microsecond."""
        if self._ends_s is None or self._clock() < self._ends_s:
            return None
        return self._say(self._doing)

    def check(self) -> None:
        """Go on.

        :raises CaseTimeout: when the time is over.
        """
        if (text := self.passed()) is not None:
            raise CaseTimeout(text)

    def watching(self, incident: Callable[[], str | None]) -> Callable[[], str | None]:
        """``incident``, and the deadline where there is none."""
        return lambda: incident() or self.passed()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside does not count: others are waited for."""
        begun_s = self._clock()
        try:
            yield
        finally:
            if self._ends_s is not None:
                self._ends_s += self._clock() - begun_s

    @contextmanager
    def enforced(self, doing: str) -> Iterator[None]:
        """Inside, the deadline interrupts whatever is going on. Where the timer is somebody else's (pytest-timeout), it is left alone.

        :raises CaseTimeout: when the time is over, also before it begins.
        """
        self.now(doing)
        self.check()
        if self._ends_s is None or not _timer_is_free():
            yield
            self.check()
            return

        def ring(_number: int, frame: FrameType | None) -> None:
            raise CaseTimeout(self._say(_waited_for(frame) or doing))

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, self._ends_s - self._clock()))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _say(self, doing: str) -> str:
        self.over = (
            self.over or f"the case took longer than {self._limit_s:g} s (--dynperf-case-timeout); when they were over it was {doing}"
        )
        return self.over


def _timer_is_free() -> bool:
    return (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        and not signal.getitimer(signal.ITIMER_REAL)[0]
    )


def _waited_for(frame: FrameType | None) -> str | None:
    """What a deployment that runs was waited for, when its time was over."""
    while frame is not None:
        if frame.f_globals.get("__name__") == _READINESS and "what" in frame.f_locals:
            return f"waiting for ready: {frame.f_locals['what']}"
        frame = frame.f_back
    return None
