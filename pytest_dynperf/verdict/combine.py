"""The outcomes of many cells to that of their case. Nothing passes because nothing was compared."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_dynperf.scenario.expectation import Gate

NOT_COUNTED = "; the gate is not decisive, so this does not count for the case"


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The most severe; *invalid* where there is none."""
    return max(outcomes, default=Outcome.INVALID)


def unjudged(gate: Gate, reason: str, values: tuple[float, ...] = ()) -> CellVerdict:
    """A cell that must not be judged."""
    if not gate.decisive:
        reason += NOT_COUNTED
    return CellVerdict(
        cell=gate.cell,
        outcome=Outcome.INVALID,
        decisive=gate.decisive,
        tolerance=gate.tolerance,
        candidate=None,
        values=values,
        reasons=(reason,),
    )


def only_shown(gate: Gate, reason: str, values: tuple[float, ...] = ()) -> CellVerdict:
    """A cell that there is too little of to judge: it is shown and does not count, unless the gate requires it; then it is *invalid*."""
    if gate.required:
        return unjudged(gate, f"{reason}; the gate requires it", values)
    return CellVerdict(
        cell=gate.cell,
        outcome=Outcome.INCONCLUSIVE,
        decisive=False,
        tolerance=gate.tolerance,
        candidate=median(values) if values else None,
        values=values,
        reasons=(f"{reason}; shown and not judged",),
    )


def of_case(cells: Sequence[CellVerdict], *, means: Means | None = None, reasons: Sequence[str] = ()) -> Verdict:
    """The verdict of a case: the worst outcome of its decisive cells, *invalid* where none is decisive.

    ``reasons`` come first; those of the decisive cells follow, the worst cell first. Where none is decisive, all cells speak.
    """
    decisive = sorted((cell for cell in cells if cell.decisive), key=lambda cell: -cell.outcome)
    nothing = () if decisive else ("nothing was judged: no decisive gate is left",)
    return Verdict(
        outcome=worst(cell.outcome for cell in decisive),
        cells=tuple(cells),
        reasons=(*nothing, *reasons, *(f"{cell.cell}: {reason}" for cell in decisive or cells for reason in cell.reasons)),
        means=means,
    )
