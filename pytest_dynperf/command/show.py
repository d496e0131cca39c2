"""``dynperf show``: what pytest printed at the end of a session, from its files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pytest_dynperf.report.session_report import CaseResult, SessionReport
    from pytest_dynperf.report.terminal import Line


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``show``."""
    parser = subparsers.add_parser(
        "show",
        help="print a session's result in the terminal",
        description="Print what pytest printed at the end of a session: the text of every case that failed, then the summary. Nothing is "
        "judged again ('dynperf judge' does that), and the exit code says nothing of the result.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "session", nargs="?", type=Path, metavar="SESSION", help="run directory, or session.json (default: the newest in --reports)"
    )
    parser.add_argument(
        "--reports", type=Path, default=Path("reports"), metavar="DIR", help="where the newest is looked for (default: %(default)s)"
    )
    parser.add_argument(
        "--case",
        metavar="PATTERN",
        help="print the text of each case SUITE/CASE, or CASE, that fits (shell pattern), whatever came of it, and no summary",
    )
    parser.add_argument("--summary", action="store_true", help="print the summary alone")
    parser.add_argument("-v", "--verbose", action="store_true", help="list unchanged cases and metrics, too")
    parser.set_defaults(run=run_show)


def run_show(arguments: argparse.Namespace) -> int:
    """Always 0: what was found out is printed, not judged.

    :raises UsageError: when there is no session, or no case that fits.
    """
    from dataclasses import replace

    from pytest_dynperf.command.styled import columns, write_lines
    from pytest_dynperf.report.terminal import summary
    from pytest_dynperf.session.session_files import read_session, session_files
    from pytest_dynperf.session.stored_sessions import newest_session

    asked = arguments.session if arguments.session is not None else newest_session(arguments.reports)
    files = session_files(asked)
    if len(files) > 1:
        msg = f"{asked} holds {len(files)} sessions: name one, such as {files[-1].parent}"
        raise UsageError(msg)
    report = replace(read_session(files[0]), run_directory=str(files[0].parent))
    if arguments.session is None:
        sys.stdout.write(f"{files[0].parent}\n\n")
    shown = _wanted(report, arguments.case) if arguments.case is not None else [] if arguments.summary else _failed(report)
    for result in shown:
        write_lines(_told(result, report, columns()))
    if arguments.case is None:
        write_lines(summary(replace(report, accepted=()) if report.dry_run else report, width=columns(), verbose=arguments.verbose))
    return 0


def _failed(report: SessionReport) -> list[CaseResult]:
    from pytest_dynperf.report.standing import standing

    found = [result for result in report.results if standing(result.verdict).fails]
    return sorted(found, key=lambda result: -standing(result.verdict).severity)


def _wanted(report: SessionReport, pattern: str) -> list[CaseResult]:
    from fnmatch import fnmatchcase

    from pytest_dynperf.errors import nearest

    found = [result for result in report.results if any(fnmatchcase(name, pattern) for name in (result.case.name, result.case.case_id))]
    if not found:
        names = sorted(result.case.name for result in report.results)
        hint = nearest(pattern, [result.case.case_id for result in report.results])
        msg = f"--case {pattern!r} fits no case{hint}. There are: {', '.join(names) or 'none'}"
        raise UsageError(msg)
    return found


def _told(result: CaseResult, report: SessionReport, width: int) -> Iterator[Line]:
    from pytest_dynperf.report.standing import standing
    from pytest_dynperf.report.terminal import Line, failure_text

    title, *lines = failure_text(result, run_directory=report.run_directory, width=width).splitlines()
    yield Line(title, standing(result.verdict).colour)
    yield from map(Line, lines)
    yield Line("")
