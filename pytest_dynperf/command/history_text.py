"""What ``dynperf history`` prints."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.report.meaning import label
from pytest_dynperf.report.scale_text import value_text
from pytest_dynperf.report.wording import change, counted, instant
from pytest_dynperf.report.wrapping import printable, wrapped
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.session.history import CaseHistory, Trend

BLOCKS = "▁▂▃▄▅▆▇█"
_LEAST_RANGE = 0.05
"""Nights within so much of each other, as a fraction of their median, never fill the height: noise must not look like mountains."""
_LONGEST = 60


def sparkline(values: Sequence[float], longest: int = _LONGEST) -> str:
    """One block per session, the newest ``longest`` of them; the height spans their range, and at least 5 % of their median."""
    shown = values[-longest:]
    if not shown:
        return ""
    middle, low, high = median(shown), min(shown), max(shown)
    room = max(0.0, _LEAST_RANGE * abs(middle) - (high - low)) / 2
    low, span = low - room, high - low + 2 * room
    if span <= 0:
        return BLOCKS[3] * len(shown)
    return "".join(BLOCKS[min(len(BLOCKS) - 1, math.floor((value - low) / span * len(BLOCKS)))] for value in shown)


def history_lines(histories: Sequence[CaseHistory], trends: Sequence[Sequence[Trend]], *, width: int) -> list[str]:
    """Each case with a table of its cells, and below it where levels changed and what drifted; last what could not be said."""
    lines: list[str] = []
    for history, found in zip(histories, trends, strict=True):
        lines += [*_heading(history, width), *_table(found, width), *(line for one in found for line in _findings(one, width)), ""]
    missing = dict.fromkeys(one.why for found in trends for one in found if one.why is not None)
    lines += [line for why in missing for line in wrapped(f"change points not looked for: {why}", width)]
    return [printable(line) for line in lines]


def _heading(history: CaseHistory, width: int) -> list[str]:
    nights = history.nights
    first, last = (instant(night.stamp)[:10] for night in (nights[0], nights[-1]))
    when = first if first == last else f"{first} to {last}"
    said = f"{history.case} in {history.environment}: {counted(len(nights), 'session')}, {when}"
    if history.invalid:
        said += f", {history.invalid} invalid left out"
    red = sum(night.outcome is Outcome.REGRESSED for night in nights)
    return wrapped(said + (f", {red} regressed" if red else ""), width)


def _table(trends: Sequence[Trend], width: int) -> list[str]:
    rows = [
        (label(one.cell), value_text(one.values[0], one.means), value_text(one.values[-1], one.means), _over_all(one))
        for one in trends
        if one.values
    ]
    if not rows:
        return ["  no session has a value of what is asked"]
    titles = ("metric", "first", "newest", "change")
    widths = [max(len(row[column]) for row in [*rows, titles]) for column in range(len(titles))]
    room = max(8, min(_LONGEST, width - 4 - sum(widths) - 2 * (len(widths) - 1)))
    lines = []
    drawn = [sparkline(one.values, room) for one in trends if one.values]
    for row, line in zip([titles, *rows], ["", *drawn], strict=True):
        lines.append("  " + "  ".join([*(text.ljust(size) for text, size in zip(row, widths, strict=True)), line]).rstrip())
    return lines


def _over_all(one: Trend) -> str:
    """The newest night against the first, as the metric's own change."""
    if one.values[0] <= 0 or one.values[-1] <= 0:
        return "–"
    return change(math.log(one.values[-1] / one.values[0]), None)


def _findings(one: Trend, width: int) -> list[str]:
    texts = []
    direction = None if one.means is None else one.means.direction.value
    for found in one.changes or ():
        before, after = value_text(found.before, one.means), value_text(found.after, one.means)
        worse = "worse" if found.delta > 0 else "better"
        texts.append(
            f"{label(one.cell)}: {worse} from {instant(one.stamps[found.index])} on: {before} → {after}, {change(found.delta, direction)}"
        )
    if one.drift is not None:
        anchor, newest = value_text(one.drift.anchor, one.means), value_text(one.drift.newest, one.means)
        verdict = "drifted" if one.drift.crept else "no drift shown"
        texts.append(
            f"{label(one.cell)}: {verdict} against the anchor: {anchor} → {newest} (last {counted(one.drift.nights, 'session')}), "
            f"{change(one.drift.delta, direction)}, limit {change(one.drift.limit, direction)}"
        )
    return [line for text in texts for line in wrapped(text, width, "  ")]
