"""``dynperf compare``: what differs between two sessions, and how sure that is."""

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

    from pytest_dynperf.session.compared import CaseComparison, Compared
    from pytest_dynperf.session.session_files import SessionFile


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``compare``."""
    parser = subparsers.add_parser(
        "compare",
        help="compare two sessions, or several and one",
        description="Compare session B with session A, or with the sessions in the directory A as its baselines (of each case the ten "
        "newest). Two sessions alone cannot show a difference that is smaller than the MDE.",
        allow_abbrev=False,
    )
    parser.add_argument("before", type=Path, metavar="A", help="run directory, session.json, or a directory of several")
    parser.add_argument("now", type=Path, metavar="B", help="run directory or session.json")
    parser.add_argument(
        "--fail-on-regression",
        action="store_true",
        help="exit code 1 where a gated cell of B is worse by more than tolerance and noise, and where no gated cell could be compared",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the comparison as JSON")
    parser.add_argument("-v", "--verbose", action="store_true", help="list every metric")
    parser.set_defaults(run=run_compare)


def run_compare(arguments: argparse.Namespace) -> int:
    """0, or 1 as ``--fail-on-regression`` says.

    :raises UsageError: for files that a person can correct.
    """
    from shutil import get_terminal_size

    from pytest_dynperf.command.compare_text import comparison_lines
    from pytest_dynperf.session.compared import compare_sessions
    from pytest_dynperf.session.session_files import read_sessions

    with telling("reading") as told:
        now = _one(read_sessions([arguments.now], told=told), arguments.now)
        read = read_sessions([arguments.before], told=told)
    # The copy of a session that 'dynperf judge --out' wrote is no other session.
    found = {_identity(one): one for one in read}
    before = [one for identity, one in found.items() if identity != _identity(now)]
    if not before:
        msg = f"{arguments.before}: it holds no other session than B. Give two sessions"
        raise UsageError(msg)
    reports = [one.report for one in before]
    compared = compare_sessions(reports, now.report)
    width = get_terminal_size((100, 24)).columns
    lines = comparison_lines(reports, now.report, compared, width=max(40, min(width, 120)), verbose=arguments.verbose)
    sys.stdout.write("\n".join([*lines, ""]))
    if arguments.json is not None:
        _write_json(arguments.json, before, now, compared)
    decided = any(case.decided for case in compared.cases)
    return INVALID if arguments.fail_on_regression and (not decided or any(case.regressed for case in compared.cases)) else 0


def _identity(one: SessionFile) -> tuple[str, str]:
    return one.report.stamp, one.report.session_id


def _one(sessions: Sequence[SessionFile], path: Path) -> SessionFile:
    if len(sessions) > 1:
        msg = f"{path}: it holds {len(sessions)} sessions, and B is one. Give a run directory such as {sessions[-1].file.parent}"
        raise UsageError(msg)
    return sessions[0]


def _write_json(file: Path, before: Sequence[SessionFile], now: SessionFile, found: Compared) -> None:
    from pytest_dynperf.run_directory import write_atomically

    document = {
        "schema": 1,
        "a": [str(one.file) for one in before],
        "b": str(now.file),
        "only_in_a": list(found.only_a),
        "only_in_b": list(found.only_b),
        "cases": [_case(case) for case in found.cases],
    }
    write_atomically(file, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _case(case: CaseComparison) -> dict[str, object]:
    from pytest_dynperf.report.json_definition import encode_definitions
    from pytest_dynperf.report.json_verdict import encode_cell_verdict

    return {
        "case": case.case,
        "sessions_in_a": case.sessions,
        "problem": case.problem,
        "environment": {name: list(texts) for name, texts in case.environment.items()},
        "provenance": {name: list(texts) for name, texts in case.provenance.items()},
        "definitions": encode_definitions({cell.cell.metric for cell in case.cells}, case.meanings),
        "cells": [{"id": cell.cell.metric, "statistic": cell.cell.statistic, **encode_cell_verdict(cell)} for cell in case.cells],
    }
