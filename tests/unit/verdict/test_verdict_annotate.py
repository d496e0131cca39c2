"""Annotations over the cells of a session: Benjamini-Hochberg, and the shift of an environment."""

from __future__ import annotations

import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.verdict.annotate import annotate
from pytest_dynperf.verdict.annotations import Annotations
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Scale, Verdict
from tests.fakes.observations import ITL, THROUGHPUT, TTFT

HIT_RATE = Cell("prefix_cache_hit_rate.v1", "value")
SAME = Outcome.UNCHANGED
WORSE = Outcome.REGRESSED


def cell(
    delta: float | None = 0.0,
    p_value: float | None = 0.5,
    outcome: Outcome = SAME,
    *,
    of: Cell = ITL,
    scale: Scale = Scale.LOG,
    candidate: float = 0.010,
    history: tuple[float, ...] = (),
    pairs: int = 0,
    tolerance: float = 0.03,
) -> CellVerdict:
    return CellVerdict(
        cell=of,
        outcome=outcome,
        decisive=True,
        tolerance=tolerance,
        candidate=candidate,
        delta=delta,
        p_value=p_value,
        scale=scale,
        pairs=pairs,
        history=history,
    )


def case(*cells: CellVerdict) -> Verdict:
    return Verdict(outcome=max(one.outcome for one in cells), cells=cells, reasons=())


def session(*cells: CellVerdict) -> list[tuple[str, Verdict]]:
    """Each cell a case of its own: ``c0``, ``c1``, …"""
    return [(f"c{index}", case(one)) for index, one in enumerate(cells)]


# ---- many cells


def survivors(*p_values: float) -> list[int]:
    """Indices of the survivors where every cell regressed."""
    found = annotate(session(*(cell(0.1, p, WORSE) for p in p_values))).survivors
    return [int(name[1:]) for name, _ in found]


def test_a_textbook_example() -> None:
    """Benjamini and Hochberg 1995, m = 15: at q = .05 the first four survive. At .10 the ninth, .0459, lies below its line of .06, and none
    after it does.
    """
    p_values = (0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0)
    assert survivors(*p_values) == list(range(9))


def test_what_lies_below_a_survivor_survives() -> None:
    """The lines are .025, .05, .075, .1. The first two lie above their own, the third lies below: all three survive. Without the monotone
    step the first two would not.
    """
    assert survivors(0.045, 0.06, 0.07, 0.9) == [0, 1, 2]


def test_none_survives() -> None:
    assert survivors(0.06, 0.11, 0.5, 0.9) == []
    assert survivors(0.2) == []
    assert survivors(0.1) == [0]


def test_cells_that_did_not_regress_are_in_the_count_and_never_survive() -> None:
    regressed = cell(0.1, 0.01, WORSE)
    assert len(annotate(session(regressed, *[cell() for _ in range(9)])).survivors) == 1
    assert annotate(session(regressed, *[cell() for _ in range(10)])).survivors == ()
    assert annotate(session(cell(0.1, 1e-9, Outcome.INCONCLUSIVE))).survivors == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_by_counting(p_values: list[float]) -> None:
    """The definition by adjusted p-values, min over larger ranks of p m / rank, written in another way than the code's."""
    count = len(p_values)
    ranked = sorted(p_values)
    expected = [
        index for index, p in enumerate(p_values) if any(high >= p and high <= 0.1 * (rank + 1) / count for rank, high in enumerate(ranked))
    ]
    assert survivors(*p_values) == expected


@pytest.mark.parametrize(
    "unjudged",
    [
        cell(None, None, Outcome.NO_BASELINE),
        cell(None, None, WORSE, scale=Scale.POINTS),
        cell(0.2, 1e-9, WORSE, scale=Scale.POINTS),
        cell(math.nan, 1e-9, WORSE),
        cell(0.2, math.nan, WORSE),
        cell(0.2, 1e-9, Outcome.INVALID),
    ],
)
def test_what_was_not_compared_does_not_count(unjudged: CellVerdict) -> None:
    found = annotate(session(cell(0.1, 0.09, WORSE), unjudged))
    assert (found.judged, len(found.survivors)) == (1, 1)


def test_log_odds_are_judged_and_do_not_shift() -> None:
    rates = [cell(0.5, 0.001, WORSE, of=HIT_RATE, scale=Scale.LOG_ODDS) for _ in range(6)]
    found = annotate(session(*rates))
    assert (found.judged, len(found.survivors), found.shift) == (6, 6, None)


def test_cells_of_an_invalid_case_take_no_part() -> None:
    invalid = Verdict(outcome=Outcome.INVALID, cells=(cell(0.1), cell(0.1, of=TTFT)), reasons=("broken",))
    assert annotate([("a", invalid)]) == Annotations(judged=0)


def test_nothing() -> None:
    assert annotate([]) == Annotations(judged=0)


# ---- shift


def test_a_shift_of_all() -> None:
    found = annotate(session(*(cell(delta) for delta in (0.02, 0.03, 0.04, 0.05, 0.06))))
    assert (found.judged, found.shift) == (5, 0.04)


def test_the_median_and_not_the_mean() -> None:
    """One case that regressed by a half is no shift, and one that improved by a half hides none."""
    assert annotate(session(*(cell(delta) for delta in (0.0, 0.0, 0.0, 0.0, 0.5)))).shift is None
    assert annotate(session(*(cell(delta) for delta in (0.03, 0.03, 0.03, 0.03, -0.5)))).shift == 0.03


@pytest.mark.parametrize(("delta", "shift"), [(0.02, None), (0.0201, 0.0201), (-0.5, None)])
def test_it_exceeds_2_percent_and_is_worse(delta: float, shift: float | None) -> None:
    assert annotate(session(*[cell(delta) for _ in range(6)])).shift == shift


def test_few_cells_or_few_cases_are_no_session() -> None:
    assert annotate(session(*[cell(0.1) for _ in range(4)])).shift is None
    one_case = case(*(cell(0.1, of=Cell(ITL.metric, name)) for name in ("p50", "p90", "mean")))
    assert annotate([("a", one_case), ("b", one_case)]).shift is None
    assert annotate([("a", one_case), ("b", one_case), ("c", one_case)]).shift == 0.1


def test_what_is_left_after_the_shift() -> None:
    regressed = [cell(0.08, 0.001, WORSE), cell(0.064, 0.001, WORSE), cell(0.08, 0.001, WORSE, of=HIT_RATE, scale=Scale.LOG_ODDS)]
    found = annotate(session(*[cell(0.05) for _ in range(5)], *regressed))
    assert found.shift == 0.05
    assert found.beyond_shift == (("c5", ITL), ("c7", HIT_RATE))  # .03 is above half of the tolerance, .014 is not
    assert {name for name, _ in found.survivors} == {"c5", "c6", "c7"}


def test_counts_stay_beyond_the_shift() -> None:
    count = cell(None, None, WORSE, of=Cell("server_preemptions.v1", "value"), scale=Scale.POINTS)
    assert annotate(session(*[cell(0.05) for _ in range(5)], count)).beyond_shift == (("c5", count.cell),)


def test_without_a_shift_nothing_is_beyond_it() -> None:
    assert annotate(session(cell(0.1, 0.001, WORSE))).beyond_shift == ()


def test_a_duet_is_held_against_its_history() -> None:
    """Candidate and control share the machine, so a delta of 0 between them says nothing of the machine."""
    slower = cell(0.0, pairs=20, candidate=0.011, history=(0.010, 0.010, 0.0101))
    lower = cell(0.0, pairs=20, of=THROUGHPUT, candidate=100.0, history=(110.0,))
    found = annotate(session(slower, slower, slower, lower, lower))
    assert found.shift == pytest.approx(math.log(1.1))
    assert annotate(session(*[cell(0.05, pairs=20, candidate=0.010, history=(0.010,)) for _ in range(6)])).shift is None
    assert annotate(session(*[cell(0.05, pairs=20) for _ in range(6)])).shift is None


def test_nothing_is_subtracted_from_what_pairs_decided() -> None:
    decided = cell(0.04, 1e-4, WORSE, pairs=10, candidate=0.0110, history=(0.010,))
    assert annotate(session(*[cell(0.05) for _ in range(5)], decided)).beyond_shift == (("c5", ITL),)


def test_no_outcome_is_touched() -> None:
    results = session(*[cell(0.05, 0.04, WORSE) for _ in range(8)])
    before = copy.deepcopy(results)
    annotate(results)
    assert results == before
