"""What is measured next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.verdict.sequential import LOOKS, Ask, Possible, Step, next_step
from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Verdict
from tests.fakes.observations import ITL, TTFT

ENOUGH, FRESH = Ask(step=Step.ENOUGH), Ask(step=Step.FRESH_SESSION)
SUSPECT = CellVerdict(cell=ITL, outcome=Outcome.INCONCLUSIVE, decisive=True, tolerance=0.03, candidate=0.01, suspect=True)
FINE = CellVerdict(cell=TTFT, outcome=Outcome.UNCHANGED, decisive=True, tolerance=0.05, candidate=0.05)


def verdict(*cells: CellVerdict, means: Means | None = None) -> Verdict:
    return Verdict(outcome=Outcome.INCONCLUSIVE, cells=(*cells, FINE), reasons=(), means=means)


@pytest.mark.parametrize(
    ("measured", "possible", "asked"),
    [
        (0, 20, Ask(step=Step.PAIRS, pairs=5)),
        (3, 20, Ask(step=Step.PAIRS, pairs=5)),
        (5, 20, Ask(step=Step.PAIRS, pairs=7)),
        (6, 20, Ask(step=Step.PAIRS, pairs=7)),
        (7, 20, Ask(step=Step.PAIRS, pairs=10)),
        (9, 20, Ask(step=Step.PAIRS, pairs=10)),
        (15, 20, Ask(step=Step.PAIRS, pairs=20)),
        (15, 19, ENOUGH),
        (15, 100, Ask(step=Step.PAIRS, pairs=20)),
        (20, 20, ENOUGH),
        (20, 29, ENOUGH),
        (20, 100, Ask(step=Step.PAIRS, pairs=30)),
        (30, 30, ENOUGH),
        (30, 100, ENOUGH),
        (5, 6, ENOUGH),
        (7, 9, ENOUGH),
        (3, 4, ENOUGH),
        (0, 5, Ask(step=Step.PAIRS, pairs=5)),
        (0, 4, FRESH),
        (0, 0, FRESH),
        (5, 0, ENOUGH),
    ],
)
def test_pairs_up_to_the_next_look_that_can_be_reached(measured: int, possible: int, asked: Ask) -> None:
    means = Means.DUET if measured else None
    assert next_step(verdict(SUSPECT, means=means), Possible(pairs=possible), measured_pairs=measured) == asked


def test_looks_are_fixed() -> None:
    assert LOOKS == (5, 7, 10, 15, 20, 30)


def test_a_fresh_session_is_asked_for_once_and_only_where_it_can_be() -> None:
    assert next_step(verdict(SUSPECT)) == FRESH
    assert next_step(verdict(SUSPECT), Possible(fresh_session=False)) == ENOUGH
    for possible in (Possible(), Possible(pairs=20)):
        assert next_step(verdict(SUSPECT, means=Means.FRESH_SESSION), possible) == ENOUGH


def test_nothing_is_asked_for_what_is_decided_or_does_not_count() -> None:
    possible = Possible(pairs=20)
    assert next_step(verdict(), possible) == ENOUGH
    assert next_step(verdict(replace(SUSPECT, decisive=False)), possible) == ENOUGH
    assert next_step(verdict(replace(SUSPECT, suspect=False)), possible) == ENOUGH
    for outcome in set(Outcome) - {Outcome.INCONCLUSIVE}:
        assert next_step(verdict(replace(SUSPECT, outcome=outcome), means=Means.DUET), possible, measured_pairs=5) == ENOUGH


def test_one_undecided_suspect_is_enough_to_go_on() -> None:
    decided = replace(SUSPECT, outcome=Outcome.REGRESSED)
    asked = next_step(verdict(decided, SUSPECT, means=Means.DUET), Possible(pairs=20), measured_pairs=5)
    assert asked == Ask(step=Step.PAIRS, pairs=7)
