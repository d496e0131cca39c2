"""What is taken from a measurement and the documents for one gate: parts of rates, tails of enough values, nothing in their place."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pytest_dynperf.baseline.found import Found
from pytest_dynperf.measurement.measurement import Distribution, Measurement
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.verdict.judge import judge
from pytest_dynperf.verdict.sequential import Step, next_step
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Scale, Verdict
from pytest_dynperf.verdict.weigh import run_cv
from tests.fakes.observations import EXPECTATION, ITL, KEY, THROUGHPUT, TTFT, document_of, measurement_of

GOOD = {THROUGHPUT: (100.0, 101.0, 99.0), ITL: (0.010, 0.0101, 0.0099), TTFT: (0.050, 0.051, 0.049)}
FOUND = Found(documents=tuple(document_of(GOOD, number=number) for number in range(10)))


def judged(measurement: Measurement, found: Found = FOUND, expectation: Expectation = EXPECTATION) -> Verdict:
    return judge(measurement, found, expectation, key=KEY)


def gates(*cells: Cell) -> Expectation:
    return Expectation(gates=tuple(Gate(cell=cell, tolerance=0.03) for cell in cells))


def test_a_coefficient_of_variation_needs_two_values_and_a_mean() -> None:
    assert run_cv((1.0, 2.0, 3.0)) == 0.5
    assert run_cv((1.0,)) is None
    assert run_cv((0.0, 0.0)) is None


# ---- rates

HITS = Cell("prefix_cache_hit_rate.v1", "value")
ERRORS = Cell("request_error_rate.v1", "value")


def rated(cell: Cell, candidate: tuple[float, ...], *baseline: tuple[float, ...], tolerance: float = 0.03) -> CellVerdict:
    documents = tuple(document_of({cell: values}, number=number) for number, values in enumerate(baseline or ((0.6,) * 3,) * 10))
    expectation = Expectation(gates=(Gate(cell=cell, tolerance=tolerance),))
    return judged(measurement_of({cell: candidate}), Found(documents=documents), expectation).cells[0]


def test_a_rate_is_compared_by_log_odds_and_shown_as_a_rate() -> None:
    found = rated(HITS, (0.55, 0.50, 0.45))
    assert (found.scale, found.outcome, found.suspect) == (Scale.LOG_ODDS, Outcome.INCONCLUSIVE, True)
    assert (found.candidate, found.values) == (0.5, (0.55, 0.5, 0.45))
    assert found.baseline == pytest.approx(0.6)
    assert found.history == pytest.approx([0.6] * 10)
    assert found.delta == pytest.approx(math.log(6000.5 / 4000.5))  # to even odds; fewer hits are worse
    # Half of three points at 60 %: log(.6/.4) - log(.585/.415)
    assert found.limit == pytest.approx(math.log(0.6 / 0.4) - math.log(0.585 / 0.415), abs=1e-5)
    assert found.p_value is not None
    assert found.p_value < 0.01


def test_the_tolerance_of_a_rate_is_in_points() -> None:
    """With so quiet a history of so many sessions the tolerance decides: half of it is not suspect, a little more is."""
    assert rated(HITS, (0.553,) * 3, tolerance=0.1).outcome is Outcome.UNCHANGED
    assert rated(HITS, (0.547,) * 3, tolerance=0.1).suspect
    assert rated(ERRORS, (0.11,) * 3, (0.1,) * 3, tolerance=0.5).scale is Scale.LOG_ODDS
    assert rated(ERRORS, (0.2,) * 3, *((0.1,) * 3,) * 10, tolerance=0.5).outcome is Outcome.UNCHANGED
    assert rated(ERRORS, (0.4,) * 3, *((0.1,) * 3,) * 10, tolerance=0.5).suspect


def test_a_rate_near_one_is_compared_in_points() -> None:
    found = rated(HITS, (0.94,) * 3, *((0.98,) * 3,) * 10)
    assert (found.scale, found.suspect) == (Scale.POINTS, True)
    assert found.delta == pytest.approx(0.04)
    assert found.limit == pytest.approx(0.015)
    assert found.candidate == pytest.approx(0.94)
    assert found.baseline == pytest.approx(0.98)


def test_a_single_failure_is_no_regression_where_there_was_none() -> None:
    assert rated(ERRORS, (0.0, 0.01, 0.0), *((0.0,) * 3,) * 10).outcome is Outcome.UNCHANGED
    assert rated(ERRORS, (0.01,) * 3, *((0.0,) * 3,) * 10).outcome is Outcome.UNCHANGED
    assert rated(ERRORS, (0.04,) * 3, *((0.0,) * 3,) * 10).suspect


def test_runs_of_one_session_are_never_pooled() -> None:
    """Three runs that differ by 30 points are noise, whatever a thousand requests in each would say."""
    quiet = rated(HITS, (0.5, 0.5, 0.5))
    noisy = rated(HITS, (0.8, 0.5, 0.2), *((0.9, 0.6, 0.3),) * 10)
    assert quiet.suspect
    assert not noisy.suspect
    assert noisy.underpowered


def without_parts(measurement: Measurement) -> Measurement:
    return replace(measurement, runs=tuple(replace(run, parts={}) for run in measurement.runs))


def test_a_rate_without_its_parts_is_invalid_and_never_compared_otherwise() -> None:
    expectation, documents = gates(HITS), (document_of({HITS: (0.6,) * 3}),)
    verdict = judged(without_parts(measurement_of({HITS: (0.6,) * 3})), Found(documents=documents), expectation)
    assert verdict.outcome is Outcome.INVALID
    assert "numerator and denominator" in verdict.reasons[0]
    assert verdict.cells[0].delta is None


def test_documents_without_parts_take_no_part() -> None:
    old = document_of({HITS: (0.1,) * 3})
    old = replace(old, runs=tuple(replace(run, parts={}) for run in old.runs))
    new = document_of({HITS: (0.6,) * 3}, number=1)
    mixed = judged(measurement_of({HITS: (0.6,) * 3}), Found(documents=(old, new)), gates(HITS))
    assert (mixed.outcome, mixed.cells[0].sessions) == (Outcome.UNCHANGED, 1)
    alone = judged(measurement_of({HITS: (0.6,) * 3}), Found(documents=(old,)), gates(HITS))
    assert alone.outcome is Outcome.INCOMPARABLE
    assert "accept it again" in alone.reasons[0]


@pytest.mark.parametrize("parts", [(5.0, 0.0), (0.0, 0.0), (11.0, 10.0), (-1.0, 10.0), (float("nan"), 10.0)])
def test_parts_that_are_no_part_of_a_whole_are_invalid(parts: tuple[float, float]) -> None:
    good, bad = measurement_of({HITS: (0.6,) * 3}), {HITS.metric: parts}
    broken = replace(good, runs=(replace(good.runs[0], parts=bad), *good.runs[1:]))
    document = document_of({HITS: (0.6,) * 3})
    verdict = judged(broken, Found(documents=(document,)), gates(HITS))
    assert (verdict.outcome, "no part of a whole" in verdict.reasons[0]) == (Outcome.INVALID, True)
    document = replace(document, runs=(replace(document.runs[0], parts=bad), *document.runs[1:]))
    verdict = judged(good, Found(documents=(document,)), gates(HITS))
    assert (verdict.outcome, "of the baseline" in verdict.reasons[0]) == (Outcome.INVALID, True)


# ---- tails

TAIL = Cell("time_to_first_token.v1", "p99")


def tailed(measurement: Measurement, count: int | None) -> Measurement:
    """With ``count`` values of time to first token in every run; ``None``: no run says how many, and each has 32 requests."""
    known = {} if count is None else {TAIL.metric: Distribution(n=count, mean=1, sd_log=None, minimum=1, maximum=1, percentiles={})}
    return replace(measurement, runs=tuple(replace(run, distributions=known) for run in measurement.runs))


def tail(candidate: int | None, baseline: int | None, *, required: bool = False, alone: bool = False, held: bool = True) -> Verdict:
    """p99 of the candidate twice that of the baseline, of so many values."""
    measurement = tailed(measurement_of({**GOOD, TAIL: (2.0,) * 3} if held else GOOD), candidate)
    found = tailed(measurement_of({**GOOD, TAIL: (1.0,) * 3}), baseline)
    document = document_of({**GOOD, TAIL: (1.0,) * 3})
    runs = tuple(replace(run, distributions=other.distributions) for run, other in zip(document.runs, found.runs, strict=True))
    gate = Gate(cell=TAIL, tolerance=0.1, required=required)
    expectation = Expectation(gates=(gate,) if alone else (*EXPECTATION.gates, gate))
    return judged(measurement, Found(documents=(replace(document, runs=runs),)), expectation)


def test_a_tail_of_enough_values_is_judged() -> None:
    verdict = tail(1_000, 1_000)
    assert (verdict.outcome, verdict.cells[3].suspect, verdict.cells[3].decisive) == (Outcome.INCONCLUSIVE, True, True)


@pytest.mark.parametrize(
    ("candidate", "baseline", "text"),
    [
        (999, 1_000, "p99 needs 1,000 values in every run, the candidate has 999"),
        (1_000, 999, "the baseline has 999"),
        (None, 1_000, "the candidate has 32"),  # requests that succeeded
        (1_000, None, "the baseline has 32"),
    ],
)
def test_a_tail_of_too_few_values_is_shown_and_not_judged(candidate: int | None, baseline: int | None, text: str) -> None:
    verdict = tail(candidate, baseline)
    found = verdict.cells[3]
    assert verdict.outcome is Outcome.UNCHANGED
    assert (found.outcome, found.decisive, found.suspect, found.delta) == (Outcome.INCONCLUSIVE, False, False, None)
    assert (found.candidate, found.values) == (2.0, (2.0,) * 3)
    assert text in found.reasons[0]
    assert not any("p99" in reason for reason in verdict.reasons)
    required = tail(candidate, baseline, required=True)
    assert required.outcome is Outcome.INVALID
    assert (required.cells[3].decisive, text in required.reasons[0]) == (True, True)
    nothing = tail(candidate, baseline, alone=True)
    assert nothing.outcome is Outcome.INVALID
    assert "nothing was judged" in nothing.reasons[0]
    assert text in nothing.reasons[1]
    assert next_step(nothing).step is Step.ENOUGH


def test_a_tail_that_a_run_could_not_give_is_shown_as_missing() -> None:
    verdict = tail(32, 1_000, held=False)
    assert (verdict.outcome, verdict.cells[3].candidate, verdict.cells[3].values) == (Outcome.UNCHANGED, None, ())
    assert "has 32" in verdict.cells[3].reasons[0]


def test_a_tail_without_any_value_is_invalid() -> None:
    assert tail(None, 1_000, held=False).outcome is Outcome.INVALID


def test_a_tail_that_another_tool_states_has_no_more_values_than_requests() -> None:
    found = measurement_of({**GOOD, TAIL: (2.0,) * 3})
    enough, failed = (replace(found, runs=tuple(replace(run, requests=1_000, errors=errors) for run in found.runs)) for errors in (0, 1))
    document = document_of({**GOOD, TAIL: (1.0,) * 3})
    document = replace(document, runs=tuple(replace(run, requests=1_000) for run in document.runs))
    judged_cell, shown = (judged(measurement, Found(documents=(document,)), gates(TTFT, TAIL)).cells[1] for measurement in (enough, failed))
    assert (judged_cell.suspect, judged_cell.decisive) == (True, True)
    assert (shown.suspect, shown.decisive) == (False, False)
    assert "has 999" in shown.reasons[0]


def test_a_tail_of_too_few_values_without_baseline() -> None:
    measurement = tailed(measurement_of({**GOOD, TAIL: (2.0,) * 3}), 30)
    gate = Gate(cell=TAIL, tolerance=0.1)
    assert judged(measurement, Found(), replace(EXPECTATION, gates=(*EXPECTATION.gates, gate))).outcome is Outcome.NO_BASELINE
    alone = judged(measurement, Found(), Expectation(gates=(gate,)))
    assert alone.outcome is Outcome.INVALID
    assert not any("--update-baselines" in reason for reason in alone.reasons), "there is nothing to accept"


def test_one_short_run_is_enough_to_know_too_little() -> None:
    measurement = tailed(measurement_of({**GOOD, TAIL: (2.0,) * 3}), 1_000)
    short = replace(measurement.runs[1], distributions=tailed(measurement, 500).runs[1].distributions)
    runs = (measurement.runs[0], short, measurement.runs[2])
    verdict = judged(replace(measurement, runs=runs), expectation=gates(TTFT, TAIL))
    assert "has 500" in verdict.cells[1].reasons[0]
