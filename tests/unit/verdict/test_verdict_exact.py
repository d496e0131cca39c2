"""Counts of a deterministic workload: equal or not, and never by distance."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.baseline.found import Found
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.verdict.judge import judge
from pytest_dynperf.verdict.sequential import Step, next_step
from pytest_dynperf.verdict.verdict import Outcome, Scale, Verdict
from tests.fakes.observations import KEY, document_of, measurement_of

PREEMPTIONS = Cell("server_preemptions.v1", "value")
MATCHED = Cell("kvbm_matched_tokens.v1", "value")
"""Of this one neither more nor less is better."""


def judged(candidate: tuple[float, ...], *sessions: tuple[float, ...], cell: Cell = PREEMPTIONS, exact: bool = True) -> Verdict:
    documents = tuple(document_of({cell: values}, number=number) for number, values in enumerate(sessions))
    gate = Gate(cell=cell, tolerance=0.03, exact=exact)
    return judge(measurement_of({cell: candidate}), Found(documents=documents), Expectation(gates=(gate,)), key=KEY)


def three(value: float) -> tuple[float, float, float]:
    return (value, value, value)


@pytest.mark.parametrize("cell", [PREEMPTIONS, MATCHED])
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_equal_is_unchanged(cell: Cell, value: float) -> None:
    verdict = judged(three(value), three(value), three(value), cell=cell)
    assert verdict.outcome is Outcome.UNCHANGED
    found = verdict.cells[0]
    assert (found.candidate, found.baseline, found.delta, found.limit, found.sessions) == (value, value, 0.0, 0.0, 2)
    assert (found.scale, found.history, found.run_cv) == (Scale.POINTS, (value, value), 0.0 if value else None)
    assert (found.p_value, found.mde, found.interval) == (None, None, None)


@pytest.mark.parametrize("value", [8.0, 7.0 + 1e-9, 1e9])
def test_more_of_the_worse_is_regressed_at_once(value: float) -> None:
    verdict = judged(three(value), three(7.0))
    assert verdict.outcome is Outcome.REGRESSED
    assert not verdict.cells[0].suspect
    assert next_step(verdict).step is Step.ENOUGH
    assert "no second look" in verdict.reasons[0]


def test_less_of_the_worse_is_improved() -> None:
    verdict = judged(three(6.0), three(7.0))
    assert verdict.outcome is Outcome.IMPROVED
    assert verdict.cells[0].delta == -1.0
    assert "--update-baselines" in verdict.reasons[0]


@pytest.mark.parametrize("value", [511.0, 513.0])
def test_without_a_direction_any_difference_is_regressed(value: float) -> None:
    verdict = judged(three(value), three(512.0), cell=MATCHED)
    assert verdict.outcome is Outcome.REGRESSED
    assert verdict.cells[0].delta == 1.0


@pytest.mark.parametrize("sessions", [((7.0, 7.0, 7.0),), ()])
def test_runs_that_differ_are_invalid_with_and_without_a_baseline(sessions: tuple[tuple[float, ...], ...]) -> None:
    verdict = judged((7.0, 7.0, 8.0), *sessions)
    assert verdict.outcome is Outcome.INVALID
    assert "declared deterministic" in verdict.reasons[0]
    assert "7 and 8" in verdict.reasons[0]


def test_runs_of_a_baseline_that_differ_are_invalid() -> None:
    verdict = judged(three(7.0), three(7.0), (7.0, 7.0, 6.0))
    assert verdict.outcome is Outcome.INVALID
    assert "a baseline session have 6 and 7" in verdict.reasons[0]


def test_after_an_accepted_improvement_the_best_counts() -> None:
    assert judged(three(4.0), three(5.0), three(4.0)).outcome is Outcome.UNCHANGED
    assert judged(three(3.0), three(5.0), three(4.0)).outcome is Outcome.IMPROVED
    assert judged(three(6.0), three(5.0), three(4.0)).outcome is Outcome.REGRESSED
    back = judged(three(5.0), three(5.0), three(4.0))
    assert back.outcome is Outcome.INVALID
    assert "an improvement was lost, or exact must be removed" in back.reasons[0]


def test_sessions_that_differ_without_a_direction_are_invalid() -> None:
    for value in (511.0, 512.0, 600.0):
        assert judged(three(value), three(511.0), three(512.0), cell=MATCHED).outcome is Outcome.INVALID


def test_no_baseline() -> None:
    verdict = judged(three(0.0))
    assert verdict.outcome is Outcome.NO_BASELINE
    assert verdict.cells[0].candidate == 0.0


def test_a_count_without_exact_is_shown_and_not_judged() -> None:
    verdict = judged(three(70.0), three(7.0), exact=False)
    found = verdict.cells[0]
    assert (found.outcome, found.decisive, found.candidate, found.values) == (Outcome.INCONCLUSIVE, False, 70.0, three(70.0))
    assert "judged by exact gates alone" in found.reasons[0]
    assert verdict.outcome is Outcome.INVALID, "it was the only gate, so nothing was judged"
    assert verdict.reasons[0].startswith("nothing was judged")


SEVERITY = [Outcome.IMPROVED, Outcome.UNCHANGED, Outcome.INVALID, Outcome.REGRESSED]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(0, 5), st.integers(0, 5), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_worse_is_never_milder_and_the_order_of_sessions_does_not_matter(history: list[int], one: int, other: int, random: object) -> None:
    better, worse = (judged(three(float(value)), *(three(float(item)) for item in history)) for value in sorted((one, other)))
    assert SEVERITY.index(better.outcome) <= SEVERITY.index(worse.outcome)
    shuffled = sorted(history, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert judged(three(float(one)), *(three(float(item)) for item in shuffled)).outcome in {better.outcome, worse.outcome}
    assert (
        judged(three(float(one)), *(three(float(item)) for item in shuffled)).outcome
        is judged(three(float(one)), *(three(float(item)) for item in history)).outcome
    )
