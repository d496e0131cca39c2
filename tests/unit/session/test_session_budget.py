"""How long measuring may go on beyond the first sessions."""

from __future__ import annotations

import math

import pytest

from pytest_dynperf.session.budget import Budget


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_without_a_budget_everything_fits() -> None:
    budget = Budget(None)
    assert budget.refusal(1e9) is None
    assert budget.left_s == math.inf


def test_none_is_none() -> None:
    refusal = Budget(0.0).refusal(0.0)
    assert refusal is not None
    assert "budget of 0 min is spent" in refusal


def test_a_step_that_would_not_fit_does_not_begin() -> None:
    clock = Clock()
    budget = Budget(120.0, clock=clock)
    assert budget.refusal(120.0) is None
    with budget.spending():
        clock.now_s += 50
    assert budget.left_s == 70.0
    assert budget.refusal(70.0) is None
    refusal = budget.refusal(71.0)
    assert refusal is not None
    assert "the budget of 2 min is spent" in refusal
    assert "--dynperf-budget" in refusal


def test_time_counts_however_it_ends() -> None:
    clock = Clock()
    budget = Budget(60.0, clock=clock)

    def interrupted() -> None:
        with budget.spending():
            clock.now_s += 100
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert budget.spent_s == 100.0
    assert budget.left_s == 0.0
