"""Trend over nights: where a level changed for good, and whether many small changes came to a large one.

Both annotate and decide nothing: the rolling baseline follows a creep, and a verdict sees one night. Everything is in natural logarithms,
signed so that + is worse, and never clipped: to clip a night is to decide that it was an accident.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from pytest_dynperf.errors import UsageError
from pytest_dynperf.verdict.noise import NORMAL_MAD, PRIOR_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTEST = 4
"""Nights of the shortest level. A step shows itself in its fourth night; a large one in its third, and then it is dated a night early. One
or two bad nights are no level.
"""

LEAST = 0.025
"""A smaller jump, as a fraction, is no change point."""

TOLERANCE = 0.05

_PENALTY = 2.0
_LEAST_SD = 1e-4
_MEDIAN_FACTOR = math.pi / 2  # variance of a median over that of a mean, in the worst case
_CREEP_QUANTILE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """``index``: of the first value of the new level. ``before`` and ``after``: medians of the two levels, in the metric's unit. ``delta``:
    their signed logarithm, + is worse.
    """

    index: int
    before: float
    after: float
    delta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Creep:
    """``newest``: median of the last nights (``nights`` of them), in the metric's unit, as ``anchor`` is. ``delta``: newest against anchor,
    a signed logarithm, + is worse; ``limit`` is what it has to exceed to count.
    """

    newest: float
    anchor: float
    nights: int
    delta: float
    standard_error: float
    limit: float

    @property
    def crept(self) -> bool:
        """Whether the newest nights are worse than the anchor by more than tolerance and noise."""
        return self.delta > self.limit


def change_points(values: Sequence[float], *, sign: int, least: float = LEAST) -> tuple[ChangePoint, ...]:
    """Where the level of ``values`` (one per night, oldest first, in the metric's unit) changed. ``sign``: that of the metric's direction.

    PELT (ruptures, model l1, segments of at least 4) with a penalty of 2 ln n standard deviations of a night, these by the MAD of the
    differences between nights, which a step hardly moves. Of the levels found, neighbours less than ``least`` apart are joined, the
    closest first. Empty for fewer than 8 values. Needs the extra ``history``. 40 values take 10 ms; the time grows with their square.

    :raises UsageError: without ruptures.
    :raises ValueError: for a value that is not positive and finite, and for a sign other than 1 and -1.
    """
    logs = _signed_logs(values, sign)
    if len(logs) < 2 * SHORTEST:
        return ()
    bounds = _joined([0, *_segments(logs)], logs, math.log1p(least))
    levels = [_level(logs, start, end) for start, end in pairwise(bounds)]
    return tuple(
        ChangePoint(index=index, before=math.exp(sign * before), after=math.exp(sign * after), delta=after - before)
        for index, (before, after) in zip(bounds[1:-1], pairwise(levels), strict=True)
    )


def creep(values: Sequence[float], anchor: float, *, sign: int, tolerance: float = TOLERANCE, prior_sd: float = 0.02) -> Creep:
    """The last four of ``values`` (or as many as there are) against ``anchor``, the value of the session that the nights are held to.

    The standard deviation of a session is that of the differences between nights (by their MAD), blended with ``prior_sd``, which counts
    like four nights; it stands for the anchor, too. The limit is max(log(1 + tolerance), t(.99) se). It needs no ruptures.

    :raises ValueError: without values, for one that is not positive and finite, and for a sign other than 1 and -1.
    """
    logs, (held,) = _signed_logs(values, sign), _signed_logs([anchor], sign)
    if not logs:
        msg = "there is no night to compare with the anchor"
        raise ValueError(msg)
    count = len(logs)
    newest = logs[-SHORTEST:]
    nights = count - 1 if count > 2 else 0  # two nights have one difference, and no deviation from its median
    variance = (PRIOR_WEIGHT * prior_sd**2 + nights * (_night_sd(logs) ** 2 if nights else 0.0)) / (PRIOR_WEIGHT + nights)
    spread = _MEDIAN_FACTOR / len(newest) if len(newest) > 2 else 1 / len(newest)
    standard_error = math.sqrt(variance * (1 + spread))
    return Creep(
        newest=math.exp(sign * median(newest)),
        anchor=anchor,
        nights=len(newest),
        delta=median(newest) - held,
        standard_error=standard_error,
        limit=max(math.log1p(tolerance), float(stdtrit(PRIOR_WEIGHT + nights, _CREEP_QUANTILE)) * standard_error),
    )


def _signed_logs(values: Sequence[float], sign: int) -> list[float]:
    if sign not in (1, -1):
        msg = f"a trend has a direction, 1 or -1, not {sign}"
        raise ValueError(msg)
    for index, value in enumerate(values):
        if not (math.isfinite(value) and value > 0):
            msg = f"value {index} is {value}: what is not positive and finite has no logarithm"
            raise ValueError(msg)
    return [sign * math.log(value) for value in values]


def _night_sd(logs: Sequence[float]) -> float:
    """Of one night, by the differences from night to night: of two nights, hence the root of 2."""
    steps = [after - before for before, after in pairwise(logs)]
    middle = median(steps)
    return max(NORMAL_MAD * median(abs(step - middle) for step in steps) / math.sqrt(2), _LEAST_SD)


def _segments(logs: Sequence[float]) -> list[int]:
    """Ends of the segments, the last one included."""
    try:
        from ruptures import Pelt
    except ModuleNotFoundError as error:
        msg = f"change points need ruptures, which is not installed here ({error}); install it with: pip install 'pytest-dynperf[history]'"
        raise UsageError(msg) from None
    # jump: every night may be the first of a level; ruptures looks at every fifth unless told.
    search = Pelt(model="l1", min_size=SHORTEST, jump=1).fit(np.array(logs, dtype=np.float64))
    return [int(end) for end in search.predict(pen=_PENALTY * math.log(len(logs)) * _night_sd(logs))]


def _joined(bounds: Sequence[int], logs: Sequence[float], least: float) -> list[int]:
    """Joined one by one, because two jumps that are too small may be one that is not."""
    left = list(bounds)
    while len(left) > 2:
        levels = [_level(logs, start, end) for start, end in pairwise(left)]
        jumps = [abs(after - before) for before, after in pairwise(levels)]
        smallest = min(range(len(jumps)), key=jumps.__getitem__)
        if jumps[smallest] >= least:
            break
        del left[smallest + 1]
    return left


def _level(logs: Sequence[float], start: int, end: int) -> float:
    return median(logs[start:end])
