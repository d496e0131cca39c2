"""The rules that other systems use, on simulated sessions: what the decision rule is compared with.

All values are logarithms, + is worse.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


def fixed(candidate: Floats, baseline: Floats, *, limit: float) -> Flags:
    """The mean of one session's runs is more than ``limit`` (a fraction) above that of another's."""
    found: Flags = candidate.mean(axis=1) - baseline.mean(axis=1) > np.log1p(limit)
    return found


def welch(candidate: Floats, baseline: Floats, *, level: float = 0.05) -> Flags:
    """Welch's t-test on the runs, one-sided."""
    result = stats.ttest_ind(candidate, baseline, axis=1, equal_var=False, alternative="greater")
    found: Flags = np.asarray(result.pvalue) < level
    return found


def mann_whitney(candidate: Floats, baseline: Floats, *, level: float = 0.05) -> Flags:
    """On all requests as if they were independent: two-sided ``level``, and worse. Repetitions x R x requests; normal approximation."""
    ours, theirs = (values.reshape(len(values), -1) for values in (candidate, baseline))
    n = ours.shape[1]
    order = np.concatenate([ours, theirs], axis=1).argsort(axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(1, order.shape[1] + 1), order.shape), axis=1)
    statistic = ranks[:, :n].sum(axis=1) - n * (n + 1) / 2
    z = (statistic - n * n / 2) / np.sqrt(n * n * (2 * n + 1) / 12)
    found: Flags = z > stats.norm.ppf(1 - level / 2)
    return found


def cluster_bootstrap(candidate: Floats, baseline: Floats, *, level: float = 0.05) -> Flags:
    """Runs are drawn with replacement within each session; the percentile interval of the difference of means lies above 0. All draws of R
    runs out of R are enumerated, so there is no chance in it: 27 x 27 for R = 3.
    """
    count = candidate.shape[1]
    draws = np.array(list(product(range(count), repeat=count)))
    ours, theirs = (values[:, draws].mean(axis=2) for values in (candidate, baseline))
    differences = (ours[:, :, None] - theirs[:, None, :]).reshape(len(candidate), -1)
    found: Flags = np.quantile(differences, level / 2, axis=1) > 0
    return found
