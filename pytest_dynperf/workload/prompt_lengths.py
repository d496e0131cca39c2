"""How long a request is and how long an answer it wants: fixed, or normal around a mean and truncated. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from pytest_dynperf.errors import WorkloadError

if TYPE_CHECKING:
    import random

_EDGE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Means and standard deviations in tokens. ``max_isl`` bounds what is drawn: the longest prompt that the model takes."""

    isl: int
    osl: int
    isl_stddev: float = 0.0
    osl_stddev: float = 0.0
    max_isl: int | None = None


def draw_lengths(lengths: Lengths, rng: random.Random, *, least_isl: int) -> tuple[int, int]:
    """ISL and OSL of one request; two numbers of ``rng``, whatever the spread. A standard deviation of 0 gives the mean, unchecked.

    :raises WorkloadError: when a spread ISL has no room between ``least_isl`` and the bound.
    """
    max_isl = lengths.max_isl
    isl_at, osl_at = rng.random(), rng.random()
    if lengths.isl_stddev and max_isl is not None and max_isl < least_isl:
        msg = f"no ISL fits: the template and what is shared take {least_isl - 1} tokens, the model takes prompts of {max_isl} at most"
        raise WorkloadError(msg)
    isl = truncated_normal(isl_at, lengths.isl, lengths.isl_stddev, least=least_isl, most=max_isl)
    # An answer of one token has no latency between tokens.
    return isl, truncated_normal(osl_at, lengths.osl, lengths.osl_stddev, least=min(2, lengths.osl))


def truncated_normal(uniform: float, mean: int, stddev: float, *, least: int, most: int | None = None) -> int:
    """The integer at which the distribution function of the normal distribution, cut off below ``least`` and above ``most``, is
    ``uniform`` (0 to below 1). Not clipped: nothing piles up at the bounds.
    """
    if not stddev:
        return mean
    normal = NormalDist(mean, stddev)
    low, high = normal.cdf(least - 0.5), 1.0 if most is None else normal.cdf(most + 0.5)
    value = round(normal.inv_cdf(min(max(low + (high - low) * uniform, _EDGE), 1 - _EDGE)))
    return max(least, value if most is None else min(most, value))
