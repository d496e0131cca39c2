"""Counters that start again, and label sets that come and go."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.telemetry.counter import cumulated

if TYPE_CHECKING:
    from pytest_dynperf.telemetry.prometheus import Labels

A: Labels = (("worker", "a"),)
B: Labels = (("worker", "b"),)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param([{A: 5}, {A: 7}, {A: 12}], (0, 2, 7), id="goes on"),
        pytest.param([{A: 5}, {A: 7}, {A: 3}, {A: 4}], (0, 2, 5, 6), id="starts again"),
        pytest.param([{A: 5}, {A: 0}, {A: 0}, {A: 2}], (0, 0, 0, 2), id="starts again at zero"),
        pytest.param([{A: 5}, {A: 6, B: 10}, {A: 6, B: 11}], (0, 11, 12), id="another label set midway"),
        pytest.param([{}, {A: 4}, {A: 6}], (0, 4, 6), id="was not there at first"),
        pytest.param([{A: 5, B: 5}, {A: 6}, {A: 7, B: 8}], (0, 1, 5), id="one label set is gone for a while"),
        pytest.param([{A: 5}, {}, {A: 2}], (0, 0, 2), id="gone, and started again"),
        pytest.param([{A: 5, B: 50}, {A: 6, B: 1}], (0, 2), id="one of two starts again"),
        pytest.param([{A: 5}], (0,), id="one reading"),
        pytest.param([], (), id="no reading"),
    ],
)
def test_by_hand(readings: list[dict[Labels, float]], expected: tuple[float, ...]) -> None:
    assert cumulated(readings) == expected


EVENTS = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1_000), EVENTS)
def test_never_falls_and_is_true_where_a_new_start_shows(first: int, events: list[tuple[bool, int]]) -> None:
    """Each event is growth, or a new start with that much counted since; a new start that shows is one whose value is below the last."""
    value, truth, readings, expected = float(first), 0.0, [{A: float(first)}], [0.0]
    for restarted, amount in events:
        if restarted and amount < value:
            value, truth = float(amount), truth + amount
        else:
            value, truth = value + amount, truth + amount
        readings.append({A: value})
        expected.append(truth)
    assert cumulated(readings) == tuple(expected)
    assert all(before <= after for before, after in pairwise(expected))
