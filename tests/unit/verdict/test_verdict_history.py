"""Trends over nights, on made series with fixed seeds."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from pytest_dynperf.errors import UsageError
from pytest_dynperf.verdict.history import ChangePoint, change_points, creep

NIGHTS = 40


def series(seed: int, *, sd: float, nights: int = NIGHTS, tails: bool = False) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """10 ms on average, with lognormal noise; ``tails``: of Student's t with five degrees of freedom."""
    draw = np.random.default_rng(seed)
    noise = draw.standard_t(5, nights) * math.sqrt(3 / 5) if tails else draw.normal(size=nights)
    return np.asarray(0.010 * np.exp(sd * noise), dtype=np.float64)


def stepped(seed: int, *, at: int, factor: float, sd: float = 0.01) -> list[float]:
    values = series(seed, sd=sd)
    values[at:] *= factor
    return [float(value) for value in values]


# ---- change points


def test_a_step_of_5_percent_is_found_where_it_is() -> None:
    found = [change_points(stepped(seed, at=20, factor=1.05), sign=1) for seed in range(200)]
    assert all(len(points) == 1 for points in found)
    assert all(abs(points[0].index - 20) <= 1 for points in found)
    assert sum(points[0].index == 20 for points in found) >= 190
    assert [points[0].delta for points in found] == pytest.approx([math.log(1.05)] * 200, abs=0.015)


@pytest.mark.parametrize("at", range(16, 25))
def test_every_night_may_be_the_first_of_a_level(at: int) -> None:
    """A search of every fifth night finds none of these but two."""
    (point,) = change_points(stepped(11, at=at, factor=1.10), sign=1)
    assert point.index == at
    assert point.before == pytest.approx(0.010, rel=0.01)
    assert point.after == pytest.approx(0.011, rel=0.01)


@pytest.mark.parametrize(("sign", "worse"), [(1, True), (-1, False)])
def test_plus_is_worse(sign: int, worse: bool) -> None:
    (point,) = change_points(stepped(3, at=20, factor=1.10), sign=sign)
    assert (point.delta > 0) is worse
    assert point.after > point.before


@pytest.mark.parametrize(("sd", "tails"), [(0.01, False), (0.04, True)])
def test_pure_noise_has_none(sd: float, tails: bool) -> None:
    """At most 2 % of 200 series of 40 nights."""
    alarms = sum(bool(change_points(series(1_000 + seed, sd=sd, tails=tails).tolist(), sign=1)) for seed in range(200))
    assert alarms <= 4


def test_two_steps() -> None:
    values = stepped(5, at=14, factor=1.08)
    for night in range(28, NIGHTS):
        values[night] /= 1.08
    assert [point.index for point in change_points(values, sign=1)] == [14, 28]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("at", [20, 38])
def test_one_or_two_bad_nights_are_no_level(count: int, at: int) -> None:
    values = stepped(8, at=NIGHTS, factor=1.0)
    for night in range(at, min(at + count, NIGHTS)):
        values[night] *= 1.5
    assert change_points(values, sign=1) == ()


def test_the_third_night_shows_a_large_step() -> None:
    """And nothing is clipped: the new level is that of the nights as they were."""
    (point,) = change_points(stepped(8, at=37, factor=1.5), sign=1)
    assert point.index == 36
    assert point.after == pytest.approx(0.015, rel=0.03)


def test_the_fourth_night_shows_the_step() -> None:
    assert [point.index for point in change_points(stepped(8, at=36, factor=1.10), sign=1)] == [36]


def test_small_jumps_are_joined_and_not_dropped() -> None:
    """Without any noise every jump is found; two of 2 % are one of 4 %, and one of 2 % is none."""
    assert change_points([1.0] * 10 + [1.02] * 10, sign=1) == ()
    (point,) = change_points([1.0] * 10 + [1.02] * 10 + [1.04] * 10, sign=1)
    assert point.index in (10, 20)
    assert point.delta > math.log(1.025)


def test_exactly() -> None:
    (point,) = change_points([2.0] * 4 + [1.0] * 4, sign=-1)
    assert point == ChangePoint(index=4, before=point.before, after=point.after, delta=point.delta)
    assert (point.before, point.after, point.delta) == pytest.approx((2.0, 1.0, math.log(2)))
    assert change_points([2.0] * 8, sign=1) == ()


@pytest.mark.parametrize("count", range(8))
def test_too_few_nights_for_two_levels(count: int) -> None:
    assert change_points([1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0][:count], sign=1) == ()


def test_without_ruptures_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with pytest.raises(UsageError, match=r"pip install 'pytest-dynperf\[history\]'"):
        change_points([1.0] * 8, sign=1)
    assert creep([1.0] * 8, 1.0, sign=1).delta == 0.0


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_values_without_a_logarithm(value: float) -> None:
    with pytest.raises(ValueError, match="value 2 is"):
        change_points([1.0, 1.0, value], sign=1)
    with pytest.raises(ValueError, match="value 0 is"):
        creep([1.0], value, sign=1)


@pytest.mark.parametrize("sign", [0, 2])
def test_a_trend_has_a_direction(sign: int) -> None:
    with pytest.raises(ValueError, match="direction"):
        change_points([1.0] * 8, sign=sign)


# ---- creep


def crept_up(seed: int, *, sd: float) -> tuple[list[float], float]:
    """60 nights that get worse by 10 % in all, and an anchor of their beginning."""
    values = series(seed, sd=sd, nights=61)
    anchor, *nights = (float(value) for value in values)
    return [value * 1.1 ** (night / 59) for night, value in enumerate(nights)], anchor


def test_slow_creep_is_found_against_the_anchor() -> None:
    found = [creep(*crept_up(seed, sd=0.01), sign=1) for seed in range(200)]
    assert all(one.crept for one in found)
    assert sum(one.delta for one in found) / 200 == pytest.approx(math.log(1.1), abs=0.005)
    assert sum(creep(*crept_up(seed, sd=0.02), sign=1).crept for seed in range(200)) >= 180


def test_the_rolling_neighbourhood_does_not_see_it() -> None:
    """Against the nights just before, which is what a rolling baseline holds, the same creep is nothing."""
    nights, _ = crept_up(2, sd=0.01)
    assert not creep(nights, float(np.median(nights[-14:-4])), sign=1).crept


@pytest.mark.parametrize("sd", [0.01, 0.02, 0.04])
def test_noise_does_not_creep(sd: float) -> None:
    """At most 3 % of 200 series."""
    alarms = 0
    for seed in range(200):
        anchor, *nights = series(5_000 + seed, sd=sd, nights=61).tolist()
        alarms += creep(nights, anchor, sign=1).crept
    assert alarms <= 6


def test_better_is_no_creep() -> None:
    nights, anchor = crept_up(4, sd=0.01)
    assert not creep(nights, anchor, sign=-1).crept
    assert creep([1 / value for value in nights], 1 / anchor, sign=-1).crept


def test_creep_by_hand() -> None:
    one = creep([1.2], 1.0, sign=1, prior_sd=0.02)
    assert one.delta == pytest.approx(math.log(1.2))
    assert one.standard_error == pytest.approx(0.02 * math.sqrt(2))
    assert one.limit == pytest.approx(3.747 * 0.02 * math.sqrt(2), abs=1e-5)  # t(.99, 4)
    assert one.newest == pytest.approx(1.2)
    assert (one.nights, one.crept) == (1, True)
    # differences .02 and -.02 twice: MAD .02, so 1.4826 · .02 / √2 = .020967 a night; s² = (4 · .0004 + 4 · .00043962) / 8
    five = creep([math.exp(value) for value in (0.0, 0.02, 0.0, 0.02, 0.0)], 1.0, sign=1)
    assert five.standard_error == pytest.approx(math.sqrt(0.00041981 * (1 + math.pi / 8)), rel=1e-4)
    assert five.nights == 4


def test_there_is_something_to_compare() -> None:
    with pytest.raises(ValueError, match="no night"):
        creep([], 1.0, sign=1)
