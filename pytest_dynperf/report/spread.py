"""The distribution of a metric's values within the runs, now and of the baseline, by the percentiles that are kept. Picks; computes medians
over runs for a table, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.report import wording
from pytest_dynperf.report.chart import Chart, Series
from pytest_dynperf.report.meaning import unit_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.measurement.measurement import Distribution
    from pytest_dynperf.metrics.definition import Meaning

SHOWN = ("p50", "p90", "p95", "p99", "p99.9")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One metric. ``percentiles`` are (name, baseline, now), medians over the runs, as texts; the chart has one line a run."""

    metric: str
    chart: Chart
    percentiles: tuple[tuple[str, str, str], ...]
    has_baseline: bool


def spread(
    metric: str, name: str, now: Sequence[Distribution], baseline: Sequence[Distribution], meanings: Mapping[str, Meaning]
) -> Spread | None:
    """``None`` where no run of now has a distribution of ``metric``. Lines end at p99, or at what there is below it."""
    if not now:
        return None
    unit = unit_of(metric, meanings)
    shown = wording.unit_shown(unit)
    lines = (*(_line(one, unit, "baseline", 5, dashed=True) for one in baseline), *(_line(one, unit, "now", 0) for one in now))
    return Spread(
        metric=metric,
        has_baseline=bool(baseline),
        chart=Chart(
            title=f"distribution of {name}",
            description=f"One line a run, {len(now)} now and {len(baseline)} of the baseline: share of the values that are no larger.",
            x_label=f"{name}, {shown}",
            y_label="share of values, %",
            series=lines,
            x_from_zero=False,
        ),
        percentiles=tuple(
            (percentile, _median(baseline, percentile, unit), _median(now, percentile, unit))
            for percentile in SHOWN
            if any(percentile in one.percentiles for one in (*now, *baseline))
        ),
    )


def _median(found: Sequence[Distribution], percentile: str, unit: str | None) -> str:
    values = [one.percentiles[percentile] for one in found if percentile in one.percentiles]
    return wording.quantity(median(values) if values else None, unit)


def _line(one: Distribution, unit: str | None, label: str, style: int, *, dashed: bool = False) -> Series:
    points = [(one.minimum, 0.0)]
    points += [(value, float(name[1:])) for name, value in one.percentiles.items() if float(name[1:]) <= 99]
    if "p99" not in one.percentiles and "p95" not in one.percentiles:
        points.append((one.maximum, 100.0))
    line = tuple((wording.scaled(value, unit), share) for value, share in sorted(points, key=lambda point: point[1]))
    return Series(label=label, style=style, points=(), line=() if dashed else line, baseline=line if dashed else ())
