"""What the page's script unpacks when a case is opened: drawings over time, and of a large session the case itself. Pure.

Packed (gzip, base64) because a thousand cases would not fit into a page that opens at once; a data block is not run, so the policy of the
page holds.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from pytest_dynperf.report.course import broken, panels
from pytest_dynperf.report.thinning import stretches, thinned
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_dynperf.report.course import Line, Panel
    from pytest_dynperf.report.html_views import CaseView

POINTS = 240_000
"""Points of all drawings over time on a page together; each line has its share of them, at least 40 and at most 600."""
_LEVEL = 9

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
    """Plain JSON of a course for the script. ``of`` counts the readings of a line, ``x`` and ``y`` hold those that are drawn;
    a line without ``x`` has that of the line before.
    """
    return [
        {
            "run": run,
            "faults": [[round(begun, 3), round(ended, 3)] for begun, ended in faults],
            "panels": [_panel(panel, buckets) for panel in drawn],
        }
        for run, faults, drawn in course
    ]


def raw(view: CaseView) -> dict[str, object]:
    """What can be saved from the page beside what is drawn over time: values of each run of the judged cells, in the unit of files; all
    others are in ``session.json``.
    """
    result = view.result
    runs = result.measurement.runs if result.measurement else ()
    return {
        "case": result.case.name,
        "outcome": result.verdict.outcome.text,
        "runs": [run.name for run in runs],
        "cells": [
            {
                "id": cell.cell.metric,
                "statistic": cell.cell.statistic,
                "outcome": cell.outcome.text,
                "values": list(cell.values),
                "baseline": cell.baseline,
                "history": list(cell.history),
            }
            for cell in result.verdict.cells
        ],
    }


def share(lines: Sequence[int]) -> int:
    """Stretches of each line where cases have so many lines."""
    return stretches(sum(lines), POINTS)


def packed(contents: Sequence[tuple[str, dict[str, object]]]) -> str:
    """Contents by name as JSON, gzip, base64: safe within a page whatever they hold. Like stands beside like, which packs better: the JSON
    has a list for each key, and ``names`` for their order.
    """
    keys = dict.fromkeys(key for _, content in contents for key in content)
    columns = {"names": [name for name, _ in contents], **{key: [content.get(key) for _, content in contents] for key in keys}}
    return base64.b64encode(gzip.compress(_json(columns), _LEVEL, mtime=0)).decode()


def _json(value: object) -> bytes:
    """A server can send half surrogates, which UTF-8 has not: they are written out."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _panel(panel: Panel, buckets: int) -> dict[str, object]:
    lines: list[dict[str, object]] = []
    before: Line | None = None
    for line in panel.lines:
        x, y = thinned(line.at_s, line.values, buckets)
        # Lines of one page of metrics have the same times: said once, by the first of them.
        same = before is not None and len(x) == len(line.at_s) and np.array_equal(before.at_s, line.at_s)
        lines.append({"label": line.label, "of": len(line.at_s), **({} if same else {"x": _short(x, 4)}), "y": _short(y, 3)})
        before = line
    style = "dots" if panel.dots else "steps" if panel.steps else "lines"
    return {"title": panel.title, "unit": panel.unit, "group": panel.group, "style": style, "lines": lines}


def _short(values: NDArray[np.float64], digits: int) -> list[float] | list[int]:
    """Rounded to so many digits of the greatest value, which a drawing of this size cannot tell apart."""
    top = max(abs(float(values.max())), abs(float(values.min())))
    decimals = digits - 1 - math.floor(math.log10(top)) if top > 0 else 0
    if decimals <= 0:
        whole: list[int] = np.rint(values).astype(np.int64).tolist()
        return whole
    numbers: list[float] = np.round(values, decimals).tolist()
    return numbers
