from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.report.thinning import LEAST, MOST, stretches, thinned

NUMBERS = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=400)


@given(NUMBERS, st.integers(2, 40))
def test_no_peak_is_lost_and_time_rises(values: list[float], buckets: int) -> None:
    at = [float(index) for index in range(len(values))]
    x, y = thinned(at, values, buckets)
    assert len(x) <= max(2 * buckets, 1)
    assert y.min() == min(values)
    assert y.max() == max(values)
    assert (np.diff(x) > 0).all()
    kept = dict(zip(at, values, strict=True))
    assert all(kept[one] == value for one, value in zip(x, y, strict=True)), "what is drawn was read"


def test_every_stretch_keeps_its_own_peak() -> None:
    values = np.zeros(1000)
    values[[5, 505, 995]] = 9.0
    x, y = thinned(np.arange(1000.0), values, 10)
    assert list(x[y == 9.0]) == [5.0, 505.0, 995.0]


def test_few_points_are_left_as_they_are_and_equal_times_survive() -> None:
    x, y = thinned([1.0, 2.0], [3.0, 4.0], 24)
    assert (list(x), list(y)) == ([1.0, 2.0], [3.0, 4.0])
    assert len(thinned([1.0] * 100, list(range(100)), 4)[0]) == 2


def test_many_lines_share_the_points_within_bounds() -> None:
    assert stretches(1, 240_000) == MOST
    assert stretches(1_000_000, 240_000) == LEAST
    assert stretches(1000, 240_000) == 120
