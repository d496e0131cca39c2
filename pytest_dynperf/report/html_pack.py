"""What the page's script unpacks when a case is opened: drawings over time, and of a large session the case itself. Pure.

Packed (gzip, base64) because a thousand cases would not fit into a page that opens at once; a data block is not run, so the policy of the
page holds.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.report.course import broken, panels
from pytest_dynperf.report.thinning import stretches, thinned
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_dynperf.report.course import Panel
    from pytest_dynperf.report.html_views import CaseView

POINTS = 240_000
"""Points of all drawings over time on a page together; each line has its share of them, at least 48 and at most 600."""
_LEVEL = 6

Course = list[tuple[str, tuple[tuple[float, float], ...], list["Panel"]]]


def courses(view: CaseView) -> Course:
    """The runs of a case: name, when a fault was active, what is drawn. Of an invalid run, and of all runs of an invalid case, nothing that
    metrics are made of.
    """
    result = view.result
    sessions = [session for session in (result.measurement, result.confirmation) if session is not None]
    valid = {run.name for session in sessions for run in session.runs if not run.problems}
    if result.verdict.outcome is Outcome.INVALID:
        valid = set()
    found = []
    for run in view.drilldown.runs:
        drawn = [panel for panel in panels(run) if run.run in valid or not panel.measured]
        if drawn:
            found.append((run.run, broken(run), drawn))
    return found


def line_count(course: Course) -> int:
    """Lines in all drawings of a case."""
    return sum(len(panel.lines) for _, _, drawn in course for panel in drawn)


def drawings(course: Course, buckets: int) -> list[dict[str, object]]:
    """Plain JSON of a course for the script. ``of`` counts the readings of a line, ``x`` and ``y`` hold those that are drawn."""
    return [
        {
            "run": run,
            "faults": [[round(begun, 3), round(ended, 3)] for begun, ended in faults],
            "panels": [_panel(panel, buckets) for panel in drawn],
        }
        for run, faults, drawn in course
    ]


def raw(view: CaseView) -> dict[str, object]:
    """What can be saved from the page beside what is drawn over time: values of each run by metric and statistic, in the unit of files."""
    result = view.result
    runs = result.measurement.runs if result.measurement else ()
    return {
        "case": result.case.name,
        "outcome": result.verdict.outcome.text,
        "runs": [
            {"name": run.name, "values": [[cell.metric, cell.statistic, value] for cell, value in run.values.items()]} for run in runs
        ],
    }


def share(lines: Sequence[int]) -> int:
    """Stretches of each line where cases have so many lines."""
    return stretches(sum(lines), POINTS)


def packed(content: dict[str, object]) -> str:
    """``content`` as JSON, gzip, base64: safe within a page whatever it holds."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
    return base64.b64encode(gzip.compress(text, _LEVEL, mtime=0)).decode()


def _panel(panel: Panel, buckets: int) -> dict[str, object]:
    lines = []
    for line in panel.lines:
        x, y = thinned(line.at_s, line.values, buckets)
        lines.append({"label": line.label, "of": len(line.at_s), "x": _short(x, 4), "y": _short(y, 4)})
    style = "dots" if panel.dots else "steps" if panel.steps else "lines"
    return {"title": panel.title, "unit": panel.unit, "group": panel.group, "style": style, "lines": lines}


def _short(values: NDArray[np.float64], digits: int) -> list[float] | list[int]:
    """Rounded to so many digits of the greatest value: finer than a screen shows."""
    top = float(np.max(np.abs(values), initial=0.0))
    decimals = digits - 1 - int(np.floor(np.log10(top))) if top > 0 else 0
    rounded = np.round(values, max(0, decimals))
    if decimals <= 0:
        whole: list[int] = rounded.astype(np.int64).tolist()
        return whole
    numbers: list[float] = rounded.tolist()
    return numbers
