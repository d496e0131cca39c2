"""What a judgement rests on beside the measurement, the documents and the expectation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.catalogue import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.metrics.definition import Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """``meanings``: of every metric that may be judged, by id; a file's own where a file is judged. ``prior_sd``: pooled over the
    platform's own history, by metric id for ``p50`` or ``value``, and by ``id/statistic`` for other percentiles; stands in for
    :attr:`Meaning.prior_sd`. ``duet``: a control can run, so the screen may be stricter.
    """

    meanings: Mapping[str, Meaning] = field(default_factory=lambda: MEANINGS)
    prior_sd: Mapping[str, float] = field(default_factory=dict)
    duet: bool = False

    def prior_of(self, meaning: Meaning, statistic: str) -> float:
        """How session medians of a cell are assumed to scatter: as those of the same cell in the platform's history; without one as those
        of the metric's ``p50``, times :func:`tail_factor`.
        """
        own = self.prior_sd.get(f"{meaning.id}/{statistic}")
        return self.prior_sd.get(meaning.id, meaning.prior_sd) * tail_factor(statistic) if own is None else own


@lru_cache(maxsize=64)
def tail_factor(statistic: str) -> float:
    """How much less certain a percentile of a run is than its median: 1.36 for ``p90``, 1.69 for ``p95``, 2.98 for ``p99``; 1 for what is
    no percentile.

    The error of the percentile q of n independent lognormal values is, on logarithms, sqrt(q(1 - q) / n) / phi(z_q); its ratio to that of
    the median. What moves whole runs and sessions moves all percentiles alike, so of such values it is the most that a tail can scatter.
    """
    share = float(statistic[1:]) / 100 if statistic[:1] == "p" and statistic[1:].replace(".", "", 1).isdecimal() else 0.5
    if share == 0.5 or not 0 < share < 1:
        return 1.0
    normal = NormalDist()
    density, middle = normal.pdf(normal.inv_cdf(share)), normal.pdf(0.0)
    return math.sqrt(share * (1 - share)) / density * middle / 0.5


CATALOGUE_TERMS = Terms()
