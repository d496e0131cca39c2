"""What ``dynperf reports`` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.report.wording import counted, duration
from pytest_dynperf.session.stored_sessions import MAY_RUN, NAMED, RUNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from pytest_dynperf.session.stored_sessions import StoredSession

_MB, _GB = 1e6, 1e9
_DAY_S = 86400.0


def listing_lines(sessions: Sequence[StoredSession], now: datetime, reports: Path) -> list[str]:
    """A line a session, newest first, and the sum."""
    if not sessions:
        return [f"no session in {reports}"]
    rows = [
        (session.directory.name, age(session, now), size(session.size_bytes), outcome(session), session.kept or "would be pruned")
        for session in sessions
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:<{widths[3]}}  {row[4]}".rstrip() for row in rows
    ]
    return [*lines, f"{counted(len(sessions), 'session')}, {size(sum(session.size_bytes for session in sessions))}, in {reports}"]


def outcome(session: StoredSession) -> str:
    """``regressed``; of an incomplete session that it is one."""
    return (session.outcome or "no case") if session.complete else "incomplete"


def age(session: StoredSession, now: datetime) -> str:
    """``3 d``, ``5 h 10 min``."""
    seconds = max(0.0, session.age_s(now))
    return f"{seconds / _DAY_S:.0f} d" if seconds >= _DAY_S else duration(max(1.0, seconds))


def size(number: int) -> str:
    """``1.3 GB``, ``24.1 MB``."""
    return f"{number / _GB:.1f} GB" if number >= _GB else f"{number / _MB:.1f} MB"


def removed_line(session: StoredSession, now: datetime, *, dry_run: bool) -> str:
    """What became of one."""
    what = "would remove" if dry_run else "removed"
    return f"{what} {session.directory}: {age(session, now)} old, {size(session.size_bytes)}, {outcome(session)}"


def pruned_line(removed: Sequence[StoredSession], found: Sequence[StoredSession], *, dry_run: bool) -> str:
    """The sum, with what was kept whatever its age."""
    what = "would remove" if dry_run else "removed"
    protected = [session for session in found if session.kept in (RUNS, MAY_RUN, NAMED)]
    note = f", {counted(len(protected), 'session')} of them because a baseline names it or it runs" if protected else ""
    freed = size(sum(session.size_bytes for session in removed))
    return f"{what} {counted(len(removed), 'session')}, {freed}; kept {len(found) - len(removed)}{note}"
