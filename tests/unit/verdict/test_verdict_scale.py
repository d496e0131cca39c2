"""The scales, by hand: which one is taken, what a run is on it, and what a tolerance is on it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.verdict.scale import INNER, Reading, Ruler, of_parts, ruler
from pytest_dynperf.verdict.verdict import Scale

HITS = MEANINGS["prefix_cache_hit_rate.v1"]
ERRORS = MEANINGS["request_error_rate.v1"]
LATENCY = MEANINGS["time_to_first_token.v1"]
COUNT = MEANINGS["server_preemptions.v1"]


def rates(*values: float, whole: float = 1_000.0) -> tuple[Reading, ...]:
    return tuple(of_parts(value * whole, whole) for value in values)


def chosen(candidate: float, baseline: float, *, tolerance: float = 0.03, of: str = HITS.id) -> Ruler:
    return ruler(MEANINGS[of], rates(candidate), [rates(baseline)], tolerance=tolerance, prior_sd=0.08)


def test_a_magnitude_is_a_signed_logarithm() -> None:
    found = ruler(LATENCY, [Reading(0.05)], [[Reading(0.05)]], tolerance=0.05, prior_sd=0.04)
    assert found == Ruler(scale=Scale.LOG, sign=1, prior_sd=0.04)
    assert found.read(Reading(math.e)) == pytest.approx(1.0)
    assert found.in_unit(1.0) == pytest.approx(math.e)
    assert found.allowed(0.05, baseline=-3.0) == 0.05, "tolerances enter raw"


def test_log_odds_by_hand() -> None:
    found = chosen(0.5, 0.6)
    assert found == Ruler(scale=Scale.LOG_ODDS, sign=-1, prior_sd=0.08)
    assert found.read(of_parts(30, 40)) == pytest.approx(-math.log(30.5 / 10.5))  # more hits are better, so below
    assert found.read(of_parts(0, 40)) == pytest.approx(-math.log(0.5 / 40.5)), "none of forty has log odds too"
    assert found.in_unit(found.read(of_parts(300, 400))) == pytest.approx(300.5 / 401)
    # From 60 % to 57 %: log(.6/.4) - log(.57/.43)
    assert found.allowed(0.03, baseline=-math.log(0.6 / 0.4)) == pytest.approx(0.405465 - 0.281851, abs=1e-6)


def test_a_tolerance_lies_on_the_worse_side() -> None:
    """Three points more errors at 60 % are a larger step in log odds than three points fewer."""
    found = ruler(ERRORS, rates(0.6), [rates(0.6)], tolerance=0.03, prior_sd=0.2)
    assert found.sign == 1
    assert found.allowed(0.03, baseline=math.log(0.6 / 0.4)) == pytest.approx(math.log(0.63 / 0.37) - math.log(0.6 / 0.4))


@pytest.mark.parametrize(
    ("candidate", "baseline", "scale"),
    [
        (0.5, 0.5, Scale.LOG_ODDS),
        (0.95, 0.9, Scale.LOG_ODDS),
        (0.951, 0.9, Scale.POINTS),
        (0.5, 0.951, Scale.POINTS),
        (0.049, 0.5, Scale.POINTS),
        (0.05, 0.5, Scale.LOG_ODDS),
        (0.5, 0.049, Scale.POINTS),
        (0.07, 0.07, Scale.POINTS),  # three points worse would be 4 %
        (0.0, 0.0, Scale.POINTS),
        (1.0, 1.0, Scale.POINTS),
    ],
)
def test_which_scale(candidate: float, baseline: float, scale: Scale) -> None:
    assert chosen(candidate, baseline).scale is scale


def test_which_scale_is_asked_of_medians() -> None:
    assert ruler(HITS, rates(0.01, 0.5, 0.6), [rates(0.5, 0.5, 0.99)], tolerance=0.03, prior_sd=0.08).scale is Scale.LOG_ODDS
    sessions = [rates(0.99), rates(0.5), rates(0.5)]
    assert ruler(HITS, rates(0.5), sessions, tolerance=0.03, prior_sd=0.08).scale is Scale.LOG_ODDS


def test_points_by_hand() -> None:
    found = chosen(0.97, 0.98)
    assert found.read(of_parts(97, 100)) == -0.97
    assert found.in_unit(-0.97) == 0.97
    assert found.allowed(0.03, baseline=-0.98) == 0.03
    assert found.prior_sd == pytest.approx(0.08 * 0.02 * 0.98)
    assert chosen(0.98, 0.97).prior_sd == found.prior_sd
    assert chosen(0.03, 0.5).prior_sd == pytest.approx(0.08 * 0.03 * 0.97), "the more extreme of the two"


@pytest.mark.parametrize("rate", [0.0, 1.0, 0.001, 0.9999])
def test_a_rate_that_never_varied_keeps_some_noise(rate: float) -> None:
    assert chosen(rate, rate).prior_sd == pytest.approx(0.08 * 0.01 * 0.99)


@given(st.floats(0.05, 0.95), st.floats(0.0001, 0.9999))
@settings(max_examples=200, deadline=None)
def test_a_prior_in_points_never_looks_closer_than_in_log_odds(baseline: float, candidate: float) -> None:
    """So a rate that moves out beyond .05 or .95 does not turn from a finding into none."""
    low, high = INNER
    if low <= candidate <= high or not 0.01 <= candidate <= 0.99:
        return
    in_points = abs(candidate - baseline) / chosen(candidate, baseline).prior_sd
    in_log_odds = abs(math.log(candidate / (1 - candidate)) - math.log(baseline / (1 - baseline))) / 0.08
    assert in_points >= in_log_odds * (1 - 1e-9)


@given(st.floats(0.0501, 0.9499), st.floats(0.0, 0.5), st.sampled_from([HITS, ERRORS]))
@settings(max_examples=200, deadline=None)
def test_more_tolerance_is_never_less_and_always_finite(rate: float, tolerance: float, of: object) -> None:
    sign = 1 if of is ERRORS else -1
    measured_by = Ruler(scale=Scale.LOG_ODDS, sign=sign, prior_sd=0.1)
    baseline = sign * math.log(rate / (1 - rate))
    smaller, larger = measured_by.allowed(tolerance / 2, baseline), measured_by.allowed(tolerance, baseline)
    assert 0 <= smaller <= larger < 20


FLAWED = [
    Reading(0.0),
    Reading(-1.0),
    Reading(math.nan),
    Reading(math.inf),
    of_parts(1, 0),
    of_parts(0, 0),
    of_parts(3, 2),
    of_parts(-1, 2),
    of_parts(math.nan, 2),
    of_parts(1, math.inf),
]


@pytest.mark.parametrize("reading", FLAWED)
@pytest.mark.parametrize("scale", Scale)
def test_a_flawed_reading_is_refused_on_every_scale(reading: Reading, scale: Scale) -> None:
    assert reading.flaw is not None
    with pytest.raises(ValueError, match=r"positive and finite|no part of a whole"):
        Ruler(scale=scale, sign=1, prior_sd=0.1).read(reading)


@pytest.mark.parametrize("parts", [(0, 5), (5, 5), (2.5, 5)])
def test_none_and_all_are_rates(parts: tuple[float, float]) -> None:
    assert of_parts(*parts).flaw is None


def test_log_odds_need_parts() -> None:
    with pytest.raises(ValueError, match="numerator and denominator"):
        Ruler(scale=Scale.LOG_ODDS, sign=1, prior_sd=0.1).read(Reading(0.5))


def test_what_has_no_distance_is_refused() -> None:
    for meaning in (COUNT, replace(HITS, direction=MEANINGS["kv_cache_usage.v1"].direction)):
        with pytest.raises(ValueError, match=r"count|direction"):
            ruler(meaning, rates(0.5), [rates(0.5)], tolerance=0.03, prior_sd=0.1)
