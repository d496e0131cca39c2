"""One process at a time, its output in a log, and never a silent minute: a line every few seconds says how long it has been and what is
going on. When whoever waits is interrupted, the process and all that it started are ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from pytest_dynperf.errors import InstallationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SILENT_S = 15.0
"""Longest silence between two lines."""
_POLL_S = 0.1
_END_S = 5.0
_TAIL_BYTES = 4096
_SHOWN = 90


class Account:
    """Tells a person what is going on: every line begins with the minutes and seconds since the beginning."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock, self._began = write, clock, clock()

    def say(self, text: str) -> None:
        """One line."""
        self._write(f"[{duration(self._clock() - self._began)}] {text}")


def duration(seconds: float) -> str:
    """`` 1:05`` for 65 seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:2}:{rest:02}"


def run_logged(
    argv: Sequence[str],
    *,
    log: Path,
    account: Account,
    environment: Mapping[str, str] | None = None,
    limit_s: float,
    forward: bool = False,
    keep: Sequence[int] = (),
) -> int:
    """The exit status. Output is appended to ``log``; with ``forward`` its lines are said, without, the last one now and then. The process
    keeps the descriptors ``keep`` open, so that a lock on them is held while it lives, whatever becomes of us.

    :raises InstallationError: when the program is not there, or takes longer than ``limit_s``; then it has been ended.
    """
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(argv)[:2000]}\n".encode())
        output.flush()
        start = output.tell()
        try:
            process = subprocess.Popen(
                argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment, start_new_session=True, pass_fds=tuple(keep)
            )
        except OSError as error:
            msg = f"{argv[0]} cannot be started: {error.strerror}"
            raise InstallationError(msg) from error
    try:
        return _watch(process, log, start, account, limit_s=limit_s, forward=forward)
    finally:
        _end(process)


def _watch(process: subprocess.Popen[bytes], log: Path, start: int, account: Account, *, limit_s: float, forward: bool) -> int:
    began = said = time.monotonic()
    told = start
    while True:
        status = process.poll()
        if forward:
            lines, told = _new_lines(log, told)
            for line in lines:
                account.say(f"  {line}")
                said = time.monotonic()
        if status is not None:
            return status
        now = time.monotonic()
        if now - began > limit_s:
            msg = f"ended after {limit_s / 60:.0f} minutes, which is far more than it takes; its output is in {log}"
            raise InstallationError(msg)
        if now - said >= SILENT_S:
            said = now
            last = last_line(log, start)
            account.say(f"  … {now - began:.0f} s" + (f": {last}" if last else ""))
        time.sleep(_POLL_S)


def last_line(log: Path, start: int = 0) -> str:
    """The last line with text in it since byte ``start``, shortened."""
    lines = [line.strip() for line in tail(log, start).splitlines() if line.strip()]
    return lines[-1][:_SHOWN] if lines else ""


def tail(log: Path, start: int = 0) -> str:
    """The last 4 KiB of ``log``, of what was written since byte ``start``."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _new_lines(log: Path, start: int) -> tuple[list[str], int]:
    with log.open("rb") as file:
        file.seek(start)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    return [line for line in whole.decode(errors="replace").splitlines() if line.strip()], start + len(whole)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process, and its session: what it started goes with it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
