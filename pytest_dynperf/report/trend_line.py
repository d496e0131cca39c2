"""One metric of a case over many sessions as inline SVG: a dot a session, in the colour of its outcome; where the level changed, a line."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _HEIGHT, _EDGE = 420.0, 72.0, 8.0
_LEAST_RANGE = 0.05
"""Sessions within so much of each other, as a fraction of their median, never fill the height: noise must not look like mountains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """``kind`` is the class of its outcome, empty where none is known; ``words`` are shown when it is pointed at."""

    value: float
    kind: str
    words: str


def trend_line(dots: Sequence[Dot], *, words: str, changes: Sequence[int] = ()) -> Markup:
    """The drawing; ``words`` say it to whoever does not see it. ``changes`` are places in ``dots`` at which a new level begins."""
    values = [dot.value for dot in dots]
    low, high = min(values), max(values)
    room = max(0.0, _LEAST_RANGE * abs(median(values)) - (high - low)) / 2
    low, span = low - room, high - low + 2 * room

    def x(place: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * (place / (len(dots) - 1) if len(dots) > 1 else 0.5)

    def y(value: float) -> float:
        return _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * ((value - low) / span if span > 0 else 0.5)

    line = " ".join(f"{x(place):.1f},{y(dot.value):.1f}" for place, dot in enumerate(dots))
    marks = Markup("").join(
        Markup('<line class="change" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(f"{x(place - 0.5):.1f}", f"{_HEIGHT:.0f}")
        for place in changes
    )
    points = Markup("").join(
        Markup('<circle class="{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>').format(
            dot.kind, f"{x(place):.1f}", f"{y(dot.value):.1f}", "4" if place == len(dots) - 1 else "2.5", dot.words
        )
        for place, dot in enumerate(dots)
    )
    return Markup('<svg class="trend" role="img" viewBox="0 0 {} {}" aria-label="{}"><polyline points="{}"/>{}{}</svg>').format(
        f"{_WIDTH:.0f}", f"{_HEIGHT:.0f}", words, line, marks, points
    )
