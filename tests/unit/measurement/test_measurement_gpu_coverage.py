from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.measurement.gpu_coverage import Spell, spell, uncovered_share, within
from pytest_dynperf.observation.series import Series, SeriesKind
from tests.fakes.observations import recording

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording

TEN_S = recording((), window_ms=10_000)


def series(*points: tuple[float, float]) -> Series:
    stamps = tuple(round(at * 1e9) for at, _ in points)
    return Series(id="gpu.x", source="GPU-a", kind=SeriesKind.GAUGE, stamps_ns=stamps, values=tuple(value for _, value in points))


def share(*stamps_s: float, of: Recording = TEN_S) -> float:
    return uncovered_share([round(stamp * 1e9) for stamp in stamps_s], of)


@pytest.mark.parametrize(
    ("stamps_s", "expected"),
    [
        ((), 1.0),
        ((5.0,), 0.9),  # one reading reaches 0.5 s to either side
        (tuple(number / 4 for number in range(41)), 0.0),
        (tuple(number / 4 for number in range(21)), 0.45),
        (tuple(number / 4 for number in (*range(9), *range(12, 41))), 0.0),  # three left out in a row
        (tuple(number / 4 for number in (*range(9), *range(25, 41))), 0.325),  # nothing from 2.0 to 6.25 s
        ((-3.0, 13.0), 0.0),  # readings 16 s apart reach 32 s
        (tuple(-number / 4 for number in range(20, 4, -1)), 1.0),  # all of them before
    ],
)
def test_what_no_reading_reaches(stamps_s: tuple[float, ...], expected: float) -> None:
    assert share(*stamps_s) == pytest.approx(expected)


def test_the_usual_distance_may_be_that_of_others() -> None:
    usual = [number * 250_000_000 for number in range(41)]
    assert uncovered_share([0, 10_000_000_000], TEN_S) == 0.0
    assert uncovered_share([0, 10_000_000_000], TEN_S, usual_of=usual) == pytest.approx(0.9)


def test_a_window_of_no_length_is_covered_by_any_reading() -> None:
    assert share(3.0, of=recording((), window_ms=0)) == 0.0


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (((0, 0), (5, 0)), None),
        (((0, 0), (2, 1), (3, 0)), Spell(2.0, 3.0, 1.0)),
        (((-1, 1), (3, 0)), Spell(0.0, 3.0, 3.0)),
        (((-2, 1), (-1, 0), (3, 0)), None),
        (((0, 0), (9, 1)), Spell(9.0, 10.0, 1.0)),
        (((1, 1), (2, 0), (7, 1), (8, 0)), Spell(1.0, 8.0, 2.0)),
        (((0, 0), (10, 1)), Spell(10.0, 10.0, 0.0)),
        (((0, 0), (11, 1)), None),
    ],
)
def test_for_how_long_something_held(points: tuple[tuple[float, float], ...], expected: Spell | None) -> None:
    assert spell(series(*points), TEN_S, lambda value: value > 0) == expected


def test_readings_within_the_window() -> None:
    assert within(series((-1, 1), (0, 2), (10, 3), (11, 4)), TEN_S) == (2, 3)
