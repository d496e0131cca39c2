"""Ends what a killed session has left behind. Runs as a program of its own: ``python -I -S reaper.py MARK``.

It blocks on its standard input, whose other end only the session's process holds. End of file means that this process is gone, however it
went (SIGKILL included), or that it has stopped everything in order; either way every process whose environment carries
``DYNPERF_DEPLOYMENT=MARK`` is killed, and in the second case there is none. Standard library only; Linux only (``/proc``).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

VARIABLE = "DYNPERF_DEPLOYMENT"
PATIENCE_S = 5.0


def marked(mark: str) -> list[int]:
    """Process ids of this user whose environment carries ``mark``, zombies and the caller left out."""
    entry = f"{VARIABLE}={mark}".encode()
    found = []
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or int(directory.name) == os.getpid():
            continue
        try:
            if entry in (directory / "environ").read_bytes().split(b"\0"):
                found.append(int(directory.name))
        except OSError:
            continue
    return found


def kill_marked(mark: str, patience_s: float = PATIENCE_S) -> list[int]:
    """SIGKILL until none is left, children that were being forked meanwhile included; returns what is left after ``patience_s``."""
    deadline = time.monotonic() + patience_s
    while left := marked(mark):
        if time.monotonic() > deadline:
            return left
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(0.01)
    return []


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill_marked(sys.argv[1])
