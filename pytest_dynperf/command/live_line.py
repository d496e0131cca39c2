"""One line about what goes on, on standard error: replaced in place on a terminal, printed every 10 s elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TERMINAL_EVERY_S = 0.1
LOG_EVERY_S = 10.0


class LiveLine:
    """Shows a line when one is due. ``clock`` gives seconds; the first line of a log is due after its interval, not at once."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._terminal = stream.isatty()
        self._last_s = clock() - (TERMINAL_EVERY_S if self._terminal else 0.0)
        self._width = 0

    def show(self, text: Callable[[], str]) -> None:
        """Costs a clock reading unless a line is due; only then ``text`` is made."""
        now_s = self._clock()
        if now_s - self._last_s < (TERMINAL_EVERY_S if self._terminal else LOG_EVERY_S):
            return
        self._last_s = now_s
        if not self._terminal:
            self._write(f"{text()}\n")
            return
        line = text()[: shutil.get_terminal_size().columns - 1]
        self._write("\r" + line.ljust(self._width))
        self._width = len(line)

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@contextmanager
def telling(what: str) -> Iterator[Callable[[str], None]]:
    """On standard error, ``<what> <text>`` for every text that is told, when one is due; the line is gone when the block ends."""
    line = LiveLine(sys.stderr)
    try:
        yield lambda text: line.show(lambda: f"{what} {text}")
    finally:
        line.clear()
