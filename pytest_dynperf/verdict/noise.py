"""How far a session lies from its baseline, and how far sessions lie apart by chance alone.

Values are compared on a scale (``scale``: logarithms, log odds or points), signed so that + is worse. The run is the statistical unit: a
session counts with the median of its runs, and what scatters is sessions. Repetitions inside one session cannot see that, so the spread
between baseline sessions is blended with a prior, and never falls below what the runs of one session already show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING

from scipy.special import chdtri, stdtr, stdtrit

from pytest_dynperf.verdict.scale import Reading, Ruler
from pytest_dynperf.verdict.verdict import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

SCREEN_QUANTILE = 0.80
DUET_SCREEN_QUANTILE = 0.75  # a false suspect costs a few pairs there, not a redeploy and a session
SCREEN_SHARE = 0.5  # of the tolerance
DUET_SCREEN_SHARE = 0.4

PRIOR_WEIGHT = 4  # the prior counts like four sessions of history
_CLIP_FROM = 4  # sessions: below it there is no telling which one is the outlier
_CLIP_WIDTH = 3.0
NORMAL_MAD = 1.4826  # MAD to standard deviation, normal distribution
_LEAST_MAD = 1e-4
WITHIN_FACTOR = 1.08  # variance of a median of a few runs over that of their mean, tails included
_POWER_QUANTILE = 0.86  # t(.80) at the degrees of freedom in question: 80 % of the regressions of size MDE are found


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Candidate minus baseline on the scale of ``ruler``, with its standard error and degrees of freedom K + 3.

    ``candidate``, ``baseline`` and ``history`` (one per session) are medians, signed; ``ruler`` turns them back.
    """

    ruler: Ruler
    candidate: float
    baseline: float
    history: tuple[float, ...]
    standard_error: float
    degrees: int

    @property
    def delta(self) -> float:
        """+ is worse."""
        return self.candidate - self.baseline

    @property
    def p_value(self) -> float:
        """P(t > delta / se): the chance of at least this delta without any change."""
        return float(stdtr(self.degrees, -self.delta / self.standard_error))

    def margin(self, quantile: float) -> float:
        """t(quantile, degrees) times the standard error."""
        return _t(self.degrees, quantile) * self.standard_error

    def in_unit(self, signed: float) -> float:
        """A signed value of the scale as a value of the metric."""
        return self.ruler.in_unit(signed)

    def allowed(self, tolerance: float) -> float:
        """A tolerance on the scale: how far the baseline is from what is so much worse."""
        return self.ruler.allowed(tolerance, self.baseline)


@lru_cache(maxsize=256)
def _t(degrees: int, quantile: float) -> float:
    """Few degrees and quantiles occur, and a call of scipy for one number costs as much as the rest of a comparison's arithmetic."""
    return float(stdtrit(degrees, quantile))


def compare(
    candidate: Sequence[float], sessions: Sequence[Sequence[float]], *, sign: int, prior_sd: float, duet: bool = False
) -> Comparison:
    """Of magnitudes. ``candidate``: at least two values, one per run; ``sessions``: the same for each baseline session, oldest first, at
    least one. ``duet``: pairs with a control will decide what the screen suspects.

    :raises ValueError: for values that are not positive and finite, and where there are too few.
    """
    logs = Ruler(scale=Scale.LOG, sign=sign, prior_sd=prior_sd)
    read = [[Reading(value) for value in runs] for runs in sessions]
    return compare_readings(logs, [Reading(value) for value in candidate], read, duet=duet)


def compare_readings(
    ruler: Ruler, candidate: Sequence[Reading], sessions: Sequence[Sequence[Reading]], *, duet: bool = False
) -> Comparison:
    """As :func:`compare`, on any scale.

    :raises ValueError: for readings that the ruler refuses, where there are too few, and for a prior that is not positive: nothing is
        free of noise.
    """
    if not sessions or any(len(runs) < 2 for runs in (candidate, *sessions)):
        msg = "a comparison needs a baseline session, and two runs in every session"
        raise ValueError(msg)
    if not (math.isfinite(ruler.prior_sd) and ruler.prior_sd > 0):
        msg = f"a prior of {ruler.prior_sd} says nothing of the noise; it must be positive and finite"
        raise ValueError(msg)
    theirs = [[ruler.read(reading) for reading in runs] for runs in sessions]
    ours = [ruler.read(reading) for reading in candidate]
    history = tuple(median(runs) for runs in theirs)
    variance = max(_between(history, ruler.prior_sd), _within([*theirs, ours], robust=duet))
    return Comparison(
        ruler=ruler,
        candidate=median(ours),
        baseline=median(history),
        history=history,
        standard_error=math.sqrt(variance * (1 + 1 / len(history))),
        degrees=len(history) + 3,
    )


def _between(history: Sequence[float], prior_sd: float) -> float:
    """(4 s0^2 + (K - 1) s_w^2) / (K + 3); s0^2 itself for one session."""
    count = len(history)
    spread = _variance(_clipped(history)) if count > 1 else 0.0
    return (PRIOR_WEIGHT * prior_sd**2 + (count - 1) * spread) / (count + 3)


def _clipped(history: Sequence[float]) -> Sequence[float]:
    if len(history) < _CLIP_FROM:
        return history
    middle = median(history)
    width = _CLIP_WIDTH * max(NORMAL_MAD * median(abs(value - middle) for value in history), _LEAST_MAD)
    return [min(max(value, middle - width), middle + width) for value in history]


def _within(sessions: Sequence[Sequence[float]], *, robust: bool) -> float:
    """1.08 x the variance within sessions / R, over all sessions, the candidate too; R of the smallest, which is the noisiest.

    The mean over the sessions, in which one wild run hides a regression; ``robust``: the median, made unbiased, with which the screen
    raises a few more false suspects, for pairs to clear (docs/calibration.md).
    """
    found = run_variance(sessions) if robust else math.fsum(_variance(runs) for runs in sessions) / len(sessions)
    return WITHIN_FACTOR * found / min(len(runs) for runs in sessions)


def run_variance(sessions: Sequence[Sequence[float]]) -> float:
    """The median over the sessions, so one wild session does not count; each has at least two runs.

    The median of sample variances lies below the variance: each is divided by the median of chi square over its degrees of freedom, .693
    for three runs.

    :raises ValueError: without sessions, or for a session of fewer than two runs.
    """
    if not sessions or any(len(runs) < 2 for runs in sessions):
        msg = "the noise of a run needs a session, and two runs in every session"
        raise ValueError(msg)
    return median(_variance(runs) / _median_share(len(runs) - 1) for runs in sessions)


@lru_cache(maxsize=64)
def _median_share(degrees: int) -> float:
    """The median of chi square over its degrees of freedom."""
    return float(chdtri(degrees, 0.5)) / degrees


def _variance(values: Sequence[float]) -> float:
    """Ddof 1: with 0 the spread of few values is understated."""
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


# ---- what delta is held against


def screen_limit(comparison: Comparison, tolerance: float, *, duet: bool = False) -> float:
    """Above it a cell is suspect: max(.5 tolerance, t(.80) se), or where a ``duet`` can follow max(.4 tolerance, t(.75) se)."""
    share, quantile = (DUET_SCREEN_SHARE, DUET_SCREEN_QUANTILE) if duet else (SCREEN_SHARE, SCREEN_QUANTILE)
    return max(comparison.allowed(tolerance * share), comparison.margin(quantile))


def decision_limit(comparison: Comparison, tolerance: float) -> float:
    """max(log(1 + tolerance), t(.995) se): above it a fresh session confirms a suspect, below its negative a cell is improved.

    For a rate the tolerance on its scale takes the place of the logarithm.
    """
    return max(whole_tolerance(comparison, tolerance), comparison.margin(0.995))


def whole_tolerance(comparison: Comparison, tolerance: float) -> float:
    """What a change of exactly ``tolerance`` amounts to on the scale: log(1 + tolerance) for a magnitude."""
    return math.log1p(tolerance) if comparison.ruler.scale is Scale.LOG else comparison.allowed(tolerance)


def shows_not_worse(comparison: Comparison, tolerance: float) -> bool:
    """Whether delta + t(.95) se stays below the tolerance. Where it does not, *unchanged* is underpowered."""
    return comparison.delta + comparison.margin(0.95) < comparison.allowed(tolerance)


def minimum_detectable(comparison: Comparison, tolerance: float) -> float:
    """The smallest regression, on the scale, that is found with 80 % power: the decision limit + .86 se."""
    return decision_limit(comparison, tolerance) + _POWER_QUANTILE * comparison.standard_error


def screened_with_power(comparison: Comparison, tolerance: float, *, duet: bool = False) -> float:
    """The smallest regression, on the scale, that the screen suspects with 80 % power: its limit + .86 se."""
    return screen_limit(comparison, tolerance, duet=duet) + _POWER_QUANTILE * comparison.standard_error
