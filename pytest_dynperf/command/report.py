"""``dynperf report``: the pages of a session made again from its files, and one page over several sessions."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.live_line import telling
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pytest_dynperf.session.session_files import SessionFile


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``report``."""
    parser = subparsers.add_parser(
        "report",
        help="make the pages of sessions again from their files",
        description="Of one session, make report.html, report.md and openmetrics.txt again from its session.json: they say what they said "
        "when it ended. Of several, make sessions.html: their verdicts, every judged metric over time, and their values side by side. No "
        "session.json is changed.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "sessions", nargs="+", type=Path, metavar="SESSION", help="run directory, session.json, or a directory that is searched for them"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to write (default: of one session its run directory, of several the directory that holds them)",
    )
    parser.add_argument("--each", action="store_true", help="of several sessions, make the pages of each in its own run directory")
    parser.add_argument("--case", metavar="PATTERN", help="of several sessions, only cases SUITE/CASE, or CASE, that fit (shell pattern)")
    parser.set_defaults(run=run_report)


def run_report(arguments: argparse.Namespace) -> int:
    """Always 0: pages are made, nothing is judged.

    :raises UsageError: for sessions and options that a person can correct.
    :raises RunDirectoryError: when a page cannot be written.
    """
    from pytest_dynperf.session.session_files import read_sessions

    with telling("reading") as told:
        sessions = read_sessions(arguments.sessions, told=told)
    several = len(sessions) > 1 and not arguments.each
    if arguments.case is not None and not several:
        msg = "--case belongs to the page over several sessions: a session's own page has all its cases"
        raise UsageError(msg)
    if arguments.out is not None and len(sessions) > 1 and not several:
        msg = "--each writes into the sessions' own directories, and --out names one: give one of them"
        raise UsageError(msg)
    if several:
        _say(_over_all(sessions, arguments))
    for session in () if several else sessions:
        with telling("making the pages of") as told:
            told(str(session.file.parent))
            page = _of_one(session, arguments.out)
        _say(page)
    return 0


def _of_one(session: SessionFile, out: Path | None) -> Path:
    from pytest_dynperf.run_directory import RunDirectory
    from pytest_dynperf.session.pages import write_copy, write_pages

    home = session.file.parent
    if out is None or out.resolve() == home.resolve():
        return write_pages(session.report, RunDirectory(home))[0]
    if RunDirectory(out).session_json.exists():
        msg = f"--out {out}: it holds another session. Choose another directory"
        raise UsageError(msg)
    return write_copy(session.report, home, out)


def _over_all(sessions: Sequence[SessionFile], arguments: argparse.Namespace) -> Path:
    """In the directory that holds them all, unless one is named."""
    from pytest_dynperf.session.side_by_side import write_side_by_side

    out = arguments.out
    if out is None:
        out = Path(os.path.commonpath([session.file.parent.parent.absolute() for session in sessions]))
    with telling("comparing:") as told:
        return write_side_by_side(sessions, out, case=arguments.case, told=told)


def _say(page: Path) -> None:
    sys.stdout.write(f"report: {page}\n")
