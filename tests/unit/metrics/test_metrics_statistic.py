"""Percentiles against an independent formula, and the number of values that a tail needs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.metrics.statistic import PERCENTILES, STATISTICS, least_samples, statistic
from pytest_dynperf.quantity import Absent


def linear_percentile(values: list[float], q: float) -> float:
    """Hyndman and Fan's type 7, written out."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * q / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(min_value=1e-6, max_value=1e6), min_size=100, max_size=140), st.sampled_from(("p1", "p25", "p50", "p90", "p95")))
def test_percentiles_are_linear(values: list[float], name: str) -> None:
    found = statistic(np.array(values), name)
    assert not isinstance(found, Absent)
    assert found == pytest.approx(linear_percentile(values, float(name[1:])), rel=1e-9)
    assert type(found) is float


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=1e9), min_size=1, max_size=60), st.sampled_from(("p1", "p5", "p10", "p25", "p50", "p75")))
def test_percentiles_are_numpys(values: list[float], name: str) -> None:
    assert statistic(np.array(values), name) == np.percentile(np.array(values), float(name[1:]), method="linear")


def test_by_hand() -> None:
    values = np.array([10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0])
    assert statistic(values, "p50") == 55.0
    assert statistic(values, "p90") == pytest.approx(91.0)  # position 8.1
    assert statistic(values, "mean") == 55.0


@pytest.mark.parametrize(("name", "needed"), [("p90", 10), ("p95", 100), ("p99", 1_000), ("p99.9", 10_000)])
def test_a_tail_needs_values(name: str, needed: int) -> None:
    short = statistic(np.ones(needed - 1), name)
    assert isinstance(short, Absent)
    assert str(needed) in short.reason
    assert str(needed - 1) in short.reason
    assert statistic(np.ones(needed), name) == 1.0


@pytest.mark.parametrize("name", STATISTICS)
def test_no_samples_is_absent(name: str) -> None:
    assert isinstance(statistic(np.empty(0), name), Absent)


@pytest.mark.parametrize("name", ["p42", "max", "value", ""])
def test_unknown_statistic_is_refused(name: str) -> None:
    assert name not in PERCENTILES
    with pytest.raises(ValueError, match="not a statistic"):
        statistic(np.ones(3), name)


@pytest.mark.parametrize(("name", "least"), [("mean", 1), ("p50", 1), ("p90", 10), ("p95", 100), ("p99", 1_000), ("p99.9", 10_000)])
def test_least_samples_is_where_the_statistic_begins(name: str, least: int) -> None:
    assert least_samples(name) == least
    assert not isinstance(statistic(np.ones(least), name), Absent)
    assert isinstance(statistic(np.ones(least - 1), name), Absent)
