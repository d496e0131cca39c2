"""What no single example shows: the verdict does not depend on the unit or on an order, and a worse candidate is never judged milder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_dynperf.baseline.found import Found
from pytest_dynperf.verdict import confirmation, judge
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome
from tests.fakes.judge_promises import cell_of, expecting
from tests.fakes.observations import ITL, KEY, THROUGHPUT, document_of, measurement_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.metrics.definition import Cell

VALUES = st.floats(0.1, 10.0)
SESSION = st.lists(VALUES, min_size=3, max_size=5)
HISTORY = st.lists(SESSION, min_size=1, max_size=6)
TOLERANCE = st.sampled_from((0.01, 0.03, 0.1))


def twice(candidate: Sequence[float], history: Sequence[Sequence[float]], cell: Cell, tolerance: float) -> CellVerdict:
    """Judged, and where that leaves a suspect decided by a fresh session that measures the same."""
    documents = tuple(document_of({cell: session}) for session in history)
    measurement, expectation = measurement_of({cell: candidate}), expecting(cell, tolerance=tolerance)
    first = judge.judge(measurement, Found(documents=documents), expectation, key=KEY)
    return confirmation.confirm(first, measurement, documents, expectation).cells[0]


RANK = (Outcome.IMPROVED, Outcome.UNCHANGED, Outcome.INCONCLUSIVE, Outcome.REGRESSED)
"""From the best to the worst that a comparison may say."""


@given(SESSION, HISTORY, TOLERANCE, st.sampled_from((ITL, THROUGHPUT)), st.floats(1e-6, 1e6))
@settings(max_examples=100, deadline=None)
def test_the_unit_does_not_matter(candidate: list[float], history: list[list[float]], tolerance: float, cell: Cell, factor: float) -> None:
    plain = twice(candidate, history, cell, tolerance)
    scaled = twice([value * factor for value in candidate], [[value * factor for value in session] for session in history], cell, tolerance)
    assert plain.delta is not None
    assert plain.limit is not None
    assert scaled.delta == pytest.approx(plain.delta, abs=1e-9)
    assert scaled.interval == pytest.approx(plain.interval, abs=1e-6)
    assume(abs(plain.delta - plain.limit) > 1e-6)  # on the edge itself the last digit decides
    assert (scaled.outcome, scaled.suspect) == (plain.outcome, plain.suspect)


@given(st.data(), SESSION, HISTORY, TOLERANCE, st.sampled_from((ITL, THROUGHPUT, cell_of("prefix_cache_hit_rate"))))
@settings(max_examples=100, deadline=None)
def test_the_order_of_runs_and_of_sessions_does_not_matter(
    data: st.DataObject, candidate: list[float], history: list[list[float]], tolerance: float, cell: Cell
) -> None:
    if cell not in (ITL, THROUGHPUT):
        candidate, history = [value / 10 for value in candidate], [[value / 10 for value in session] for session in history]
    plain = twice(candidate, history, cell, tolerance)
    shuffled = [data.draw(st.permutations(session)) for session in data.draw(st.permutations(history))]
    other = twice(data.draw(st.permutations(candidate)), shuffled, cell, tolerance)
    assert (other.outcome, other.suspect, other.underpowered) == (plain.outcome, plain.suspect, plain.underpowered)
    assert (other.delta, other.limit, other.interval) == (plain.delta, plain.limit, plain.interval)


@given(SESSION, HISTORY, TOLERANCE, st.sampled_from((ITL, THROUGHPUT)), st.floats(1.0, 3.0))
@settings(max_examples=150, deadline=None)
def test_worse_is_never_milder(candidate: list[float], history: list[list[float]], tolerance: float, cell: Cell, factor: float) -> None:
    worsened = [value * factor if cell == ITL else value / factor for value in candidate]
    better, worse = twice(candidate, history, cell, tolerance), twice(worsened, history, cell, tolerance)
    if factor < 1 + 1e-9:
        return
    assert RANK.index(worse.outcome) >= RANK.index(better.outcome)
    assert worse.suspect >= better.suspect


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000), TOLERANCE, st.sampled_from(("hits", "errors")))
@settings(max_examples=300, deadline=None)
def test_a_worse_rate_is_never_milder_even_where_the_scale_changes(
    baseline: int, one: int, other: int, tolerance: float, what: str
) -> None:
    cell = cell_of({"hits": "prefix_cache_hit_rate", "errors": "request_error_rate"}[what])
    low, high = sorted((one, other))
    better, worse = (high, low) if what == "hits" else (low, high)
    history = [[baseline / 10_000] * 3] * 4
    first, second = (twice([value / 10_000] * 3, history, cell, tolerance) for value in (better, worse))
    assert RANK.index(second.outcome) >= RANK.index(first.outcome)
    assert second.suspect >= first.suspect


@given(SESSION, HISTORY, TOLERANCE, st.sampled_from((ITL, THROUGHPUT)))
@settings(max_examples=100, deadline=None)
def test_one_session_is_never_red(candidate: list[float], history: list[list[float]], tolerance: float, cell: Cell) -> None:
    documents = tuple(document_of({cell: session}) for session in history)
    verdict = judge.judge(measurement_of({cell: candidate}), Found(documents=documents), expecting(cell, tolerance=tolerance), key=KEY)
    assert verdict.outcome in RANK[:3]
    found = verdict.cells[0]
    assert found.suspect is (found.outcome is Outcome.INCONCLUSIVE)
    assert found.delta is not None
    assert found.limit is not None
    assert found.suspect is (found.delta > found.limit > 0)
    assert not (found.suspect and found.delta < tolerance / 2), "a change below half of the tolerance is never suspect"
