"""``dynperf judge``: sessions judged again from their files, as they were or with other expectations."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.exit_code import INVALID
from pytest_dynperf.command.live_line import telling
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pytest_dynperf.session.rejudged import Difference, Question, Rejudged
    from pytest_dynperf.session.session_files import SessionFile


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``judge``."""
    parser = subparsers.add_parser(
        "judge",
        help="judge sessions again from their files",
        description="Judge sessions again from the measurements in their session.json and from baselines, with the same expectations or "
        "with others. No session is changed. Exit code 1 where a case fails; with --check where a verdict is not the recorded one.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "sessions", nargs="+", type=Path, metavar="SESSION", help="run directory, session.json, or a directory that is searched for them"
    )
    parser.add_argument("--baselines", type=Path, metavar="DIR", help="where baselines are (default: the directory that the session used)")
    parser.add_argument(
        "--all-baselines",
        action="store_true",
        help="compare with newer baselines too, and with those that the session itself became",
    )
    parser.add_argument(
        "--tolerance",
        action="append",
        default=[],
        metavar="METRIC[/STATISTIC]=SIZE",
        help="another tolerance for gates of this metric, such as inter_token_latency/p50=5%%; can be given several times",
    )
    parser.add_argument(
        "--gate",
        action="append",
        default=[],
        metavar="METRIC[/STATISTIC]=SIZE",
        help="judge this cell, with this tolerance, in place of the gates of the session; can be given several times",
    )
    parser.add_argument("--check", action="store_true", help="exit code 1 exactly where a verdict differs from the recorded one")
    parser.add_argument("--strict", action="store_true", help="a case without a baseline fails")
    parser.add_argument(
        "--fail-on-suspect", action="store_true", help="a case fails that looks worse by more than its tolerance and was not decided"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write verdicts and differences as JSON")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write session.json, report.html and its other pages with the new verdicts")
    parser.add_argument("-v", "--verbose", action="store_true", help="list every case and every metric")
    parser.set_defaults(run=run_judge)


def run_judge(arguments: argparse.Namespace) -> int:
    """0, or 1 as the description says.

    :raises UsageError: for files and options that a person can correct.
    """
    from pytest_dynperf.session.closing import red
    from pytest_dynperf.session.pages import write_copy
    from pytest_dynperf.session.rejudged import rejudge
    from pytest_dynperf.session.session_files import read_sessions

    with telling("reading") as told:
        sessions = read_sessions(arguments.sessions, told=told)
    _refuse_own_directories(arguments.out, sessions)
    question = _question(arguments, sessions)
    with telling("judging") as told:
        judged = [rejudge(session, question, told=told) for session in sessions]
    several = len(judged) > 1
    for number, one in enumerate(judged):
        sys.stdout.write("\n" if number else "")
        _print(one, several=several, verbose=arguments.verbose)
    if arguments.json is not None:
        _write_json(arguments.json, judged)
    for one in judged if arguments.out is not None else ():
        home = arguments.out / f"{one.report.stamp}-{one.report.session_id}" if several else arguments.out
        sys.stdout.write(f"judged again: {write_copy(one.report, one.file.parent, home)}\n")
    if arguments.check:
        differing = sum(bool(one.differences) for one in judged)
        sys.stdout.write(f"\n{_checked(differing, len(judged))}\n")
        return INVALID if differing else 0
    failed = (red(one.report, strict=arguments.strict, open_suspect=arguments.fail_on_suspect) for one in judged)
    return INVALID if any(failed) else 0


def _checked(differing: int, judged: int) -> str:
    from pytest_dynperf.report.wording import counted

    if not differing:
        return f"checked: {counted(judged, 'session')}, no verdict differs from what was recorded"
    return f"checked: verdicts of {differing} of {counted(judged, 'session')} differ from what was recorded"


def _question(arguments: argparse.Namespace, sessions: Sequence[SessionFile]) -> Question:
    from pytest_dynperf.session.asked_cells import gates, parse, tolerances
    from pytest_dynperf.session.rejudged import Question

    results = [result for session in sessions for result in session.report.results]
    asked_gates = [parse(text, option="--gate") for text in arguments.gate]
    asked_tolerances = [parse(text, option="--tolerance") for text in arguments.tolerance]
    if asked_gates and asked_tolerances:
        msg = "--gate and --tolerance cannot be given together: a gate has a tolerance of its own"
        raise UsageError(msg)
    return Question(
        baselines=arguments.baselines,
        all_baselines=arguments.all_baselines,
        tolerances=tolerances(asked_tolerances, results),
        gates=gates(asked_gates, results) if asked_gates else None,
    )


def _refuse_own_directories(out: Path | None, sessions: Sequence[SessionFile]) -> None:
    taken = {session.file.parent.resolve(): session.file.parent for session in sessions}
    if out is not None and (out.resolve() in taken or (out / "session.json").exists()):
        msg = f"--out {out}: it holds a session, and a session is never changed. Choose another directory"
        raise UsageError(msg)


def _print(one: Rejudged, *, several: bool, verbose: bool) -> None:
    from shutil import get_terminal_size

    from pytest_dynperf.report.terminal import summary
    from pytest_dynperf.report.wrapping import printable

    width = get_terminal_size((100, 24)).columns
    lines = [f"{one.file}:"] if several else []
    lines += [line.text for line in summary(one.report, width=width, verbose=verbose)]
    lines += [f"not judged again: {note}" for note in one.notes]
    if one.differences:
        lines += [f"differs from what was recorded in {one.file}:", *(f"  {said(difference)}" for difference in one.differences)]
    sys.stdout.write("\n".join([*map(printable, lines), ""]))


def said(difference: Difference) -> str:
    """``suite/case inter_token_latency p50: outcome recorded unchanged, now regressed``."""
    cell = "" if difference.cell is None else f" {difference.cell}"
    return f"{difference.case}{cell}: {difference.name} recorded {difference.recorded}, now {difference.now}"


def _write_json(file: Path, judged: Sequence[Rejudged]) -> None:
    from pytest_dynperf.report.json_file import encode_session
    from pytest_dynperf.run_directory import write_atomically

    document = {
        "schema": 1,
        "sessions": [
            {
                "file": str(one.file),
                "differences": [
                    {
                        "case": difference.case,
                        "id": difference.cell.metric if difference.cell else None,
                        "statistic": difference.cell.statistic if difference.cell else None,
                        "what": difference.name,
                        "recorded": difference.recorded,
                        "now": difference.now,
                    }
                    for difference in one.differences
                ],
                "notes": list(one.notes),
                "session": encode_session(one.report),
            }
            for one in judged
        ],
    }
    write_atomically(file, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
