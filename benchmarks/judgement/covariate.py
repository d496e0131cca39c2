"""The duet with a measured covariate (host load, say) taken out by regression within the pairs.

The slope is estimated from the same pairs, which costs a degree of freedom, and more where the covariate happens to lean to one arm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from benchmarks.judgement.gate import REGRESSED, UNCHANGED, UNDECIDED, Decided, Rule, clipped, estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray


def adjusted_duet(
    differences: NDArray[np.float64], covariate: NDArray[np.float64], variance_of_run: NDArray[np.float64], rule: Rule
) -> Decided:
    """As ``gate.duet``, with the mean at covariate 0 in place of the mean. ``variance_of_run`` is that of the prior."""
    outcome = np.full(len(differences), UNDECIDED, dtype=np.int8)
    pairs = np.full(len(differences), rule.looks[-1])
    for count, alpha in zip(rule.looks, rule.alphas, strict=True):
        open_ = np.flatnonzero(outcome == UNDECIDED)
        effect, error = _estimate(differences[open_, :count], covariate[open_, :count], variance_of_run[open_], rule)
        degrees = count - 2 + rule.prior_weight
        worse = (effect - stdtrit(degrees, 1 - alpha) * error > 0) & (effect > rule.tolerance / 2)
        fine = ~worse & (effect + stdtrit(degrees, 1 - rule.clear) * error < rule.tolerance)
        outcome[open_[worse]] = REGRESSED
        outcome[open_[fine]] = UNCHANGED
        pairs[open_[worse | fine]] = count
    return Decided(outcome=outcome, pairs=pairs)


def _estimate(
    differences: NDArray[np.float64], covariate: NDArray[np.float64], variance_of_run: NDArray[np.float64], rule: Rule
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Intercept and its standard error; outliers are clipped before and after the slope is taken out."""
    count = differences.shape[1]
    kept = clipped(differences, width=rule.clip_width, least=rule.least_mad)
    lean = covariate.mean(axis=1)
    centred = covariate - lean[:, None]
    total = (centred**2).sum(axis=1)
    slope = (centred * kept).sum(axis=1) / total
    effect, _ = estimate(differences - slope[:, None] * covariate, variance_of_run, replace(rule, prior_weight=0.0))
    rest = clipped(differences - slope[:, None] * covariate, width=rule.clip_width, least=rule.least_mad)
    squares = ((rest - rest.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    variance = (variance_of_run * rule.prior_weight * 2 + squares) / (count - 2 + rule.prior_weight)
    return effect, np.sqrt(variance * (1 / count + lean**2 / total))
