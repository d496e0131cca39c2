"""On which scale the runs of a cell are subtracted from each other: + is always worse.

A magnitude is compared by its logarithm. A rate is compared by its log odds, log((x + .5) / (n - x + .5)) per run, because a point at .90
is more than a point at .50; near 0 and 1 by plain points, because there a single event moves the log odds of a run by more than any change
that matters, and the scatter of such runs would hide everything. Requests of one run share the state of one system, so the x and n of
several runs are never pooled into one proportion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.verdict.verdict import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.metrics.definition import Meaning

INNER = (0.05, 0.95)
"""Rates from the one to the other are compared by log odds; the rest in points."""

_LEAST_RATE = 0.01
"""A rate of 0 or 1 in every session has shown no scatter, but p(1 - p) = 0 would make a single event a certainty: taken as one in a
hundred."""

_BARELY = 1e-3
"""What a tolerance may leave of a rate, so that its log odds stay finite."""


class Reading(NamedTuple):
    """One run of a cell: ``value`` in the metric's unit; ``parts`` are numerator and denominator of a rate, ``None`` for a magnitude."""

    value: float
    parts: tuple[float, float] | None = None

    @property
    def flaw(self) -> str | None:
        """What forbids comparing it, as the end of a sentence that begins with "a value", or ``None``."""
        if self.parts is None:
            return None if math.isfinite(self.value) and self.value > 0 else "is not positive and finite, and has no logarithm to compare"
        part, whole = self.parts
        if math.isfinite(part) and math.isfinite(whole) and 0 <= part <= whole and whole > 0:
            return None
        return f"is {part:g} of {whole:g}, which is no part of a whole"


def of_parts(part: float, whole: float) -> Reading:
    """A rate; where ``whole`` is 0 its value is not a number, and :attr:`Reading.flaw` says so."""
    return Reading(part / whole if whole else math.nan, (part, whole))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruler:
    """``sign`` is +1 where growth is worse, else -1. ``prior_sd`` is on ``scale``."""

    scale: Scale
    sign: int
    prior_sd: float

    def read(self, reading: Reading) -> float:
        """A run on the scale, signed: + is worse.

        :raises ValueError: for a reading with a flaw, and for log odds of a reading without parts.
        """
        if reading.flaw is not None:
            msg = f"a value {reading.flaw}"
            raise ValueError(msg)
        if self.scale is Scale.LOG:
            return self.sign * math.log(reading.value)
        if self.scale is Scale.POINTS:
            return self.sign * reading.value
        if reading.parts is None:
            msg = "log odds need numerator and denominator"
            raise ValueError(msg)
        part, whole = reading.parts
        return self.sign * math.log((part + 0.5) / (whole - part + 0.5))

    def in_unit(self, signed: float) -> float:
        """What :meth:`read` gave, or a median of it, in the metric's unit; from log odds within half an event of the rate."""
        plain = self.sign * signed
        if self.scale is Scale.LOG:
            return math.exp(plain)
        return plain if self.scale is Scale.POINTS else 1 / (1 + math.exp(-plain))

    def allowed(self, tolerance: float, baseline: float) -> float:
        """A tolerance as a distance from ``baseline`` (signed, on the scale) to the worse side.

        Of a magnitude the tolerance itself: it enters raw. Of a rate it is in points of the whole, whatever the scale: on log odds the
        distance from the baseline's rate to the rate that is so many points worse.
        """
        if self.scale is not Scale.LOG_ODDS:
            return tolerance
        worse = min(max(self.in_unit(baseline) + self.sign * tolerance, _BARELY), 1 - _BARELY)
        return max(0.0, self.sign * math.log(worse / (1 - worse)) - baseline)


def ruler(
    meaning: Meaning, candidate: Sequence[Reading], sessions: Sequence[Sequence[Reading]], *, tolerance: float, prior_sd: float
) -> Ruler:
    """The ruler for readings without flaws, at least one in each session. ``prior_sd`` is as a meaning states it: of log odds for a rate.

    In points the prior becomes prior x p(1 - p), the slope of a rate over its log odds. p is the more extreme of candidate and baseline:
    over the way between them log odds change by no more than points divided by that slope, so a rate that moves on beyond .05 or .95 does
    not look closer for being measured in points. A rate also counts as near 0 or 1 where the tolerance would take the baseline there.

    :raises ValueError: for a count, which is not compared by distance, and for a metric without a direction.
    """
    if meaning.kind is Kind.COUNT:
        msg = f"{meaning.id} is a count: equal or not, without a distance"
        raise ValueError(msg)
    sign = meaning.direction.sign
    if meaning.kind is Kind.MAGNITUDE:
        return Ruler(scale=Scale.LOG, sign=sign, prior_sd=prior_sd)
    ours, theirs = middle(candidate), median(middle(session) for session in sessions)
    low, high = INNER
    if all(low <= rate <= high for rate in (ours, theirs, theirs + sign * tolerance)):
        return Ruler(scale=Scale.LOG_ODDS, sign=sign, prior_sd=prior_sd)
    extreme = max(_LEAST_RATE, min(ours, theirs, 1 - ours, 1 - theirs))
    return Ruler(scale=Scale.POINTS, sign=sign, prior_sd=prior_sd * extreme * (1 - extreme))


def middle(readings: Sequence[Reading]) -> float:
    """The median value, in the metric's unit."""
    return median(reading.value for reading in readings)
