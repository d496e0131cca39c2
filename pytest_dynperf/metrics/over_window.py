"""What readings taken now and then amount to over the phase window. Pure.

A counter stands at the ends of the window where a straight line between its readings passes them: true within what it rose by between the
two readings around each end, and that bound goes with the value. A gauge is taken to move straight from one reading to the next. Either
needs two readings within the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pytest_dynperf.metrics.series_ids import BUCKET, COUNT, SUM
from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.series import Series

LEAST_READINGS = 2
LEAST_COVER = 0.9
"""Share of the window over which a gauge must have been read."""


class Increase(NamedTuple):
    """By how much a counter rose over the window; surely not less than ``lowest`` and not more than ``highest``."""

    value: float
    lowest: float
    highest: float


def of_id(recording: Recording, series_id: str) -> tuple[Series, ...] | Absent:
    """All series of an id, over all services."""
    found = tuple(series for series in recording.series if series.id == series_id)
    if found:
        return found
    if not recording.series:
        return Absent("no server metrics were read during the run")
    return Absent(f"no service that was asked states it ({series_id.removesuffix(SUM).removesuffix(COUNT).removesuffix(BUCKET)})")


def increase(series: Series, start_ns: int, end_ns: int) -> Increase | Absent:
    """Of a counter, from ``start_ns`` to ``end_ns``. Absent unless readings lie on both sides of the window and two within it."""
    stamps, values = _columns(series)
    if (few := _too_few(series, stamps, start_ns, end_ns)) is not None:
        return few
    if stamps[0] > start_ns or stamps[-1] < end_ns:
        late, early = max(0.0, (stamps[0] - start_ns) / 1e9), max(0.0, (end_ns - stamps[-1]) / 1e9)
        return Absent(f"the readings of {series.source} begin {late:.3g} s after the window does, and end {early:.3g} s before it")
    after, before = np.searchsorted(stamps, start_ns, side="left"), np.searchsorted(stamps, end_ns, side="right") - 1
    outer = np.searchsorted(stamps, end_ns, side="left"), np.searchsorted(stamps, start_ns, side="right") - 1
    ends = np.interp(np.array([start_ns, end_ns], dtype=np.float64) - stamps[0], stamps - stamps[0], values)
    return Increase(float(ends[1] - ends[0]), float(values[before] - values[after]), float(values[outer[0]] - values[outer[1]]))


def total(recording: Recording, series_id: str) -> Increase | Absent:
    """The increase of all series of an id over the phase window. Absent where one of them is: a sum that lacks a worker is no sum."""
    found = of_id(recording, series_id)
    if isinstance(found, Absent):
        return found
    parts = []
    for series in found:
        part = increase(series, recording.window_start_ns, recording.window_end_ns)
        if isinstance(part, Absent):
            return part
        parts.append(part)
    value, lowest, highest = (sum(column) for column in zip(*parts, strict=True))
    return Increase(value, lowest, highest)


def both(recording: Recording, part: str, whole: str) -> tuple[float, float] | Absent:
    """Increase of ``part`` and increase of ``whole``. Absent where ``whole`` did not rise."""
    of_part, of_whole = total(recording, part), total(recording, whole)
    if isinstance(of_whole, Absent):
        return of_whole
    if isinstance(of_part, Absent):
        return of_part
    return (of_part.value, of_whole.value) if of_whole.value > 0 else Absent(f"{whole} did not rise within the window")


def ratio(recording: Recording, part: str, whole: str) -> float | Absent:
    """Increase of ``part`` / increase of ``whole``. Absent where ``whole`` did not rise."""
    found = both(recording, part, whole)
    return found if isinstance(found, Absent) else found[0] / found[1]


def histogram_mean(recording: Recording, series_id: str) -> float | Absent:
    """Increase of the sum / increase of the count. Exact but for the ends of the window."""
    return ratio(recording, series_id + SUM, series_id + COUNT)


def quantile_estimate(recording: Recording, series_id: str, q: float) -> float | Absent:
    """The ``q`` quantile (0 to 1), as if values lay evenly within each bucket: no better than the bounds of the bucket that it falls into.

    Absent where the histogram counted nothing, and where the quantile lies above the largest bound.
    """
    found = of_id(recording, series_id + BUCKET)
    if isinstance(found, Absent):
        return found
    counts: dict[float, float] = {}
    for series in found:
        part = increase(series, recording.window_start_ns, recording.window_end_ns)
        if isinstance(part, Absent):
            return part
        bound = float(dict(series.labels)["le"])
        counts[bound] = counts.get(bound, 0.0) + part.value
    bounds = np.array(sorted(counts))
    cumulative = np.maximum.accumulate(np.array([counts[bound] for bound in bounds]))
    if cumulative[-1] <= 0:
        return Absent(f"{series_id} counted nothing within the window")
    place = int(np.searchsorted(cumulative, q * cumulative[-1], side="left"))
    if not np.isfinite(bounds[place]):
        return Absent(
            f"the quantile lies above {bounds[place - 1]:g}, the largest bound of the histogram" if place else "it has one bucket"
        )
    below, low = (cumulative[place - 1], bounds[place - 1]) if place else (0.0, min(0.0, bounds[0]))
    share = (q * cumulative[-1] - below) / (cumulative[place] - below) if cumulative[place] > below else 1.0
    return float(low + share * (bounds[place] - low))


def time_mean(series: Series, start_ns: int, end_ns: int) -> float | Absent:
    """Of a gauge: the area under the line through its readings / the time that they cover of the window, at least 90 % of it."""
    stamps, values = _columns(series)
    if (few := _too_few(series, stamps, start_ns, end_ns)) is not None:
        return few
    first, last = max(start_ns, int(stamps[0])), min(end_ns, int(stamps[-1]))
    if last - first < LEAST_COVER * (end_ns - start_ns):
        return Absent(
            f"the readings of {series.source} cover {(last - first) / 1e9:.3g} s of the window ({(end_ns - start_ns) / 1e9:.3g} s), "
            f"needed are {LEAST_COVER:.0%}"
        )
    inside = stamps[(stamps > first) & (stamps < last)]
    at = np.concatenate([[first], inside, [last]]) - stamps[0]
    return float(np.trapezoid(np.interp(at, stamps - stamps[0], values), at) / (last - first))


def largest(series: Series, start_ns: int, end_ns: int) -> float | Absent:
    """Of a gauge: the largest reading within the window; between readings it may have been larger."""
    stamps, values = _columns(series)
    few = _too_few(series, stamps, start_ns, end_ns)
    return few if few is not None else float(values[(stamps >= start_ns) & (stamps <= end_ns)].max())


def _columns(series: Series) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return np.array(series.stamps_ns, dtype=np.int64), np.array(series.values, dtype=np.float64)


def _too_few(series: Series, stamps: NDArray[np.int64], start_ns: int, end_ns: int) -> Absent | None:
    within = int(((stamps >= start_ns) & (stamps <= end_ns)).sum())
    if within >= LEAST_READINGS:
        return None
    return Absent(
        f"{series.source} was read {within} times within the window of {(end_ns - start_ns) / 1e9:.3g} s, needed are {LEAST_READINGS}"
    )
