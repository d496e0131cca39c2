"""Per cent for magnitudes, points for rates, plain differences for counts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.report.scale_text import compared, differences, value_text, values_text
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Scale
from tests.fakes.judged_reports import ERROR_RATE, HIT_RATE, PREEMPTIONS, by_duet, of_rates
from tests.fakes.session_reports import ITL, THROUGHPUT, a_result

CELLS = {cell.cell: cell for cell in of_rates().verdict.cells}


def log_odds(rate: float) -> float:
    return math.log(rate / (1 - rate))


def hit_rate(before: float, after: float) -> CellVerdict:
    """Higher is better, so a falling rate has a positive delta."""
    delta = log_odds(before) - log_odds(after)
    return replace(CELLS[HIT_RATE], baseline=before, candidate=after, delta=delta, interval=(delta, delta))


def test_log_odds_are_shown_in_points_at_the_value_of_the_baseline() -> None:
    said = compared(CELLS[HIT_RATE], MEANINGS[HIT_RATE.metric])
    assert said.change == "−3.1 points [−4.0, −2.2]"
    assert said.limit == "−2.0 points"
    assert said.tolerance == "2 points"
    assert said.mde == "3.0 points"


@given(st.floats(0.06, 0.94), st.floats(0.06, 0.94))
def test_points_are_the_difference_of_the_rates_and_never_a_log_odd(before: float, after: float) -> None:
    said = compared(hit_rate(before, after), MEANINGS[HIT_RATE.metric])
    number = said.change.split(" ", maxsplit=1)[0].replace("−", "-")
    assert float(number) == pytest.approx((after - before) * 100, abs=0.051)
    assert "%" not in f"{said.change}{said.limit}{said.mde}{said.tolerance}"


def test_a_worse_rate_is_drawn_to_the_right_whatever_its_direction() -> None:
    hits = compared(CELLS[HIT_RATE], MEANINGS[HIT_RATE.metric]).drawn
    errors = compared(CELLS[ERROR_RATE], MEANINGS[ERROR_RATE.metric]).drawn
    assert hits is not None
    assert errors is not None
    assert hits.delta == pytest.approx(errors.delta, rel=0.05)
    for drawn in (hits, errors):
        assert drawn.interval is not None
        assert 0 < drawn.interval[0] < drawn.delta < drawn.interval[1]
        assert drawn.limit is not None
        assert drawn.limit > 0


def test_ten_points_are_drawn_where_the_axis_says_ten_per_cent() -> None:
    drawn = compared(replace(CELLS[ERROR_RATE], delta=0.1), MEANINGS[ERROR_RATE.metric]).drawn
    assert drawn is not None
    assert drawn.delta == pytest.approx(math.log(1.1))


def test_a_rate_near_zero_is_in_points_with_two_decimals_below_one() -> None:
    said = compared(CELLS[ERROR_RATE], MEANINGS[ERROR_RATE.metric])
    assert said.change == "+3.1 points [+2.2, +4.0]"
    assert said.mde == "0.45 points"
    assert said.tolerance == "1 point"


def test_log_odds_without_a_rate_to_stand_on_say_nothing_rather_than_something_wrong() -> None:
    for baseline in (None, 0.0, 1.0):
        said = compared(replace(CELLS[HIT_RATE], baseline=baseline), MEANINGS[HIT_RATE.metric])
        assert (said.change, said.limit, said.mde, said.drawn) == ("–", "–", "–", None)


def test_a_count_is_a_plain_difference() -> None:
    means = MEANINGS[PREEMPTIONS.metric]
    said = compared(CELLS[PREEMPTIONS], means)
    assert (said.change, said.tolerance, said.drawn) == ("+2", "none, it must be equal", None)
    fewer = replace(CELLS[PREEMPTIONS], candidate=1.0, delta=-2.0, outcome=Outcome.IMPROVED)
    assert compared(fewer, means).change == "−2"
    assert compared(replace(fewer, candidate=3.0, delta=0.0), means).change == "0"
    assert value_text(12345.0, means) == "12,345 requests"
    assert values_text((5.0, 6.0), means) == "5, 6 requests"


def test_a_metric_that_nobody_knows_is_not_called_a_rate() -> None:
    said = compared(replace(CELLS[PREEMPTIONS]), None)
    assert said.change == "+2"
    assert value_text(5.0, None) == "5.00 (unit unknown)"


def test_magnitudes_stay_per_cent_in_the_direction_of_the_metric() -> None:
    cells = {cell.cell: cell for cell in a_result(4, Outcome.REGRESSED, factor=1.119).verdict.cells}
    assert compared(cells[ITL], MEANINGS[ITL.metric]).change == "+11.9 % [+9.8, +14.0]"
    assert compared(cells[THROUGHPUT], MEANINGS[THROUGHPUT.metric]).change == "−10.6 % [−12.3, −8.9]"
    assert compared(replace(cells[ITL], delta=None), MEANINGS[ITL.metric]).drawn is None


def test_the_differences_of_pairs_are_worse_to_the_right() -> None:
    (cell,) = [cell for cell in by_duet().verdict.cells if cell.cell == ITL]
    found = differences(cell, MEANINGS[ITL.metric])
    assert len(found) == 10
    assert found[0][0] == pytest.approx(math.log(1.05))
    assert found[0][1] == "+5.0 %"
    assert found[7][1] == "+40.0 %"
    throughput = replace(cell, cell=THROUGHPUT, values=(90.0,), control_values=(100.0,))
    ((place, text),) = differences(throughput, MEANINGS[THROUGHPUT.metric])
    assert place == pytest.approx(math.log(1 / 0.9))
    assert text == "−10.0 %"
    assert differences(replace(cell, values=(0.0,), control_values=(1.0,)), MEANINGS[ITL.metric]) == ()


def test_the_differences_of_rates_are_in_points_and_counts_have_none() -> None:
    cell = replace(CELLS[HIT_RATE], values=(0.62,), control_values=(0.65,))
    ((place, text),) = differences(cell, MEANINGS[HIT_RATE.metric])
    assert (text, place > 0) == ("−3.0", True)
    count = replace(CELLS[PREEMPTIONS], control_values=(3.0, 3.0, 3.0))
    assert count.scale is Scale.POINTS
    assert differences(count, MEANINGS[PREEMPTIONS.metric]) == ()
