"""How metrics are made of what services say: values, parts of rates, and definitions with the priors that all of them share.

Over the phase window, from readings taken about once a second. Whatever else the server did meanwhile is in them, surrounding requests
first of all. Over all services that state a series, unless the formula says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.metrics.definition import Kind, MetricDefinition
from pytest_dynperf.metrics.over_window import both, histogram_mean, of_id, total
from pytest_dynperf.quantity import Absent, Direction, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.series import Series

    Value = Callable[[Recording, RunFacts], float | Absent]
    Parts = Callable[[Recording, RunFacts], tuple[float, float] | Absent]

ONE_POINT, TWO_POINTS = 0.04, 0.08
"""Log odds of sessions that scatter by one or two points around one half (p(1 - p) = 1/4 there). A guess, as every prior: which tokens a
draft gets right depends on the prompts alone, so one point; what is still in a cache depends on what happened to be evicted, and where the
router sent a request on what was in flight, so two.
"""


def mean_of(*series_ids: str) -> Value:
    """Of the first of the histograms that a service states."""

    def value(recording: Recording, _facts: RunFacts) -> float | Absent:
        return histogram_mean(recording, _first_stated(recording, series_ids, part=ids.COUNT))

    return value


def parts_of(part: str, whole: str) -> Parts:
    """Increase of ``part`` and increase of ``whole``."""

    def parts(recording: Recording, _facts: RunFacts) -> tuple[float, float] | Absent:
        return both(recording, part, whole)

    return parts


def increase_of(*series_ids: str) -> Value:
    """Of all of ``series_ids`` together. Absent where one of them is."""

    def value(recording: Recording, _facts: RunFacts) -> float | Absent:
        summed = 0.0
        for series_id in series_ids:
            found = total(recording, series_id)
            if isinstance(found, Absent):
                return found
            summed += found.value
        return summed

    return value


def rate_of(*series_ids: str) -> Value:
    """Increase of the first that a service states / length of the window."""

    def value(recording: Recording, _facts: RunFacts) -> float | Absent:
        found = total(recording, _first_stated(recording, series_ids))
        return found if isinstance(found, Absent) else found.value / recording.duration_s

    return value


def gauge_of(
    series_id: str, over: Callable[[Series, int, int], float | Absent], combine: Callable[[Sequence[float]], float | np.floating]
) -> Value:
    """``over`` of each series of a gauge, and ``combine`` of these. Absent where one of them is."""

    def value(recording: Recording, _facts: RunFacts) -> float | Absent:
        found = of_id(recording, series_id)
        if isinstance(found, Absent):
            return found
        parts = []
        for series in found:
            part = over(series, recording.window_start_ns, recording.window_end_ns)
            if isinstance(part, Absent):
                return part
            parts.append(part)
        return float(combine(parts))

    return value


def _first_stated(recording: Recording, series_ids: Sequence[str], part: str = "") -> str:
    stated = {series.id for series in recording.series}
    return next((series_id for series_id in series_ids if series_id + part in stated), series_ids[0])


def definition(
    name: str, unit: Unit, direction: Direction, *, formula: str, source: str, value: Value, kind: Kind = Kind.MAGNITUDE
) -> MetricDefinition:
    """One value per run."""
    return MetricDefinition(
        id=f"{name}.v1",
        unit=unit,
        direction=direction,
        formula=formula,
        source=f"Prometheus: {source}",
        prior_sd=0.04,
        kind=kind,
        value=value,
    )


def rate(name: str, *, formula: str, source: str, parts: Parts, prior_sd: float = TWO_POINTS) -> MetricDefinition:
    """A rate of which more is better."""

    def value(recording: Recording, facts: RunFacts) -> float | Absent:
        found = parts(recording, facts)
        return found if isinstance(found, Absent) else found[0] / found[1]

    return MetricDefinition(
        id=f"{name}.v1",
        unit=Unit.RATIO,
        direction=Direction.HIGHER_IS_BETTER,
        formula=formula,
        source=f"Prometheus: {source}",
        prior_sd=prior_sd,
        kind=Kind.RATE,
        value=value,
        parts=parts,
    )


def count(name: str, unit: Unit, *, formula: str, source: str, value: Value, direction: Direction = Direction.NEITHER) -> MetricDefinition:
    """A whole number of events, shown and not judged unless its direction says which way is worse."""
    return definition(name, unit, direction, formula=formula, source=source, value=value, kind=Kind.COUNT)
