"""Two sessions against each other: what changed, what else differs, and what two sessions alone can never show."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.measurement.measurement import Measurement
from pytest_dynperf.session.compared import CaseComparison, compare_sessions
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome
from tests.fakes.judged_sessions import SCATTER, a_night, named
from tests.fakes.session_reports import ITL, PER_USER, THROUGHPUT, a_measurement, a_result, an_environment

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.environment import Environment
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.report.session_report import SessionReport


def session(root: Path, factor: float, number: int = 0, *, name: str = "case", environment: Environment | None = None) -> SessionReport:
    result = replace(a_result(case=named(name)), measurement=a_measurement(4, factor), environment=environment or an_environment())
    return a_night(root, result, stamp=f"202611{number + 1:02d}T030000Z", session_id=f"aaaa{number:02d}")


def compared(before: list[SessionReport], now: SessionReport) -> CaseComparison:
    (case,) = compare_sessions(before, now).cases
    return case


def of(case: CaseComparison, cell: Cell) -> CellVerdict:
    (found,) = (one for one in case.cells if one.cell == cell)
    return found


def test_two_sessions_that_are_alike(tmp_path: Path) -> None:
    case = compared([session(tmp_path, 1.0)], session(tmp_path, 1.0, 1))
    assert (case.problem, case.sessions, case.regressed) == (None, 1, False)
    assert {cell.outcome for cell in case.cells} == {Outcome.UNCHANGED}
    # K = 1: se = .02 · √2 and t(.995, 4) = 4.604, so the MDE is (4.604 + .86) · .0283
    assert of(case, ITL).mde == pytest.approx(5.464 * 0.02828, rel=0.01)


def test_a_change_has_its_size_and_an_interval_of_runs(tmp_path: Path) -> None:
    case = compared([session(tmp_path, 1.0)], session(tmp_path, 1.2, 1))
    itl = of(case, ITL)
    assert itl.delta == pytest.approx(math.log(1.2))
    assert itl.interval is not None
    assert itl.interval[0] < math.log(1.2) < itl.interval[1]
    assert itl.outcome is Outcome.REGRESSED
    assert of(case, THROUGHPUT).delta == pytest.approx(math.log(1.2)), "+ is worse"
    assert case.regressed


def test_what_is_worse_by_less_than_the_noise_of_two_sessions_fails_nothing(tmp_path: Path) -> None:
    case = compared([session(tmp_path, 1.0)], session(tmp_path, 1.06, 1))
    assert of(case, ITL).outcome is Outcome.INCONCLUSIVE
    assert not case.regressed
    ring = [session(tmp_path, factor, number) for number, factor in enumerate(SCATTER)]
    sharper = compared(ring, session(tmp_path, 1.06, 20))
    assert sharper.sessions == 10
    assert sharper.regressed, "ten sessions say how sessions scatter"


def test_of_many_sessions_the_ten_newest_count(tmp_path: Path) -> None:
    before = [session(tmp_path, 5.0, 0), *(session(tmp_path, 1.0, number) for number in range(1, 11))]
    assert compared(before, session(tmp_path, 1.0, 20)).sessions == 10
    assert of(compared(before, session(tmp_path, 1.0, 20)), ITL).delta == 0.0


def test_cells_that_no_gate_names_are_shown_and_decide_nothing(tmp_path: Path) -> None:
    case = compared([session(tmp_path, 1.0)], session(tmp_path, 1.3, 1))
    shown = of(case, PER_USER)
    assert (shown.decisive, shown.outcome) == (False, Outcome.REGRESSED)
    only = replace(case, cells=(shown,))
    assert not only.regressed


def test_what_else_differs_is_said(tmp_path: Path) -> None:
    newer = replace(an_environment(), provenance={**an_environment().provenance, "dynamo.version": "1.5.0", "engine.version": "0.9"})
    case = compared([session(tmp_path, 1.0)], session(tmp_path, 1.0, 1, environment=newer))
    assert case.provenance == {"dynamo.version": ("1.4.2", "1.5.0"), "engine.version": (None, "0.9")}
    assert case.environment == {}


def test_another_machine_is_not_compared(tmp_path: Path) -> None:
    other = replace(an_environment(), key={**an_environment().key, "cpu.count": "16"})
    case = compared([session(tmp_path, 1.0)], session(tmp_path, 2.0, 1, environment=other))
    assert case.cells == ()
    assert case.problem == "the two sides are incomparable: cpu.count 2 → 16"
    assert not case.regressed


@pytest.mark.parametrize("side", ["A", "B"])
def test_an_invalid_side_is_not_compared(side: str, tmp_path: Path) -> None:
    good = session(tmp_path, 1.0)
    (result,) = good.results
    verdict = replace(result.verdict, outcome=Outcome.INVALID, reasons=("a worker ended",))
    bad = replace(good, results=(replace(result, verdict=verdict, measurement=Measurement(runs=(), problems=("a worker ended",))),))
    case = compared([bad], session(tmp_path, 1.0, 1)) if side == "A" else compared([session(tmp_path, 1.0, 1)], bad)
    assert case.problem == f"{side} is invalid: a worker ended"


def test_an_invalid_session_among_several_is_left_out(tmp_path: Path) -> None:
    good = session(tmp_path, 1.0)
    (result,) = good.results
    bad = replace(good, results=(replace(result, verdict=replace(result.verdict, outcome=Outcome.INVALID)),))
    assert compared([good, bad], session(tmp_path, 1.0, 2)).sessions == 1


def test_a_fresh_session_of_b_decides_a_suspect(tmp_path: Path) -> None:
    """What was slow once and not again is no regression of B."""
    now = session(tmp_path, 1.3, 1)
    (result,) = now.results
    cleared = replace(now, results=(replace(result, confirmation=a_measurement(4, 1.0)),))
    assert compared([session(tmp_path, 1.0)], now).regressed
    assert not compared([session(tmp_path, 1.0)], cleared).regressed


def test_cases_of_one_side_are_named(tmp_path: Path) -> None:
    found = compare_sessions([session(tmp_path, 1.0, name="old")], session(tmp_path, 1.0, 1, name="new"))
    assert (found.cases, found.only_a, found.only_b) == ((), ("concurrency_sweep/old",), ("concurrency_sweep/new",))
