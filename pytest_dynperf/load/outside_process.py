"""Another project's program as a process: its output in a log, an end by a deadline, and nothing of it left behind.

In: an executable, arguments, an environment. Out: its exit status. It is stopped by the group that it was started in, whatever happens.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

STOP_S = 10.0
_POLL_S = 0.1
_TAIL_BYTES, _TAIL_LINES = 16_384, 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """``status`` is negative for a signal. ``late``: the deadline passed, and it was stopped."""

    status: int
    late: bool


def said(executable: Path, *arguments: str, timeout_s: float, remedy: str) -> str:
    """What it writes to its standard output, for a question such as ``--help``. ``remedy``: what to do where it cannot be started.

    :raises UsageError: when it does not run, fails, or takes longer than ``timeout_s``.
    """
    try:
        done = subprocess.run(
            [executable, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{executable} {' '.join(arguments)} did not end within {timeout_s:g} s"
        raise UsageError(msg) from error
    except OSError as error:
        msg = f"cannot run {executable}: {error.strerror or error}. {remedy}"
        raise UsageError(msg) from error
    if done.returncode != 0:
        msg = f"{executable} {' '.join(arguments)} ended with exit status {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}"
        raise UsageError(msg)
    return done.stdout


def run_outside(
    executable: Path,
    arguments: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    deadline_s: float,
    progress: Callable[[float], None],
) -> Ended:
    """Run it once. Its output goes to ``log``, ``environment`` is all that it sees, and ``progress`` is told the seconds since the start
    some ten times a second. Whatever ends this function ends the whole process group: SIGTERM, SIGKILL after 10 s.

    :raises UsageError: when it cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begun_s = time.monotonic()
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
    except OSError as error:
        msg = f"cannot start {executable}: {error.strerror or error}"
        raise UsageError(msg) from error
    try:
        late = _watch(process, begun_s, deadline_s, progress)
    finally:
        status = _stop_group(process)
    return Ended(status=status, late=late)


def last_words(log: Path) -> str:
    """``Its log … ends:`` and the last lines of it, printable."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = [line.rstrip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    printable = ["  " + "".join(character if character.isprintable() else " " for character in line) for line in lines[-_TAIL_LINES:]]
    return f"Its log {log} ends:\n" + ("\n".join(printable) or "  (empty)")


def _watch(process: subprocess.Popen[bytes], begun_s: float, deadline_s: float, progress: Callable[[float], None]) -> bool:
    """Wait for the end; whether the deadline passed first."""
    while not _ended(process):
        elapsed_s = time.monotonic() - begun_s
        progress(elapsed_s)
        if elapsed_s > deadline_s:
            return True
        time.sleep(_POLL_S)
    return False


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the leader has ended; it stays unreaped, so that the number of its group is nobody else's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _stop_group(process: subprocess.Popen[bytes]) -> int:
    """End what is left of the group and reap its leader: its exit status, negative for a signal."""
    deadline_s = time.monotonic() + STOP_S
    try:
        if not _ended(process):
            _signal_group(process, signal.SIGTERM)
            while not _ended(process) and time.monotonic() < deadline_s:
                time.sleep(_POLL_S)
    finally:  # also where a second Ctrl-C ends the wait
        _signal_group(process, signal.SIGKILL)
        process.wait()
    return process.returncode


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        os.killpg(process.pid, number)
