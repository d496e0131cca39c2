"""Simulated runs. All values are logarithms of one cell, + is worse; a run is one number, unless requests are asked for.

A run is: what its session does to all of its runs (normal, sd = half the run CV), what the run itself does (Student's t with five degrees
of freedom, scaled to the run CV), now and then an outlier, and the error of a statistic of 600 requests. Requests are lognormal with
autocorrelation .5 within a run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter

from benchmarks.judgement.gate import BLOCK

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

BLOCKED = frozenset({"abba", "ab"})
"""Layouts in which the arms take turns, block by block."""

_T_DEGREES = 5
_T_SD = math.sqrt(_T_DEGREES / (_T_DEGREES - 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Sizes are standard deviations of logarithms, so fractions. ``outlier_mean`` is the mean of the exponential slowdown of an outlier
    run, ``request_sd`` that of single requests, ``statistic_error`` what finite requests add to the gated statistic of a run.

    Of the duet: ``common`` is the share of the statistic's error (variance) that both arms of a pair have in common through their prompts;
    ``slope`` and ``walk`` are drift per run, linear and random; ``deployment_share`` is the share of the session's variance that belongs
    to a deployment and not to the hour; ``covariate_share`` is the share of the run's variance that a measured covariate explains.
    """

    run_cv: float
    session_ratio: float = 0.5
    outlier_share: float = 0.03
    outlier_mean: float = 0.12
    request_sd: float = 0.22
    requests: int = 600
    autocorrelation: float = 0.5
    statistic_error: float = 0.012
    common: float = 0.0
    slope: float = 0.0
    walk: float = 0.0
    deployment_share: float = 0.0
    covariate_share: float = 0.0


def session_effects(world: World, shape: tuple[int, ...], rng: Generator) -> NDArray[np.float64]:
    """What all runs of a session share."""
    return rng.normal(0.0, world.session_ratio * world.run_cv, shape)


def run_effects(world: World, shape: tuple[int, ...], rng: Generator) -> NDArray[np.float64]:
    """What each run does by itself, outliers included, without the error of finite requests."""
    noise = rng.standard_t(_T_DEGREES, shape) * (world.run_cv / _T_SD)
    outliers = rng.random(shape) < world.outlier_share
    noise[outliers] += rng.exponential(world.outlier_mean, int(outliers.sum()))
    return noise


def runs(world: World, shape: tuple[int, ...], rng: Generator) -> NDArray[np.float64]:
    """Values of the gated statistic per run; runs along the last axis share a session."""
    shared = session_effects(world, shape[:-1], rng)[..., None]
    return shared + run_effects(world, shape, rng) + rng.normal(0.0, world.statistic_error, shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Repetitions x pairs: candidate minus control without any change, and the difference of the covariate."""

    differences: NDArray[np.float64]
    covariate: NDArray[np.float64]


def pairs(world: World, repetitions: int, count: int, layout: str, rng: Generator) -> Pairs:
    """Of a duet. What the session does to both arms alike cancels and is left out; see :func:`positions` for ``layout``."""
    share = world.covariate_share
    noise = run_effects(world, (repetitions, count, 2), rng)
    covariate = rng.normal(0.0, 1.0, noise.shape) if share else np.zeros(noise.shape)
    noise = noise * math.sqrt(1 - share) + covariate * (world.run_cv * math.sqrt(share))
    noise += rng.normal(0.0, world.statistic_error * math.sqrt(1 - world.common), noise.shape)
    if world.slope or world.walk:
        steps = world.slope + rng.normal(0.0, world.walk, (repetitions, 2 * count))
        noise += _at(steps.cumsum(axis=1), positions(repetitions, count, layout, rng))
    if world.deployment_share:
        sd = world.session_ratio * world.run_cv * math.sqrt(world.deployment_share)
        every = BLOCK if layout in BLOCKED else count
        noise += rng.normal(0.0, sd, (repetitions, -(-count // every), 2)).repeat(every, axis=1)[:, :count]
    return Pairs(differences=noise[..., 0] - noise[..., 1], covariate=covariate[..., 0] - covariate[..., 1])


def _at(drift: NDArray[np.float64], when: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.take_along_axis(drift, when.reshape(len(when), -1), axis=1).reshape(when.shape)


def positions(repetitions: int, count: int, layout: str, rng: Generator) -> NDArray[np.int64]:
    """When each run takes place: repetitions x pairs x (candidate, control), from 0. ``adjacent``: pair by pair, who goes first is drawn;
    ``abba``: blocks of five runs, candidate, control, control, candidate; ``ab``: such blocks, the control always first; ``sequential``:
    all of the control, then all of the candidate.
    """
    pair = np.arange(count)
    if layout == "adjacent":
        late = rng.integers(0, 2, (repetitions, count))
        return np.stack([2 * pair + late, 2 * pair + 1 - late], axis=-1)
    if layout == "sequential":
        first, second = pair, pair + count
    else:
        block = pair // BLOCK
        first = block * 2 * BLOCK + pair % BLOCK
        second = first + BLOCK
    swapped = (pair // BLOCK) % 2 == (0 if layout == "abba" else 2)
    candidate, control = np.where(swapped, first, second), np.where(swapped, second, first)
    return np.broadcast_to(np.stack([candidate, control], axis=-1), (repetitions, count, 2))


def requests(world: World, levels: NDArray[np.float64], rng: Generator) -> NDArray[np.float64]:
    """Logarithms of single requests around the ``levels`` of their runs; one more axis, of ``world.requests``."""
    rho = world.autocorrelation
    steps = rng.normal(0.0, math.sqrt(1 - rho**2), (*levels.shape, world.requests))
    steps[..., 0] /= math.sqrt(1 - rho**2)
    found: NDArray[np.float64] = lfilter([1.0], [1.0, -rho], steps, axis=-1) * world.request_sd + levels[..., None]
    return found


def error_of_statistic(world: World, rng: Generator, *, repetitions: int = 4000) -> tuple[float, float]:
    """Standard deviation of the median, and of the logarithm of the mean, of one run's requests, over that of one request."""
    drawn = requests(world, np.zeros(repetitions), rng)
    medians = np.median(drawn, axis=-1)
    means = np.log(np.exp(drawn).mean(axis=-1))
    return float(medians.std(ddof=1)) / world.request_sd, float(means.std(ddof=1)) / world.request_sd
