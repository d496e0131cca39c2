"""What a judged cell's change, interval, limit, tolerance and MDE say, on the scale that it was compared on.

Magnitudes change by per cent, rates by points of the rate (log odds are turned into points at the baseline's value), counts by so many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.quantity import Direction, Unit
from pytest_dynperf.report import wording
from pytest_dynperf.report.wording import ABSENT
from pytest_dynperf.verdict.verdict import CellVerdict, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.metrics.definition import Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A comparison on the axis of :mod:`~pytest_dynperf.report.interval_bar`: logarithms, + is worse. A point of a rate is drawn where a
    per cent of a magnitude is.
    """

    delta: float
    interval: tuple[float, float] | None
    tolerance: float
    limit: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The texts of one cell. ``change`` is delta with its interval, ``limit`` has the sign of the metric's own change, ``mde`` has none.
    ``drawn`` is ``None`` where nothing was compared, and for counts, which have no noise to draw.
    """

    change: str
    limit: str
    tolerance: str
    mde: str
    drawn: Drawn | None


def compared(cell: CellVerdict, means: Meaning | None) -> Compared:
    """``means`` is that of the cell's metric, ``None`` where nobody knows it. Texts of what is absent, or cannot be said, are ``–``."""
    if _is_count(cell, means):
        return _count(cell)
    if _is_rate(cell, means):
        return _rate(cell, means)
    direction = _direction(means)
    drawn = None
    if cell.delta is not None:
        drawn = Drawn(delta=cell.delta, interval=cell.interval, tolerance=cell.tolerance, limit=cell.limit)
    return Compared(
        change=wording.change_with_interval(cell.delta, cell.interval, direction),
        limit=wording.change(cell.limit, direction),
        tolerance=wording.percent(cell.tolerance),
        mde=wording.size(cell.mde, direction),
        drawn=drawn,
    )


def differences(cell: CellVerdict, means: Meaning | None) -> tuple[tuple[float, str], ...]:
    """Of each pair of a duet, in the order of measurement: candidate against control, as a place on the drawing's axis (+ is worse) and in
    words. Empty without pairs, and where a value is not positive and has no ratio.
    """
    pairs = list(zip(cell.values, cell.control_values, strict=False))
    sign = -1 if _direction(means) == Direction.HIGHER_IS_BETTER.value else 1
    if _is_count(cell, means):
        return ()
    if _is_rate(cell, means):
        return tuple((_on_axis(sign * (now - before)), _points(now - before)) for now, before in pairs)
    if any(value <= 0 for pair in pairs for value in pair):
        return ()
    logs = [sign * math.log(now / before) for now, before in pairs]
    return tuple((log, wording.change(log, _direction(means))) for log in logs)


def value_text(value: float | None, means: Meaning | None) -> str:
    """``5.87 ms``; counts are whole: ``3 requests``."""
    unit = None if means is None else means.unit.value
    if value is not None and means is not None and means.kind is Kind.COUNT:
        return f"{value:,.10g} {wording.unit_shown(unit)}"
    return wording.quantity(value, unit)


def values_text(values: Sequence[float], means: Meaning | None) -> str:
    """``6.55, 6.57, 6.61 ms``; counts are whole."""
    unit = None if means is None else means.unit.value
    if values and means is not None and means.kind is Kind.COUNT:
        return f"{', '.join(f'{value:,.10g}' for value in values)} {wording.unit_shown(unit)}"
    return wording.quantities(values, unit)


def _direction(means: Meaning | None) -> str | None:
    return None if means is None else means.direction.value


def _is_rate(cell: CellVerdict, means: Meaning | None) -> bool:
    return cell.scale is Scale.LOG_ODDS or (cell.scale is Scale.POINTS and means is not None and means.unit is Unit.RATIO)


def _is_count(cell: CellVerdict, means: Meaning | None) -> bool:
    return cell.scale is Scale.POINTS and not _is_rate(cell, means)


def _rate(cell: CellVerdict, means: Meaning | None) -> Compared:
    sign = -1 if _direction(means) == Direction.HIGHER_IS_BETTER.value else 1

    def points(worse: float | None) -> float | None:
        """A number of the judge's scale as the change of the rate itself, 0.01 being a point."""
        if worse is None or cell.scale is Scale.POINTS:
            return None if worse is None else sign * worse
        return _from_log_odds(sign * worse, cell.baseline)

    delta, limit, mde = points(cell.delta), points(cell.limit), points(cell.mde)
    ends = None if cell.interval is None else [points(end) for end in cell.interval]
    low, high = sorted(end for end in ends if end is not None) if ends is not None and None not in ends else (None, None)
    change = ABSENT if delta is None else f"{_points(delta)} points"
    drawn = None
    if delta is not None:
        worse = None if low is None or high is None else sorted((_on_axis(sign * low), _on_axis(sign * high)))
        drawn = Drawn(
            delta=_on_axis(sign * delta),
            interval=None if worse is None else (worse[0], worse[1]),
            tolerance=_on_axis(cell.tolerance),
            limit=None if limit is None else _on_axis(sign * limit),
        )
        if low is not None and high is not None:
            change += f" [{_points(low)}, {_points(high)}]"
    tolerance = f"{cell.tolerance * 100:.3g}"
    return Compared(
        change=change,
        limit=ABSENT if limit is None else f"{_points(limit)} points",
        tolerance=f"{tolerance} point" if tolerance == "1" else f"{tolerance} points",
        mde=ABSENT if mde is None else f"{_points(mde).lstrip('+−')} points",
        drawn=drawn,
    )


def _count(cell: CellVerdict) -> Compared:
    """A count must be equal: no limit, no MDE, and its change is plainly the difference, whatever direction it has."""
    change = ABSENT
    if cell.delta is not None and cell.candidate is not None and cell.baseline is not None:
        change = _signed(f"{cell.candidate - cell.baseline:,.10g}")
    return Compared(change=change, limit=ABSENT, tolerance="none, it must be equal", mde=ABSENT, drawn=None)


def _from_log_odds(difference: float, baseline: float | None) -> float | None:
    """The change of a rate that stands at ``baseline`` when its log odds change by ``difference``; ``None`` where it has no log odds."""
    if baseline is None or not 0 < baseline < 1:
        return None
    moved = math.log(baseline / (1 - baseline)) + difference
    after = 1 / (1 + math.exp(-moved)) if moved > -700 else 0.0
    return after - baseline


def _points(change: float) -> str:
    """``−3.1`` of -0.031; two decimals below one point."""
    points = change * 100
    return _signed(f"{points:.2f}" if abs(points) < 0.995 else f"{points:.1f}")


def _signed(number: str) -> str:
    if number.strip("-0.") == "":
        return number.lstrip("-")
    return f"−{number[1:]}" if number.startswith("-") else f"+{number}"


def _on_axis(points: float) -> float:
    """Where the axis names so many per cent: it is one of logarithms of ratios, alike on both sides."""
    return math.copysign(math.log1p(abs(points)), points)
