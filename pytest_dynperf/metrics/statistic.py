"""Statistics of the samples of one run, as AIPerf computes them: percentiles by linear interpolation (numpy).

A tail needs values to be known: p90 from 10, p95 from 100, p99 from 1,000, p99.9 from 10,000; below that the statistic is absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.quantity import Absent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
"""What is computed per run for metrics that have samples."""

PERCENTILES = ("p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p99.9")
"""What a distribution holds."""

_MINIMUM_SAMPLES: Mapping[str, int] = {"p90": 10, "p95": 100, "p99": 1_000, "p99.9": 10_000}


def least_samples(name: str) -> int:
    """How many samples of one run the statistic ``name`` needs; 1 where it is no tail."""
    return _MINIMUM_SAMPLES.get(name, 1)


def statistic(samples: NDArray[np.float64], name: str) -> float | Absent:
    """``mean`` or the percentile ``pNN`` of ``samples``, in their unit.

    Absent where there are no samples, or too few for a tail.

    :raises ValueError: for a name that is neither.
    """
    if name != "mean" and name not in PERCENTILES:
        msg = f"{name!r} is not a statistic; known are mean, {', '.join(PERCENTILES)}"
        raise ValueError(msg)
    if not len(samples):
        return Absent("there are no samples")
    if name == "mean":
        return float(np.mean(samples))
    needed = least_samples(name)
    if len(samples) < needed:
        return Absent(f"{name} needs {needed} samples, found {len(samples)}")
    return float(np.percentile(samples, float(name[1:])))
