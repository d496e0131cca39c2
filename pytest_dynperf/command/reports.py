"""``dynperf reports list|prune``: the directory in which sessions pile up."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.live_line import telling
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pytest_dynperf.session.stored_sessions import Retention, StoredSession


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``reports`` and its subcommands."""
    parser = subparsers.add_parser(
        "reports",
        help="list sessions, remove old ones",
        description="The directory of reports: one run directory per session, with its result, records and logs.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    listing = commands.add_parser(
        "list",
        help="which sessions there are",
        description="The sessions, newest first: age, size, outcome, and what the retention says of each.",
        allow_abbrev=False,
    )
    listing.set_defaults(run=run_list)
    prune = commands.add_parser(
        "prune",
        help="remove old sessions",
        description="Remove the run directories of sessions that neither --sessions nor --days keeps. A session that still runs and one "
        "that a baseline names are kept in any case. Without either option, the ini file says it (dynperf_keep_sessions, "
        "dynperf_keep_days).",
        allow_abbrev=False,
    )
    prune.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    prune.set_defaults(run=run_prune)
    for command in (listing, prune):
        command.add_argument(
            "--reports", type=Path, default=Path("reports"), metavar="DIR", help="where sessions are written (default: %(default)s)"
        )
        command.add_argument("--sessions", type=_at_least_1, metavar="N", help="keep the N newest")
        command.add_argument("--days", type=_days, metavar="DAYS", help="keep those that began at most so many days ago")
        command.add_argument(
            "--baselines",
            type=Path,
            action="append",
            default=[],
            metavar="DIR",
            help="a store of baselines whose sessions are kept, beside those that the sessions used; can be given several times",
        )


def run_list(arguments: argparse.Namespace) -> int:
    """Always 0: an empty list is an answer.

    :raises UsageError: when there is no such directory.
    """
    from pytest_dynperf.command.reports_text import listing_lines

    _say(listing_lines(_found(arguments, _retention(arguments)), _now(), arguments.reports))
    return 0


def run_prune(arguments: argparse.Namespace) -> int:
    """:raises UsageError: when there is no such directory, and when nobody says what to keep.

    :raises RunDirectoryError: when a directory cannot be removed.
    """
    from pytest_dynperf.command.reports_text import pruned_line, removed_line
    from pytest_dynperf.session.stored_sessions import remove

    retention = _retention(arguments)
    if not retention.asked:
        msg = (
            "nobody says what to keep: give --sessions N or --days DAYS, or set dynperf_keep_sessions or dynperf_keep_days in the ini file"
        )
        raise UsageError(msg)
    found = _found(arguments, retention)
    removed = []
    for session in (one for one in found if one.kept is None) if arguments.dry_run else remove(found, arguments.reports):
        removed.append(session)
        _say([removed_line(session, _now(), dry_run=arguments.dry_run)])
    _say([pruned_line(removed, found, dry_run=arguments.dry_run)])
    return 0


def _retention(arguments: argparse.Namespace) -> Retention:
    """The options; where neither is given, the ini file."""
    from pytest_dynperf.command.ini_file import ini_values
    from pytest_dynperf.session.stored_sessions import Retention

    if arguments.sessions is not None or arguments.days is not None:
        return Retention(sessions=arguments.sessions, days=arguments.days)
    file, values = ini_values(Path.cwd())
    asked: dict[str, float] = {}
    for name, convert in (("dynperf_keep_sessions", _at_least_1), ("dynperf_keep_days", _days)):
        if text := values.get(name, "").strip():
            try:
                asked[name] = convert(text)
            except argparse.ArgumentTypeError as error:
                msg = f"{file}: {name}: {error}"
                raise UsageError(msg) from error
    sessions = asked.get("dynperf_keep_sessions")
    return Retention(sessions=None if sessions is None else int(sessions), days=asked.get("dynperf_keep_days"))


def _found(arguments: argparse.Namespace, retention: Retention) -> tuple[StoredSession, ...]:
    from pytest_dynperf.deployment.lease import default_directory
    from pytest_dynperf.session.stored_sessions import stored_sessions

    with telling("looking at") as told:
        return stored_sessions(
            arguments.reports,
            retention,
            now=_now(),
            leases=default_directory(),
            baselines=(Path("baselines"), *arguments.baselines),
            told=told,
        )


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _at_least_1(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is not a whole number of sessions, at least 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _days(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        msg = f"{text!r} is not a number of days, such as 30 or 0.5"
        raise argparse.ArgumentTypeError(msg)
    return value


def _say(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
