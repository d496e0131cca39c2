"""Tango's score interval for the difference of two paired proportions, and how many pairs it needs.

Source: T. Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample design, Statistics in
Medicine 17 (1998) 891-908. With b losses and c gains in n pairs, the loss is b/n - c/n. Unlike Wald's interval it keeps its level with few
discordant pairs, and has a width without any.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr, ndtri, xlog1py, xlogy
from scipy.special import gammaln as log_gamma

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HALVINGS = 60  # an interval of length 2 to the precision of a double
_WIDTH = 9.0  # standard deviations of the number of discordant pairs that power sums over
_MOST_PAIRS = 100_000_000


def score(losses: float | NDArray[np.float64], gains: float | NDArray[np.float64], n: int, loss: float) -> NDArray[np.float64]:
    """The score statistic, standard normal where ``loss`` (above 0, below 1) is the true one; it falls as ``loss`` grows."""
    b, c = np.asarray(losses, dtype=np.float64), np.asarray(gains, dtype=np.float64)
    # The share of gains that is most likely where the loss is given: the larger root of 2n q² + half q + last = 0.
    half, last = (2 * n - b + c) * loss - b - c, -c * loss * (1 - loss)
    root = np.sqrt(np.maximum(half * half - 8 * n * last, 0.0))
    gained = (root - half) / (4 * n)
    variance = n * (2 * gained + loss * (1 - loss))
    return np.asarray((b - c - n * loss) / np.sqrt(np.maximum(variance, 1e-300)), dtype=np.float64)


def upper_bound(losses: int, gains: int, n: int, *, level: float = 0.95) -> float:
    """The largest loss, as a share of ``n``, that the score test does not reject one-sided; 1 where every item was lost."""
    low, high, quantile = (losses - gains) / n, 1.0, float(ndtri(level))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if float(score(losses, gains, n, middle)) > -quantile:
            low = middle
        else:
            high = middle
    return high


def passing_power(n: int, discordance: float, limit: float, *, level: float = 0.95) -> float:
    """P(upper bound < ``limit``) with ``n`` pairs, a share ``discordance`` of them discordant, and losses as likely as gains.

    Sums over the number of discordant pairs; about 1 ms for thousands of pairs.
    """
    spread = _WIDTH * math.sqrt(n * discordance * (1 - discordance)) + _WIDTH
    totals = np.arange(max(0, math.floor(n * discordance - spread)), min(n, math.ceil(n * discordance + spread)) + 1, dtype=np.float64)
    log_share = xlogy(totals, discordance) + xlog1py(n - totals, -discordance)
    share = np.exp(log_gamma(n + 1) - log_gamma(totals + 1) - log_gamma(n - totals + 1) + log_share)
    allowed = _most_losses(totals, n, limit, float(ndtri(level)))
    passing = np.where(allowed < 0, 0.0, bdtr(np.maximum(allowed, 0.0), totals.astype(np.int64), 0.5))
    return float(np.sum(share * passing))


def _most_losses(totals: NDArray[np.float64], n: int, limit: float, quantile: float) -> NDArray[np.float64]:
    """For each number of discordant pairs the most losses that still pass, -1 where none do. More losses never pass more easily."""
    passes, fails = np.full_like(totals, -1.0), totals + 1
    while np.any(fails - passes > 1):
        middle = np.floor((passes + fails) / 2)
        good = (score(middle, totals - middle, n, limit) < -quantile) & (middle > passes)
        stuck = middle <= passes
        passes, fails = np.where(good, middle, passes), np.where(good | stuck, fails, middle)
    return passes


def pairs_needed(discordance: float, limit: float, *, power: float = 0.8, level: float = 0.95) -> int:
    """So many pairs that ``power`` of the measurements without any loss pass; power rises in saw teeth, so a few more or fewer may do too.

    :raises ValueError: for a ``limit`` that needs more than 10⁸ pairs or is not between 0 and 1.
    """
    if not 0 < limit < 1 or not 0 <= discordance <= 1:
        msg = f"a limit of {limit} and a discordance of {discordance} are no shares"
        raise ValueError(msg)
    few, enough = 0, 1
    while passing_power(enough, discordance, limit, level=level) < power:
        few, enough = enough, 2 * enough
        if enough > _MOST_PAIRS:
            msg = f"more than {_MOST_PAIRS} pairs are needed for a limit of {limit} at a discordance of {discordance}"
            raise ValueError(msg)
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if passing_power(middle, discordance, limit, level=level) >= power else (middle, enough)
    return enough
