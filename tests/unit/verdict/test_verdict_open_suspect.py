"""Which undecided cells lie beyond their tolerance, on every scale, and which do not count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.verdict.open_suspect import open_suspects
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Scale, Verdict

ITL = Cell("inter_token_latency.v1", "p50")
SLOWER = CellVerdict(
    cell=ITL, outcome=Outcome.INCONCLUSIVE, decisive=True, tolerance=0.05, candidate=0.0148, baseline=0.01, delta=0.392, suspect=True
)
RATE = replace(SLOWER, scale=Scale.LOG_ODDS, tolerance=0.03, baseline=0.6, candidate=0.5, delta=0.405)


def of(cell: CellVerdict, outcome: Outcome = Outcome.INCONCLUSIVE) -> tuple[Cell, ...]:
    return open_suspects(Verdict(outcome=outcome, cells=(cell,), reasons=()))


def test_a_change_of_48_per_cent_that_nothing_decided_is_one() -> None:
    assert of(SLOWER) == (ITL,)
    assert of(SLOWER, Outcome.NO_BASELINE) == (ITL,), "beside a cell that has no baseline yet"


@pytest.mark.parametrize(
    "cell",
    [
        replace(SLOWER, delta=0.0487),  # log 1.05 is .04879
        replace(SLOWER, delta=None),
        replace(SLOWER, delta=-0.392),
        replace(SLOWER, decisive=False),
        replace(SLOWER, suspect=False),
        replace(SLOWER, outcome=Outcome.UNCHANGED),
        replace(SLOWER, outcome=Outcome.REGRESSED),
        replace(RATE, candidate=0.58, delta=0.083),
        replace(SLOWER, scale=Scale.POINTS, delta=0.049),
    ],
)
def test_what_is_none(cell: CellVerdict) -> None:
    assert of(cell) == ()


def test_a_tolerance_of_a_rate_is_in_points_on_every_scale() -> None:
    assert of(RATE) == (ITL,)
    assert of(replace(SLOWER, scale=Scale.POINTS, delta=0.051)) == (ITL,)
    assert of(replace(SLOWER, delta=0.0489)) == (ITL,)


def test_what_must_not_be_judged_has_none() -> None:
    assert of(SLOWER, Outcome.INVALID) == ()
