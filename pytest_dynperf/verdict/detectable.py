"""The smallest regression that is found with 80 % power, before and after measuring: what a plan can promise, and what a verdict can miss.

All changes are on the scale of the cell, + is worse; a change of 5 % is log 1.05. Standard deviations are those of the same scale.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from pytest_dynperf.measurement.measurement import MINIMUM_RUNS
from pytest_dynperf.verdict.duet_noise import BLOCK, CLEAR_QUANTILE, Estimate, looks_of
from pytest_dynperf.verdict.noise import compare, minimum_detectable
from pytest_dynperf.verdict.sequential import LOOKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

POWER = 0.80
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_BISECTIONS = 14  # of an interval as wide as the answer: to a ten-thousandth of it


def detectable_by_duet(run_sd: float, pairs: int, tolerance: float, *, deployment_sd: float = 0.0) -> float | None:
    """With runs that scatter by ``run_sd`` and a duet that may come to ``pairs``; ``None`` where it cannot reach its first look.

    ``deployment_sd`` is for blocks only: how far deployments scatter (:class:`~pytest_dynperf.verdict.run_noise.RunNoise`).
    """
    return duet_mde(2 * run_sd**2 + 2 * BLOCK * deployment_sd**2, tolerance, pairs=pairs, blocks=deployment_sd > 0)


def duet_mde(variance: float, tolerance: float, *, pairs: int = LOOKS[-1], blocks: bool = False) -> float | None:
    """``variance`` is that of one difference: :attr:`Estimate.variance`, or twice that of a run where no pair has been measured yet.

    max(tolerance / 2, t(.999) se) + t(.80) se at the last look within ``pairs``, or more: where noise is small against the tolerance, an
    early look may call a regression of that size *unchanged*, and what counts is the chance that any look finds it. ``blocks``: fewer looks
    (:func:`~pytest_dynperf.verdict.duet_noise.looks_of`). Takes up to 3 ms.
    """
    looks = _looks_within(pairs, blocks=blocks)
    if not looks:
        return None
    at_cap = Estimate(effect=0.0, variance=variance, pairs=looks[-1])
    least = at_cap.limit(tolerance) + at_cap.margin(POWER)
    return least if not variance else _found_with_power(math.sqrt(variance), tolerance, looks, least)


def pairs_needed(run_sd: float, detect: float, tolerance: float, *, deployment_sd: float = 0.0) -> int | None:
    """How many pairs a duet must be allowed so that 80 % of the regressions by ``detect`` (a fraction: .05) are found; ``None`` where
    even the last look is too early.
    """
    for pairs in looks_of(blocks=deployment_sd > 0):
        found = detectable_by_duet(run_sd, pairs, tolerance, deployment_sd=deployment_sd)
        if found is not None and found <= math.log1p(detect):
            return pairs
    return None


def detectable_by_fresh_session(
    *, prior_sd: float, sessions: int, runs: int, tolerance: float, session_sd: float | None = None, run_sd: float = 0.0
) -> float | None:
    """Without a control, of a magnitude: what ``minimum_detectable`` says where medians of the ``sessions`` accepted so far scatter by
    ``session_sd`` (``None``: as the prior has it) and their ``runs`` by ``run_sd``. ``None`` where nothing can be judged: without a
    session, and with fewer than three runs.
    """
    if sessions < 1 or runs < MINIMUM_RUNS:
        return None
    within = _scattered(runs, run_sd)
    medians = _scattered(sessions, prior_sd if session_sd is None else session_sd)
    history = [[math.exp(middle + value) for value in within] for middle in medians]
    comparison = compare([math.exp(value) for value in within], history, sign=1, prior_sd=prior_sd)
    return minimum_detectable(comparison, tolerance)


def _scattered(count: int, sd: float) -> list[float]:
    """So many values around a median of 0 with exactly this standard deviation (ddof 1), none of them far out; 0 where there is one."""
    side = sd * math.sqrt((count - 1) / (count - count % 2)) if count > 1 else 0.0
    return [side] * (count // 2) + [0.0] * (count % 2) + [-side] * (count // 2)


def power(change: float, variance: float, tolerance: float, *, pairs: int = LOOKS[-1]) -> float:
    """The chance that a look calls a regression of size ``change`` one; 0 where the first look cannot be reached.

    The running sum of the differences is normal with independent increments; its density over what is still open is carried from look to
    look (Armitage, McPherson and Rowe 1969). The noise is taken as known.
    """
    return _power(change, math.sqrt(variance), tolerance, _looks_within(pairs, blocks=False))


def _looks_within(pairs: int, *, blocks: bool) -> tuple[int, ...]:
    return tuple(look for look in looks_of(blocks=blocks) if look <= pairs)


@lru_cache(maxsize=1024)
def _found_with_power(sd: float, tolerance: float, looks: tuple[int, ...], least: float) -> float:
    low, high = least, 2 * least
    if _power(low, sd, tolerance, looks) >= POWER:
        return low
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, sd, tolerance, looks) < POWER else (low, middle)
    return high


def _power(change: float, sd: float, tolerance: float, looks: tuple[int, ...]) -> float:
    """In units of one difference's ``sd``. Between two looks the sum grows by normal(step · change, step)."""
    found, before = 0.0, 0
    sums, mass = np.zeros(1), np.ones(1)
    for look in looks:
        step, before = look - before, look
        low, high = (bound * look / sd for bound in _open_between(sd, tolerance, look))
        centre = sums + step * change / sd
        found += float(mass @ ndtr((centre - high) / math.sqrt(step)))
        if low >= high:
            break
        sums, mass = _carried(centre, mass, step, low, high)
    return found


def _open_between(sd: float, tolerance: float, look: int) -> tuple[float, float]:
    """Effects above the second are regressed; of the others, those below the first are unchanged."""
    at_look = Estimate(effect=0.0, variance=sd**2, pairs=look)
    return tolerance - at_look.margin(CLEAR_QUANTILE), at_look.limit(tolerance)


def _carried(
    centre: NDArray[np.float64], mass: NDArray[np.float64], step: int, low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums that leave the case open, as nodes of a quadrature, and the probability at each."""
    half = (high - low) / 2
    sums = low + half * (1 + _NODES)
    density = np.exp(-((sums[:, None] - centre[None, :]) ** 2) / (2 * step)) / math.sqrt(2 * math.pi * step)
    return sums, half * _WEIGHTS * (density @ mass)
