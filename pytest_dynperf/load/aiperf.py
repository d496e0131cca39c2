"""AIPerf as a load generator: a process of an environment of its own, because what it pins clashes with everything else.

In: an executable and its arguments. Out: the directory that it wrote.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError, WorkloadError
from pytest_dynperf.load.aiperf_command import known_flags
from pytest_dynperf.load.outside_process import last_words, run_outside, said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SUMMARY, RECORDS = "profile_export_aiperf.json", "profile_export.jsonl"

PROBE_S = 120.0
"""``aiperf profile --help`` takes some 2 s, and much longer where its files are not in memory yet."""

_REMEDY = "Name the executable of AIPerf: pip install aiperf puts it into bin/."


def probe(executable: Path) -> tuple[str, frozenset[str]]:
    """Version and options of an AIPerf. Costs two starts of it.

    :raises UsageError: when it does not run, or is not AIPerf.
    """
    version = said(executable, "--version", timeout_s=PROBE_S, remedy=_REMEDY).strip()
    flags = known_flags(said(executable, "profile", "--help", timeout_s=PROBE_S, remedy=_REMEDY))
    if "--concurrency" not in flags:
        msg = f"{executable} is not AIPerf: `{executable} profile --help` names no --concurrency"
        raise UsageError(msg)
    return version, flags


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
    written = offset = 0

    def look(elapsed_s: float) -> None:
        nonlocal written, offset
        with suppress(OSError), (directory / RECORDS).open("rb") as file:
            file.seek(offset)
            fresh = file.read()
            offset += len(fresh)
            written += fresh.count(b"\n")
        progress(written, elapsed_s)

    ended = run_outside(executable, arguments, log=log, environment=environment, deadline_s=deadline_s, progress=look)
    if ended.late:
        msg = f"AIPerf did not end within {deadline_s:g} s and was stopped. {last_words(log)}"
        raise WorkloadError(msg)
    summary = directory / SUMMARY
    if ended.status != 0 or not summary.exists():
        what = f"ended with exit status {ended.status}" if ended.status != 0 else f"ended without writing {summary}"
        msg = f"AIPerf {what}. {last_words(log)}"
        raise WorkloadError(msg)
    return summary
