"""Ctrl-C while a load runs."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self


class Interruption:
    """While it is entered, the first Ctrl-C ends the run, which is then whole and can be shown; the second one ends the program, unless
    we are ``patient``: where another program must be ended first.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.happened = False
        self._patient = patient
        self._before: signal._HANDLER = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def incident(self) -> str | None:
        """What the load generator asks every 100 ms."""
        return "interrupted by Ctrl-C" if self.happened else None

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        if self.happened and not self._patient:
            raise KeyboardInterrupt
        self.happened = True
