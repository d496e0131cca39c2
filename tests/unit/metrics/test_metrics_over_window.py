"""Readings over a window: by hand, with what is missing, and against counters whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.metrics.over_window import (
    Increase,
    histogram_mean,
    increase,
    largest,
    of_id,
    quantile_estimate,
    ratio,
    time_mean,
    total,
)
from pytest_dynperf.observation.series import Series, SeriesKind
from pytest_dynperf.quantity import Absent
from tests.fakes.observations import recording

S = 10**9


def series(readings: dict[float, float], *, series_id: str = "x", source: str = "worker-0", le: str = "") -> Series:
    """Stamps in seconds → values."""
    return Series(
        id=series_id,
        source=source,
        kind=SeriesKind.GAUGE,
        labels=(("le", le),) if le else (),
        stamps_ns=tuple(round(at * S) for at in readings),
        values=tuple(readings.values()),
    )


COUNTER = series({0: 0, 1: 10, 2: 30, 3: 40, 4: 100})


def reason(found: object) -> str:
    assert isinstance(found, Absent)
    return found.reason


def test_increase_by_hand() -> None:
    # At 0.5 s the line stands at 5, at 3.5 s at 70; between the readings around the ends lie 10 to 40 and 0 to 100.
    assert increase(COUNTER, S // 2, 7 * S // 2) == Increase(65.0, 30.0, 100.0)


def test_increase_from_reading_to_reading_is_exact() -> None:
    assert increase(COUNTER, 1 * S, 3 * S) == Increase(30.0, 30.0, 30.0)


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ((-1, 3), "begin 1 s after the window"),
        ((1, 6), "end 2 s before it"),
        ((1.2, 2.8), "read 1 times within the window of 1.6 s, needed are 2"),
        ((1.2, 1.8), "read 0 times"),
    ],
)
def test_a_window_without_readings_around_and_within_has_no_increase(window: tuple[float, float], words: str) -> None:
    assert words in reason(increase(COUNTER, round(window[0] * S), round(window[1] * S)))


def test_one_reading_gives_nothing() -> None:
    one = series({1: 5})
    for of in (increase, time_mean, largest):
        assert "read 1 times" in reason(of(one, 0, 2 * S))


STEPS = st.lists(st.tuples(st.integers(1, 3_000), st.integers(0, 50)), min_size=6, max_size=30)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.data())
def test_the_truth_lies_within_the_bounds(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    """A counter that jumps at known instants, read at others: the true increase is never outside of what is said."""
    at = np.cumsum([gap for gap, _ in steps])
    amounts = np.array([amount for _, amount in steps])

    def truth(ms: int) -> float:
        return float(amounts[at <= ms].sum())

    end = int(at[-1])
    read = sorted({0, end, *data.draw(st.lists(st.integers(0, end), min_size=2, max_size=12))})
    start, stop = sorted(data.draw(st.tuples(st.integers(0, end), st.integers(0, end))))
    found = increase(series({ms / 1e3: truth(ms) for ms in read}), start * 10**6, stop * 10**6)
    if isinstance(found, Absent):
        assert sum(start <= ms <= stop for ms in read) < 2
    else:
        assert found.lowest <= truth(stop) - truth(start) <= found.highest
        assert found.lowest <= found.value + 1e-9
        assert found.value - 1e-9 <= found.highest


def test_a_total_is_over_all_services_or_absent() -> None:
    seen = replace(recording([], window_ms=4_000), series=(COUNTER, replace(COUNTER, source="worker-1")))
    assert total(seen, "x") == Increase(200.0, 200.0, 200.0)
    cut = replace(seen, series=(COUNTER, series({0: 0, 1: 1, 2: 2}, source="worker-1")))
    assert "worker-1" in reason(total(cut, "x"))


def test_what_nobody_states_says_so() -> None:
    seen = recording([])
    assert "no server metrics were read" in reason(of_id(seen, "x"))
    assert "no service that was asked states it (y)" in reason(total(replace(seen, series=(COUNTER,)), "y.sum"))


def test_ratio_and_mean_by_hand() -> None:
    seen = replace(
        recording([], window_ms=4_000),
        series=(series({0: 0, 2: 1, 4: 3}, series_id="h.sum"), series({0: 0, 2: 4, 4: 12}, series_id="h.count")),
    )
    assert histogram_mean(seen, "h") == 0.25
    still = replace(seen, series=(seen.series[0], series({0: 7, 2: 7, 4: 7}, series_id="h.count")))
    assert "did not rise" in reason(ratio(still, "h.sum", "h.count"))
    assert "(h)" in reason(histogram_mean(replace(seen, series=seen.series[:1]), "h"))


def histogram(counts: dict[str, float]) -> tuple[Series, ...]:
    return tuple(series({0: 0, 1: count / 2, 2: count}, series_id="h.bucket", le=le) for le, count in counts.items())


def test_quantile_by_hand() -> None:
    seen = replace(recording([], window_ms=2_000), series=histogram({"0": 0, "0.1": 10, "0.2": 30, "inf": 40}))
    assert quantile_estimate(seen, "h", 0.25) == pytest.approx(0.1)
    assert quantile_estimate(seen, "h", 0.5) == pytest.approx(0.15)
    assert quantile_estimate(seen, "h", 0.75) == pytest.approx(0.2)
    assert "above 0.2, the largest bound" in reason(quantile_estimate(seen, "h", 0.9))


def test_quantile_of_nothing() -> None:
    empty = replace(recording([], window_ms=2_000), series=histogram({"0.1": 0, "inf": 0}))
    assert "counted nothing" in reason(quantile_estimate(empty, "h", 0.9))
    unbounded = replace(empty, series=histogram({"inf": 5}))
    assert "one bucket" in reason(quantile_estimate(unbounded, "h", 0.9))


BOUNDS = tuple(0.01 * 2**n for n in range(10))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.001, 5.0), min_size=1, max_size=60), st.sampled_from((0.1, 0.5, 0.9)))
def test_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], q: float) -> None:
    counts = {f"{bound:g}": float(sum(value <= bound for value in values)) for bound in (*BOUNDS, float("inf"))}
    seen = replace(recording([], window_ms=2_000), series=histogram(counts))
    found = quantile_estimate(seen, "h", q)
    assert not isinstance(found, Absent)
    true = float(np.quantile(values, q, method="inverted_cdf"))
    place = int(np.searchsorted(BOUNDS, true))
    assert (BOUNDS[place - 1] if place else 0.0) - 1e-9 <= found <= BOUNDS[place] + 1e-9


GAUGE = series({0: 2, 1: 4, 3: 4, 4: 0})


def test_a_gauge_by_hand() -> None:
    assert time_mean(GAUGE, 0, 4 * S) == pytest.approx((3 + 8 + 2) / 4)
    assert time_mean(GAUGE, S // 2, 7 * S // 2) == pytest.approx((1.75 + 8 + 1.5) / 3)
    assert largest(GAUGE, 0, 4 * S) == 4.0
    assert largest(series({0: 2, 1: 1, 2: 1, 3: 9}), S // 2, 5 * S // 2) == 1.0, "readings outside of the window do not count"


def test_a_gauge_that_was_not_there_for_most_of_the_window_is_absent() -> None:
    assert "cover 1 s of the window (4 s), needed are 90%" in reason(time_mean(series({3: 1, 4: 1}), 0, 4 * S))
    assert time_mean(series({0.3: 1, 2: 1, 4: 1}), 0, 4 * S) == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2_000), st.floats(0, 100)), min_size=3, max_size=20))
def test_a_mean_lies_between_the_readings(steps: list[tuple[int, float]]) -> None:
    at = np.cumsum([gap for gap, _ in steps])
    gauge = series({ms / 1e3: value for ms, (_, value) in zip(at.tolist(), steps, strict=True)})
    found = time_mean(gauge, gauge.stamps_ns[0], gauge.stamps_ns[-1])
    assert not isinstance(found, Absent)
    assert min(gauge.values) - 1e-9 <= found <= max(gauge.values) + 1e-9
