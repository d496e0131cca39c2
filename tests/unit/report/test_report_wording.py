from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.quantity import Direction, Unit
from pytest_dynperf.report import wording
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.session_reports import a_case, a_regressed_sweep, a_report, a_result, every_outcome

LOWER, HIGHER = Direction.LOWER_IS_BETTER.value, Direction.HIGHER_IS_BETTER.value


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00587, "s", "5.87 ms"),
        (0.0306, "s", "30.6 ms"),
        (12.5, "s", "12,500 ms"),
        (531.4, "tokens/s", "531 tok/s"),
        (12345.0, "tokens/s", "12,345 tok/s"),
        (0.004, "ratio", "0.400 %"),
        (0.0, "s", "0 ms"),
        (3e-9, "s", "3e-06 ms"),
        (-0.0012, "s", "−1.20 ms"),
        (7.0, "furlongs", "7.00 furlongs"),
        (7.0, None, "7.00 (unit unknown)"),
        (None, "s", "–"),
    ],
)
def test_a_quantity_has_its_unit(value: float | None, unit: str | None, text: str) -> None:
    assert wording.quantity(value, unit) == text


@pytest.mark.parametrize("unit", Unit)
def test_no_unit_of_ours_is_shown_without_one(unit: Unit) -> None:
    assert wording.quantity(1.0, unit.value).split(" ", 1)[1]


def test_values_of_runs_share_a_unit() -> None:
    assert wording.quantities((0.00655, None, 0.00661), "s") == "6.55, –, 6.61 ms"
    assert wording.quantities((), "s") == "–"
    assert wording.quantities((None,), "s") == "–"


def test_worse_reads_in_the_direction_of_the_metric_itself() -> None:
    worse = math.log(1.119)
    assert wording.change(worse, LOWER) == "+11.9 %"
    assert wording.change(worse, HIGHER) == "−10.6 %"
    assert wording.change(-worse, LOWER) == "−10.6 %"
    assert wording.change(None, LOWER) == "–"


def test_the_interval_turns_with_the_direction_and_stays_in_order() -> None:
    bounds = (math.log(1.098), math.log(1.141))
    assert wording.interval(bounds, LOWER) == "[+9.8, +14.1]"
    assert wording.interval(bounds, HIGHER) == "[−12.4, −8.9]"
    assert wording.change_with_interval(math.log(1.119), bounds, LOWER) == "+11.9 % [+9.8, +14.1]"
    assert wording.change_with_interval(math.log(1.119), None, LOWER) == "+11.9 %"


def test_a_size_has_no_sign() -> None:
    assert wording.size(0.075, LOWER) == "7.8 %"
    assert wording.size(0.075, HIGHER) == "7.2 %"
    assert wording.size(None, LOWER) == "–"


def test_from_a_tenfold_on_the_factor_is_said() -> None:
    assert wording.change(math.log(23.4), LOWER) == "×23.4"
    assert wording.change(1e9, LOWER).startswith("×")


@given(st.floats(-700, 700), st.sampled_from([LOWER, HIGHER]))
def test_any_change_can_be_said(delta: float, direction: str) -> None:
    text = wording.change(delta, direction)
    assert text.endswith(" %") or text.startswith("×")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.02, "20 ms"), (12.34, "12.3 s"), (200.0, "3 min 20 s"), (3599.6, "1 h 00 min"), (7500.0, "2 h 05 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(("fraction", "text"), [(0.03, "3 %"), (0.0047, "0.5 %"), (0.125, "12.5 %"), (0.0, "0 %"), (None, "–")])
def test_percentages(fraction: float | None, text: str) -> None:
    assert wording.percent(fraction) == text


def test_plurals() -> None:
    assert wording.counted(1, "case") == "1 case"
    assert wording.counted(0, "case") == "0 cases"
    assert wording.counted(1200, "case") == "1,200 cases"


def test_the_verdict_names_what_regressed() -> None:
    assert wording.verdict_sentence(a_regressed_sweep()) == "1 of 4 cases regressed: agg-isl256-osl32-c4; 3 are unchanged."


def test_the_verdict_counts_every_outcome_worst_first() -> None:
    assert wording.verdict_sentence(every_outcome()) == (
        "1 of 7 cases regressed: agg-isl256-osl32-c64; 1 is invalid; 1 has no baseline; 1 is incomparable; 1 is inconclusive; "
        "1 improved; 1 is unchanged."
    )


@pytest.mark.parametrize(
    ("outcome", "one", "two"),
    [
        (Outcome.UNCHANGED, "1 of 1 case is unchanged.", "2 of 2 cases are unchanged."),
        (Outcome.NO_BASELINE, "1 of 1 case has no baseline.", "2 of 2 cases have no baseline."),
        (Outcome.INVALID, "1 of 1 case is invalid.", "2 of 2 cases are invalid."),
    ],
)
def test_singular_and_plural(outcome: Outcome, one: str, two: str) -> None:
    assert wording.verdict_sentence(a_report(a_result(1, outcome))) == one
    assert wording.verdict_sentence(a_report(a_result(1, outcome), a_result(4, outcome))) == two


def test_suites_are_named_where_there_are_several() -> None:
    other = a_result(4, Outcome.REGRESSED, case=a_case(4, suite="routing"))
    assert "routing/agg-isl256-osl32-c4" in wording.verdict_sentence(a_report(a_result(1), other))


def test_many_cases_are_counted_after_three() -> None:
    sentence = wording.verdict_sentence(a_report(*(a_result(2**n, Outcome.REGRESSED) for n in range(6))))
    assert sentence.endswith("c1, agg-isl256-osl32-c2, agg-isl256-osl32-c4 and 3 more.")


def test_an_incomplete_session_says_so_first() -> None:
    report = a_report(a_result(1), missing=("a/b", "a/c"), interrupted="SIGINT")
    assert wording.verdict_sentence(report) == "Session incomplete (SIGINT, 2 cases not reported). 1 of 1 case is unchanged."
    assert wording.verdict_sentence(replace(report, results=())).endswith("No case was measured.")


def test_nothing_measured_is_never_good_news() -> None:
    assert wording.verdict_sentence(a_report()) == "No case was measured."


def test_stamps_for_people() -> None:
    assert wording.instant("20261121T030501Z") == "2026-11-21 03:05:01 UTC"
    assert wording.instant("yesterday") == "yesterday"
