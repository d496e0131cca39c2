"""How much of a window readings cover, and for how long a condition held between them. Pure."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.series import Series

REACH_INTERVALS = 2.0
"""How far a reading reaches to either side: a driver that leaves out three readings in a row is slow, and not silent."""
REACH_AT_LEAST_NS = 500_000_000


class Spell(NamedTuple):
    """When something began and ended for the first and last time in a window, in s from its start, and how long it held in all."""

    first_s: float
    last_s: float
    total_s: float

    def text(self, duration_s: float) -> str:
        """``for 3.5 s of 60 s, between 12.0 s and 20.1 s after the start of the window``."""
        where = f"between {max(0.0, self.first_s):.1f} s and {self.last_s:.1f} s after the start of the window"
        return f"for {self.total_s:.1f} s of {duration_s:.1f} s, {where}"


def uncovered_share(stamps_ns: Sequence[int], recording: Recording, *, usual_of: Sequence[int] = ()) -> float:
    """The part of the window that no reading reaches: each reaches two usual intervals to either side, and 0.5 s at least.

    ``usual_of``: stamps whose distance is the usual one, where it is not that of ``stamps_ns``.
    """
    begin, end = recording.window_start_ns, recording.window_end_ns
    if not stamps_ns:
        return 1.0
    if end <= begin:
        return 0.0
    usual = usual_of or stamps_ns
    steps = [later - earlier for earlier, later in pairwise(usual)]
    reach = max(REACH_INTERVALS * median(steps) if steps else 0.0, REACH_AT_LEAST_NS)
    missing, covered = 0.0, float(begin)
    for stamp in stamps_ns:
        missing += max(0.0, min(stamp - reach, end) - covered)
        covered = max(covered, stamp + reach)
    return (missing + max(0.0, end - covered)) / (end - begin)


def spell(series: Series, recording: Recording, holds: Callable[[float], bool]) -> Spell | None:
    """Over the readings in the window and the one before it; each stands until the next one, the last until the window's end."""
    begin, end = recording.window_start_ns, recording.window_end_ns
    total, first, last = 0.0, None, 0.0
    for number, (stamp, value) in enumerate(zip(series.stamps_ns, series.values, strict=True)):
        until = series.stamps_ns[number + 1] if number + 1 < len(series.stamps_ns) else max(end, stamp)
        if until <= begin or stamp > end or not holds(value):
            continue
        since, to = max(stamp, begin), min(until, end)
        first = since if first is None else first
        last = to
        total += to - since
    return None if first is None else Spell((first - begin) / 1e9, (last - begin) / 1e9, total / 1e9)


def within(series: Series, recording: Recording) -> tuple[float, ...]:
    """The values whose readings lie in the window."""
    pairs = zip(series.stamps_ns, series.values, strict=True)
    return tuple(value for stamp, value in pairs if recording.window_start_ns <= stamp <= recording.window_end_ns)
