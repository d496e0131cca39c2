"""The decision rule for many repetitions at once: the formulas of ``pytest_dynperf.verdict`` along the first axis of an array.

They are a second writing of the same formulas, because the package judges one cell at a time; ``agreement`` shows at every start of the
program that the two agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit
from scipy.stats import chi2

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 5
"""Pairs that share deployments where the arms do not fit side by side."""

REGRESSED, UNCHANGED, UNDECIDED = 1, 0, -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The constants of the rule; the defaults are those with a control. A suspect exceeds max(``screen_floor`` x tolerance, t(``screen``)
    se), a fresh session confirms it above max(log(1 + tolerance), t(``decision``) se). ``floor`` is where the standard error of a session
    gets its floor from: the ``mean`` or the ``median`` of the variances within sessions, or ``none``. ``alphas`` and ``clear`` are the
    one-sided errors of *regressed* at each look and of *unchanged*.
    """

    tolerance: float = 0.03
    screen: float = 0.75
    screen_floor: float = 0.4
    decision: float = 0.995
    floor: str = "median"
    looks: tuple[int, ...] = (5, 7, 10, 15, 20, 30)
    alphas: tuple[float, ...] = (0.001,) * 6
    clear: float = 0.05
    prior_sd: float = 0.02
    prior_weight: float = 10.0
    clip_width: float = 2.5
    least_mad: float = 0.003


def in_blocks(rule: Rule) -> Rule:
    """Blocks are looked at when they are whole."""
    whole = [(look, alpha) for look, alpha in zip(rule.looks, rule.alphas, strict=True) if not look % BLOCK]
    return replace(rule, looks=tuple(look for look, _ in whole), alphas=tuple(alpha for _, alpha in whole))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Per repetition: candidate minus baseline, its standard error, and K + 3."""

    delta: NDArray[np.float64]
    error: NDArray[np.float64]
    degrees: int

    def limit(self, floor: float, quantile: float) -> NDArray[np.float64]:
        """max(floor, t(quantile) se)."""
        return np.maximum(floor, float(stdtrit(self.degrees, quantile)) * self.error)

    def exceeds(self, floor: float, quantile: float) -> NDArray[np.bool_]:
        """Whether delta lies above the limit."""
        found: NDArray[np.bool_] = self.delta > self.limit(floor, quantile)
        return found


def clipped(values: NDArray[np.float64], *, width: float, least: float) -> NDArray[np.float64]:
    """Along the last axis: at the median plus and minus ``width`` x max(1.4826 MAD, ``least``)."""
    middle = np.median(values, axis=-1, keepdims=True)
    spread = width * np.maximum(1.4826 * np.median(np.abs(values - middle), axis=-1, keepdims=True), least)
    return np.clip(values, middle - spread, middle + spread)


def compared(candidate: NDArray[np.float64], sessions: NDArray[np.float64], rule: Rule) -> Compared:
    """``candidate``: repetitions x R; ``sessions``: repetitions x K x R. As ``verdict.noise.compare``."""
    count = sessions.shape[1]
    history = np.median(sessions, axis=-1)
    spread = np.zeros(len(history))
    if count > 1:
        kept = clipped(history, width=3.0, least=1e-4) if count >= 4 else history
        spread = kept.var(axis=-1, ddof=1)
    between = (4 * rule.prior_sd**2 + (count - 1) * spread) / (count + 3)
    least = 1.08 * _within_session(candidate, sessions, rule.floor) / candidate.shape[-1]
    error = np.sqrt(np.maximum(between, least) * (1 + 1 / count))
    return Compared(delta=np.median(candidate, axis=-1) - np.median(history, axis=-1), error=error, degrees=count + 3)


def _within_session(candidate: NDArray[np.float64], sessions: NDArray[np.float64], floor: str) -> NDArray[np.float64]:
    if floor == "none":
        return np.zeros(len(candidate))
    everything = np.concatenate([sessions, candidate[:, None, :]], axis=1)
    return run_variance(everything) if floor == "median" else everything.var(axis=-1, ddof=1).mean(axis=1)


def run_variance(sessions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The variance of one run that the runs of the sessions show: their median variance over what makes a median unbiased."""
    runs = sessions.shape[-1]
    found: NDArray[np.float64] = np.median(sessions.var(axis=-1, ddof=1), axis=1) / (chi2.median(runs - 1) / (runs - 1))
    return found


def deployment_variance(history: NDArray[np.float64], of_run: NDArray[np.float64], rule: Rule) -> NDArray[np.float64]:
    """What a deployment does to all of its runs, as the sessions (without the candidate's) show it."""
    _, count, per_session = history.shape
    if count < 2:
        return 0.25 * of_run
    kept = clipped(np.median(history, axis=-1), width=rule.clip_width, least=rule.least_mad)
    beyond = kept.var(axis=1, ddof=1) - 1.08 * of_run / per_session
    found: NDArray[np.float64] = (of_run + (count - 1) * np.maximum(0.0, beyond)) / (count + 3)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Per repetition: REGRESSED, UNCHANGED or UNDECIDED, and the pairs that were measured."""

    outcome: NDArray[np.int8]
    pairs: NDArray[np.int64]


def estimate(
    differences: NDArray[np.float64], variance_of_run: NDArray[np.float64], rule: Rule, deployment: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Effect and standard error from the pairs so far (repetitions x n); n + 9 degrees of freedom. ``deployment``: of pairs in blocks."""
    count = differences.shape[1]
    kept = clipped(differences, width=rule.clip_width, least=rule.least_mad)
    variance = (variance_of_run * rule.prior_weight * 2 + (count - 1) * kept.var(axis=1, ddof=1)) / (count - 1 + rule.prior_weight)
    if deployment is not None:
        variance = variance + 2 * BLOCK * deployment
    return kept.mean(axis=1), np.sqrt(variance / count)


def duet(
    differences: NDArray[np.float64], variance_of_run: NDArray[np.float64], rule: Rule, deployment: NDArray[np.float64] | None = None
) -> Decided:
    """Looks in their order; the first that decides a repetition decides it."""
    outcome = np.full(len(differences), UNDECIDED, dtype=np.int8)
    pairs = np.full(len(differences), rule.looks[-1])
    for count, alpha in zip(rule.looks, rule.alphas, strict=True):
        open_ = np.flatnonzero(outcome == UNDECIDED)
        between = None if deployment is None else deployment[open_]
        effect, error = estimate(differences[open_, :count], variance_of_run[open_], rule, between)
        degrees = count - 1 + rule.prior_weight
        worse = (effect - stdtrit(degrees, 1 - alpha) * error > 0) & (effect > rule.tolerance / 2)
        fine = ~worse & (effect + stdtrit(degrees, 1 - rule.clear) * error < rule.tolerance)
        outcome[open_[worse]] = REGRESSED
        outcome[open_[fine]] = UNCHANGED
        pairs[open_[worse | fine]] = count
    return Decided(outcome=outcome, pairs=pairs)
