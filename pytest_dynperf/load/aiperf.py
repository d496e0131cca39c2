"""AIPerf as a load generator: a process of an environment of its own, because what it pins clashes with everything else.

In: an executable and its arguments. Out: the directory that it wrote. It is stopped by the group that it was started in, whatever happens.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError, WorkloadError
from pytest_dynperf.load.aiperf_command import known_flags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SUMMARY, RECORDS = "profile_export_aiperf.json", "profile_export.jsonl"

PROBE_S = 120.0
"""``aiperf profile --help`` takes some 2 s, and much longer where its files are not in memory yet."""

STOP_S = 10.0
_POLL_S = 0.1
_TAIL_BYTES, _TAIL_LINES = 16_384, 15


def probe(executable: Path) -> tuple[str, frozenset[str]]:
    """Version and options of an AIPerf. Costs two starts of it.

    :raises UsageError: when it does not run, or is not AIPerf.
    """
    version = _said(executable, "--version").strip()
    flags = known_flags(_said(executable, "profile", "--help"))
    if "--concurrency" not in flags:
        msg = f"{executable} is not AIPerf: `{executable} profile --help` names no --concurrency"
        raise UsageError(msg)
    return version, flags


def _said(executable: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [executable, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PROBE_S,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{executable} {' '.join(arguments)} did not end within {PROBE_S:g} s"
        raise UsageError(msg) from error
    except OSError as error:
        msg = f"cannot run {executable}: {error.strerror or error}. Name the executable of AIPerf: pip install aiperf puts it into bin/."
        raise UsageError(msg) from error
    if done.returncode != 0:
        msg = f"{executable} {' '.join(arguments)} ended with exit status {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}"
        raise UsageError(msg)
    return done.stdout


def run_aiperf(
    executable: Path,
    arguments: Sequence[str],
    *,
    directory: Path,
    log: Path,
    environment: Mapping[str, str],
    deadline_s: float,
    progress: Callable[[int, float], None],
) -> Path:
    """Run it once; returns the summary that it wrote into ``directory``. Its output goes to ``log``.

    ``progress`` is told the requests written so far and the seconds since the start, some ten times a second. ``environment`` is all that
    AIPerf sees. Whatever ends this function ends the whole process group: SIGTERM, SIGKILL after 10 s.

    :raises UsageError: when it cannot be started.
    :raises WorkloadError: when it fails, writes no summary or passes the deadline; with the last lines of the log.
    """
    directory.mkdir(parents=True, exist_ok=True)
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
        late = _watch(process, directory, begun_s, deadline_s, progress)
    finally:
        status = _stop_group(process)
    if late:
        msg = f"AIPerf did not end within {deadline_s:g} s and was stopped. {_last_words(log)}"
        raise WorkloadError(msg)
    summary = directory / SUMMARY
    if status != 0 or not summary.exists():
        what = f"ended with exit status {status}" if status != 0 else f"ended without writing {summary}"
        msg = f"AIPerf {what}. {_last_words(log)}"
        raise WorkloadError(msg)
    return summary


def _watch(
    process: subprocess.Popen[bytes], directory: Path, begun_s: float, deadline_s: float, progress: Callable[[int, float], None]
) -> bool:
    """Wait for the end; whether the deadline passed first."""
    written = offset = 0
    while not _ended(process):
        elapsed_s = time.monotonic() - begun_s
        with suppress(OSError), (directory / RECORDS).open("rb") as file:
            file.seek(offset)
            fresh = file.read()
            offset += len(fresh)
            written += fresh.count(b"\n")
        progress(written, elapsed_s)
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


def _last_words(log: Path) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = [line.rstrip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    printable = ["  " + "".join(character if character.isprintable() else " " for character in line) for line in lines[-_TAIL_LINES:]]
    return f"Its log {log} ends:\n" + ("\n".join(printable) or "  (empty)")
