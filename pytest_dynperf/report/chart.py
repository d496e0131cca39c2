"""Drawings as inline SVG. Pure: numbers and labels in, markup out; the page's style sheet gives the colours by class.

No ``style`` attribute is written: the page's content security policy forbids them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Point = tuple[float, float]

SERIES_STYLES = 6
"""Classes ``s0`` to ``s5`` of the style sheet; further series begin again."""
_WIDTH, _HEIGHT = 460.0, 270.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 18.0, 12.0, 44.0
_TICKS = 5
_MAX_NAMED_TICKS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """``points`` are single runs, ``line`` the medians, ``baseline`` those of the baseline; each as (x, y). ``notes``: texts at places.

    ``line`` and ``baseline`` hold ``None`` where a case has no such value: the line is broken there.
    """

    label: str
    style: int
    points: tuple[Point, ...]
    line: tuple[Point | None, ...] = ()
    baseline: tuple[Point | None, ...] = ()
    notes: tuple[tuple[float, float, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """``x_doubling`` draws x by powers of two and names the values that occur; without ``x_from_zero`` it begins at the least one.
    ``frontier``: places that no other is above and to the right of, from left to right, drawn as steps.
    """

    title: str
    description: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_doubling: bool = False
    x_from_zero: bool = True
    frontier: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    doubling: bool

    def __call__(self, value: float) -> float:
        low, high, at = (math.log2(v) for v in (self.low, self.high, value)) if self.doubling else (self.low, self.high, value)
        return self.start + (self.end - self.start) * ((at - low) / (high - low) if high > low else 0.5)


def draw(chart: Chart, *, anchor: str) -> Markup:
    """The chart as one ``<svg role="img">`` with title and description. ``anchor`` makes the ids of both unique within a page.

    :raises ValueError: when no series has a point: a chart of nothing must not be drawn.
    """
    everything = [point for series in chart.series for point in (*series.points, *series.line, *series.baseline) if point is not None]
    if not everything:
        msg = f"chart {chart.title!r} has no point"
        raise ValueError(msg)
    xs = [x for x, _ in everything]
    top = max(y for _, y in everything)
    ticks_y = nice_ticks(top)
    x = _Scale(min(xs) if chart.x_doubling else 0.0, max(xs), _LEFT, _WIDTH - _RIGHT, chart.x_doubling)
    if not chart.x_doubling:
        ends = (0.0, nice_ticks(max(xs))[-1]) if chart.x_from_zero else _roomy(min(xs), max(xs))
        x = _Scale(*ends, _LEFT, _WIDTH - _RIGHT, doubling=False)
    y = _Scale(0.0, ticks_y[-1], _HEIGHT - _BOTTOM, _TOP, doubling=False)
    named_x = [(value, _tick_text(value)) for value in _thinned(sorted(set(xs)))] if chart.x_doubling else axis_ticks(x.low, x.high)
    return Markup("").join(
        [
            Markup(
                '<svg class="chart" role="img" viewBox="0 0 {0} {1}" aria-labelledby="{2}-t {2}-d">'
                '<title id="{2}-t">{3}</title><desc id="{2}-d">{4}</desc>'
            ).format(_WIDTH, _HEIGHT, anchor, chart.title, chart.description),
            *(_tick_y(y(tick), _tick_text(tick)) for tick in ticks_y),
            *(_tick_x(x(tick), text) for tick, text in named_x),
            Markup('<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
                (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, chart.x_label
            ),
            Markup('<text class="axis" transform="translate(13 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>').format(
                (_TOP + _HEIGHT - _BOTTOM) / 2, chart.y_label
            ),
            _steps([(x(px), y(py)) for px, py in chart.frontier]),
            *(_series(series, x, y) for series in chart.series),
            Markup("</svg>"),
        ]
    )


def nice_ticks(top: float) -> list[float]:
    """Round steps from 0 to at least ``top``: 1, 2, 2.5 or 5 times a power of ten."""
    if top <= 0:
        return [0.0, 1.0]
    raw = top / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    return [step * index for index in range(math.ceil(top / step - 1e-9) + 1)]


def axis_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round places from ``low`` to ``high``, with as many decimals as tell them apart."""
    step = nice_ticks(high - low)[1]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) + (1 if f"{step:e}".startswith("2.5") and step < 10 else 0)
    first = math.ceil(low / step - 1e-9)
    return [(index * step, f"{index * step:,.{decimals}f}") for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _roomy(low: float, high: float) -> tuple[float, float]:
    room = max((high - low) * 0.04, abs(high) * 1e-3, 1e-9)
    return low - room, high + room


def _tick_text(value: float) -> str:
    return f"{value:,.10g}"


def _thinned(values: Sequence[float]) -> list[float]:
    step = math.ceil(len(values) / _MAX_NAMED_TICKS)
    return list(values[::step])


def _tick_y(at: float, text: str) -> Markup:
    return Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
    ).format(_LEFT, _WIDTH - _RIGHT, at, at, _LEFT - 6, at + 4, text)


def _tick_x(at: float, text: str) -> Markup:
    return Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(at, _HEIGHT - _BOTTOM + 17, text)


def _steps(places: Sequence[Point]) -> Markup:
    """Down as soon as a place is passed, then right to the next: between two places nobody came higher than the second."""
    if len(places) < 2:
        return Markup("")
    corners = [places[0]]
    for before, after in pairwise(places):
        corners += [(before[0], after[1]), after]
    return Markup('<polyline class="frontier" points="{}"/>').format(" ".join(f"{at_x:.1f},{at_y:.1f}" for at_x, at_y in corners))


def _series(series: Series, x: _Scale, y: _Scale) -> Markup:
    parts = [Markup('<g class="s{}">').format(series.style % SERIES_STYLES)]
    for kind, line in (("baseline", series.baseline), ("median", series.line)):
        for piece in _pieces(line):
            places = [(x(px), y(py)) for px, py in piece]
            if len(places) == 1:
                ((at_x, at_y),) = places
                places = [(at_x - 9, at_y), (at_x + 9, at_y)]
            path = " ".join(f"{at_x:.1f},{at_y:.1f}" for at_x, at_y in places)
            parts.append(Markup('<polyline class="{}" points="{}"/>').format(kind, path))
    parts += [mark(series.style, x(px), y(py)) for px, py in series.points]
    parts += [
        Markup('<text class="note" x="{:.1f}" y="{:.1f}">{}</text>').format(x(px) + 7, y(py) + 4, text) for px, py, text in series.notes
    ]
    return Markup("").join([*parts, Markup("</g>")])


def _pieces(line: Sequence[Point | None]) -> list[list[Point]]:
    """The unbroken parts of a line."""
    pieces: list[list[Point]] = [[]]
    for point in line:
        if point is None:
            pieces.append([])
        else:
            pieces[-1].append(point)
    return [piece for piece in pieces if piece]


def mark(style: int, at_x: float, at_y: float) -> Markup:
    """The mark of a series: its shape differs as well as its colour."""
    r = 3.2
    match style % SERIES_STYLES:
        case 0:
            return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(at_x, at_y, r)
        case 1:
            return Markup('<rect x="{:.1f}" y="{:.1f}" width="{}" height="{}"/>').format(at_x - r, at_y - r, 2 * r, 2 * r)
        case 2:
            return polygon(at_x, at_y, ((0, -4.4), (4.4, 0), (0, 4.4), (-4.4, 0)))
        case 3:
            return polygon(at_x, at_y, ((0, -4.2), (4.0, 3.2), (-4.0, 3.2)))
        case 4:
            return polygon(at_x, at_y, ((0, 4.2), (4.0, -3.2), (-4.0, -3.2)))
        case _:
            return polygon(at_x, at_y, ((-4, -1.3), (4, -1.3), (4, 1.3), (-4, 1.3)))


def polygon(at_x: float, at_y: float, corners: Iterable[Point]) -> Markup:
    """A filled shape; ``corners`` are offsets from its place."""
    return Markup('<polygon points="{}"/>').format(" ".join(f"{at_x + dx:.1f},{at_y + dy:.1f}" for dx, dy in corners))


def swatch(style: int) -> Markup:
    """Line and mark of a series, for a legend."""
    return Markup(
        '<svg class="swatch s{}" viewBox="0 0 26 12" width="26" height="12" aria-hidden="true">'
        '<polyline class="median" points="1,6 25,6"/>{}</svg>'
    ).format(style % SERIES_STYLES, mark(style, 13, 6))
