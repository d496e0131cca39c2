"""Suspects that nothing decided although they lie beyond the tolerance: what a nightly may want to hear of.

In: a finished verdict. Out: cells. It changes no outcome: too little was measured to call any of them a regression.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_dynperf.verdict.verdict import Outcome, Scale

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.verdict.verdict import CellVerdict, Verdict


def open_suspects(verdict: Verdict) -> tuple[Cell, ...]:
    """Decisive cells that are suspect and *inconclusive*, and of which the estimated change exceeds the whole tolerance of their gate. Of
    an *invalid* case none: its values must not be used.
    """
    if verdict.outcome is Outcome.INVALID:
        return ()
    return tuple(
        cell.cell
        for cell in verdict.cells
        if cell.decisive and cell.suspect and cell.outcome is Outcome.INCONCLUSIVE and _beyond_tolerance(cell)
    )


def _beyond_tolerance(cell: CellVerdict) -> bool:
    """A tolerance is a share of a magnitude and points of a rate, whatever the scale."""
    if cell.delta is None or cell.delta <= 0:
        return False
    if cell.scale is Scale.LOG:
        return cell.delta > math.log1p(cell.tolerance)
    if cell.scale is Scale.POINTS or cell.candidate is None or cell.baseline is None:
        return cell.delta > cell.tolerance
    return abs(cell.candidate - cell.baseline) > cell.tolerance
