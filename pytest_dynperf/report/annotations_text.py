"""What is said over all cells of a session, in words: a shift of the whole environment, and which regressions stand out among many cells.

All of it is a reading aid. No outcome is lowered by it, and the texts say so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.report.meaning import label
from pytest_dynperf.verdict.annotate import SHIFT
from pytest_dynperf.verdict.verdict import Outcome, Scale

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.report.session_report import CaseResult, SessionReport

SURVIVES = "†"
"""The mark of a regression that survives Benjamini-Hochberg."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A shift of the whole session. ``sentence`` says it. ``with_it`` and ``beyond`` name the regressed cells: those that are no more than
    the shift, and those that stay above half of their tolerance once it is subtracted. ``advice`` is what to look at, ``note`` what it
    does not mean.
    """

    sentence: str
    beyond: tuple[str, ...]
    with_it: tuple[str, ...]
    advice: str
    note: str


def shift(report: SessionReport) -> Shift | None:
    """``None`` where the session as a whole did not move."""
    annotations = report.annotations
    if annotations is None or annotations.shift is None:
        return None
    cells = [cell for result in report.results for cell in result.verdict.cells if cell.scale is Scale.LOG and not cell.pairs]
    deltas = [cell.delta for cell in cells if cell.delta is not None]
    regressed = [(result, cell) for result in report.results for cell in result.verdict.cells if cell.outcome is Outcome.REGRESSED]
    beyond = set(annotations.beyond_shift)
    return Shift(
        sentence=f"The whole session is {math.expm1(annotations.shift) * 100:.1f} % slower than its baselines: "
        f"{sum(delta > SHIFT for delta in deltas)} of {len(deltas)} cells are worse by more than {SHIFT * 100:g} %.",
        beyond=tuple(_name(report, result, cell.cell) for result, cell in regressed if (result.case.name, cell.cell) in beyond),
        with_it=tuple(_name(report, result, cell.cell) for result, cell in regressed if (result.case.name, cell.cell) not in beyond),
        advice="What all cells share comes first: the machine (clocks, temperature, neighbours), driver, load generator.",
        note="This lowers no outcome: what regressed stays regressed.",
    )


def _name(report: SessionReport, result: CaseResult, cell: Cell) -> str:
    one_suite = len({other.case.suite for other in report.results}) == 1
    return f"{result.case.case_id if one_suite else result.case.name} {label(cell)}"


def survivors_note(report: SessionReport) -> str:
    """The explanation of the mark, once; of its absence where cells regressed and none has it. Empty where nothing is to be explained."""
    annotations = report.annotations
    if annotations is None:
        return ""
    regressed = sum(cell.outcome is Outcome.REGRESSED for result in report.results for cell in result.verdict.cells)
    if not regressed:
        return ""
    test = f"among all {annotations.judged} compared cells (Benjamini-Hochberg, q = .10)"
    if annotations.survivors:
        return f"{SURVIVES} stands out {test}. A regression without the mark is one all the same."
    return f"No regression stands out {test}; each is one all the same."
