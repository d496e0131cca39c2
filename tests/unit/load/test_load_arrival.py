"""Schedules against the distributions that they promise, with fixed seeds, and planted defects that the same checks find."""

from __future__ import annotations

import math
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_dynperf.load.arrival import rate_at, schedule_of, trace_offset_ns
from pytest_dynperf.scenario.traffic import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 5000
SURE = 1e-3  # fixed seeds: a right schedule stays above it, every time; a wrong one is far below
SINE = Arrival(process="sinusoidal", min_rate_per_s=20.0, max_rate_per_s=180.0, period_s=10.0)


def gaps_s(arrival: Arrival, *, seed: int = 1, count: int = COUNT) -> np.ndarray:
    return np.diff(list(islice(schedule_of(arrival, warmup=0, seed=seed).after, count + 1))) / 1e9


def of(process: str, burstiness: float = 1.0) -> Arrival:
    return Arrival(process=process, rate_per_s=25.0, burstiness=burstiness)


def gamma_p(gaps: np.ndarray, *, rate: float, shape: float) -> float:
    """Kolmogorov–Smirnov against a gamma distribution with the mean 1/rate."""
    return float(stats.kstest(gaps, stats.gamma(shape, scale=1 / (rate * shape)).cdf).pvalue)


def sine_p(offsets_s: np.ndarray, rate: Callable[[float], float], *, until_s: float, bins: int = 100) -> float:
    """Chi-square of the sends per bin against the integral of ``rate``."""
    edges = np.linspace(0, until_s, bins + 1)
    found = np.histogram(offsets_s, edges)[0].astype(float)
    expected = np.array([np.mean([rate(t) for t in np.linspace(low, high, 21)]) * (high - low) for low, high in pairwise(edges)])
    return float(stats.chi2.sf(((found - expected) ** 2 / expected).sum(), bins))


@pytest.mark.parametrize(
    ("arrival", "shape"),
    [(of("poisson"), 1.0), (of("gamma"), 1.0), (of("gamma", 0.25), 0.25), (of("gamma", 4.0), 4.0)],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gaps_follow_their_distribution(arrival: Arrival, shape: float, seed: int) -> None:
    gaps = gaps_s(arrival, seed=seed)
    assert gamma_p(gaps, rate=25.0, shape=shape) > SURE
    assert np.mean(gaps) == pytest.approx(1 / 25, rel=0.1)


def test_a_wrong_shape_and_a_wrong_rate_are_found() -> None:
    assert gamma_p(gaps_s(of("gamma", 0.5)), rate=25.0, shape=1.0) < SURE
    assert gamma_p(gaps_s(of("poisson")), rate=25.0, shape=1.2) < SURE
    assert gamma_p(gaps_s(of("poisson")), rate=27.0, shape=1.0) < SURE


def test_constant_gaps_do_not_drift() -> None:
    offsets = list(islice(schedule_of(Arrival(process="constant", rate_per_s=3.0), warmup=0, seed=1).after, 30_001))
    assert offsets[30_000] == 10_000_000_000_000
    assert set(np.diff(offsets)) <= {333_333_333, 333_333_334}


def sine_offsets_s(seed: int) -> np.ndarray:
    offsets = np.array(list(islice(schedule_of(SINE, warmup=0, seed=seed).after, COUNT))) / 1e9
    assert offsets[-1] > 40
    return offsets[offsets < 40]


def formula(t_s: float) -> float:
    return 100 + 80 * math.sin(2 * math.pi * t_s / 10 - math.pi / 2)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_rate_of_a_sine_follows_its_formula(seed: int) -> None:
    assert sine_p(sine_offsets_s(seed), formula, until_s=40) > SURE


def test_a_wrong_phase_or_amplitude_is_found() -> None:
    offsets = sine_offsets_s(1)
    assert sine_p(offsets, lambda t: 100 + 80 * math.sin(2 * math.pi * t / 10), until_s=40) < SURE
    assert sine_p(offsets, lambda t: 100 - 50 * math.cos(2 * math.pi * t / 10), until_s=40) < SURE


def test_a_sine_starts_at_its_minimum() -> None:
    assert rate_at(SINE, 0.0) == pytest.approx(20.0)
    assert rate_at(SINE, 5.0) == pytest.approx(180.0)
    assert rate_at(SINE, 7.5) == pytest.approx(100.0)
    assert rate_at(of("poisson"), 7.5) == 25.0


def test_a_sine_in_its_own_time_is_a_poisson_process() -> None:
    def sends(t: float) -> float:
        return 100 * t - 80 * 10 / (2 * math.pi) * math.sin(2 * math.pi * t / 10)

    grown = np.array([sends(t) for t in sine_offsets_s(4)])
    assert gamma_p(np.diff(grown), rate=1.0, shape=1.0) > SURE


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_rate_grows_linearly_over_the_ramp(seed: int) -> None:
    arrival = Arrival(process="poisson", rate_per_s=100.0, ramp_s=40.0)
    before = np.array(schedule_of(arrival, warmup=500, seed=seed).before) / 1e9
    ramp = before[:-500]
    start_s = before[-500]  # of the warm-up
    assert len(ramp) == pytest.approx(2000, rel=0.1)  # the triangle below the rate
    assert ramp[0] >= start_s - 40.5
    # Over a ramp, send times relative to its end are distributed like the triangle.
    assert stats.kstest((ramp - (start_s - 40)) / 40, lambda x: np.clip(x, 0, 1) ** 2).pvalue > SURE
    assert stats.kstest((ramp - (start_s - 40)) / 40, lambda x: np.clip(x, 0, 1)).pvalue < SURE
    assert gamma_p(np.diff(before[-500:]), rate=100.0, shape=1.0) > SURE


def test_warm_up_before_a_sine_has_the_rate_of_its_start() -> None:
    before = np.array(schedule_of(SINE, warmup=500, seed=1).before) / 1e9
    assert gamma_p(np.diff(before), rate=20.0, shape=1.0) > SURE
    silent = Arrival(process="sinusoidal", min_rate_per_s=0.0, max_rate_per_s=20.0, period_s=10.0)
    assert gamma_p(np.diff(np.array(schedule_of(silent, warmup=500, seed=1).before) / 1e9), rate=10.0, shape=1.0) > SURE


def sine(low: float, more: float, period_s: float, ramp_s: float) -> Arrival:
    return Arrival(process="sinusoidal", min_rate_per_s=low, max_rate_per_s=low + more, period_s=period_s, ramp_s=ramp_s)


ARRIVALS = st.one_of(
    st.builds(
        Arrival,
        process=st.sampled_from(["constant", "poisson", "gamma"]),
        rate_per_s=st.floats(0.1, 1000),
        burstiness=st.floats(0.1, 10),
        ramp_s=st.floats(0, 2),
    ),
    st.builds(sine, st.floats(0, 100), st.floats(0.1, 100), st.floats(0.1, 100), st.floats(0, 2)),
)


@settings(max_examples=60, deadline=None)
@given(arrival=ARRIVALS, warmup=st.integers(0, 20), seed=st.integers(0, 2**63))
def test_every_schedule(arrival: Arrival, warmup: int, seed: int) -> None:
    first, second = (schedule_of(arrival, warmup=warmup, seed=seed) for _ in range(2))
    after = list(islice(first.after, 50))
    assert first.before == second.before
    assert after == list(islice(second.after, 50))
    assert all(type(offset) is int for offset in (*first.before, *after))
    assert list(first.before) == sorted(first.before)
    assert after == sorted(after)
    assert all(offset < 0 for offset in first.before)
    assert after[0] >= 0
    assert after[0] == 0 or arrival.process == "sinusoidal"
    assert len(first.before) >= warmup
    assert len(first.before) == warmup or arrival.ramp_s > 0


@settings(max_examples=30, deadline=None)
@given(arrival=ARRIVALS, seed=st.integers(0, 2**63))
def test_the_measured_phase_does_not_depend_on_the_warm_up(arrival: Arrival, seed: int) -> None:
    short, long = (list(islice(schedule_of(arrival, warmup=warmup, seed=seed).after, 30)) for warmup in (0, 13))
    assert short == long


def test_other_seeds_are_other_schedules() -> None:
    assert len({tuple(islice(schedule_of(of("poisson"), warmup=0, seed=seed).after, 3)) for seed in range(20)}) == 20


@pytest.mark.parametrize("arrival", [Arrival(), Arrival(process="trace"), Arrival(process="poisson")])
def test_what_has_no_rate_has_no_schedule(arrival: Arrival) -> None:
    with pytest.raises(ValueError, match="has no rate"):
        schedule_of(arrival, warmup=0, seed=1)


def test_offsets_of_a_trace() -> None:
    assert trace_offset_ns(12.5, first_s=10.0, speedup=1.0) == 2_500_000_000
    assert trace_offset_ns(12.5, first_s=10.0, speedup=2.0) == 1_250_000_000
    assert trace_offset_ns(9.0, first_s=10.0, speedup=0.5) == -2_000_000_000
