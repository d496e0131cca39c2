"""``dynperf history``: how cases did over many sessions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.live_line import telling

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.session.history import CaseHistory, Trend


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``history``."""
    parser = subparsers.add_parser(
        "history",
        help="show how cases did over many sessions",
        description="Show the trend of each case over the sessions below DIR: levels, where they changed, and drift from the anchor among "
        "the baselines. It judges nothing. Change points need the extra: pip install 'pytest-dynperf[history]'.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="directory with run directories at any depth, session.json, or a store of baselines",
    )
    parser.add_argument(
        "--baselines", type=Path, metavar="DIR", help="accepted sessions to add, and anchors (default: where the newest session read them)"
    )
    parser.add_argument("--case", metavar="PATTERN", help="only cases whose SUITE/CASE or CASE fits this shell pattern")
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="METRIC[/STATISTIC]",
        help="show this in place of what gates name; can be given several times",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the trends as JSON")
    parser.set_defaults(run=run_history)


def run_history(arguments: argparse.Namespace) -> int:
    """Always 0: nothing is judged.

    :raises UsageError: for files and options that a person can correct.
    """
    from shutil import get_terminal_size

    from pytest_dynperf.command.history_text import history_lines
    from pytest_dynperf.session.history import cells_shown, read_history, selected

    with telling("reading") as told:
        histories = selected(read_history(arguments.paths, arguments.baselines, told=told), arguments.case)
    cells = cells_shown(histories, arguments.metric)
    with telling("looking for changes in") as told:
        trends = [_trends(history, shown, told) for history, shown in zip(histories, cells, strict=True)]
    width = max(40, min(get_terminal_size((100, 24)).columns, 120))
    sys.stdout.write("\n".join([*history_lines(histories, trends, width=width), ""]))
    if arguments.json is not None:
        _write_json(arguments.json, histories, trends)
    return 0


def _trends(history: CaseHistory, shown: Sequence[Cell], told: Callable[[str], None]) -> list[Trend]:
    from pytest_dynperf.session.history import trend

    told(history.case)
    return [trend(history, cell) for cell in shown]


def _write_json(file: Path, histories: Sequence[CaseHistory], trends: Sequence[Sequence[Trend]]) -> None:
    from pytest_dynperf.run_directory import write_atomically

    cases = [
        {
            "case": history.case,
            "environment": history.environment,
            "nights": len(history.nights),
            "invalid": history.invalid,
            "trends": [_trend(one) for one in found],
        }
        for history, found in zip(histories, trends, strict=True)
    ]
    write_atomically(file, json.dumps({"schema": 1, "cases": cases}, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _trend(one: Trend) -> dict[str, object]:
    return {
        "id": one.cell.metric,
        "statistic": one.cell.statistic,
        "unit": None if one.means is None else one.means.unit.value,
        "direction": None if one.means is None else one.means.direction.value,
        "stamps": list(one.stamps),
        "values": list(one.values),
        "outcomes": [None if outcome is None else outcome.text for outcome in one.outcomes],
        "changes": None
        if one.changes is None
        else [
            {"stamp": one.stamps[found.index], "before": found.before, "after": found.after, "delta": found.delta} for found in one.changes
        ],
        "changes_absent": one.why,
        "drift": None
        if one.drift is None
        else {
            "anchor": one.drift.anchor,
            "newest": one.drift.newest,
            "nights": one.drift.nights,
            "delta": one.drift.delta,
            "limit": one.drift.limit,
            "drifted": one.drift.crept,
        },
    }
