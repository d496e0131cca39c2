"""Change and interval against the tolerance, drawn on one axis for a whole table. Pure, inline SVG, colours by class as in ``chart``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup

from pytest_dynperf.report.chart import polygon

if TYPE_CHECKING:
    from collections.abc import Iterable

_BAR_WIDTH, _BAR_HEIGHT = 176, 24
_MIN_EXTENT, _MAX_EXTENT = math.log(1.06), math.log(1.30)


def extent_of(intervals: Iterable[tuple[float, float]]) -> float:
    """Half the common axis of a table's intervals: as far as the farthest end reaches, within 6 and 30 % (logarithm of the ratio)."""
    farthest = max((abs(end) for interval in intervals for end in interval), default=0.0)
    return min(_MAX_EXTENT, max(_MIN_EXTENT, farthest * 1.1))


def interval_bar(
    delta: float, interval: tuple[float, float] | None, *, tolerance: float, limit: float | None, extent: float, kind: str, words: str
) -> Markup:
    """Change and interval against the tolerance on an axis from ``-extent`` to ``+extent``, worse to the right; all as logarithms.

    An end beyond the axis is drawn as an arrow. ``kind`` is the class of the outcome, ``words`` what the drawing says.
    """
    low, high = interval if interval is not None else (delta, delta)
    band = _at(tolerance, extent) - _at(-tolerance, extent)
    middle = _BAR_HEIGHT / 2
    parts = [
        Markup('<svg class="bar {}" role="img" viewBox="0 0 {} {}" width="{}" height="{}"><title>{}</title>').format(
            kind, _BAR_WIDTH, _BAR_HEIGHT, _BAR_WIDTH, _BAR_HEIGHT, words
        ),
        Markup('<rect class="band" x="{:.1f}" y="2" width="{:.1f}" height="{}"/>').format(_at(-tolerance, extent), band, _BAR_HEIGHT - 4),
        Markup('<line class="zero" x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1}"/>').format(_at(0, extent), _BAR_HEIGHT),
        Markup('<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(
            _at(low, extent), _at(high, extent), middle, middle
        ),
    ]
    if limit is not None and abs(limit) <= extent:
        parts.append(Markup('<line class="limit" x1="{0:.1f}" x2="{0:.1f}" y1="2" y2="{1}"/>').format(_at(limit, extent), _BAR_HEIGHT - 2))
    if high > extent:
        parts.append(polygon(_BAR_WIDTH - 5, middle, ((0, -5), (5, 0), (0, 5))))
    if low < -extent:
        parts.append(polygon(5, middle, ((0, -5), (-5, 0), (0, 5))))
    if abs(delta) <= extent:
        parts.append(Markup('<circle cx="{:.1f}" cy="{}" r="4"/>').format(_at(delta, extent), middle))
    return Markup("").join([*parts, Markup("</svg>")])


def interval_axis(extent: float) -> Markup:
    """The axis that a column of :func:`interval_bar` shares, with the changes it names (a ratio of 1.1 is 10 %)."""
    named = [ratio for ratio in (1.05, 1.1, 1.2) if math.log(ratio) < extent * 0.9]
    parts = [
        Markup('<svg class="bar-axis" role="img" viewBox="0 0 {0} 30" width="{0}" height="30"><title>{1}</title>').format(
            _BAR_WIDTH, "axis of the change: worse to the right"
        ),
        Markup('<text x="0" y="11">← better</text><text x="{}" y="11" text-anchor="end">worse →</text>').format(_BAR_WIDTH),
    ]
    for ratio in named[-1:]:
        for sign in (-1, 1):
            at = _at(sign * math.log(ratio), extent)
            parts.append(Markup('<text class="tick" x="{:.1f}" y="27" text-anchor="middle">{:.0f} %</text>').format(at, (ratio - 1) * 100))
    parts.append(Markup('<text class="tick" x="{:.1f}" y="27" text-anchor="middle">0</text></svg>').format(_at(0, extent)))
    return Markup("").join(parts)


def _at(value: float, extent: float) -> float:
    """Place on the bar; beyond the axis its edge."""
    inside = max(-extent, min(extent, value))
    return float(_BAR_WIDTH / 2 + inside / extent * (_BAR_WIDTH / 2 - 1))
