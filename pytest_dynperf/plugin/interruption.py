"""Signals: what ends a session early ends it in order, whoever is told of it, and what it has started ends within seconds.

SIGINT is pytest's own. SIGTERM and SIGHUP, which pytest leaves to their default, become the same. An xdist worker learns from a pipe that
its controller has been interrupted or is gone: xdist itself would let it measure on for five seconds.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_S = 1.0
_TIMES = 5


class Insistence:
    """Says it again when nobody has heard: Python drops an interrupt that strikes inside a destructor or a callback, as imports have them.
    Costs nothing until there is a signal: a thread is blocked in the kernel.
    """

    def __init__(self) -> None:
        self._heard = threading.Event()
        self._said, self._say = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self._said, True)
        threading.Thread(target=self._insist, name="dynperf insistence", daemon=True).start()

    def came(self, number: int) -> None:
        """A signal came. For a signal handler: writes one byte, takes no lock."""
        with suppress(OSError):
            os.write(self._say, bytes([number]))

    def heard(self) -> None:
        """pytest has been interrupted, or ends anyway."""
        self._heard.set()

    def _insist(self) -> None:
        number = os.read(self._said, 1)[0]
        for _ in range(_TIMES):
            if self._heard.wait(_AGAIN_S):
                return
            os.kill(os.getpid(), number)


def stop_on_signals(received: Callable[[str], None]) -> Insistence | None:
    """pytest leaves SIGTERM and SIGHUP to their default, which ends Python without a chance to stop anything. ``received`` is told the
    signal's name. ``None`` where this is not the main thread, which alone may do so.
    """
    if not _in_main_thread():
        return None
    insistence = Insistence()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        received(name)
        insistence.came(number)
        raise KeyboardInterrupt(name)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)
    return insistence


@contextmanager
def ignored() -> Iterator[None]:
    """Interrupts inside have no effect: for what is the end anyway, and bounded to seconds."""
    if not _in_main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in NUMBERS}
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def deferred() -> Iterator[None]:
    """Interrupts inside have their effect when it is left: for what must not be cut short in the middle of a session."""
    if not _in_main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in NUMBERS}
    try:
        yield
    finally:
        _restore(before)
    if came:
        signal.raise_signal(came[0])


def _restore(before: Mapping[signal.Signals, Callable[[int, FrameType | None], Any] | int | None]) -> None:
    for number, action in before.items():
        if action is not None:  # not set by Python, so Python cannot set it again
            signal.signal(number, action)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


# ---- the controller's pipe


class Leash:
    """The controller's ends of the pipes to its xdist workers: closed when it is interrupted, and by the kernel when it dies."""

    def __init__(self) -> None:
        self._ends: list[int] = []

    def hold(self, path: Path) -> None:
        """Take the end of the pipe that a worker has made, if it has."""
        with suppress(OSError):
            # For reading too: so it opens whether the worker has opened its end or not.
            self._ends.append(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))

    def let_go(self) -> None:
        """Tell the workers to stop. May be called again."""
        ends, self._ends = self._ends, []
        for end in ends:
            os.close(end)


class Watch:
    """An xdist worker's end of its pipe. Costs nothing while the controller lives: a thread is blocked in the kernel."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._over = threading.Event()
        with suppress(OSError):  # a file system without pipes: xdist's own way takes longer, and works
            os.mkfifo(path, mode=0o600)
            threading.Thread(target=self._wait, name="dynperf controller watch", daemon=True).start()

    def close(self) -> None:
        """This process is about to end by itself."""
        self._over.set()

    def _wait(self) -> None:
        with suppress(OSError):
            end = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)  # returns when the controller has opened its own
            try:
                while os.read(end, 1):
                    pass
            finally:
                os.close(end)
            if not self._over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
