"""The arithmetic of a duet: what its pairs say of the effect, how far that may be off, and what each look decides.

Values are differences, candidate minus control, on the scale of their cell, signed so that + is worse. Both runs of a pair meet the same
machine in the same state, so what a session does to its runs cancels; what is left is the noise of two runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from statistics import fmean, median, variance
from typing import TYPE_CHECKING

from scipy.special import stdtr, stdtrit

from pytest_dynperf.quantity import Absent
from pytest_dynperf.verdict.noise import NORMAL_MAD
from pytest_dynperf.verdict.sequential import LOOKS

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK_ALPHA = 0.001
"""One-sided error of *regressed* at each look. Six looks come to .006 at most, together."""
CLEAR_QUANTILE = 0.95
"""*Unchanged* needs this confidence that the effect is below the tolerance."""

BLOCK = 5
"""Pairs that share their deployments where candidate and control cannot be deployed side by side."""

_PRIOR_WEIGHT = 10  # the noise that the sessions show counts like ten degrees of freedom more: five pairs alone say little of their own
_CLIP_WIDTH = 2.5
_LEAST_MAD = 0.003  # without it, pairs that happen to agree would clip all others to nothing


class Finding(Enum):
    """What a look says."""

    REGRESSED = "regressed"
    UNCHANGED = "unchanged"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """``effect`` with its standard error √(variance / pairs) and pairs + 9 degrees of freedom; ``variance`` is that of one difference."""

    effect: float
    variance: float
    pairs: int

    @property
    def standard_error(self) -> float:
        """On the scale of the differences."""
        return math.sqrt(self.variance / self.pairs)

    @property
    def p_value(self) -> float:
        """P(t > effect / se): the chance of at least this effect without any change."""
        if not self.standard_error:
            return 0.5 if not self.effect else float(self.effect < 0)
        return float(stdtr(degrees(self.pairs), -self.effect / self.standard_error))

    def margin(self, quantile: float) -> float:
        """t(quantile, pairs + 9) times the standard error."""
        return float(stdtrit(degrees(self.pairs), quantile)) * self.standard_error

    def limit(self, tolerance: float) -> float:
        """max(tolerance / 2, t(.999) se): above it the effect is a regression."""
        return max(tolerance / 2, self.margin(1 - LOOK_ALPHA))

    def finding(self, tolerance: float) -> Finding:
        """*Unchanged* where effect + t(.95) se stays below the tolerance; a regression has precedence."""
        if self.effect > self.limit(tolerance):
            return Finding.REGRESSED
        return Finding.UNCHANGED if self.effect + self.margin(CLEAR_QUANTILE) < tolerance else Finding.OPEN


def degrees(pairs: int) -> int:
    """Of freedom: those of the pairs, and those that the noise of the sessions counts for."""
    return pairs - 1 + _PRIOR_WEIGHT


def estimate(differences: Sequence[float], run: float, *, deployment: float = 0.0) -> Estimate:
    """From at least two differences. ``run`` is the variance of one run as sessions show it, and a difference has that of two.

    ``deployment`` is the variance of what a deployment does to all of its runs, where the pairs come in blocks of five, each with
    deployments of its own: the pairs of a block share it, so it does not shrink with pairs but with blocks.
    """
    kept = clipped(differences)
    count = len(kept)
    return Estimate(
        effect=fmean(kept),
        variance=(2 * run * _PRIOR_WEIGHT + (count - 1) * variance(kept)) / degrees(count) + 2 * BLOCK * deployment,
        pairs=count,
    )


def clipped(differences: Sequence[float]) -> list[float]:
    """At the median ± 2.5 max(1.4826 MAD, .003): a pair in which one run met something else must not carry the mean."""
    middle = median(differences)
    width = _CLIP_WIDTH * max(NORMAL_MAD * median(abs(value - middle) for value in differences), _LEAST_MAD)
    return [min(max(value, middle - width), middle + width) for value in differences]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The last look that was taken, and what it found."""

    estimate: Estimate
    finding: Finding


def looks_of(*, blocks: bool) -> tuple[int, ...]:
    """Blocks are looked at when they are whole."""
    return tuple(look for look in LOOKS if not look % BLOCK) if blocks else LOOKS


def replay(
    differences: Sequence[float | Absent], run: float, tolerance: float, *, deployment: float = 0.0, blocks: bool = False
) -> Look | Absent | None:
    """Look after 5, 7, 10, 15, 20, 30 pairs; the first look that finds something ends it, and what was measured later does not count.

    ``blocks``: the pairs were measured in blocks, for which ``deployment`` is (see :func:`estimate`). ``None`` before the first look.
    Absent where a look meets a pair without a value, or could not but meet it.
    """
    last: Look | None = None
    for count in looks_of(blocks=blocks):
        if count > len(differences):
            break
        numbers = all_of(differences[:count])
        if isinstance(numbers, Absent):
            return numbers
        found = estimate(numbers, run, deployment=deployment)
        last = Look(estimate=found, finding=found.finding(tolerance))
        if last.finding is not Finding.OPEN:
            return last
    rest = all_of(differences[: LOOKS[-1]])
    return rest if isinstance(rest, Absent) else last


def all_of(differences: Sequence[float | Absent]) -> list[float] | Absent:
    """All, or the first that is absent."""
    numbers: list[float] = []
    for difference in differences:
        if isinstance(difference, Absent):
            return difference
        numbers.append(difference)
    return numbers
